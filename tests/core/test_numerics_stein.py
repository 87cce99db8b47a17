"""Kernel Stein discrepancy and nested R-hat against closed forms, finite differences and the size of the test."""

import numpy as np
import pytest
from scipy.stats import binomtest

from ebmdiag.numerics.nested import nested_rhat
from ebmdiag.numerics.stein import stein_discrepancy, stein_kernel


def kernel(x, y, scale=1.3):
    return (scale**2 + np.sum((x - y) ** 2)) ** -0.5


def by_differences(x, y, score_x, score_y, step=1e-4):
    """h from its definition, the kernel's derivatives by central differences."""
    unit = np.eye(len(x)) * step
    along_x = np.array([kernel(x + e, y) - kernel(x - e, y) for e in unit]) / (2 * step)
    along_y = np.array([kernel(x, y + e) - kernel(x, y - e) for e in unit]) / (2 * step)
    mixed = [kernel(x + e, y + e) - kernel(x + e, y - e) - kernel(x - e, y + e) + kernel(x - e, y - e) for e in unit]
    return score_x @ score_y * kernel(x, y) + score_x @ along_y + score_y @ along_x + np.sum(mixed) / (4 * step**2)


def test_the_kernel_is_the_stein_operator_applied_twice():
    rng = np.random.default_rng(1)
    x, s = rng.normal(size=(5, 3)), rng.normal(size=(5, 3))
    expected = [[by_differences(x[i], x[j], s[i], s[j]) for j in range(5)] for i in range(5)]
    np.testing.assert_allclose(stein_kernel(x, s, 1.3), expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(AssertionError):  # the other sign of the score is another density
        np.testing.assert_allclose(stein_kernel(x, -s, 1.3), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("coordinates", "chains"), [(1, 60), (3, 60), (50, 40), (3072, 30)])
def test_the_test_keeps_its_size_on_the_right_density(coordinates, chains):
    """Samples of p itself: the U-statistic is 0 within its error, and p-values below 0.1 come in 10% of cases."""
    rng = np.random.default_rng(coordinates)
    found = []
    for _ in range(150 if coordinates < 3000 else 60):
        x = rng.normal(size=(chains, coordinates))
        found.append(stein_discrepancy(x, -x, scale=coordinates**0.5, rng=rng, replicas=199))
    squared = np.array([one.squared for one in found])
    assert abs(squared.mean()) < 4 * squared.std(ddof=1) / len(squared) ** 0.5
    rejected = sum(one.p_value <= 0.1 for one in found)
    assert binomtest(rejected, len(found), 0.1).pvalue > 1e-4


def p_value(x, score, seed=1):
    found = stein_discrepancy(x, score, scale=x.shape[1] ** 0.5, rng=np.random.default_rng(seed), replicas=199)
    return found.p_value if found.squared > 0 else 1.0


@pytest.mark.parametrize(("coordinates", "shift"), [(1, 0.6), (3, 0.6), (50, 0.3), (3072, 0.2)])
def test_samples_that_are_shifted_are_seen(coordinates, shift):
    x = np.random.default_rng(coordinates).normal(size=(80, coordinates))
    assert p_value(x + shift, -(x + shift)) == pytest.approx(1 / 200)


@pytest.mark.parametrize(("coordinates", "width"), [(1, 2.0), (3, 1.6)])
def test_samples_that_are_too_wide_are_seen_in_few_dimensions(coordinates, width):
    x = width * np.random.default_rng(coordinates).normal(size=(400, coordinates))
    assert p_value(x, -x) == pytest.approx(1 / 200)


def test_in_many_dimensions_it_hardly_sees_a_width():
    """The documented limit: pairs of independent samples are nearly orthogonal, so 5% of width leaves no mark."""
    x = 1.05 * np.random.default_rng(1).normal(size=(80, 3072))
    assert p_value(x, -x) > 0.01


def test_it_is_nearly_blind_to_the_weights_of_modes():
    """The documented limit: two far modes, all samples in one of them."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(80, 1)) + 20.0
    score = -(x - 20.0)  # of an equal mixture at -20 and +20, as seen in either mode
    assert stein_discrepancy(x, score, scale=1.0, rng=rng).p_value > 0.01


def test_a_score_that_is_not_finite_gives_no_p_value():
    x = np.random.default_rng(1).normal(size=(20, 2))
    scores = -x.copy()
    scores[3, 0] = np.nan
    found = stein_discrepancy(x, scores, scale=1.0, rng=np.random.default_rng(1))
    assert np.isnan(found.squared)
    assert np.isnan(found.p_value)


def test_what_the_discrepancy_refuses():
    rng = np.random.default_rng(1)
    with pytest.raises(ValueError, match="n at least 2"):
        stein_discrepancy([[1.0]], [[1.0]], scale=1.0, rng=rng)
    with pytest.raises(ValueError, match="scale"):
        stein_discrepancy([[1.0], [2.0]], [[1.0], [2.0]], scale=0.0, rng=rng)


@pytest.mark.parametrize("chains", [2, 4, 16])
def test_nested_rhat_of_chains_that_forgot_their_start(chains):
    """E B = W / M: the mean of B/W over many sets is 1/M times E(1/W), close to 1/M for many superchains."""
    rng = np.random.default_rng(chains)
    squares = np.array([nested_rhat(rng.normal(size=(50, chains, 1))) ** 2 for _ in range(300)])
    freedom = 50 * (chains - 1)
    truth = 1 + freedom / (freedom - 2) / chains  # E 1/W of a chi-square with that many degrees of freedom
    assert abs(squares.mean() - truth) < 4 * squares.std(ddof=1) / 300**0.5
    assert (1 + 1 / chains) ** 0.5 == pytest.approx(truth**0.5, rel=0.01)


def test_nested_rhat_sees_chains_that_remember():
    """Starts of variance 1, kept: B estimates 1 + 1/M, so R is near √(2 + 1/M)."""
    rng = np.random.default_rng(2)
    draws = rng.normal(size=(2000, 1, 1)) + rng.normal(size=(2000, 4, 1))
    assert nested_rhat(draws) == pytest.approx((2 + 1 / 4) ** 0.5, rel=0.03)


def test_nested_rhat_by_hand():
    draws = np.array([[[1.0, 3.0], [3.0, 5.0]], [[2.0, 2.0], [0.0, 4.0]]])
    # chain means 2, 4 and 2, 2; superchain means 3 and 2; B = 0.5
    # W = mean of (2 + (2 + 2)/2) and (0 + (0 + 8)/2) = 4
    assert nested_rhat(draws) == pytest.approx((1 + 0.5 / 4) ** 0.5)
    twice = np.stack([draws, draws], axis=-1)
    assert nested_rhat(twice) == pytest.approx(nested_rhat(draws))


def test_nested_rhat_where_nothing_varies():
    assert np.isnan(nested_rhat(np.ones((3, 2, 1))))
    assert nested_rhat(np.arange(3.0).repeat(2).reshape(3, 2, 1)) == np.inf
    with pytest.raises(ValueError, match="at least 2"):
        nested_rhat(np.ones((1, 4, 1)))
