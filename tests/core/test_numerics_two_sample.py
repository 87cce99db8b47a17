"""Energy distance and MMD against double loops, scipy, closed forms of Gaussians, and their size and power."""

import itertools
import math
import time

import numpy as np
import pytest
from scipy.special import gammaln
from scipy.stats import binomtest, energy_distance

from ebmdiag.numerics.two_sample import energy_test, median_distance, mmd_test, pool


def rng(seed=0):
    return np.random.default_rng(seed)


def mean_over(x, y, function, *, different=False):
    pairs = [(i, j) for i in range(len(x)) for j in range(len(y)) if not (different and i == j)]
    return sum(function(x[i], y[j]) for i, j in pairs) / len(pairs)


def distance(a, b):
    return math.sqrt(((a - b) ** 2).sum())


def energy_by_hand(x, y):
    return 2 * mean_over(x, y, distance) - mean_over(x, x, distance) - mean_over(y, y, distance)


def mmd_by_hand(x, y, scale):
    def kernel(a, b):
        return math.exp(-(distance(a, b) ** 2) / (2 * scale**2))

    own = mean_over(x, x, kernel, different=True) + mean_over(y, y, kernel, different=True)
    return own - 2 * mean_over(x, y, kernel)


@pytest.mark.parametrize(("n", "m", "dimensions"), [(2, 2, 1), (5, 3, 2), (7, 9, 4)])
def test_equals_the_double_loop(n, m, dimensions):
    x, y = rng(1).normal(size=(n, dimensions)), rng(2).normal(size=(m, dimensions)) + 0.5
    pooled = pool(x, y)
    rows = [*x, *y]
    apart = sorted(distance(a, b) for a, b in itertools.combinations(rows, 2))
    assert median_distance(pooled) == pytest.approx(float(np.median(apart)), rel=1e-12)
    assert energy_test(pooled, rng=rng()).statistic == pytest.approx(energy_by_hand(x, y), rel=1e-10)
    by_hand = mmd_by_hand(x, y, float(np.median(apart)))
    assert mmd_test(pooled, rng=rng()).statistic == pytest.approx(by_hand, rel=1e-10, abs=1e-13)
    assert mmd_test(pooled, rng=rng(), scale=0.7).statistic == pytest.approx(mmd_by_hand(x, y, 0.7), rel=1e-10)
    assert mmd_test(pooled, rng=rng(), scale=0.9).statistic != pytest.approx(mmd_by_hand(x, y, 0.7), rel=1e-3)


@pytest.mark.parametrize("test", [energy_test, mmd_test])
def test_the_p_value_is_the_share_of_all_relabellings(test):
    """4 + 3 rows: all 35 choices of the first sample can be counted, equal ones included."""
    x, y = rng(3).normal(size=(4, 2)), rng(4).normal(size=(3, 2)) + 0.8
    rows = np.concatenate((x, y))
    scale = median_distance(pool(x, y))
    observed = energy_by_hand(x, y) if test is energy_test else mmd_by_hand(x, y, scale)
    reached = 0
    for chosen in itertools.combinations(range(7), 4):
        first, second = rows[list(chosen)], np.delete(rows, chosen, axis=0)
        value = energy_by_hand(first, second) if test is energy_test else mmd_by_hand(first, second, scale)
        reached += value >= observed - 1e-9
    found = test(pool(x, y), rng=rng(), replicas=20_000).p_value
    share = reached / 35
    assert abs(found - share) < 4 * math.sqrt(share * (1 - share) / 20_000) + 1 / 20_000


@pytest.mark.parametrize(("n", "m"), [(50, 50), (80, 33)])
def test_in_one_dimension_it_is_the_square_of_scipys(n, m):
    x, y = rng(5).normal(size=n), 0.3 + 1.5 * rng(6).normal(size=m)
    assert energy_test(pool(x, y), rng=rng()).statistic == pytest.approx(energy_distance(x, y) ** 2, rel=1e-9)


def mean_norm(dimensions):
    """E ‖z‖ of a standard normal z."""
    return math.sqrt(2) * math.exp(gammaln((dimensions + 1) / 2) - gammaln(dimensions / 2))


@pytest.mark.parametrize(("dimensions", "width"), [(1, 2.0), (5, 1.3), (200, 1.1)])
def test_energy_of_gaussians_of_different_widths(dimensions, width):
    """E ‖x - y‖ = √(1 + s²) c; the V-statistic adds E ‖x - x'‖ / n + E ‖y - y'‖ / m."""
    n, m, c = 40, 60, mean_norm(dimensions)
    truth = (2 * math.sqrt(1 + width**2) - math.sqrt(2) * (1 + width)) * c
    expected = truth + math.sqrt(2) * c * (1 / n + width / m)
    found = []
    for seed in range(150):
        one = rng(seed)
        x, y = one.normal(size=(n, dimensions)), width * one.normal(size=(m, dimensions))
        found.append(energy_test(pool(x, y), rng=one, replicas=1).statistic)
    error = np.std(found, ddof=1) / math.sqrt(len(found))
    assert abs(np.mean(found) - expected) < 4 * error
    assert abs(np.mean(found) - truth) > 4 * error  # the bias is seen


def test_energy_of_a_shifted_gaussian():
    """|x - y| is a folded normal of mean 1 and variance 2."""
    n = 400
    across = math.sqrt(2) * math.sqrt(2 / math.pi) * math.exp(-0.25) + math.erf(0.5)
    expected = 2 * across - 4 / math.sqrt(math.pi) * (1 - 1 / n)
    found = []
    for seed in range(50):
        x, y = rng(seed).normal(size=(2, n))
        found.append(energy_test(pool(x + 1, y), rng=rng(), replicas=1).statistic)
    assert abs(np.mean(found) - expected) < 4 * np.std(found, ddof=1) / math.sqrt(len(found))


