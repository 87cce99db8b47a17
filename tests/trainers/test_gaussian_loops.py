"""Learning a Gaussian with memory: persistent chains, momentum and Adam, each against the exact loop that it must be.

The gains are not fitted: tests/gaussian_runs.py derives them from the chain's own law. A misfit is the largest distance
of the measured autocorrelation of d from the loop's over lags 1 to 8, in Bartlett's standard errors for that loop.
"""

from functools import cache

import numpy as np
import pytest
from gaussian_runs import (
    acf_covariance,
    acf_errors,
    adam,
    autocorrelation,
    chain_memory,
    misfit,
    noise_start,
    persistent_start,
    sgd_momentum,
    without_beta1,
)
from series import learning_loop, memory_trace

from ebmdiag.numerics.loop import first_order, momentum, persistent, predict
from ebmdiag.numerics.loop_fit import fit_loop, periodogram
from ebmdiag_analyses.loop_gain import Options, analyse

MEMORYLESS = [first_order(gain) for gain in np.arange(0.02, 2, 0.02)]
MEMORY = chain_memory(3)

PLANTED = {
    "persistent": persistent_start(1.0),
    "slow": persistent_start(0.05),
    "momentum": sgd_momentum(0.4, 0.8),
    "adam": adam(2.0, 0.9),
    "plain": noise_start(1.0, batch=1000),
}
PLANTED["adam without beta1"] = without_beta1(PLANTED["adam"])
ROWS = {"persistent": 3500, "slow": 3000}
SETTLING = {"adam": 600, "adam without beta1": 600}  # until then Adam's second moment is an average of few


@cache
def recorded(name):
    """Columns of one of these runs; several tests look at the same."""
    seed = 1 + list(PLANTED).index(name)
    return PLANTED[name].columns(ROWS.get(name, 2200), seed=seed, settling=SETTLING.get(name, 200))


def difference(name):
    return recorded(name)["d_s_t"]


def test_standard_errors_are_those_of_simulated_loops():
    """Bartlett's formula against 400 records: each lag, and the sum over lags."""
    rng, rows = np.random.default_rng(171), 1500
    found = np.array([autocorrelation(learning_loop(rng, 0.7, rows)[0], 20) for _ in range(400)])
    loop = first_order(0.7)
    assert found.std(0) / acf_errors(loop, rows, 20) == pytest.approx(np.ones(20), abs=4.5 / np.sqrt(800))
    spread = np.sqrt(acf_covariance(loop, rows, 20).sum())
    assert found.sum(1).std() / spread == pytest.approx(1, abs=4.5 / np.sqrt(800))
    assert np.abs(found.std(0) * np.sqrt(rows) - 1).max() > 0.2  # negative control: 1/√n


# --- persistent chains --------------------------------------------------------------------------------------------


def test_the_memory_is_that_of_the_theory():
    assert pytest.approx(0.422, abs=5e-4) == MEMORY


@pytest.mark.slow
@pytest.mark.parametrize("name", ["persistent", "slow"])
def test_persistent_chains_close_a_loop_of_second_order(name):
    """Within 4.5 errors at (g, a) = (1, 0.422) and (0.05, 0.422); with another memory, or none, it does not fit."""
    d, loop = difference(name), PLANTED[name].loop
    assert misfit(d, loop) < 4.5
    for memory in (MEMORY / 2, MEMORY * 1.5):
        assert misfit(d, persistent(loop.gain, memory, chain_share=0.5)) > 4.5
    assert misfit(d, first_order(loop.gain)) > 10
    assert min(misfit(d, other) for other in MEMORYLESS) > 4.5


@pytest.mark.slow
def test_half_of_the_noise_is_the_chains():
    """The chains' share of the noise is known too: neither none of it nor all of it fits."""
    for share in (0.0, 1.0):
        assert misfit(difference("persistent"), persistent(1.0, MEMORY, chain_share=share)) > 4.5


# --- momentum -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_momentum_of_sgd_rings():
    """beta = 0.8 at SGD's gain 0.4 is Adam's style at gain 2. No memoryless loop fits, nor another beta or style."""
    d = difference("momentum")
    assert misfit(d, PLANTED["momentum"].loop) < 4.5
    assert misfit(d, first_order(0.4)) > 10
    assert min(misfit(d, loop) for loop in MEMORYLESS) > 10
    assert misfit(d, momentum(0.4, 0.7, style="sgd")) > 4.5
    assert misfit(d, momentum(0.4, 0.8, style="adam")) > 4.5


