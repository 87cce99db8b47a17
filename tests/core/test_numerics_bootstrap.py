"""The block bootstrap: its block length, the errors it gives, and where an error without memory fails."""

import numpy as np
import pytest
from scipy.signal import lfilter
from series import autoregression

from ebmdiag.numerics import bands
from ebmdiag.numerics.bootstrap import block_length, bootstrap, correlation_errors, mean_error
from ebmdiag.numerics.correlation import autocorrelation, crosscorrelation

REPEATS = 400
BINOMIAL = np.sqrt(0.95 * 0.05 / REPEATS)
ALLOWANCE = 0.025  # short records, estimated memory: measured 0.92 to 0.96 (docs/correlation.md)


@pytest.mark.parametrize("coefficient", [0.5, 0.9, -0.5])
@pytest.mark.parametrize("kind", ["moving", "stationary"])
def test_block_length_is_near_its_closed_form(coefficient, kind):
    """AR(1): G = 2 f / (1 - f)² c_0 with signs, g = (1 + f) / (1 - f) c_0; the median of 40 records within 15%."""
    rng = np.random.default_rng(21)
    lengths = [block_length(x, kind) for x in autoregression(rng, coefficient, (40, 20_000))]
    ratio = 2 * coefficient / (1 - coefficient**2)
    truth = np.cbrt(2 * ratio**2 * 20_000 / {"moving": 4 / 3, "stationary": 2}[kind])
    assert np.median(lengths) == pytest.approx(truth, rel=0.15)


def test_block_length_of_white_noise_is_short_and_of_a_bounded_sum_its_cap():
    rng = np.random.default_rng(22)
    assert np.median([block_length(x) for x in rng.standard_normal((40, 2000))]) < 6
    bounded = np.diff(rng.standard_normal(2001))
    assert block_length(bounded) <= 3 * np.sqrt(2000)
    assert block_length(np.cumsum(rng.standard_normal(2000))) > 30


@pytest.mark.parametrize("kind", ["moving", "stationary"])
def test_error_of_a_mean(kind):
    """AR(.5): the true error of the mean is √(1 / .25 / n), twice that of independent rows."""
    x = autoregression(np.random.default_rng(23), 0.5, (4000,))
    truth = 2 / np.sqrt(4000)
    found = bootstrap(lambda rows: rows.mean(axis=-1), x, kind=kind, resamples=500, seed=1)
    assert float(found.error) == pytest.approx(truth, rel=0.15)
    torn = bootstrap(lambda rows: rows.mean(axis=-1), x, kind=kind, block=1, resamples=500, seed=1)
    assert float(torn.error) < 0.7 * truth  # without blocks the memory is lost
    assert mean_error(x, 40)[0] == pytest.approx(truth, rel=0.15)


def test_mean_error_is_what_the_drawing_tends_to():
    x = autoregression(np.random.default_rng(24), 0.5, (1000,))
    drawn = bootstrap(lambda rows: rows.mean(axis=-1), x, kind="moving", block=20, resamples=20_000, seed=2)
    assert mean_error(x, 20)[0] == pytest.approx(float(drawn.error), rel=0.03)  # 6 errors of a drawn spread


def test_same_seed_same_numbers_and_pairs_stay_together():
    x = np.random.default_rng(25).standard_normal(300)
    slope = lambda u, w: (u * w).sum(axis=-1) / (u * u).sum(axis=-1)  # noqa: E731
    first, second = (bootstrap(slope, x, 3 * x, resamples=50, seed=7) for _ in range(2))
    assert (first.resampled == second.resampled).all()
    assert first.resampled == pytest.approx(3.0)
    assert bootstrap(slope, x, x**2, seed=8, resamples=50).error > 0


def test_basic_interval_covers_a_standard_deviation():
    rng, inside = np.random.default_rng(26), []
    for x in autoregression(rng, 0.6, (150, 600)):
        low, high = bootstrap(lambda rows: rows.std(axis=-1), x, resamples=200, seed=3).interval(0.9)
        inside.append(low < 1 / 0.8 < high)
    assert abs(np.mean(inside) - 0.9) < 3 * np.sqrt(0.9 * 0.1 / 150) + 0.04


