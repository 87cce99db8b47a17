"""The size of the bands under what they assume, and that the naive band fails."""

import numpy as np
import pytest
from series import autoregression, learning_loop
from statsmodels.tsa.stattools import acf

from ebmdiag.numerics.bands import (
    all_lags,
    bartlett_errors,
    bartlett_in_full,
    correlation_errors,
    independence_error,
    later_memory,
    quantile,
    remembers_again,
    windowed_sum,
)
from ebmdiag.numerics.correlation import autocorrelation, crosscorrelation
from ebmdiag.numerics.mean import mean_with_error

ROWS, REPEATS, LAG = 1000, 800, 3
BINOMIAL = np.sqrt(0.95 * 0.05 / REPEATS)
ALLOWANCE = 0.015  # Bartlett's formula is asymptotic; the sum is estimated from 1,000 rows


def coverage(first, second, error):
    """Share of independent pairs whose cross-correlation at one lag lies within 1.96 errors of 0."""
    rng = np.random.default_rng(11)
    pairs = zip(autoregression(rng, first, (REPEATS, ROWS)), autoregression(rng, second, (REPEATS, ROWS)), strict=True)
    inside = [abs(crosscorrelation(x, y, LAG)[2 * LAG]) < quantile(0.95) * error(x, y) for x, y in pairs]
    return float(np.mean(inside))


PAIRS = [(0.9, 0.5), (0.9, 0.9), (0.0, 0.0), (-0.5, 0.5), (-0.9, 0.9)]


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_band_of_independent_series_has_its_size(first, second):
    found = coverage(first, second, lambda x, y: independence_error(x, y).value)
    assert abs(found - 0.95) < 3 * BINOMIAL + ALLOWANCE


@pytest.mark.parametrize(("first", "second"), [(0.9, 0.9), (-0.9, 0.9)])
def test_naive_band_has_not(first, second):
    found = coverage(first, second, lambda x, y: 1 / np.sqrt(len(x)))
    assert abs(found - 0.95) > 3 * BINOMIAL + ALLOWANCE


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_error_is_near_the_closed_form(first, second):
    """sum_j (f h)^|j| = (1 + f h) / (1 - f h); at 100,000 rows within 5%."""
    rng = np.random.default_rng(12)
    x, y = autoregression(rng, first, (100_000,)), autoregression(rng, second, (100_000,))
    product = first * second
    truth = np.sqrt((1 + product) / (1 - product) / 100_000)
    assert independence_error(x, y).value == pytest.approx(truth, rel=0.05)


def test_window_does_not_close_on_the_first_negative_product():
    lags = np.arange(200)
    found = windowed_sum((-0.81) ** lags)
    assert found.closed
    assert found.window > 20
    assert found.value == pytest.approx(0.19 / 1.81, rel=0.01)


def test_window_that_never_closes_says_so():
    assert not windowed_sum(np.ones(50)).closed
    x = np.cumsum(np.random.default_rng(13).standard_normal(200))
    assert "longer than 200 rows" in independence_error(x, np.linspace(0, 1, 200) ** 2).reason


def test_error_is_never_zero():
    alternating = (-1.0) ** np.arange(400)
    smooth = np.cos(0.001 * np.arange(400))
    assert independence_error(alternating, smooth).value > 0


def test_undefined_for_a_constant():
    found = independence_error(np.ones(100), np.arange(100.0))
    assert np.isnan(found.value)
    assert found.reason


@pytest.mark.parametrize("level", [0.9, 0.95])
def test_bartlett_equals_statsmodels(level):
    x = autoregression(np.random.default_rng(14), 0.7, (500,))
    rho = autocorrelation(x, 20)
    interval = acf(x, nlags=20, alpha=1 - level, fft=True, result_object=True).confint
    half = quantile(level) * bartlett_errors(rho, len(x))
    assert half[1:] == pytest.approx((interval[1:, 1] - interval[1:, 0]) / 2, rel=1e-9)
    assert np.isnan(half[0])


def test_bartlett_covers_a_moving_average_beyond_its_order():
    """MA(1): at lag 2 the band has its size, and 1/√n is too narrow."""
    rng = np.random.default_rng(15)
    noise = rng.standard_normal((2000, 401))
    series = noise[:, 1:] + noise[:, :-1]
    rho = np.array([autocorrelation(x, 2) for x in series])
    error = np.array([bartlett_errors(each, 400)[2] for each in rho])
    covered = np.mean(np.abs(rho[:, 2]) < 1.96 * error)
    naive = np.mean(np.abs(rho[:, 2]) < 1.96 / np.sqrt(400))
    tolerance = 3 * np.sqrt(0.95 * 0.05 / 2000) + 0.01  # the centred estimate is biased by about -2/n
    assert abs(covered - 0.95) < tolerance
    assert abs(naive - 0.95) > tolerance


