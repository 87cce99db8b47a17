"""Nearest rows against a double loop and scipy's tree, planted copies, and the size of the test for copying."""

import time

import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.stats import binomtest, mannwhitneyu

from ebmdiag.numerics.neighbours import copying_test, nearest


def rng(seed=0):
    return np.random.default_rng(seed)


def by_hand(x, reference, left_out=None):
    distances = np.array([[np.sqrt(((a - b) ** 2).sum()) for b in reference] for a in x])
    if left_out is not None:
        distances[np.arange(len(x)), left_out] = np.inf
    return distances.min(1), distances.argmin(1)


@pytest.mark.parametrize("block", [3, 7, 1024])
@pytest.mark.parametrize("dimensions", [1, 4])
def test_equals_the_double_loop(block, dimensions, monkeypatch):
    monkeypatch.setattr("ebmdiag.numerics.neighbours._BLOCK", block)
    x, reference = rng(1).normal(size=(10, dimensions)), rng(2).normal(size=(16, dimensions)) + 100.0
    x += 100.0
    distance, index = by_hand(x, reference)
    found = nearest(x, reference)
    np.testing.assert_array_equal(found.index, index)
    np.testing.assert_allclose(found.distance, distance, rtol=1e-12)
    farthest = rng(3).integers(0, 16, 10)
    farthest[:4] = index[:4]  # the nearest does not count
    distance, index = by_hand(x, reference, farthest)
    found = nearest(x, reference, exclude=farthest)
    np.testing.assert_array_equal(found.index, index)
    np.testing.assert_allclose(found.distance, distance, rtol=1e-12)


def test_equals_scipys_tree_on_many_rows():
    x, reference = rng(4).normal(size=(500, 8)).astype(np.float32), rng(5).normal(size=(3000, 8)).astype(np.float32)
    distance, index = cKDTree(reference.astype(float)).query(x.astype(float))
    found = nearest(x, reference)
    np.testing.assert_array_equal(found.index, index)
    np.testing.assert_allclose(found.distance, distance, rtol=1e-10)


def test_copies_and_near_copies_are_exact():
    """float32 images: a copy has distance 0, one with a tiny change the length of the change."""
    reference = rng(6).uniform(-1, 1, (300, 3, 16, 16)).astype(np.float32)
    x = reference[[7, 7, 200]].astype(np.float64)
    x[1, 0, 0, 0] += 1e-6
    x[2] += 1e-7
    found = nearest(x, reference)
    np.testing.assert_array_equal(found.index, [7, 7, 200])
    assert found.distance[0] == 0.0
    np.testing.assert_allclose(found.distance[1:], [1e-6, 1e-7 * np.sqrt(768)], rtol=1e-5)
    gram = (x[0].ravel() ** 2).sum() + (reference[7].ravel() ** 2).sum() - 2 * x[0].ravel() @ reference[7].ravel()
    assert np.sqrt(abs(gram)) > 1e-6  # why the winner's distance is computed anew


def test_a_data_set_against_itself_without_each_row_itself():
    x = rng(7).normal(size=(200, 5))
    assert nearest(x, x).distance.max() == 0
    found = nearest(x, x, exclude=np.arange(200))
    assert found.distance.min() > 0
    assert (found.index != np.arange(200)).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_row_that_is_not_finite(bad):
    x, reference = rng(8).normal(size=(5, 3)), rng(9).normal(size=(6, 3))
    expected = nearest(x, reference)
    x[2, 1] = bad
    found = nearest(x, reference)
    assert np.isnan(found.distance).tolist() == [False, False, True, False, False]
    assert found.index[2] == -1
    kept = [0, 1, 3, 4]
    np.testing.assert_array_equal(found.distance[kept], expected.distance[kept])
    reference[4, 0] = bad
    with pytest.raises(ValueError, match="row 4 is not"):
        nearest(x, reference)


def test_refusals():
    with pytest.raises(ValueError, match="one shape"):
        nearest(np.ones((2, 3)), np.ones((2, 4)))
    with pytest.raises(ValueError, match="one shape"):
        nearest(np.ones((2, 3)), np.ones((0, 3)))
    with pytest.raises(ValueError, match="each of 2 rows"):
        nearest(np.ones((2, 3)), np.ones((4, 3)), exclude=[1])
    with pytest.raises(ValueError, match="between -1 and 3"):
        nearest(np.ones((2, 3)), np.ones((4, 3)), exclude=[1, 4])
    with pytest.raises(ValueError, match="none is left"):
        nearest(np.ones((1, 3)), np.ones((1, 3)), exclude=[0])
    assert len(nearest(np.ones((0, 3)), np.ones((4, 3))).distance) == 0


def images(seed, n, dimensions=12):
    return rng(seed).normal(size=(n, dimensions))


def verdict(samples, held_out, reference):
    return copying_test(nearest(samples, reference).distance, nearest(held_out, reference).distance)


def test_planted_copies_are_found():
    """A third of the samples are training rows with a little noise."""
    reference, held_out, samples = images(1, 400), images(2, 100), images(3, 90)
    assert verdict(samples, held_out, reference).p_value > 0.05
    samples[:30] = reference[:30] + 0.05 * images(4, 30)
    found = verdict(samples, held_out, reference)
    assert found.p_value < 1e-4
    assert found.ratio < 0.97
    assert (found.samples, found.held_out, found.reason) == (90, 100, "")


def test_honest_samples_keep_the_size():
    """Level 10% in 300 repetitions; R is shared by samples and held-out rows."""
    found = [verdict(images(3 * s, 40), images(3 * s + 1, 50), images(3 * s + 2, 60)) for s in range(300)]
    assert binomtest(sum(one.p_value <= 0.1 for one in found), 300, 0.1).pvalue > 1e-3
    assert np.mean([one.ratio for one in found]) == pytest.approx(1.0, abs=0.02)


def test_samples_that_are_farther_are_no_copies():
    found = verdict(1.5 * images(5, 100), images(6, 100), images(7, 300))
    assert found.p_value > 0.99
    assert found.ratio > 1.1


def test_the_p_value_is_scipys():
    a, b = rng(10).uniform(size=30), rng(11).uniform(size=20)
    found = copying_test(a, b)
    assert found.p_value == pytest.approx(mannwhitneyu(a, b, alternative="less").pvalue)
    assert found.ratio == pytest.approx(np.median(a) / np.median(b))


CASES = [
    ([np.nan, np.nan], [1.0, 2.0], True, True, "2 distances are not finite"),
    ([], [1.0, 2.0], True, True, "no distances"),
    ([1.0, np.nan, 2.0], [1.5, 2.5], False, False, "1 distances are not finite"),
    ([0.0, 0.0], [0.0, 0.0, 1.0], False, True, "half of the held-out rows"),
    ([1.0, 1.0], [1.0, 1.0], False, False, ""),
]


@pytest.mark.parametrize(("samples", "held_out", "no_p", "no_ratio", "reason"), CASES)
def test_what_cannot_be_compared(samples, held_out, no_p, no_ratio, reason):
    found = copying_test(samples, held_out)
    assert np.isnan(found.p_value) == no_p
    assert np.isnan(found.ratio) == no_ratio
    assert found.reason.startswith(reason)
    assert bool(found.reason) == bool(reason)


@pytest.mark.slow
def test_eight_thousand_images_are_quick():
    reference = rng(12).uniform(-1, 1, (8000, 3072)).astype(np.float32)
    x = reference[:200] + np.float32(0.01)
    start = time.process_time()
    found = nearest(x, reference)
    assert time.process_time() - start < 6  # 0.6 s on a free core
    np.testing.assert_array_equal(found.index, np.arange(200))
