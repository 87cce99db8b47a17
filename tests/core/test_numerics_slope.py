"""The slope and its error against statsmodels, and its size where nothing is to be seen."""

import math

import numpy as np
import pytest
from series import autoregression
from statsmodels.api import OLS

from ebmdiag.numerics import slope as module
from ebmdiag.numerics.slope import slope_with_error


@pytest.fixture(scope="module")
def columns():
    rng = np.random.default_rng(321)
    x = rng.standard_normal(600)
    first = autoregression(rng, 0.6, (600,)) + 0.4 * x
    second = 1e3 + 3 * first + rng.standard_normal(600)
    y = 0.3 * x + first + autoregression(rng, 0.8, (600,)) - 7
    return y, x, first, second


@pytest.mark.parametrize("bandwidth", [0, 1, 7, 40])
@pytest.mark.parametrize("controls", [0, 1, 2])
def test_equals_statsmodels(columns, controls, bandwidth):
    y, x, *others = columns
    found = slope_with_error(y, x, others[:controls], bandwidth=bandwidth)
    design = np.column_stack([np.ones(len(y)), x, *others[:controls]])
    fit = OLS(y, design).fit(cov_type="HAC", cov_kwds={"maxlags": bandwidth, "use_correction": False})
    assert found.value == pytest.approx(fit.params[1], rel=1e-9)
    assert found.error == pytest.approx(fit.bse[1], rel=1e-9)
    if not controls:
        assert found.share == pytest.approx(fit.rsquared, rel=1e-9)


def test_blocks_change_nothing(columns, monkeypatch):
    y, x, *others = columns
    whole = slope_with_error(y, x, others)
    monkeypatch.setattr(module, "_BLOCK", 50)
    pieces = slope_with_error(y, x, others)
    assert (pieces.value, pieces.error) == pytest.approx((whole.value, whole.error), rel=1e-9)


def test_units(columns):
    y, x, first, _ = columns
    plain, scaled = slope_with_error(y, x, [first]), slope_with_error(1e180 * y, 1e-100 * x, [1e5 * first])
    assert scaled.value == pytest.approx(1e180 * plain.value * 1e100, rel=1e-9)
    assert scaled.errors == pytest.approx(plain.errors, rel=1e-9)


def test_a_control_that_repeats_another_is_left_out(columns):
    y, x, first, _ = columns
    once, twice = slope_with_error(y, x, [first]), slope_with_error(y, x, [first, 2 * first, np.ones(len(y))])
    assert twice.value == pytest.approx(once.value, rel=1e-6)
    assert twice.error == pytest.approx(once.error, rel=1e-6)


@pytest.mark.parametrize("memory", [0.0, 0.9])
def test_size_with_memory_in_both(memory):
    """Two-sided 5% test of independent autoregressions of 2,000 rows; the error of plain least squares fails."""
    rng = np.random.default_rng(322)
    found = [slope_with_error(*autoregression(rng, memory, (2, 2000))) for _ in range(400)]
    hits = np.mean([abs(item.errors) > 1.96 for item in found])
    assert hits < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)
    plain = [slope_with_error(*autoregression(rng, 0.9, (2, 2000)), bandwidth=0) for _ in range(100)]
    assert np.mean([abs(item.errors) > 1.96 for item in plain]) > 0.2


def test_size_of_a_trend():
    """The slope on time in noise of coefficient 0.9."""
    rng, time = np.random.default_rng(323), np.arange(4000.0)
    found = [slope_with_error(autoregression(rng, 0.9, (4000,)), time) for _ in range(300)]
    assert np.mean([abs(item.errors) > 3 for item in found]) < 0.02
    drifting = slope_with_error(autoregression(rng, 0.9, (4000,)) + 2e-3 * time, time)
    assert abs(drifting.value - 2e-3) < 4 * drifting.error
    assert drifting.errors > 5


def test_undefined_and_doubtful():
    x = np.random.default_rng(324).standard_normal(200)
    assert "too few" in slope_with_error(x[:7], x[:7]).reason
    assert "constant" in slope_with_error(x, np.ones(200)).reason
    assert "constant" in slope_with_error(np.ones(200), x).reason
    assert "exactly" in slope_with_error(x, x[::-1], [2 * x[::-1]]).reason
    assert math.isnan(slope_with_error(x, np.ones(200)).value)
    exact = slope_with_error(-3 * x + 5, x)
    assert (exact.value, exact.error, exact.errors) == (pytest.approx(-3), 0.0, -math.inf)
    assert exact.reason == "y follows x exactly"
    slow = autoregression(np.random.default_rng(325), 0.99, (2, 400))
    assert "autocorrelation times" in slope_with_error(*slow).reason
    assert "too far apart" in slope_with_error(1e-200 * x[::-1], 1e200 * x).reason
    with pytest.raises(ValueError, match="equally long"):
        slope_with_error(x, x[1:])


def test_one_far_value_of_x_is_not_believed():
    """Its residual is near 0, and so is its part of the error: p < .001 in a tenth and more of independent records."""
    rng = np.random.default_rng(326)
    wrong = 0
    for _ in range(100):
        y, x = rng.standard_normal((2, 500))
        x[rng.integers(500)] += 100
        found = slope_with_error(y, x)
        assert "decides the slope" in found.reason
        wrong += abs(found.errors) > 3.29
    assert wrong > 10
    quiet = [slope_with_error(*rng.standard_normal((2, rows))).reason for rows in (60, 200, 2000) for _ in range(60)]
    assert np.mean(["decides" in reason for reason in quiet]) < 0.05


def test_a_score_that_remembers_after_a_gap():
    rng = np.random.default_rng(327)
    x, y = autoregression(rng, 0.6, (2, 12, 200)).transpose(0, 2, 1).reshape(2, -1)
    assert "again at lag 12" in slope_with_error(y, x).reason
