"""Every statistic with a known value has it on Gaussians, and leaves it under the fault that it is meant to reveal.

docs/equilibrium.md is the same, printed, with more seeds.
"""

import dataclasses

import pytest
from equilibrium import SPECTRA, STEP_SIZES, cells, exact, faults, setting
from gaussian_runs import one_torch_thread

SEEDS = 20
FAULTS = {fault.name: fault for fault in faults()}


@pytest.fixture(autouse=True)
def one_thread():
    with one_torch_thread():
        yield


@pytest.mark.slow
@pytest.mark.parametrize("epsilon", STEP_SIZES)
@pytest.mark.parametrize("name", SPECTRA)
def test_equilibrium(name, epsilon):
    found = cells(setting(name, epsilon), SEEDS)
    assert len(found) >= 23
    assert {cell.column: round(cell.errors, 1) for cell in found if not abs(cell.errors) < 4.5} == {}


def test_the_comparison_can_fail():
    """Negative control: the exact values of another Gaussian do not fit most of the measurements."""
    at = setting("N=2", 0.3)
    other = exact(dataclasses.replace(at, precisions=1.5 * at.precisions))
    missed = {cell.column for cell in cells(at, 10) if abs(other[cell.column] - cell.mean) > 5 * cell.error}
    assert missed >= {"mh_log_ratio_variance", "displacement", "drift_to_noise", "nested_rhat_state", "jarzynski_ess"}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_planted_fault(fault):
    assert [cell.column for cell in FAULTS[fault].cells(12) if not abs(cell.errors) > 5] == []