@pytest.mark.slow
def test_adam_is_momentum_at_a_gain_that_its_own_scale_sets():
    """The gain follows from the rate and the spread of the gradient (see ``adam``): no number is fitted.

    Approximate: the second moment is a mean of about 1,000 rows, which itself fluctuates. In 150 runs of the moments'
    exact law the autocorrelations strayed by up to 1.15 of Bartlett's errors at a batch of 8,000, and by 1.33 at 2,000,
    hence 6 errors here. The sign pattern and the period of the ring must agree as well. The period comes from a fit
    with a floor, which is small, but without which the fit to a spectrum that should vanish at 0 is wrong.
    """
    d, loop, lags = difference("adam"), PLANTED["adam"].loop, 20
    assert misfit(d, loop) < 6
    predicted, found = predict(loop, lags).difference[1:], autocorrelation(d, lags)
    clear = np.abs(predicted) > 4.5 * acf_errors(loop, len(d), lags)
    assert clear.sum() >= 6
    assert np.array_equal(np.sign(found[clear]), np.sign(predicted[clear]))
    fitted = fit_loop(periodogram(d), "momentum", floor=True).loop
    assert fitted.period == pytest.approx(loop.period, rel=0.065)  # its spread in 12 such runs: 1.5%
    assert fitted.floor < 0.03
    assert min(misfit(d, other) for other in MEMORYLESS) > 10


@pytest.mark.slow
def test_adam_without_beta1_does_not_ring():
    """Negative control at the same rate: a loop without memory, which alternates; the same scale sets its gain."""
    d, loop = difference("adam without beta1"), PLANTED["adam without beta1"].loop
    assert loop.gain == pytest.approx(1.4726, abs=1e-3)
    assert misfit(d, loop) < 6
    assert misfit(d, PLANTED["adam"].loop) > 10
    assert misfit(difference("adam"), loop) > 10


# --- integral action ----------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["persistent", "momentum"])
def test_the_first_lags_sum_to_minus_a_half(name):
    """Over 40 lags, far beyond the loop's memory and far below the record. (Over all lags it is mere arithmetic.)"""
    d, loop, lags = difference(name), PLANTED[name].loop, 40
    assert loop.modulus**lags < 0.02
    error = np.sqrt(acf_covariance(loop, len(d), lags).sum())
    assert autocorrelation(d, lags).sum() == pytest.approx(-0.5, abs=4.5 * error)
    # negative control: the same values in disorder
    disordered = np.random.default_rng(172).permutation(d)
    assert abs(autocorrelation(disordered, lags).sum() + 0.5) > 4.5 * error


@pytest.mark.slow
def test_a_slow_loop_is_not_at_its_end_after_forty_lags():
    """g = 0.05: the sum that the exact loop says of 40 lags, which is above -1/2."""
    d, loop = difference("slow"), PLANTED["slow"].loop
    predicted = predict(loop, 40).difference[1:].sum()
    assert predicted > -0.45
    error = np.sqrt(acf_covariance(loop, len(d), 40).sum())
    assert autocorrelation(d, 40).sum() == pytest.approx(predicted, abs=4.5 * error)


@pytest.mark.slow
def test_what_is_integrated_is_d_less_half_the_rate_times_its_squared_gradient():
    """Plain SGD, a small batch: the mean of d is γ E‖∇d‖²/2, and without that term no floor is left (Euler's identity).

    Its fluctuation is white, so d itself needs a floor; fitted without one, the gain is far too low.
    """
    run, gain = recorded("plain"), PLANTED["plain"].loop.gain
    rest = run["learning_rate"] * run["parameter_gradient_norm"] ** 2 / 2
    integrated = run["d_s_t"] - rest
    assert abs(integrated.mean()) < 0.1 * rest.mean()
    assert run["d_s_t"].mean() == pytest.approx(rest.mean(), rel=0.1)
    with_floor = fit_loop(periodogram(run["d_s_t"]), "first", floor=True).loop
    assert 0.004 < with_floor.floor < 0.03
    assert with_floor.gain == pytest.approx(gain, rel=0.1)
    assert fit_loop(periodogram(run["d_s_t"]), "first").loop.gain < 0.85 * gain
    without = fit_loop(periodogram(integrated), "first", floor=True).loop
    assert without.floor < 0.001
    assert without.gain == pytest.approx(gain, rel=0.1)


# --- the analysis -------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["persistent", "momentum"])
def test_loop_gain_finds_the_planted_loop(name):
    """Gain and memory within the intervals of 99.9% that the analysis states, and the right family."""
    loop = PLANTED[name].loop
    result = analyse(memory_trace(recorded(name)), Options(level=0.999, resamples=200))
    assert result.settings["preferred"] == name
    for parameter in ("gain", "memory"):
        estimate, truth = result.estimates[f"fit:{parameter}"], getattr(loop, parameter)
        assert estimate.reliable, estimate.reason
        assert estimate.low < truth < estimate.high, parameter
        assert estimate.high - estimate.low < truth
    # negative control: the formula of a memoryless loop does not find the gain of one that remembers
    memoryless = result.estimates["gain:difference"]
    assert not memoryless.low < loop.gain < memoryless.high
