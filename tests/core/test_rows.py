"""One row from raw energies: units, signs, and what is undefined."""

import numpy as np
import pytest

from ebmdiag import iteration_row, temperature
from ebmdiag.errors import UsageError


def test_units_and_sign():
    row = iteration_row(
        3, energy_pos=[1.0, 3.0], energy_neg=[0.0, 1.0], gradient_norm=0.2, epsilon=0.1, learning_rate=0.5
    )
    scale = 0.1**2 / 2
    assert row["step"] == 3
    assert row["d_s_t"] == pytest.approx((2.0 - 0.5) / scale)
    assert row["energy_pos_mean"] - row["energy_neg_mean"] == pytest.approx(row["d_s_t"])
    assert row["r_t"] == 0.2
    assert row["v_t"] == pytest.approx(0.2 / scale)
    assert row["energy_pos_sd"] == pytest.approx(np.std([1.0, 3.0], ddof=1) / scale)
    assert row["learning_rate"] == 0.5


def test_standardized_difference_is_standard_normal_for_equal_laws():
    """Var z = 1 up to the t-like tails of 2 x 100 samples; with a shift of half a standard deviation it is far off."""
    rng = np.random.default_rng(5)

    def scores(shift):
        draws = rng.normal(size=(4000, 2, 100))
        return [
            iteration_row(1, energy_pos=pos + shift, energy_neg=neg, gradient_norm=0.0, epsilon=1.0)["z_t"]
            for pos, neg in draws
        ]

    z = np.array(scores(0.0))
    assert abs(z.mean()) < 4 / np.sqrt(len(z))
    assert z.var() == pytest.approx(200 / 198, abs=4 * np.sqrt(2 / len(z)))
    assert abs(np.mean(scores(0.5))) > 3


def test_epsilon_zero_needs_no_scaling():
    assert temperature(0.0) == 1.0
    row = iteration_row(1, energy_pos=[2.0], energy_neg=[1.0], gradient_norm=0.5, epsilon=0.0)
    assert row["d_s_t"] == 1.0
    assert row["v_t"] == row["r_t"] == 0.5


def test_what_is_undefined_is_absent():
    row = iteration_row(1, energy_pos=[2.0], energy_neg=[1.0, 1.0], gradient_norm=0.5, epsilon=1.0)
    assert row["energy_pos_sd"] is None
    assert row["z_t"] is None
    constant = iteration_row(1, energy_pos=[2.0, 2.0], energy_neg=[1.0, 1.0], gradient_norm=0.5, epsilon=1.0)
    assert constant["energy_pos_sd"] == 0.0
    assert constant["z_t"] is None


def test_tensors_with_a_graph_are_taken():
    torch = pytest.importorskip("torch")
    energies = torch.tensor([1.0, 3.0], requires_grad=True) * 2
    row = iteration_row(1, energy_pos=energies, energy_neg=energies, gradient_norm=0.0, epsilon=1.0)
    assert row["d_s_t"] == 0.0


@pytest.mark.parametrize("epsilon", [-0.1, float("nan"), float("inf")])
def test_bad_epsilon(epsilon):
    with pytest.raises(UsageError, match="epsilon must be a finite number, at least 0"):
        temperature(epsilon)


def test_no_energies():
    with pytest.raises(UsageError, match="energy_neg must hold at least one energy"):
        iteration_row(1, energy_pos=[1.0], energy_neg=[], gradient_norm=0.0, epsilon=1.0)
