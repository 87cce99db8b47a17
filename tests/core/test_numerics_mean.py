"""The mean's error against statsmodels, the closed form of AR(1), and its size."""

import numpy as np
import pytest
from series import autoregression, learning_loop
from statsmodels.api import OLS

from ebmdiag.numerics.bands import all_lags, quantile
from ebmdiag.numerics.mean import (
    autocorrelation_time,
    automatic_bandwidth,
    mean_and_deviation,
    mean_with_error,
    unbiased_time,
)


@pytest.mark.parametrize("bandwidth", [1, 7, 60])
def test_equals_statsmodels_hac(bandwidth):
    x = autoregression(np.random.default_rng(21), 0.8, (1000,)) + 5
    fit = OLS(x, np.ones(1000)).fit(cov_type="HAC", cov_kwds={"maxlags": bandwidth, "use_correction": False})
    error = x.std() * np.sqrt(autocorrelation_time(all_lags(x), bandwidth) / 1000)
    assert error == pytest.approx(float(fit.bse[0]), rel=1e-10)


def test_the_correction_is_the_flat_top_kernel():
    """2 tau(M) - tau(M/2) has weight 1 near lag 0, for M + 1 even; checked lag by lag."""
    x = autoregression(np.random.default_rng(22), 0.8, (1000,))
    rho, lags = all_lags(x), np.arange(1, 16)
    weights = 2 * (1 - lags / 16) - np.clip(1 - lags / 8, 0, None)
    assert weights[:7] == pytest.approx(1.0)
    assert unbiased_time(rho, 15) == pytest.approx(1 + 2 * float(weights @ rho[1:16]), rel=1e-12)


@pytest.mark.parametrize("coefficient", [0.0, 0.5, 0.9, -0.5])
def test_autoregression_closed_form(coefficient):
    """tau = (1 + f) / (1 - f), over 60 series of 20,000 rows: within the documented bias of 5%."""
    series = autoregression(np.random.default_rng(23), coefficient, (60, 20_000))
    times = np.array([mean_with_error(x).autocorrelation_time for x in series])
    truth = (1 + coefficient) / (1 - coefficient)
    assert times.mean() == pytest.approx(truth, rel=0.05)
    assert times.mean() != pytest.approx(truth * 1.15, rel=0.05)


def test_bandwidth_is_that_of_andrews_for_an_autoregression():
    f, rows = 0.9, 2000
    optimal = 1.1447 * (4 * f**2 / (1 - f**2) ** 2 * rows) ** (1 / 3)
    assert automatic_bandwidth((1 + f**2) / (1 - f**2), rows) == int(np.ceil(optimal))


@pytest.mark.parametrize(("coefficient", "rows"), [(0.0, 200), (0.5, 500), (0.9, 2000), (-0.5, 500)])
def test_interval_has_its_size(coefficient, rows):
    """At 100 autocorrelation times and more: 95% within the binomial error and a documented 2.5%."""
    repeats = 800
    series = autoregression(np.random.default_rng(24), coefficient, (repeats, rows))
    means = [mean_with_error(x) for x in series]
    covered = np.mean([abs(mean.value) < quantile(0.95) * mean.error for mean in means])
    tolerance = 3 * np.sqrt(0.95 * 0.05 / repeats) + 0.025
    assert abs(covered - 0.95) < tolerance
    naive = np.mean([abs(mean.value) < quantile(0.95) * mean.deviation / np.sqrt(rows) for mean in means])
    assert (abs(naive - 0.95) > tolerance) == (abs(coefficient) >= 0.5)


def test_integral_action_errs_on_the_safe_side():
    """d of the loop has tau = 0: the error must not be too small, and must know that tau is below 1."""
    d, _ = learning_loop(np.random.default_rng(25), 0.5, 5000)
    found = mean_with_error(d)
    assert abs(found.value) < 3 * found.error
    assert 0 < found.autocorrelation_time < 0.2


def test_a_short_series_says_how_many_rows_it_needs():
    found = mean_with_error(autoregression(np.random.default_rng(26), 0.9, (400,)))
    assert np.isfinite(found.error)
    assert "about" in found.reason
    assert str(int(np.ceil(50 * found.autocorrelation_time))) in found.reason
    assert not mean_with_error(autoregression(np.random.default_rng(26), 0.9, (4000,))).reason


def test_few_rows_of_white_noise():
    x = np.diff(np.random.default_rng(27).standard_normal(51))
    assert "at least 50 are needed" in mean_with_error(x[:49]).reason
    assert not mean_with_error(x).reason


def test_a_series_without_end_of_memory():
    found = mean_with_error(np.linspace(0, 1, 500))
    assert found.reason


def test_constant_and_too_short():
    constant = mean_with_error(np.full(100, 0.1))
    assert (constant.value, constant.error) == (pytest.approx(0.1, rel=1e-15), 0.0)
    assert np.isnan(constant.autocorrelation_time)
    short = mean_with_error([1.0, 2.0])
    assert short.value == 1.5
    assert np.isnan(short.error)
    with pytest.raises(ValueError, match="no rows"):
        mean_with_error([])


@pytest.mark.parametrize("scale", [1e200, 1e-200])
def test_scale(scale):
    x = np.random.default_rng(28).standard_normal(200) + 1
    plain, scaled = mean_with_error(x), mean_with_error(x * scale)
    assert scaled.value == pytest.approx(plain.value * scale, rel=1e-12)
    assert scaled.error == pytest.approx(plain.error * scale, rel=1e-12)
    assert scaled.autocorrelation_time == pytest.approx(plain.autocorrelation_time, rel=1e-12)


def test_offset():
    x = 1e9 + 1e-3 * np.random.default_rng(29).standard_normal(1000)
    mean, deviation = mean_and_deviation(x)
    assert mean - 1e9 == pytest.approx((x - 1e9).mean(), abs=2e-7)  # the spacing of float64 at 1e9
    assert deviation == pytest.approx((x - 1e9).std(), rel=1e-9)


@pytest.mark.parametrize("period", [12, 25, 50])
def test_a_memory_that_begins_after_a_gap_is_not_trusted(period):
    """x[t] = 0.6 x[t - s] + e has tau = 4; the window closes before s, and tau comes out near 1."""
    x = autoregression(np.random.default_rng(period), 0.6, (period, 4000 // period)).T.ravel()
    found = mean_with_error(x)
    assert found.autocorrelation_time < 2
    assert f"again at lag {period}" in found.reason
