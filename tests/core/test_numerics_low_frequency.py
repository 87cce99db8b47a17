"""The slow movements of a series: cosine weights, sizes under memory, planted drifts, equivalence."""

import numpy as np
import pytest
from scipy.stats import t as student
from series import autoregression, learning_loop

from ebmdiag.numerics.low_frequency import (
    Contrast,
    block_means,
    contrast,
    cosine_weights,
    mean_contrast,
    ramp,
    slow,
    step,
)

REPEATS = 600
ERROR = np.sqrt(0.05 * 0.95 / REPEATS)
NULLS = {
    "white": (0.0, 300),
    "half": (0.5, 500),
    "strong": (0.95, 2000),  # 51 autocorrelation times: KPSS rejects a fifth of these
    "alternating": (-0.5, 300),
}


def p_values(x):
    series = slow(x)
    blocks = len(series.blocks)
    return (
        contrast(series, ramp(blocks)).p_value,
        contrast(series, step(blocks, blocks // 2)).p_value,
        mean_contrast(series, float(x.mean())).p_value,
    )


def test_weights_are_the_cosine_sums():
    x = np.random.default_rng(1).standard_normal(101)
    t = np.arange(101)
    expected = [np.sqrt(2 / 101) * np.sum(np.cos(np.pi * j * (t + 0.5) / 101) * x) for j in (1, 2, 9)]
    assert cosine_weights(x, 9)[[0, 1, 8]] == pytest.approx(expected, rel=1e-10)


def test_weights_of_white_noise_are_independent_with_its_variance():
    weights = np.array([cosine_weights(x, 6) for x in np.random.default_rng(2).standard_normal((4000, 200))])
    assert weights.T @ weights / 4000 == pytest.approx(np.eye(6), abs=4 * np.sqrt(2 / 4000))


def test_the_contrast_of_a_shape_is_its_size():
    shape = 3 * ramp(400)
    found = contrast(slow(shape + 1e-9 * np.random.default_rng(3).standard_normal(400)), ramp(400))
    assert found.value == pytest.approx(3, abs=1e-7)
    jump = contrast(slow(2 * step(400, 150) + 1e-9 * np.random.default_rng(3).standard_normal(400)), step(400, 150))
    assert jump.value == pytest.approx(2, abs=1e-7)


@pytest.mark.parametrize("case", NULLS)
def test_size(case):
    """Line, halves and mean, at 5%, within binomial error; on all records that are long enough."""
    coefficient, rows = NULLS[case]
    x = autoregression(np.random.default_rng(4), coefficient, (REPEATS, rows))
    rates = np.mean([np.array(p_values(row)) < 0.05 for row in x], axis=0)
    assert np.abs(rates - 0.05).max() < 4 * ERROR


def test_a_normal_law_would_be_too_narrow():
    """Negative control: the same statistics against 1.96, with so few numbers behind the variance."""
    x = np.random.default_rng(5).standard_normal((1500, 40))
    found = [mean_contrast(slow(row), float(row.mean())) for row in x]
    error = np.sqrt(0.05 * 0.95 / 1500)
    assert np.mean([abs(item.value) > 1.96 * item.error for item in found]) > 0.05 + 4 * error
    assert abs(np.mean([item.p_value < 0.05 for item in found]) - 0.05) < 4 * error


def test_a_random_walk_is_not_called_long_enough_and_moving():
    walks = np.cumsum(np.random.default_rng(6).standard_normal((300, 1000)), axis=1)
    alarms = [slow(x).long_enough and min(p_values(x)[:2]) < 0.01 for x in walks]
    assert np.mean(alarms) < 0.06


def test_integral_action_is_not_alarming():
    rng = np.random.default_rng(7)
    rates = np.mean([np.array(p_values(learning_loop(rng, 0.3, 1000)[0])) < 0.05 for _ in range(300)], axis=0)
    assert rates.max() < 0.05


def test_a_drift_is_not_taken_for_memory():
    """White noise on a cubic: the memory is that of the noise, and its deviation too."""
    rng = np.random.default_rng(8)
    found = slow(10 * np.linspace(-1, 1, 2000) ** 3 + rng.standard_normal(2000))
    assert found.time < 1.5
    assert found.deviation == pytest.approx(1, abs=0.1)
    assert slow(autoregression(rng, 0.9, (20_000,))).time == pytest.approx(19, rel=0.2)


def test_power():
    rng = np.random.default_rng(9)
    drift = [p_values(autoregression(rng, 0.5, (1000,)) + np.linspace(0, 1.2, 1000))[0] for _ in range(100)]
    jump = [p_values(autoregression(rng, 0.5, (1000,)) + (np.arange(1000) > 500))[1] for _ in range(100)]
    assert np.mean(np.array(drift) < 0.05) > 0.9
    assert np.mean(np.array(jump) < 0.05) > 0.9


def test_equivalence_at_the_margin_and_within():
    """The size of two one-sided tests is reached where the truth is the margin itself."""
    rng = np.random.default_rng(10)
    series = [slow(x) for x in autoregression(rng, 0.5, (REPEATS, 500))]
    movements = [contrast(each, step(500, 250)) for each in series]
    at = [Contrast(m.value + 0.8, m.error, m.freedom, 0).equivalence_p(0.8) < 0.05 for m in movements]
    assert abs(np.mean(at) - 0.05) < 4 * ERROR
    assert np.mean([m.equivalence_p(1.2) < 0.05 for m in movements]) > 0.9


def test_equivalence_against_scipy():
    found = Contrast(0.3, 0.2, 7, 0.0)
    lower, upper = student.sf((0.3 + 1) / 0.2, 7), student.cdf((0.3 - 1) / 0.2, 7)
    assert found.equivalence_p(1.0) == pytest.approx(max(lower, upper))
    low, high = found.bounds(0.9)
    assert (low, high) == pytest.approx(student.interval(0.9, 7, 0.3, 0.2))
    inside = [Contrast(value, 0.2, 7, 0.0) for value in (0.3, 0.61, 0.63)]
    assert [item.equivalence_p(1.0) < 0.05 for item in inside] == [item.bounds(0.9)[1] < 1 for item in inside]


def test_rows_that_would_settle_it():
    found = Contrast(0.3, 0.4, 10, 0.0)
    more = found.rows_for(1.0, 0.95, 100)
    later = Contrast(0.3, 0.4 * np.sqrt(100 / more), 10, 0.0)
    assert later.equivalence_p(1.0) == pytest.approx(0.05, rel=0.02)
    assert Contrast(1.0, 0.4, 10, 0.0).rows_for(1.0, 0.95, 100) > 10**9


def test_long_series_are_brought_to_blocks():
    rng = np.random.default_rng(11)
    x = autoregression(rng, 0.9, (100_003,)) + np.linspace(0, 1, 100_003)
    found = slow(x)
    assert (len(found.blocks), found.rows_per_block, found.rows) == (7692, 13, 99_996)
    assert found.time == pytest.approx(19, rel=0.2)
    assert found.deviation == pytest.approx(1 / np.sqrt(1 - 0.81), rel=0.05)
    line = contrast(found, ramp(len(found.blocks)))
    assert abs(line.value - 1) < 4 * line.error
    means, size = block_means(np.arange(20.0))
    assert (size, means.tolist()) == (1, (np.arange(20.0) - 9.5).tolist())


def test_a_drift_without_noise():
    found = slow(np.arange(100.0))
    assert (found.deviation, found.time) == (0, 1)
    assert contrast(found, ramp(100)).p_value < 1e-20


@pytest.mark.parametrize("scale", [1e200, 1e-200])
def test_scale(scale):
    x = np.random.default_rng(12).standard_normal(300)
    plain, scaled = contrast(slow(x), ramp(300)), contrast(slow(x * scale), ramp(300))
    assert scaled.p_value == pytest.approx(plain.p_value, rel=1e-9)
    assert scaled.value == pytest.approx(plain.value * scale, rel=1e-9)


@pytest.mark.parametrize(("x", "said"), [(np.arange(15.0), "at least 16"), (np.ones(50), "constant")])
def test_refusals(x, said):
    with pytest.raises(ValueError, match=said):
        slow(x)