@pytest.mark.parametrize(("shift", "width"), [(0.0, 1.0), (0.5, 1.0), (0.0, 1.5)])
def test_mmd_of_gaussians(shift, width):
    """E k of a difference of covariance v I and mean a: (σ²/(σ² + v))^{N/2} exp(-‖a‖² / (2 (σ² + v)))."""
    dimensions, scale = 3, 1.7

    def mean_kernel(variance, squared):
        total = scale**2 + variance
        return (scale**2 / total) ** (dimensions / 2) * math.exp(-squared / (2 * total))

    truth = mean_kernel(2, 0) + mean_kernel(2 * width**2, 0) - 2 * mean_kernel(1 + width**2, dimensions * shift**2)
    found = []
    for seed in range(200):
        one = rng(seed)
        x, y = one.normal(size=(40, dimensions)), shift + width * one.normal(size=(50, dimensions))
        found.append(mmd_test(pool(x, y), rng=one, replicas=1, scale=scale).statistic)
    error = np.std(found, ddof=1) / math.sqrt(len(found))
    assert abs(np.mean(found) - truth) < 4 * error
    assert abs(np.mean(found) - truth - 0.02) > 4 * error


@pytest.mark.parametrize("test", [energy_test, mmd_test])
@pytest.mark.parametrize(("n", "m", "dimensions"), [(20, 20, 2), (30, 12, 50)])
def test_keeps_its_size(test, n, m, dimensions):
    """Level 10%: the number of rejections in 300 null data sets is binomial; and the mean is what is expected."""
    one = rng(n)
    found = []
    for _ in range(300):
        x, y = one.normal(size=(n, dimensions)), one.normal(size=(m, dimensions))
        found.append(test(pool(x, y), rng=one, replicas=99))
    assert binomtest(sum(f.p_value <= 0.1 for f in found), 300, 0.1).pvalue > 1e-3
    surplus = np.array([f.statistic - f.expected for f in found])
    assert abs(surplus.mean()) < 4 * surplus.std(ddof=1) / math.sqrt(300)


@pytest.mark.parametrize("test", [energy_test, mmd_test])
@pytest.mark.parametrize(
    ("dimensions", "shift", "width"), [(1, 0.6, 1.0), (50, 0.15, 1.0), (1, 0.0, 2.0), (50, 0.0, 1.3), (3072, 0.04, 1.0)]
)
def test_sees_shift_and_width(test, dimensions, shift, width):
    one = rng(dimensions)
    x, y = one.normal(size=(100, dimensions)), shift + width * one.normal(size=(100, dimensions))
    found = test(pool(x, y), rng=one, replicas=199)
    assert found.p_value <= 0.01
    assert found.statistic > found.expected
    assert (found.n, found.m) == (100, 100)


def test_images_are_flattened_and_size_does_not_matter():
    x, y = rng(8).normal(size=(2, 12, 3, 4, 4))
    found = energy_test(pool(x, y), rng=rng())
    flat = energy_test(pool(x.reshape(12, -1), y.reshape(12, -1)), rng=rng())
    assert found == flat
    large = energy_test(pool(x * 1e200, y * 1e200), rng=rng())
    assert large.statistic == pytest.approx(1e200 * found.statistic, rel=1e-9)
    assert large.p_value == found.p_value
    assert mmd_test(pool(x * 1e200, y * 1e200), rng=rng()).p_value == mmd_test(pool(x, y), rng=rng()).p_value


def test_equal_samples_and_copies():
    x = rng(9).normal(size=(10, 5))
    found = energy_test(pool(x, x), rng=rng())
    assert found.statistic == pytest.approx(0.0, abs=1e-7)
    assert found.p_value == 1.0
    nothing = mmd_test(pool(np.ones((5, 2)), np.ones((6, 2))), rng=rng())
    assert "median distance is 0" in nothing.reason
    assert math.isnan(nothing.p_value)
    assert energy_test(pool(np.ones((5, 2)), np.ones((6, 2))), rng=rng()).p_value == 1.0


@pytest.mark.parametrize("test", [energy_test, mmd_test])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_row_that_is_not_finite(test, bad):
    x, y = rng(10).normal(size=(2, 10, 3))
    y[4, 1] = bad
    found = test(pool(x, y), rng=rng())
    assert found.reason == "1 of 20 rows are not finite"
    assert math.isnan(found.statistic)
    assert math.isnan(found.p_value)


def test_refusals():
    with pytest.raises(ValueError, match="two rows or more of one shape"):
        pool(np.ones((3, 2)), np.ones((3, 4)))
    with pytest.raises(ValueError, match="two rows or more"):
        pool(np.ones((1, 2)), np.ones((3, 2)))
    with pytest.raises(ValueError, match="scale"):
        mmd_test(pool(np.eye(3), np.eye(3)), rng=rng(), scale=0.0)


@pytest.mark.slow
def test_a_thousand_images_are_quick():
    x, y = rng(11).normal(size=(2, 1000, 3072))
    start = time.process_time()
    pooled = pool(x, y)
    energy_test(pooled, rng=rng())
    mmd_test(pooled, rng=rng())
    assert time.process_time() - start < 4  # 0.8 s on a free core; a loop over pairs takes minutes
