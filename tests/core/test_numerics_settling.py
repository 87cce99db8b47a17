"""Settling, relaxation and bursts: planted truths and what noise shows."""

import math

import numpy as np
import pytest
from series import autoregression

from ebmdiag.numerics.bursts import find_bursts
from ebmdiag.numerics.settling import blocks_of, late_rows, relaxation, settling

ROWS, Z = 20_000, 1.96


def noise(rng, coefficient=0.8, rows=ROWS):
    """Of variance 1."""
    return autoregression(rng, coefficient, (rows,)) * math.sqrt(1 - coefficient**2)


def relaxing(rng, time, size=-0.5, spread=0.04):
    return 1 + size * np.exp(-np.arange(ROWS) / time) + spread * noise(rng)


@pytest.mark.parametrize("time", [500, 2000])
def test_planted_relaxation_and_settling(time):
    """T within its interval, and the step at which 0.5 e^{-t/T} falls to 0.05 within its bounds, in 95% or so."""
    rng, step = np.random.default_rng(351), time * math.log(0.5 / 0.05)
    hit, inside, times, steps = [], [], [], []
    for _ in range(60):
        blocks = blocks_of(relaxing(rng, time), 0.25, 0.05)
        settled, relaxed = settling(blocks, 0.05, Z), relaxation(blocks, Z)
        hit.append(settled.low - 200 <= step <= settled.high)
        inside.append(relaxed.low <= time <= relaxed.high)
        times.append(relaxed.time)
        assert (settled.reason, relaxed.reason) == ("", "")
        steps.append(settled.row)
    assert min(np.mean(hit), np.mean(inside)) > 0.88
    assert np.mean(times) == pytest.approx(time, rel=0.03)
    assert np.mean(steps) == pytest.approx(step, abs=200)
    assert np.abs(np.array(steps) - step).max() < 0.5 * step


def test_amplitude_and_level():
    blocks = blocks_of(relaxing(np.random.default_rng(352), 1500, size=0.3), 0.25, 0.05)
    found = relaxation(blocks, Z)
    assert (found.amplitude, found.level) == pytest.approx((0.3, 1.0), rel=0.05)


@pytest.mark.parametrize("coefficient", [0.0, 0.8, 0.98])
def test_settled_noise_is_settled_from_the_start(coefficient):
    """With memory of up to 100 rows in 20,000; no relaxation is seen in it."""
    rng = np.random.default_rng(353)
    found = [blocks_of(1 + 0.05 * noise(rng, coefficient), 0.25, 0.05) for _ in range(60)]
    assert np.mean([settling(blocks, 0.05, Z).row == 0 for blocks in found]) > 0.95
    assert sum(math.isfinite(relaxation(blocks, Z).time) for blocks in found) <= 1


def test_a_drift_has_not_settled():
    rng = np.random.default_rng(354)
    found = settling(blocks_of(1 + np.arange(ROWS) / ROWS + 0.01 * noise(rng), 0.25, 0.05), 0.05, Z)
    assert found.row is None
    assert "late rows" in found.reason


def test_noise_that_hides_the_tolerance_is_said():
    blocks = blocks_of(1 + 2 * noise(np.random.default_rng(355), 0.9), 0.25, 0.05)
    assert "fifth of the tolerance" in settling(blocks, 0.05, Z).reason
    short = blocks_of(1 + 0.01 * noise(np.random.default_rng(356), 0.98, 400), 0.25, 0.05)
    assert "too few for 10 blocks" in settling(short, 0.05, Z).reason


def test_a_slow_relaxation_is_doubted():
    blocks = blocks_of(relaxing(np.random.default_rng(357), 12_000, spread=0.01), 0.25, 0.05)
    assert "three relaxation times" in relaxation(blocks, Z).reason


def test_another_course_is_no_exponential():
    rng = np.random.default_rng(358)
    x = 1 + 0.01 * noise(rng) - 0.5 * (np.arange(ROWS) < 4000) * (np.arange(ROWS) % 2000 < 1000)
    assert "one exponential" in relaxation(blocks_of(x, 0.25, 0.05), Z).reason


def test_late_rows():
    assert [late_rows(rows, 0.25) for rows in (1, 4, 100)] == [0, 3, 75]


@pytest.mark.parametrize("coefficient", [0.0, 0.9, 0.999])
def test_no_bursts_in_noise(coefficient):
    """A lognormal series of spread 0.2, whatever its memory."""
    rng = np.random.default_rng(361)
    found = [find_bursts(np.exp(0.2 * noise(rng, coefficient, 5000)), 1.5, 10.0) for _ in range(60)]
    assert sum(len(item.first) for item in found) == 0
    assert all(item.reason == "" for item in found)


def test_planted_bursts():
    x = np.exp(0.1 * noise(np.random.default_rng(362), 0.9, 5000))
    x[3000:3010] *= 4
    x[4000] *= 4
    found = find_bursts(x, 1.5, 10.0)
    assert list(found.first) == pytest.approx([3000, 4000], abs=5)
    assert found.height == pytest.approx([4, 4], rel=0.4)
    assert len(find_bursts(x, 6.0, 10.0).first) == 0


def test_divergence_at_the_very_end():
    x = np.exp(0.1 * noise(np.random.default_rng(363), 0.9, 5000))
    x[-5:] *= 10
    assert len(find_bursts(x, 1.5, 10.0).first) == 1


def test_the_start_is_no_burst():
    x = np.exp(0.1 * noise(np.random.default_rng(364), 0.9, 5000)) * (1 - np.exp(-np.arange(1, 5001) / 50))
    assert len(find_bursts(x, 1.5, 10.0).first) == 0


def test_undefined():
    assert "too few" in find_bursts(np.ones(79), 1.5, 10.0).reason
    assert "0 in places" in find_bursts(np.zeros(500), 1.5, 10.0).reason
    assert len(find_bursts(np.ones(500), 1.5, 10.0).first) == 0
