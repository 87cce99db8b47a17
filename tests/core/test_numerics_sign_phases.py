"""Phases of one sign against their definition, exact laws, statsmodels and the closed form of Gaussian crossings."""

import itertools
import math

import numpy as np
import pytest
from helpers import assert_within_errors
from scipy.stats import norm
from series import autoregression, learning_loop
from statsmodels.sandbox.stats.runs import runstest_1samp

from ebmdiag.numerics.noise import step_noise
from ebmdiag.numerics.sign_phases import gaussian_changes, runs_law, runs_test, sign_phases


def slow_states(x, band):
    """Row by row, as the words say."""
    states, state = [], 0
    for value in x:
        state = 1 if value > band else -1 if value < -band else state
        states.append(state)
    return states


@pytest.mark.parametrize("band", [0.0, 0.5, 1.0])
def test_equals_the_slow_definition(band):
    x = np.random.default_rng(301).standard_normal(500)
    x[:3] = 0.0
    found, states = sign_phases(x, band), slow_states(x, band)
    assert list(found.states()) == states[found.first[0] :]
    assert set(states[: found.first[0]]) <= {0}
    lengths = [len(list(group)) for _, group in itertools.groupby(s for s in states if s)]
    assert list(found.all_durations) == lengths
    assert list(found.durations) == lengths[1:-1]
    assert found.changes == len(lengths) - 1


def test_values_on_the_band_do_not_change_the_state():
    found = sign_phases([1.0, 0.0, -1.0, 2.0, -2.0, 1.0, 0.0], 1.0)
    assert (list(found.first), list(found.sign)) == ([3, 4], [1, -1])


def test_nothing_outside():
    found = sign_phases(np.zeros(9), 0.0)
    assert (len(found), found.changes, found.opportunities, found.independent_rate) == (0, 0, 0, 0.0)
    assert math.isnan(found.mean_duration)
    assert math.isnan(runs_test(found).p_value)


@pytest.mark.parametrize("bad", [-1.0, math.nan])
def test_band_is_checked(bad):
    with pytest.raises(ValueError, match="band must be at least 0"):
        sign_phases([1.0, -1.0], bad)


@pytest.mark.parametrize("band", [0.0, 1.0])
def test_independent_rows_have_geometric_durations(band):
    """Mean 1/p and variance (1 - p)/p² with p = Φ(-band)."""
    rng, leave = np.random.default_rng(302), norm.cdf(-band)
    found = [sign_phases(rng.standard_normal(4000), band) for _ in range(40)]
    assert_within_errors([item.mean_duration for item in found], 1 / leave)
    assert np.mean([1 / item.independent_rate for item in found]) == pytest.approx(1 / leave, rel=0.01)
    assert_within_errors([item.durations.var() for item in found], (1 - leave) / leave**2)


def test_runs_law_by_counting():
    for n, m in ((3, 4), (2, 2), (1, 5), (4, 4)):
        runs = [
            1 + sum(a != b for a, b in itertools.pairwise(order))
            for order in set(itertools.permutations([1] * n + [0] * m))
        ]
        law = np.bincount(runs, minlength=n + m + 1) / len(runs)
        assert runs_law(n, m) == pytest.approx(law, abs=1e-12)


def test_runs_law_has_the_moments_of_wald_and_wolfowitz():
    law, runs = runs_law(300, 410), np.arange(711)
    mean = 1 + 2 * 300 * 410 / 710
    assert law.sum() == pytest.approx(1, abs=1e-9)
    assert law @ runs == pytest.approx(mean, rel=1e-9)
    variance = (mean - 1) * (mean - 2) / 709
    assert law @ (runs - mean) ** 2 == pytest.approx(variance, rel=1e-7)


def test_runs_test_equals_statsmodels():
    x = np.random.default_rng(303).standard_normal(5000) + 0.3
    z, p = runstest_1samp(x, cutoff=0, correction=False)
    found = runs_test(sign_phases(x, 0.0))
    assert (found.runs - found.expected) / found.deviation == pytest.approx(z, rel=1e-12)
    assert found.p_value == pytest.approx(p, rel=1e-10)


