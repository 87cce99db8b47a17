"""Correlations against golden numbers, an independent library and closed forms."""

import time

import numpy as np
import pytest
from series import GOLDEN, autoregression, learning_loop
from statsmodels.tsa.stattools import acf, ccf

from ebmdiag.numerics.correlation import autocorrelation, crosscorrelation, fast_length

ROWS = 20_000


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as file:
        return dict(file)


@pytest.mark.parametrize("run", ["rings", "flowers", "flowers_beta0"])
def test_reference_plots(golden, run):
    d, r = golden[f"{run}/d_s_t"][-2000:], golden[f"{run}/r_s_t"][-2000:]
    assert autocorrelation(d, 15, centred=False) == pytest.approx(golden[f"{run}/d_acf"], abs=1e-12)
    assert autocorrelation(r, 15) == pytest.approx(golden[f"{run}/r_acf"], abs=1e-12)
    cross = crosscorrelation(d, r, 15, centred_x=False)
    assert cross == pytest.approx(golden[f"{run}/cross_corr"], abs=1e-12)


def test_reference_plots_need_their_own_centring_and_rows(golden):
    d, r = golden["rings/d_s_t"], golden["rings/r_s_t"]
    assert np.abs(autocorrelation(d[-2000:], 15) - golden["rings/d_acf"]).max() > 0.05
    assert np.abs(autocorrelation(r, 15) - golden["rings/r_acf"]).max() > 0.01
    swapped = crosscorrelation(r[-2000:], d[-2000:], 15, centred_y=False)
    assert np.abs(swapped - golden["rings/cross_corr"]).max() > 0.01


@pytest.mark.parametrize("rows", [4, 17, 1000, 1009, 4096])
def test_equals_statsmodels(rows):
    rng = np.random.default_rng(rows)
    x, y = rng.standard_normal((2, rows)) + 3
    lags = min(rows - 1, 40)
    assert autocorrelation(x, lags) == pytest.approx(acf(x, nlags=lags, adjusted=False, fft=True), abs=1e-12)
    both = crosscorrelation(x, y, lags)
    assert both[lags:] == pytest.approx(ccf(x, y, adjusted=False)[: lags + 1], abs=1e-12)
    assert both[lags::-1] == pytest.approx(ccf(y, x, adjusted=False)[: lags + 1], abs=1e-12)


def test_a_lead_shows_at_negative_lags():
    noise = np.random.default_rng(1).standard_normal(1003)
    values = crosscorrelation(noise[3:], noise[:-3], 5)  # x[t] = y[t+3]: x leads by 3
    assert int(np.argmax(values)) - 5 == -3


def sums_of_products(x, max_lag):
    """The definition, without a Fourier transform."""
    x = x - x.mean()
    return np.array([x[lag:] @ x[: len(x) - lag] for lag in range(max_lag + 1)]) / (x @ x)


def test_equals_the_definition_to_the_last_lag():
    x = np.random.default_rng(2).standard_normal(50)
    assert autocorrelation(x, 49) == pytest.approx(sums_of_products(x, 49), abs=1e-14)


@pytest.mark.parametrize("coefficient", [0.9, 0.5, -0.5])
def test_autoregression(coefficient):
    """rho_k = f^k, with Bartlett's error for AR(1) and an allowance for the bias of a centred series."""
    rho = autocorrelation(autoregression(np.random.default_rng(3), coefficient, (ROWS,)), 8)
    assert within_errors(rho, coefficient, 4)
    assert not within_errors(rho, coefficient - 0.05, 4)


def within_errors(rho, coefficient, errors):
    lags, f2 = np.arange(1, len(rho)), coefficient**2
    variance = ((1 + f2) * (1 - f2**lags) / (1 - f2) - 2 * lags * f2**lags) / ROWS
    return bool((np.abs(rho[1:] - coefficient**lags) < errors * np.sqrt(variance) + 20 / ROWS).all())


@pytest.mark.parametrize("gain", [0.3, 1.0, 1.5])
def test_one_mode_of_the_learning_loop(gain):
    """theory: rho_k(d) = -(g/2)(1-g)^(k-1), cross-correlation ±√(g/2) antisymmetric about lag -1/2."""
    d, u = learning_loop(np.random.default_rng(4), gain, ROWS)
    lags = np.arange(1, 6)
    error = 4 * 1.5 / np.sqrt(ROWS)
    assert autocorrelation(d, 5)[1:] == pytest.approx(-(gain / 2) * (1 - gain) ** (lags - 1), abs=error)
    after = np.sqrt(gain / 2) * (1 - gain) ** np.arange(6)
    cross = crosscorrelation(d, u, 5)
    assert cross[5:] == pytest.approx(after, abs=error)
    assert cross[:5] == pytest.approx(-after[4::-1], abs=error)
    assert cross[:5] != pytest.approx(after[4::-1], abs=error)


