"""The exactly solvable trainer: learning a Gaussian, against the closed forms of its feedback loop and of its bias."""

import numpy as np
import pytest
import torch
from gaussian_runs import BATCH, EPSILON, LEARNED, STEPS, autocorrelation, column, learn, rate_for
from scipy.optimize import brentq

from ebmdiag.errors import DivergenceError
from ebmdiag_trainers.energies import LaplaceEnergy, MixtureEnergy

# --- the feedback loop, chains that start afresh and mix within one iteration -------------------------------------


def loop(gain, iterations):
    """d and z of the loop at a gain, from its fixed point. The batch is large: the theory is linear in the noise."""
    rows, learned = learn(
        1.0,
        iterations,
        epsilon=EPSILON,
        steps=STEPS,
        rate=rate_for(gain),
        first=LEARNED,
        batch=BATCH,
        coordinates=8,
    )
    assert learned.mean() == pytest.approx(LEARNED, rel=0.1)
    return column(rows, "d_s_t")[50:], column(rows, "z_t")[50:]


@pytest.mark.slow
@pytest.mark.parametrize(("gain", "other"), [(0.05, 0.5), (0.3, 0.7), (1.0, 0.7), (1.5, 1.2)])
def test_autocorrelation_of_d_follows_the_loop(gain, other):
    """rho_k = -(g/2)(1-g)^(k-1) and Var z = 1/(1-g/2), within 4.5 errors; at another gain they do not fit."""
    d, scores = loop(gain, 1250)
    lags = np.arange(1, 7)
    found = autocorrelation(d, len(lags))

    def errors_from(g):
        return np.abs(found + g / 2 * (1 - g) ** (lags - 1.0)).max() * np.sqrt(len(d))

    assert errors_from(gain) < 4.5
    assert errors_from(other) > 4.5
    # Var of a sample variance: 2/n sum rho_k^2, with sum rho_k^2 = 1 + g/(2 (2-g)) over both signs of k
    error = np.sqrt(2 / len(scores) * (1 + gain / (2 * (2 - gain))))
    assert scores.var() * (1 - gain / 2) == pytest.approx(1, abs=4.5 * error + 0.03)


@pytest.mark.slow
def test_integral_action_sums_blocks_of_d_to_nothing():
    """The running sum of d stays bounded: blocks have far less variance than independent values would give."""
    d, _ = loop(0.5, 1250)

    def block_ratio(x, size=40):
        blocks = x[: len(x) // size * size].reshape(-1, size).sum(1)
        return blocks.var() / (size * x.var())

    assert block_ratio(d) < 0.25
    assert block_ratio(np.random.default_rng(1).permutation(d)) > 0.5


# --- the trap: short runs reach d = 0 at a wrong precision --------------------------------------------------------


def short_run_variance(precision, steps, epsilon):
    """Variance after the steps, from unit variance: v' = a² v + ε²."""
    variance, contraction = 1.0, (1 - epsilon**2 * precision / 2) ** 2
    for _ in range(steps):
        variance = contraction * variance + epsilon**2
    return variance


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variance", "steps", "expected", "rate"),
    [(0.5, 100, 2.2693, 0.004), (0.25, 20, 9.106, 0.05), (4.0, 100, -0.88, 2e-4)],
)
def test_short_runs_learn_a_wrong_precision_which_d_does_not_see_and_the_virial_does(variance, steps, expected, rate):
    epsilon, true = 0.1, 1 / variance
    solved = brentq(lambda value: short_run_variance(value, steps, epsilon) - variance, -3.0, 15.0)
    assert solved == pytest.approx(expected, rel=1e-3)
    rows, learned = learn(
        true, 150, epsilon=epsilon, steps=steps, rate=rate, coordinates=60, first=expected * 1.05, batch=400
    )
    late = rows[50:]
    assert learned.mean() == pytest.approx(solved, rel=0.05)
    assert abs(learned.mean() - true) > 5 * learned.std() / np.sqrt(len(learned))
    scores = column(late, "z_t")
    assert abs(scores.mean()) < 5 / np.sqrt(len(scores))
    virials = column(late, "virial")
    assert abs(virials.mean() - 1) > 10 * virials.std() / np.sqrt(len(virials))


def test_long_runs_learn_the_right_precision_and_the_virial_agrees():
    """The control: with chains that mix, the same loop finds the precision (up to the step's bias) and virial 1."""
    rows, learned = learn(1.0, 300, epsilon=EPSILON, steps=STEPS * 3, rate=rate_for(0.3), first=LEARNED)
    virials = column(rows, "virial")
    assert abs(virials.mean() - 1) < 4 * virials.std() / np.sqrt(len(virials)) + 1e-3
    assert learned.mean() == pytest.approx(LEARNED, rel=0.05)


def test_analytic_energies():
    x = torch.tensor([[1.0, -2.0], [0.5, 0.0]])
    assert LaplaceEnergy([1.0, 3.0])(x).tolist() == [7.0, 0.5]
    mixture = MixtureEnergy([[0.0, 0.0], [1.0, 1.0]], sigma=0.5)
    expected = [-np.log(np.mean([np.exp(-2 * ((p - m) ** 2).sum()) for m in ([0, 0], [1, 1])])) for p in x.numpy()]
    assert mixture(x).tolist() == pytest.approx(expected, rel=1e-5)


# --- the fold: a step too large for the data ----------------------------------------------------------------------


def test_a_step_longer_than_the_data_are_wide_cannot_be_learned():
    """λ (1 - ε²λ/4) = λ_data has no solution beyond λ_data = 1/ε²: the temperature passes 2, and learning runs away."""
    limit = 1 / EPSILON**2
    rows, learned = learn(0.9 * limit, 400, epsilon=EPSILON, steps=20, rate=1.0, first=2.0, batch=200)
    expected = (1 - np.sqrt(1 - 0.9)) * 2 / EPSILON**2
    assert learned.mean() == pytest.approx(expected, rel=0.05)
    heat = np.mean([row["configurational_temperature"] for row in rows[-100:]])
    assert heat == pytest.approx(1 / (1 - EPSILON**2 * expected / 4), rel=0.05)
    assert heat < 2
    with pytest.raises(DivergenceError):
        learn(1.2 * limit, 4000, epsilon=EPSILON, steps=20, rate=1.0, first=2.0, batch=200)