def test_exact_law_meets_the_normal_one():
    x = np.random.default_rng(304).standard_normal(1900)
    found = runs_test(sign_phases(x, 0.0))
    normal = math.erfc(abs(found.runs - found.expected) / found.deviation / math.sqrt(2))
    assert found.p_value == pytest.approx(normal, abs=0.02)


@pytest.mark.parametrize("band", [0.0, 1.0])
def test_size_of_the_runs_test(band):
    """At most 5% for independent rows of any law; all alternating ones are found (negative control)."""
    rng = np.random.default_rng(305)
    hits = sum(runs_test(sign_phases(rng.exponential(size=300) - 1, band / 2)).p_value < 0.05 for _ in range(600))
    assert 600 * 0.03 < hits < 600 * 0.05 + 3 * math.sqrt(600 * 0.05 * 0.95)
    assert all(runs_test(sign_phases(autoregression(rng, -0.7, (300,)), band)).p_value < 0.05 for _ in range(50))


@pytest.mark.parametrize("gain", [0.3, 1.0, 1.5])
def test_sign_changes_of_a_loop(gain):
    """½ + arcsin(g/2)/π, theory of the learning loop, = arccos(rho_1)/π with rho_1 = -g/2."""
    truth = 0.5 + math.asin(gain / 2) / math.pi
    assert gaussian_changes(0.0, 1.3, -gain / 2) == pytest.approx(truth, rel=1e-12)
    rng = np.random.default_rng(306)
    seen = [sign_phases(learning_loop(rng, gain, 2000)[0], 0.0) for _ in range(50)]
    assert_within_errors([item.changes / item.opportunities for item in seen], truth)


@pytest.mark.parametrize(("mean", "coefficient"), [(0.8, 0.6), (-1.5, -0.4)])
def test_sign_changes_away_from_zero(mean, coefficient):
    deviation = 1 / math.sqrt(1 - coefficient**2)
    truth = gaussian_changes(mean, deviation, coefficient)
    rng = np.random.default_rng(307)
    found = [sign_phases(mean + x, 0.0) for x in autoregression(rng, coefficient, (60, 3000))]
    rates = [item.changes / 2999 for item in found]
    assert_within_errors(rates, truth)
    with pytest.raises(AssertionError):
        assert_within_errors(rates, math.acos(coefficient) / math.pi)


def test_ends_of_the_correlation():
    assert gaussian_changes(0.7, 1.0, 1.0) == 0
    assert gaussian_changes(0.7, 1.0, -1.0) == pytest.approx(2 * norm.cdf(-0.7), rel=1e-12)
    assert gaussian_changes(0.7, 1.0, -1.0) == pytest.approx(gaussian_changes(0.7, 1.0, -1 + 1e-9), rel=1e-3)
    with pytest.raises(ValueError, match="no such Gaussian series"):
        gaussian_changes(0.0, 0.0, 0.5)


def test_step_noise():
    """Independent of slow changes and outliers; √(1 - r) times the deviation of an autoregression."""
    rng = np.random.default_rng(308)
    noise = 3 * rng.standard_normal((40, 2000))
    assert_within_errors([step_noise(x) for x in noise], 3, errors=5)
    slow = 100 * np.sin(np.arange(2000) / 2000)
    assert step_noise(noise[0] + slow) == pytest.approx(step_noise(noise[0]), rel=0.02)
    spoiled = noise[0].copy()
    spoiled[::100] = 1e9
    assert step_noise(spoiled) == pytest.approx(step_noise(noise[0]), rel=0.05)
    memory = autoregression(rng, 0.8, (40, 2000))
    assert_within_errors([step_noise(x) for x in memory], math.sqrt(0.2 / 0.36), errors=5)
    assert step_noise([1.0] * 9 + [2.0]) == 0
    assert math.isnan(step_noise([1.0]))
    assert step_noise(1e-200 * noise[0]) == pytest.approx(1e-200 * step_noise(noise[0]), rel=1e-12)