@pytest.mark.parametrize("scale", [1e200, 1e-200, 2.0**-1000, 5e-310])
def test_size_does_not_matter(scale):
    x = np.random.default_rng(5).standard_normal(100)
    expected = autocorrelation(x, 10)
    tolerance = 1e-12 if scale > 1e-300 else 1e-3  # a subnormal number holds few digits itself
    assert autocorrelation(x * scale, 10) == pytest.approx(expected, abs=tolerance)
    assert autocorrelation(x * scale, 10, centred=False) == pytest.approx(
        autocorrelation(x, 10, centred=False), abs=tolerance
    )


def test_the_largest_numbers_of_both_signs():
    x = np.random.default_rng(6).uniform(-1, 1, 100)
    assert autocorrelation(x * 1.7e308, 10) == pytest.approx(autocorrelation(x, 10), abs=1e-12)


def test_an_offset_costs_only_what_float64_loses():
    noise = 1e-3 * np.random.default_rng(7).standard_normal(5000)
    shifted = noise + 1e9
    expected = autocorrelation(shifted - 1e9, 10)  # the digits that are left; the subtraction is exact
    assert autocorrelation(shifted, 10) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_refuses_what_is_not_finite(bad):
    with pytest.raises(ValueError, match="value 2 is"):
        autocorrelation([1, 2, bad, 4, 5], 2)


def test_refuses_wrong_shapes_and_lags():
    with pytest.raises(ValueError, match="one dimension"):
        autocorrelation(np.ones((3, 3)), 1)
    with pytest.raises(ValueError, match="equally long"):
        crosscorrelation(np.arange(5), np.arange(6), 1)
    with pytest.raises(ValueError, match="at least 0"):
        autocorrelation(np.arange(5), -1)


@pytest.mark.parametrize("at_least", [1, 2, 7, 1000, 200_040, 65_537])
def test_fast_length(at_least):
    size = fast_length(at_least)
    assert at_least <= size <= 1.2 * at_least + 1
    for factor in (2, 3, 5):
        while size % factor == 0:
            size //= factor
    assert size == 1


def test_long_series_are_quick():
    x = np.random.default_rng(8).standard_normal(200_000)
    autocorrelation(x, 40)
    start = time.process_time()
    autocorrelation(x, 40)
    assert time.process_time() - start < 0.5  # 0.02 s on a free core; a sum over pairs takes 20 s


@pytest.mark.parametrize(("rows", "reach"), [(1000, 15), (1000, 200), (64, 63), (257, 3)])
def test_long_series_in_blocks_give_the_same_sums(monkeypatch, rows, reach):
    """Blocks of 64: every pair is counted once, at either end and across the seams."""
    monkeypatch.setattr("ebmdiag.numerics.correlation._BLOCK", 64)
    rng = np.random.default_rng(rows)
    x, y = rng.normal(size=rows) + 1, rng.normal(size=rows)
    found = crosscorrelation(x, y, reach, centred_x=False)
    full = np.correlate(x / np.linalg.norm(x), (y - y.mean()) / np.linalg.norm(y - y.mean()), "full")
    np.testing.assert_allclose(found, full[rows - 1 - reach : rows + reach], atol=1e-13)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(found[::-1], full[rows - 1 - reach : rows + reach], atol=1e-13)


@pytest.mark.parametrize(("rows", "reach"), [(5, 0), (5, 4), (70, 1), (129, 20), (130, 129), (200, 63)])
def test_sums_on_a_circle_are_those_on_a_line(monkeypatch, rows, reach):
    """No wanted lag falls on another: in one block, in several, and where the last one is nearly empty."""
    monkeypatch.setattr("ebmdiag.numerics.correlation._BLOCK", 64)
    x, y = np.random.default_rng(rows).standard_normal((2, rows))
    u, w = ((series - series.mean()) / np.linalg.norm(series - series.mean()) for series in (x, y))
    plain = np.correlate(u, w, "full")[rows - 1 - reach : rows + reach]
    assert crosscorrelation(x, y, reach) == pytest.approx(plain, abs=1e-14)
    monkeypatch.setattr("ebmdiag.numerics.correlation.fast_length", lambda at_least: max(1, at_least - 1))
    if reach:  # a circle that is one shorter is too short: the negative control
        assert np.abs(crosscorrelation(x, y, reach) - plain).max() > 1e-6
