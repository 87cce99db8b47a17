"""Peaks that were planted are found with their width; noise without a wave has none."""

import numpy as np
import pytest
from scipy.signal import lfilter
from series import autoregression, learning_loop

from ebmdiag.numerics.spectral_peak import find_peak, log_spectrum

MODULUS, ANGLE = 0.95, 0.63


def wave(rng, rows):
    """AR(2) with poles of modulus 0.95: a damped wave of period about 10."""
    return lfilter([1.0], [1.0, -2 * MODULUS * np.cos(ANGLE), MODULUS**2], rng.standard_normal(rows + 500))[500:]


def true_peak():
    """Frequency and quality of that spectrum, on a fine grid."""
    logs = log_spectrum(np.array([2 * MODULUS * np.cos(ANGLE), -(MODULUS**2)]), 1 << 16)
    top = int(np.argmax(logs))
    above = np.flatnonzero(logs > logs[top] - np.log(2))
    return top / (1 << 17), top / (above[-1] - above[0])


def test_closed_form_of_the_peak():
    """cos 2πf = (1 + m²) cos(θ) / 2m, and m = exp(-π width) to first order."""
    frequency, quality = true_peak()
    assert np.cos(2 * np.pi * frequency) == pytest.approx((1 + MODULUS**2) / (2 * MODULUS) * np.cos(ANGLE), abs=1e-4)
    assert np.exp(-np.pi * frequency / quality) == pytest.approx(MODULUS, abs=0.003)


@pytest.mark.parametrize("rows", [500, 2000])
def test_a_damped_wave(rows):
    frequency, quality = true_peak()
    peaks = [find_peak(wave(np.random.default_rng(seed), rows)) for seed in range(60)]
    assert all(peak is not None and peak.quality_low > 1 for peak in peaks)
    inside = [abs(peak.frequency - frequency) < 1.96 * peak.frequency_error for peak in peaks]
    covered = [peak.quality_low < quality < peak.quality_high for peak in peaks]
    assert np.mean(inside) > 0.95 - 3 * np.sqrt(0.95 * 0.05 / 60) - 0.02
    assert np.mean(covered) > 0.95 - 3 * np.sqrt(0.95 * 0.05 / 60) - 0.04
    assert np.median([peak.modulus for peak in peaks]) == pytest.approx(MODULUS, abs=0.01)


@pytest.mark.parametrize("coefficient", [0.0, 0.5, 0.9, 0.99])
def test_noise_without_a_wave_has_no_peak(coefficient):
    """The order is chosen by BIC: in 200 records fewer than 3% have a peak of any quality that counts."""
    records = autoregression(np.random.default_rng(1), coefficient, (200, 1000))
    found = [find_peak(x - x.mean()) for x in records]
    assert np.mean([peak is not None and peak.quality_low > 1 for peak in found]) < 0.03


def test_the_plateau_of_a_weak_loop_is_no_peak():
    found = [find_peak(learning_loop(np.random.default_rng(seed), 0.3, 1000)[0]) for seed in range(60)]
    assert np.mean([peak is not None and peak.quality_low > 1 for peak in found]) < 0.05


def test_alternation_is_a_peak_of_period_two():
    peak = find_peak(autoregression(np.random.default_rng(2), -0.9, (3000,)))
    assert peak.period == pytest.approx(2, abs=1e-3)
    assert peak.quality_low > 5
    assert peak.modulus == pytest.approx(0.9, abs=0.03)


def test_momentum_rings():
    """Gain 2, beta 0.9: the spectrum's peak lies at period 13.4; the autoregression needs many terms for it."""
    g, b = 2.0, 0.9
    noise = np.random.default_rng(3).standard_normal(8500)
    d = lfilter(np.convolve([1, -1], [1, -b]), [1, -(1 + b - g * (1 - b)), b], noise)[500:]
    peak = find_peak(d)
    assert peak.period == pytest.approx(13.4, rel=0.1)
    assert peak.order > 8


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_size_does_not_matter(size):
    x = wave(np.random.default_rng(11), 600)
    x = x - x.mean()
    plain, scaled = find_peak(x), find_peak(x * size)
    assert scaled.frequency == pytest.approx(plain.frequency, rel=1e-9)
    assert scaled.quality == pytest.approx(plain.quality, rel=1e-9)
