"""Partial autocorrelation against statsmodels, and waves against the roots that were planted."""

import numpy as np
import pytest
from helpers import assert_within_errors
from scipy.signal import lfilter
from series import autoregression, learning_loop
from statsmodels.tsa.stattools import pacf

from ebmdiag.numerics.autoregression import fit_autoregression
from ebmdiag.numerics.correlation import autocorrelation
from ebmdiag.numerics.partial import partial_autocorrelation, strongest_wave


def wave_series(rng, modulus, period, rows):
    """AR(2) with a pair of roots of this modulus and period."""
    polynomial = [1.0, -2 * modulus * np.cos(2 * np.pi / period), modulus**2]
    return lfilter([1.0], polynomial, rng.standard_normal(rows + 500))[500:]


def wave_of(x, order=None):
    fitted = fit_autoregression(x) if order is None else None
    phi = fitted.coefficients if fitted else order
    return strongest_wave(phi, autocorrelation(x, max(1, len(phi))), len(x))


@pytest.mark.parametrize("coefficient", [-0.8, 0.0, 0.5, 0.97])
def test_equals_statsmodels(coefficient):
    x = autoregression(np.random.default_rng(1), coefficient, (500,))
    found = partial_autocorrelation(autocorrelation(x, 40))
    assert found == pytest.approx(pacf(x, nlags=40, method="ldb"), abs=1e-12)


def test_beyond_the_order_is_noise_of_the_stated_size():
    """Quenouille: standard error 1/√n beyond the order, far from 0 within it."""
    x = autoregression(np.random.default_rng(2), 0.7, (400, 1000))
    found = np.array([partial_autocorrelation(autocorrelation(row, 5)) for row in x])
    assert_within_errors(found[:, 3] ** 2 * 1000, 1.0)
    assert_within_errors(found[:, 1], 0.7, errors=6)  # its own bias is of order 1/n
    with pytest.raises(AssertionError):
        assert_within_errors(found[:, 1] ** 2 * 1000, 1.0)


def test_a_series_that_is_foretold_exactly_ends_in_nan():
    found = partial_autocorrelation(np.cos(0.5 * np.arange(8)))  # a sine: order 2, no noise
    assert found[:2] == pytest.approx([1, np.cos(0.5)])
    assert np.isnan(found[3:]).all()
    assert np.isnan(partial_autocorrelation(np.full(4, np.nan))[1:]).all()
    assert partial_autocorrelation(np.ones(1)).tolist() == [1.0]


def test_a_planted_wave_is_found_within_its_errors():
    rng = np.random.default_rng(3)
    waves = [wave_of(wave_series(rng, 0.9, 8, 4000)) for _ in range(60)]
    modulus = np.array([wave.modulus for wave in waves])
    period = np.array([wave.period for wave in waves])
    assert np.mean(np.abs(modulus - 0.9)) < 0.01
    assert_within_errors(period, 8.0)
    assert np.mean([wave.period_error for wave in waves]) == pytest.approx(period.std(), rel=0.35)
    assert np.mean([wave.modulus_error for wave in waves]) == pytest.approx(modulus.std(), rel=0.35)


def test_height_is_the_peak_of_a_pair():
    """|A| (1 + m) / (1 - m) with A of the closed form of an AR(2) is the height that is computed from exact rho."""
    m, angle = 0.95, 0.7
    phi = np.array([2 * m * np.cos(angle), -(m**2)])
    rho = np.ones(3)
    rho[1] = phi[0] / (1 - phi[1])
    rho[2] = phi[0] * rho[1] + phi[1]
    z = m * np.exp(1j * angle)
    share = (rho[1] - z.conjugate()) / (z - z.conjugate())
    wave = strongest_wave(phi, rho, 1000)
    assert wave.height == pytest.approx(abs(share) * (1 + m) / (1 - m), rel=1e-9)
    assert (wave.modulus, wave.period) == (pytest.approx(m), pytest.approx(2 * np.pi / angle))


def test_the_flat_roots_of_a_memoryless_loop_are_low():
    """Its moving average has a root at 1: many pairs of large modulus, none of which makes a peak."""
    for gain in (0.3, 1.0):
        wave = wave_of(learning_loop(np.random.default_rng(4), gain, 5000)[0])
        assert wave.modulus > 0.8
        assert wave.height < 2
    assert wave_of(wave_series(np.random.default_rng(5), 0.93, 9, 1000)).height > 5


def test_no_wave():
    assert strongest_wave(np.zeros(0), np.ones(2), 100) is None
    assert strongest_wave(np.array([0.5]), np.array([1, 0.5]), 100) is None
    alternating = strongest_wave(np.array([-0.5]), np.array([1, -0.5]), 100)
    assert (alternating.period, alternating.modulus) == (2, pytest.approx(0.5))
    assert alternating.modulus_error == pytest.approx(np.sqrt(0.75 / 100))