FILTERS = {"AR(.5)": ([1.0], [1.0, -0.5]), "MA(.8)": ([1.0, 0.8], [1.0]), "loop": ([1.0, -1.0], [1.0, -0.7])}


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("lag", [1, 5])
def test_coverage_of_an_autocorrelation(name, lag):
    """Both errors, Bartlett's in full and the bootstrap's, about the true rho_k."""
    top, below = FILTERS[name]
    series = lfilter(top, below, np.random.default_rng(27).standard_normal((REPEATS, 1500)))[:, 500:]
    response = lfilter(top, below, np.eye(1, 400)[0])
    truth = (response[lag:] @ response[: 400 - lag]) / (response @ response)
    found = np.array([autocorrelation(x, lag)[lag] for x in series]) - truth
    full = np.array([bands.correlation_errors(x, lag)[lag] for x in series])
    drawn = np.array([correlation_errors(x, x, [lag]).half_width(0.95)[0] for x in series])
    for half in (1.96 * full, drawn):
        assert abs(np.mean(np.abs(found) < half) - 0.95) < 3 * BINOMIAL + ALLOWANCE


def test_only_the_bootstrap_covers_where_the_spread_has_memory():
    """Uncorrelated noise whose loud rows follow loud rows: Bartlett's formula and 1/√n are too narrow."""
    rng = np.random.default_rng(28)
    loud = np.exp(0.8 * autoregression(rng, 0.9, (REPEATS, 1500)) * np.sqrt(1 - 0.81))
    series = loud * rng.standard_normal(loud.shape)
    rho = np.array([autocorrelation(x, 1)[1] for x in series])
    full = np.array([bands.correlation_errors(x, 1)[1] for x in series])
    drawn = np.array([correlation_errors(x, x, [1]).half_width(0.95)[0] for x in series])
    assert np.mean(np.abs(rho) < 1.96 * full) < 0.85  # measured 0.75
    assert np.mean(np.abs(rho) < drawn) > 0.88  # measured 0.91


def test_coverage_of_a_cross_correlation_that_is_there():
    """x and y share a part: the true value at lag 0 is 1/2, which no band of independence covers."""
    rng = np.random.default_rng(29)
    shared, *own = (autoregression(rng, 0.5, (REPEATS, 800)) for _ in range(3))
    inside, narrow = [], []
    for both, u, w in zip(shared, *own, strict=True):
        x, y = both + u, both + w
        c = crosscorrelation(x, y, 2)[2]
        inside.append(abs(c - 0.5) < correlation_errors(x, y, [0]).half_width(0.95)[0])
        narrow.append(abs(c) < 1.96 * bands.independence_error(x, y).value)
    assert abs(np.mean(inside) - 0.95) < 3 * BINOMIAL + ALLOWANCE
    assert np.mean(narrow) < 0.01


def test_lags_and_signs():
    """At lag k < 0 the series x leads, as everywhere."""
    rng = np.random.default_rng(30)
    y = rng.standard_normal(2000)
    x = np.concatenate((y[3:], rng.standard_normal(3)))  # x[t] = y[t + 3]
    found = correlation_errors(x, y, [-3, 0, 3])
    assert found.value[0] < 0.2 * found.value[1]  # a correlation of 1 has hardly an error
    assert found.value[1] == pytest.approx(1 / np.sqrt(2000), rel=0.2)


def test_what_has_no_error():
    x = np.random.default_rng(31).standard_normal(60)
    assert np.isnan(correlation_errors(x, x, [0, 20, 59, 100]).value).all()
    assert np.isnan(correlation_errors(np.ones(60), x, [1]).value).all()
    assert np.isnan(correlation_errors(x[:8], x[:8], [1]).half_width(0.95)).all()
    with pytest.raises(ValueError, match="constant"):
        block_length(np.ones(50))
    with pytest.raises(ValueError, match="between 1 and 60"):
        bootstrap(np.mean, x, block=61)
    with pytest.raises(ValueError, match="equal length"):
        bootstrap(np.mean, x, x[:-1])
