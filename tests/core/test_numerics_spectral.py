"""The spectrum against scipy, against closed forms, and the coverage of its band."""

import numpy as np
import pytest
from scipy import signal
from series import autoregression, learning_loop

from ebmdiag.numerics.loop import first_order, predict
from ebmdiag.numerics.loop import spectrum as loop_spectrum
from ebmdiag.numerics.spectral import METHODS, power_spectrum

RECORDS = 150


def relative(gain, frequency):
    """S over the variance of one memoryless mode: |z - 1|² / |z - (1 - g)|², Var d = 1 / (1 - g/2)."""
    return loop_spectrum(first_order(gain), 2 * np.pi * frequency) * (1 - gain / 2)


def test_closed_form_agrees_with_the_autocorrelation():
    """Cosine series of rho_k of the loop, another way to the same S."""
    rho = predict(first_order(0.5), 200).difference
    frequency = np.linspace(0, 0.5, 40)
    series = 1 + 2 * np.cos(2 * np.pi * frequency[:, None] * np.arange(1, 201)) @ rho[1:]
    assert relative(0.5, frequency) == pytest.approx(series, abs=1e-9)


def test_multitaper_equals_the_mean_of_scipys_periodograms():
    """Each sine taper as scipy's window; its one-sided density is 2 S; the mean's share is put back."""
    x = np.random.default_rng(1).standard_normal(200) + 4
    found = power_spectrum(x, tapers=3)
    places = np.pi * np.arange(1, 201) / 201
    tapers = [np.sqrt(2 / 201) * np.sin(k * places) for k in (1, 2, 3)]
    plain = np.mean([signal.periodogram(x, window=h, detrend="constant")[1] for h in tapers], axis=0)
    known = 1 - np.mean([np.abs(np.fft.rfft(h)) ** 2 for h in tapers], axis=0) / 200
    assert found.power[1:-1] == pytest.approx((plain / 2 / x.var() / known)[1:-1], rel=1e-9)


def test_welch_equals_scipy():
    x = np.random.default_rng(2).standard_normal(4096)
    found = power_spectrum(x, "welch", segment=512)
    window = np.sin(np.pi * (np.arange(512) + 0.5) / 512) ** 2
    frequency, plain = signal.welch(x - x.mean(), window=window, nperseg=512, noverlap=256, detrend=False)
    assert found.frequency == pytest.approx(frequency)
    assert found.power[5:-5] == pytest.approx(plain[5:-5] / 2 / x.var(), rel=1e-3)  # apart from the mean's share


@pytest.mark.parametrize("method", METHODS)
def test_mean_of_the_spectrum_is_the_variance_and_white_noise_is_flat_down_to_zero(method):
    rng = np.random.default_rng(3)
    mean = np.mean([power_spectrum(x, method).power for x in rng.standard_normal((400, 300))], axis=0)
    assert mean.mean() == pytest.approx(1, abs=0.02)
    assert mean[:4] == pytest.approx(np.ones(4), abs=0.12)  # a plain estimate would lose up to a half of it


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("rows", [800, 4000])
def test_coverage_of_the_loop(method, rows):
    """The closed form lies in the 95% band, averaged over the frequencies; a spectrum that is 40% off does not."""
    inside, wrong = [], []
    for seed in range(RECORDS):
        d, _ = learning_loop(np.random.default_rng(seed), 1.0, rows)
        found = power_spectrum(d, method)
        low, high = found.band(0.95)
        used = found.frequency > 4 * found.half_bandwidth  # nearer to 0 the curve bends within the bandwidth
        truth = relative(1.0, found.frequency)
        inside.append(np.mean(((low < truth) & (truth < high))[used]))
        wrong.append(np.mean(((low < 1.4 * truth) & (1.4 * truth < high))[used]))
    assert abs(np.mean(inside) - 0.95) < 0.015
    assert np.mean(wrong) < 0.92


def test_integral_action_leaves_no_slow_power():
    d, u = learning_loop(np.random.default_rng(4), 0.3, 20_000)
    found = power_spectrum(d)
    assert found.band(0.99)[1][0] < 0.02
    state = power_spectrum(u)
    low, high = state.band(0.999)
    assert low[0] < 1.7 / 0.3 < high[0]  # AR(1) of coefficient 0.7: tau = 1.7 / 0.3


def test_a_short_record_and_bad_options_are_refused():
    with pytest.raises(ValueError, match="50 are needed"):
        power_spectrum(np.arange(49.0))
    with pytest.raises(ValueError, match="constant"):
        power_spectrum(np.ones(100))
    with pytest.raises(ValueError, match="do not fit"):
        power_spectrum(np.random.default_rng(5).standard_normal(60), tapers=16)


def test_parts_average_to_the_whole():
    x = autoregression(np.random.default_rng(6), 0.5, (5000,))
    for method in METHODS:
        found = power_spectrum(x, method)
        assert len(found.parts) <= 20
        assert found.parts.mean(axis=0) == pytest.approx(found.power, rel=0.3)
