"""Fisher's test, its size against white and red noise, and waves that were planted."""

from fractions import Fraction
from math import comb

import numpy as np
import pytest
from scipy.signal import lfilter
from series import autoregression, learning_loop

from ebmdiag.numerics.lines import find_line, fisher_p
from ebmdiag.numerics.whitening import burg, whitened


@pytest.mark.parametrize(("g", "count"), [(0.2, 20), (0.5, 10), (0.1, 60), (0.05, 80), (0.03, 300), (0.012, 900)])
def test_fisher_p_equals_exact_arithmetic(g, count):
    exact = Fraction(g)
    terms = [(-1) ** (j - 1) * comb(count, j) * (1 - j * exact) ** (count - 1) for j in range(1, int(1 / g) + 1)]
    tolerance = 1e-6 if count <= 80 or terms[0] < 1 else 0.03  # there the short form stands in
    assert fisher_p(g, count) == pytest.approx(float(sum(terms)), rel=tolerance)


def test_fisher_p_at_its_ends():
    assert fisher_p(1.0, 40) == 0
    assert fisher_p(1 / 40, 40) == pytest.approx(1)
    assert fisher_p(1.0, 5000) == 0
    with pytest.raises(ValueError, match="between 1/40"):
        fisher_p(0.01, 40)


def test_burg_finds_order_and_coefficients():
    rng = np.random.default_rng(1)
    for truth in ([], [0.9], [1.9 * np.cos(0.63), -0.9025]):
        x = lfilter([1.0], [1.0, *(-np.array(truth))], rng.standard_normal(20_500))[500:]
        found = burg(x - x.mean())
        assert len(found) == len(truth)
        assert found == pytest.approx(truth, abs=0.03)
        assert whitened(x, found).std() == pytest.approx(1, rel=0.03)


NOISES = {
    "white": lambda rng, shape: rng.standard_normal(shape),
    "AR(.9)": lambda rng, shape: autoregression(rng, 0.9, shape),
    "AR(-.9)": lambda rng, shape: autoregression(rng, -0.9, shape),
    "random walk": lambda rng, shape: np.cumsum(rng.standard_normal(shape), axis=-1),
    "loop": lambda rng, shape: np.array([learning_loop(rng, 0.5, shape[1])[0] for _ in range(shape[0])]),
    "wave": lambda rng, shape: lfilter([1.0], [1.0, -1.9 * np.cos(0.63), 0.9025], rng.standard_normal(shape)),
}


@pytest.mark.parametrize("noise", NOISES)
def test_size(noise):
    """Red noise is not called periodic; the plain test calls it so always."""
    records = 300
    lines = [find_line(x) for x in NOISES[noise](np.random.default_rng(2), (records, 1000))]
    found = np.mean([line.p_value < 0.05 for line in lines])
    assert abs(found - 0.05) < 3 * np.sqrt(0.05 * 0.95 / records) + 0.01
    if noise in ("AR(.9)", "random walk", "wave"):
        assert np.mean([line.white_p < 0.05 for line in lines]) > 0.99


@pytest.mark.slow
@pytest.mark.parametrize("noise", ["white", "AR(.9)"])
def test_size_within_the_binomial_error(noise):
    records = 2500
    lines = [find_line(x) for x in NOISES[noise](np.random.default_rng(3), (records, 1000))]
    found = np.mean([line.p_value < 0.05 for line in lines])
    assert abs(found - 0.05) < 3 * np.sqrt(0.05 * 0.95 / records)


@pytest.mark.parametrize("rows", [501, 2000])
@pytest.mark.parametrize("noise", ["white", "AR(.9)"])
def test_a_planted_wave_is_recovered_within_its_error(rows, noise):
    rng, frequency = np.random.default_rng(4), 0.1234567
    pulls, sizes = [], []
    for x in NOISES[noise](rng, (60, rows)):
        x = x / x.std()
        turns = 2 * np.pi * frequency * np.arange(rows) + rng.uniform(0, 6)
        series = x + 0.8 * np.cos(turns)
        line = find_line(series)
        assert line.p_value < 1e-3
        pulls.append((line.period - 1 / frequency) / line.period_error)
        sizes.append((line.amplitude * series.std() - 0.8) / (line.amplitude_error * series.std()))
    assert np.std(pulls) == pytest.approx(1, abs=0.3)
    assert abs(np.mean(pulls)) < 0.5
    assert np.std(sizes) == pytest.approx(1, abs=0.35)


@pytest.mark.parametrize("amplitude", [3.0, 300.0])
def test_a_strong_wave_is_not_taken_for_memory(amplitude):
    rng = np.random.default_rng(5)
    line = find_line(amplitude * np.sin(2 * np.pi * np.arange(1000) / 7.3) + rng.standard_normal(1000))
    assert line.p_value < 1e-10
    assert line.period == pytest.approx(7.3, abs=5 * line.period_error + 1e-9)
    assert line.share > 0.8


def test_alternation_is_a_line_of_period_two():
    rng = np.random.default_rng(6)
    for rows in (1000, 1001):
        line = find_line(0.6 * (-1.0) ** np.arange(rows) + rng.standard_normal(rows))
        assert line.period == 2
        assert line.p_value < 1e-6
        assert line.share == pytest.approx(0.36 / 1.36, abs=0.08)
        assert np.isnan(line.period_error)


def test_drift_is_not_a_line():
    rng = np.random.default_rng(7)
    p = [find_line(np.linspace(0, 20, 800) + x).p_value for x in rng.standard_normal((60, 800))]
    assert np.mean(np.array(p) < 0.01) < 0.12


def test_refusals():
    with pytest.raises(ValueError, match="50 are needed"):
        find_line(np.arange(20.0))
    with pytest.raises(ValueError, match="constant"):
        find_line(np.ones(100))


@pytest.mark.parametrize("period", [2, 4, 8, 7.3])
def test_a_wave_without_noise(period):
    """Nothing is left to test against: p is 0, and warnings are errors."""
    line = find_line(np.cos(2 * np.pi * np.arange(600) / period + (0.3 if period > 2 else 0)))
    assert line.p_value < 1e-10
    assert line.period == pytest.approx(period, rel=1e-6)
    assert line.share == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("cycles", [1, 2])
def test_a_drift_without_noise_is_no_line(cycles):
    line = find_line(np.cos(2 * np.pi * cycles * np.arange(600) / 600))
    assert line.p_value == 1


@pytest.mark.parametrize("shape", ["square", "sawtooth"])
def test_a_periodic_series_without_noise(shape):
    time = np.arange(600)
    line = find_line(np.where(time % 10 < 5, 1.0, -1.0) if shape == "square" else (time % 10) / 10)
    assert line.p_value < 1e-6
    assert 10 / line.period == pytest.approx(round(10 / line.period), rel=1e-3)
