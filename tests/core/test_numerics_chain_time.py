"""Autocorrelation time of many chains against AR(1), emcee, the definition, and chains that disagree."""

import numpy as np
import pytest
from series import autoregression

from ebmdiag.numerics.chain_time import chain_time, pooled_autocorrelation, sokal_window


def sums_of_products(draws, max_lag):
    """The definition, without a Fourier transform."""
    x = draws - draws.mean()
    last = x.shape[1]
    return np.array([(x[:, lag:] * x[:, : last - lag]).sum() for lag in range(max_lag + 1)]) / (x * x).sum()


@pytest.mark.parametrize("draws", [4, 5, 37, 64])
def test_equals_the_definition_to_the_last_lag(draws):
    x = np.random.default_rng(draws).normal(2.0, 1.0, (3, draws)) + np.arange(3)[:, None]
    rho = pooled_autocorrelation(x)
    np.testing.assert_allclose(rho, sums_of_products(x, draws // 2), atol=1e-13)
    with pytest.raises(AssertionError):  # each chain about its own mean: something else
        np.testing.assert_allclose(rho, sums_of_products(x - x.mean(1, keepdims=True), draws // 2), atol=1e-3)


@pytest.mark.parametrize("coefficient", [0.95, 0.9, 0.5, 0.0, -0.5, -0.9])
def test_autoregression(coefficient):
    """tau = (1 + f) / (1 - f): the mean over 40 sets of 8 chains, and the spread that the errors announce."""
    sets = autoregression(np.random.default_rng(5), coefficient, (40, 8, 20_000))
    found = [chain_time(draws) for draws in sets]
    truth = (1 + coefficient) / (1 - coefficient)
    values = np.array([one.value for one in found])
    error = values.std(ddof=1) / np.sqrt(len(values))
    cut = 2 * abs(coefficient) ** found[0].window / (1 - coefficient)  # what lies beyond the window
    assert abs(values.mean() - truth) < 4 * error + cut + 2e-3 * truth
    assert abs(values.mean() - (1.1 if coefficient > 0 else 1.5) * truth) > 4 * error + cut + 2e-3 * truth
    announced = np.mean([one.error for one in found])
    assert 0.6 < values.std(ddof=1) / announced < 1.5
    assert {one.reason for one in found} == {""}
    assert found[0].needed_draws == np.ceil(50 * found[0].value)


def test_sokals_rule_alone_cuts_an_alternating_series():
    """Why the window has two conditions: at f = -0.5 the sum to the first W >= 5 tau(W) is 0, not 1/3."""
    rho = (-0.5) ** np.arange(60.0)
    sums = 1 + 2 * np.cumsum(rho[1:])
    first = np.flatnonzero(np.arange(1, 60) >= 5 * sums)[0]
    assert sums[first] == pytest.approx(0.0)
    window, closed = sokal_window(rho)
    assert closed
    assert sums[window - 1] == pytest.approx(1 / 3, rel=0.01)


@pytest.mark.parametrize(("coefficient", "chains"), [(0.9, 1), (0.9, 8), (0.5, 32), (0.97, 16)])
def test_equals_emcee_where_chains_agree(coefficient, chains):
    autocorr = pytest.importorskip("emcee").autocorr
    draws = autoregression(np.random.default_rng(chains), coefficient, (chains, 20_000))
    theirs = autocorr.integrated_time(draws.T, c=5, tol=50, has_walkers=True)[0]
    ours = chain_time(draws)
    assert ours.reason == ""
    assert ours.value == pytest.approx(theirs, abs=ours.error if chains > 1 else 1e-9)  # one chain: the same sums


def test_the_pooled_mean_takes_out_the_bias_of_short_chains():
    """About its own mean a chain's rho_k is too small by tau / D at each of the 2 W + 1 lags: here by a fifth."""
    autocorr = pytest.importorskip("emcee").autocorr
    sets = autoregression(np.random.default_rng(6), 0.9, (60, 32, 1000))
    ours = np.array([chain_time(draws).value for draws in sets])
    theirs = np.array([autocorr.integrated_time(draws.T, tol=0)[0] for draws in sets])
    assert ours.mean() == pytest.approx(19.0, rel=0.04)
    assert theirs.mean() == pytest.approx(19.0 - 191 * 19 / 1000, rel=0.06)


def test_chains_that_disagree_are_seen_and_emcee_does_not_see_them():
    """Two modes, half the chains in each, no crossing: half of all the variance lies between chains."""
    autocorr = pytest.importorskip("emcee").autocorr
    x = autoregression(np.random.default_rng(7), 0.5, (8, 10_000))
    x += np.repeat([-1.0, 1.0], 4)[:, None] * x.std()
    found = chain_time(x)
    assert found.value > 1000
    assert "draws are needed" in found.reason
    assert autocorr.integrated_time(x.T, has_walkers=True)[0] == pytest.approx(3.0, rel=0.1)


def test_a_small_disagreement_lengthens_the_time():
    """The documented limit: a share s = 0.04/1.04 does not keep the window open, but W = 5 tau lags of it count."""
    x = autoregression(np.random.default_rng(8), 0.5, (16, 10_000))
    apart = x + 0.2 * x.std() * np.resize([-1.0, 1.0], 16)[:, None]
    share = 0.04 / 1.04
    factor = (1 - share) / (1 - 10 * share)
    assert chain_time(apart).value == pytest.approx(factor * chain_time(x).value, rel=0.1)
    assert chain_time(apart).reason == ""


def test_many_chains_make_the_time_more_certain():
    rng = np.random.default_rng(9)
    few = [chain_time(autoregression(rng, 0.9, (1, 2000))).value for _ in range(60)]
    many = [chain_time(autoregression(rng, 0.9, (25, 2000))).value for _ in range(60)]
    assert 3 < np.std(few) / np.std(many) < 8
    assert np.mean(many) == pytest.approx(19.0, rel=0.03)


@pytest.mark.parametrize(("draws", "trusted"), [(1200, True), (700, False)])
def test_refuses_below_fifty_times_and_hands_the_number_over(draws, trusted):
    found = chain_time(autoregression(np.random.default_rng(10), 0.9, (40, draws)))
    assert found.value == pytest.approx(19.0, rel=0.15)
    assert (found.reason == "") is trusted
    if not trusted:
        assert found.reason.startswith("700 draws per chain are 3")
        assert f"about {found.needed_draws} draws are needed" in found.reason


def test_a_drift_never_ends():
    """A random walk: no window, or a time of the order of its length."""
    found = chain_time(np.cumsum(np.random.default_rng(11).normal(size=(4, 2000)), axis=1))
    assert found.value > 200
    assert found.reason


BAD = [
    (np.zeros((4, 3)), "3 draws per chain are too few"),
    (np.zeros((4, 0)), "0 draws per chain are too few"),
    (np.ones((4, 50)), "all draws are constant"),
    (1e9 + 1e-9 * np.arange(200.0).reshape(4, 50), "constant up to the rounding"),
    (np.where(np.eye(4, 50) > 0, np.nan, 1.0), "4 of 4 chains hold a value that is not finite"),
    (np.where(np.eye(4, 50, -3) > 0, np.inf, np.arange(50)), "1 of 4 chains hold a value that is not finite"),
]


@pytest.mark.parametrize(("draws", "reason"), BAD)
def test_what_has_no_time(draws, reason):
    found = chain_time(draws)
    assert np.isnan(found.value)
    assert np.isnan(found.error)
    assert found.needed_draws is None
    assert reason in found.reason


def test_chains_that_never_move():
    x = np.random.default_rng(12).normal(size=(8, 500))
    x[:2] = 0.1
    found = chain_time(x)
    assert found.reason == "2 of 8 chains never move"
    assert np.isfinite(found.value)


def test_alternating_draws_have_no_time_above_0():
    x = np.resize([1.0, -1.0], (3, 400)) + 1e-3 * np.random.default_rng(13).normal(size=(3, 400))
    found = chain_time(x)
    assert found.reason


@pytest.mark.parametrize("shape", [(50,), (0, 50), (2, 3, 4)])
def test_refuses_other_shapes(shape):
    with pytest.raises(ValueError, match=r"shape \(chains, draws\)"):
        chain_time(np.zeros(shape))


@pytest.mark.parametrize("scale", [1e200, 1e-200])
def test_size_and_offset_do_not_matter(scale):
    x = autoregression(np.random.default_rng(14), 0.5, (4, 1000))
    assert chain_time(x * scale).value == pytest.approx(chain_time(x).value, rel=1e-10)
    assert chain_time(x + 1e6).value == pytest.approx(chain_time(x).value, rel=1e-6)


def test_a_memory_after_a_gap():
    walked = autoregression(np.random.default_rng(12), 0.6, (4, 12, 200)).transpose(0, 2, 1).reshape(4, -1)
    assert "remember again at lag 12" in chain_time(walked).reason


def test_chains_that_only_forget_do_not_remember_again():
    rng = np.random.default_rng(13)
    kinds = [(0.0, 8, 400), (0.5, 4, 2000), (0.9, 4, 2000)]
    reasons = [chain_time(autoregression(rng, f, (m, d))).reason for f, m, d in kinds for _ in range(60)]
    assert sum("again" in reason for reason in reasons) <= 2