@pytest.mark.parametrize("coefficient", [0.0, 0.9, -0.9, 0.995])
def test_a_memory_is_judged_from_few_lags_as_from_all(monkeypatch, coefficient):
    """The lags grow until the memory lies within them; its error and time are those of all lags."""
    x = autoregression(np.random.default_rng(1), coefficient, (20_000,))
    few, all_of_them = all_lags(x), mean_with_error(x)
    monkeypatch.setattr("ebmdiag.numerics.bands._FIRST_LAGS", 16)
    fewer = all_lags(x)
    assert len(fewer) < len(few) <= 10_001 or abs(coefficient) > 0.99
    again = mean_with_error(x)
    assert again.bandwidth == all_of_them.bandwidth
    assert again.autocorrelation_time == pytest.approx(all_of_them.autocorrelation_time, rel=1e-9)
    y = autoregression(np.random.default_rng(2), 0.99, (20_000,))
    mixed = independence_error(x, y).value
    monkeypatch.setattr("ebmdiag.numerics.bands._FIRST_LAGS", 10**6)
    assert len(all_lags(x)) == 10_001
    assert mixed == pytest.approx(independence_error(x, y).value, rel=1e-9)


@pytest.mark.parametrize("f", [0.0, 0.5, 0.9, -0.7])
def test_bartlett_in_full_of_an_autoregression(f):
    """Brockwell and Davis, Example 7.2.3: n Var rho_k = (1 - f^2k)(1 + f²) / (1 - f²) - 2 k f^2k."""
    rho, k = f ** np.arange(400.0), np.arange(1, 31)
    truth = (1 - f ** (2 * k)) * (1 + f**2) / (1 - f**2) - 2 * k * f ** (2 * k)
    assert bartlett_in_full(rho, 100, 30)[1:] == pytest.approx(np.sqrt(truth / 100), rel=1e-9)
    if f == 0.9:  # the formula about 0 is another one
        assert abs(bartlett_errors(rho, 100)[30] / np.sqrt(truth[-1] / 100) - 1) < 0.01
        assert bartlett_errors(rho, 100)[1] > 2 * np.sqrt(truth[0] / 100)


@pytest.mark.parametrize("theta", [0.8, -1.0])
def test_bartlett_in_full_of_a_moving_average(theta):
    """Example 7.2.2: n Var rho_1 = 1 - 3 rho² + 4 rho⁴, n Var rho_k = 1 + 2 rho² beyond."""
    rho = theta / (1 + theta**2)
    found = bartlett_in_full(np.array([1.0, rho]), 400, 6) ** 2 * 400
    assert np.isnan(found[0])
    assert found[1] == pytest.approx(1 - 3 * rho**2 + 4 * rho**4, rel=1e-12)
    assert found[2:] == pytest.approx(1 + 2 * rho**2, rel=1e-12)


def test_bartlett_in_full_is_the_spread_of_simulated_correlations():
    """The ARMA(1,1) of the loop at gain 0.5; the spread of 800 records is known to 2.5%."""
    series = [learning_loop(np.random.default_rng(seed), 0.5, 800)[0] for seed in range(800)]
    spread = np.std([autocorrelation(x, 8) for x in series], axis=0)
    rho = np.concatenate(([1.0], -0.25 * 0.5 ** np.arange(200.0)))
    assert bartlett_in_full(rho, 800, 8)[1:] == pytest.approx(spread[1:], rel=0.1)


def test_estimated_errors():
    x = autoregression(np.random.default_rng(16), 0.6, (50_000,))
    truth = bartlett_in_full(0.6 ** np.arange(300.0), 50_000, 5)
    assert correlation_errors(x, 5)[1:] == pytest.approx(truth[1:], rel=0.05)
    assert np.isnan(correlation_errors(np.ones(50), 5)).all()
    with pytest.raises(ValueError, match="at least 0"):
        correlation_errors(x, -1)


NO_GAP = {
    "white": lambda rng, rows: rng.standard_normal(rows),
    "AR(.9)": lambda rng, rows: autoregression(rng, 0.9, (rows,)),
    "AR(.99)": lambda rng, rows: autoregression(rng, 0.99, (rows,)),
    "MA(5)": lambda rng, rows: np.convolve(rng.standard_normal(rows + 5), np.ones(6), mode="valid"),
    "loop": lambda rng, rows: learning_loop(rng, 0.3, rows)[0],
    "its state": lambda rng, rows: learning_loop(rng, 0.05, rows)[1],
}


@pytest.mark.parametrize("kind", NO_GAP)
def test_a_memory_without_a_gap_does_not_come_again(kind):
    """At most 1%."""
    rng = np.random.default_rng(31)
    again = 0
    for rows in [500] * 200 + [2000] * 100 + [20_000] * 10:
        rho = all_lags(NO_GAP[kind](rng, rows))
        again += later_memory(rho, windowed_sum(rho**2).window, rows) is not None
    assert again <= 0.01 * 310 + 3 * np.sqrt(0.01 * 310)


def test_a_memory_with_a_gap_comes_again():
    rho = np.zeros(101)
    rho[0], rho[12], rho[24] = 1.0, 0.6, 0.36
    assert later_memory(rho, 5, 1000) == 12
    assert later_memory(rho, 24, 1000) is None
    assert later_memory(rho, 5, 110) is None  # lag 12 is beyond a tenth of the rows
    assert later_memory(0.2 * rho, 5, 1000) is None
    assert "at lag 12" in remembers_again(12)
    assert remembers_again(None) == ""
