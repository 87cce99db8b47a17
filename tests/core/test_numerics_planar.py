"""Distances of planar densities against closed forms; the kernel density against SciPy's; the floor against samples."""

import time
from itertools import pairwise

import numpy as np
import pytest
from planar_truth import (
    draw_gaussians,
    draw_rings,
    log_gaussians,
    log_rings,
    nearest_centre,
    nearest_ring,
    square,
)
from scipy import integrate, stats

from ebmdiag.numerics.planar import compare, mode_weights, normalized, outside, quadrature
from ebmdiag.numerics.planar_kernel import (
    BANDWIDTH,
    LOWEST,
    draw_from_grid,
    kernel_density,
    sampling_floor,
)
from ebmdiag.numerics.shares import share

RINGS = 4.9


def log_normal(points, mean, deviations):
    return (-0.5 * ((points - mean) / deviations) ** 2 - np.log(np.sqrt(2 * np.pi) * np.array(deviations))).sum(-1)


def closed_divergence(mean_q, deviations_q, mean_p, deviations_p):
    ratio = np.array(deviations_q) / deviations_p
    offset = (np.array(mean_q) - mean_p) / deviations_p
    return float((0.5 * (ratio**2 + offset**2 - 1) - np.log(ratio)).sum())


Q, P = ([0.3, -0.2], [0.5, 0.4]), ([0.0, 0.1], [0.6, 0.7])


@pytest.mark.parametrize(("points", "error"), [(41, 1e-5), (121, 1e-11), (241, 1e-11)])
def test_divergence_of_two_gaussians_and_what_refining_the_grid_changes(points, error):
    """At 121 points the error of quadrature is that of rounding; at 41 the spacing is as large as a deviation / 2."""
    grid, places = square(5.0, points)
    found = compare(grid, log_normal(places, *Q), log_normal(places, *P) - 4321)
    assert found.divergence == pytest.approx(closed_divergence(*Q, *P), abs=error)
    assert found.true_mass == pytest.approx(1, abs=error)
    assert closed_divergence(*P, *Q) != pytest.approx(found.divergence, rel=0.1)  # the order matters


def test_total_variation_of_shifted_gaussians():
    grid, places = square(5.0)
    found = compare(grid, log_normal(places, [0, 0], [0.5, 0.5]), log_normal(places, [0.4, 0], [0.5, 0.5]))
    assert found.total_variation == pytest.approx(2 * stats.norm.cdf(0.4) - 1, abs=2e-3)
    assert found.divergence == pytest.approx(0.4**2 / (2 * 0.5**2), abs=1e-10)


@pytest.mark.parametrize(
    ("log_density", "extent", "beyond"), [(log_rings, RINGS, 1e-8), (log_gaussians, 1.9, 1e-8)], ids=["rings", "gmm"]
)
def test_mass_on_the_square(log_density, extent, beyond):
    """The square reaches six deviations past the modes."""
    grid, places = square(extent)
    assert abs(np.exp(normalized(log_density(places), quadrature(grid))[1]) - 1) < beyond
    narrow, inside = square(extent - 0.9)  # negative control: a square up to the middle of the outermost mode
    assert normalized(log_density(inside), quadrature(narrow))[1] < -0.03


def weights_of(log_density, nearest, extent, points, count):
    grid, places = square(extent, points)
    area = quadrature(grid)
    return mode_weights(normalized(log_density(places), area)[0], nearest(places), area, count)


def test_weights_of_narrow_rings_are_the_closed_form():
    """[Phi(a) + phi(a)/a] / 4, normalized, with a = m / width; rings that far apart share no mass."""
    width = 0.08
    a = np.arange(1, 5) / width
    exact = stats.norm.cdf(a) + stats.norm.pdf(a) / a
    found = weights_of(lambda x: log_rings(x, width), nearest_ring, RINGS, 241, 4)
    np.testing.assert_allclose(found, exact / exact.sum(), atol=1e-8)


def test_weights_of_rings_that_touch_are_those_of_shells():
    def radial(r):
        return 2 * np.pi * r * np.exp(log_rings(np.array([r, 0.0])))

    edges = [0, 1.5, 2.5, 3.5, 5.5]
    exact = [integrate.quad(radial, low, high)[0] for low, high in pairwise(edges)]
    np.testing.assert_allclose(weights_of(log_rings, nearest_ring, RINGS, 121, 4), exact, atol=2e-4)


def test_eight_gaussians_weigh_an_eighth():
    found = weights_of(log_gaussians, nearest_centre, 1.9, 121, 8)
    np.testing.assert_allclose(found, 1 / 8, atol=5e-4)  # the borders run along grid points
    uneven = weights_of(lambda x: log_gaussians(x, (2 / 9, *(1 / 9,) * 7)), nearest_centre, 1.9, 121, 8)
    assert uneven[0] == pytest.approx(2 / 9, abs=2e-3)
    assert abs(uneven[0] - 1 / 8) > 0.05


def test_a_mode_without_a_grid_point_weighs_nothing():
    grid, places = square(1.9, 21)
    area = quadrature(grid)
    found = mode_weights(normalized(log_gaussians(places), area)[0], np.zeros((21, 21), np.int8), area, 3)
    np.testing.assert_allclose(found, [1, 0, 0])


def test_a_density_between_the_grid_points_is_doubted_and_a_smooth_one_is_not():
    grid, places = square()
    true = log_gaussians(places)
    assert compare(grid, true, true).doubt == ""
    for place, height, words in (
        (61, 5, "every other point gives"),
        (61, 30, "mass lies on"),
        (60, 2000, "mass lies on"),
    ):
        spiked = true.copy()
        spiked[place, place] = true.max() + height
        assert words in compare(grid, true, spiked).doubt


def test_the_number_of_points_under_a_gaussian():
    grid, places = square(5.0)
    found = compare(grid, log_normal(places, *Q), log_normal(places, *P))
    assert found.points == pytest.approx(4 * np.pi * 0.6 * 0.7 / (grid[1] - grid[0]) ** 2)


def test_energies_near_the_largest_float_do_no_harm():
    grid, places = square(1.9, 21)
    energy = np.where(nearest_centre(places) == 0, 1e308, -1e308)
    assert compare(grid, log_gaussians(places), -energy).divergence > 1e300


def test_no_mass_is_refused():
    with pytest.raises(ValueError, match="finite largest value"):
        normalized(np.full((5, 5), -np.inf), np.ones((5, 5)))


def test_samples_outside_of_the_square():
    assert outside(np.array([[0, 0], [1, -1], [1.1, 0], [0, -9], [2, 2]]), np.linspace(-1, 1, 5)) == 3


def stretched(correlation, count=700):
    root = np.linalg.cholesky([[1, correlation], [correlation, 1]])
    return np.random.default_rng(3).standard_normal((count, 2)) @ root.T * [1.5, 0.6] + [0.3, -1]


@pytest.mark.parametrize("correlation", [0.0, 0.05, -0.6, 0.99])
def test_kernel_density_is_that_of_scipy(correlation):
    grid, places = square(4.9, 61)
    samples = stretched(correlation)
    kernel = stats.gaussian_kde(samples.T, bw_method=lambda kde: BANDWIDTH * kde.scotts_factor())
    exact = np.log(np.maximum(kernel(places.reshape(-1, 2).T), 1e-300)).reshape(61, 61)
    found = kernel_density(samples, grid)
    np.testing.assert_allclose(found, exact, atol=1e-9)
    assert (found > LOWEST).mean() > 0.1
    assert np.abs(kernel_density(samples, grid, 1.01 * BANDWIDTH) - exact).max() > 0.01  # negative control


def test_kernel_density_is_fast():
    grid, _ = square(RINGS)
    samples = draw_rings(2000)
    took = []
    for _ in range(3):
        began = time.process_time()
        kernel_density(samples, grid)
        took.append(time.process_time() - began)
    assert min(took) < 0.5


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros((0, 2)),
        np.eye(2),
        np.ones((9, 2)),
        np.linspace(0, 1, 18).repeat(2).reshape(18, 2),
        stretched(0) * 1e200,
    ],
    ids=["none", "two", "one point", "a line", "overflow"],
)
def test_samples_without_a_kernel_density(samples):
    assert kernel_density(samples, np.linspace(-1, 1, 9)) is None


def test_draws_from_a_grid_follow_the_density():
    grid, places = square(RINGS)
    found = draw_from_grid(log_rings(places), grid, 100_000, np.random.default_rng(5))
    assert found.shape == (100_000, 2)
    radius = np.linalg.norm(found, axis=1)
    exact = np.linalg.norm(draw_rings(100_000, 6), axis=1)
    assert stats.ks_2samp(radius, exact).pvalue > 1e-3
    assert stats.ks_2samp(radius, exact + 0.02).pvalue < 1e-6  # negative control: a seventh of a ring's width
    assert stats.kstest(np.arctan2(*found.T) / (2 * np.pi) + 0.5, "uniform").pvalue > 1e-3


def test_draws_from_a_grid_know_which_axis_is_which():
    grid, places = square(5.0)
    mean, deviations = [0.7, -0.4], [0.3, 0.9]
    found = draw_from_grid(log_normal(places, mean, deviations), grid, 40_000, np.random.default_rng(7))
    assert (np.abs(found.mean(0) - mean) < 4 * np.array(deviations) / 200).all()
    spread = np.sqrt(np.array(deviations) ** 2 + ((grid[1] - grid[0]) / 4) ** 2 / 12)  # what drawing in cells adds
    assert (np.abs(found.std(0) / spread - 1) < 4 / np.sqrt(2 * 40_000)).all()


@pytest.mark.parametrize(
    ("log_density", "draw", "extent"), [(log_rings, draw_rings, RINGS), (log_gaussians, draw_gaussians, 1.9)]
)
def test_the_floor_is_what_exact_samples_score(log_density, draw, extent):
    grid, places = square(extent)
    true = log_density(places)
    found = sampling_floor(true, grid, 500)
    scores = [compare(grid, true, kernel_density(draw(500, seed), grid)) for seed in range(10)]
    divergences = np.array([one.divergence for one in scores])
    error = np.hypot(divergences.std(ddof=1) / np.sqrt(10), found.spread / np.sqrt(8))
    assert abs(found.divergence - divergences.mean()) < 4 * error
    assert found.total_variation == pytest.approx(np.mean([one.total_variation for one in scores]), rel=0.05)
    wide = compare(grid, true, kernel_density(1.1 * draw(500, 1), grid))
    assert wide.divergence - found.divergence > 4 * found.spread  # negative control: samples a tenth too wide


def test_the_floor_is_the_same_each_time_and_falls_with_the_count():
    grid, places = square()
    true = log_gaussians(places)
    few, more = (sampling_floor(true, grid, count) for count in (100, 1000))
    assert few == sampling_floor(true, grid, 100)
    assert few.divergence > 2 * more.divergence > 0
    assert sampling_floor(true, grid, 2) is None


@pytest.mark.parametrize(("hits", "draws"), [(0, 20), (3, 20), (20, 20), (250, 2000)])
def test_shares_have_wilsons_interval(hits, draws):
    found = share(hits, draws, 0.9)
    exact = stats.binomtest(hits, draws).proportion_ci(0.9, "wilson")
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=1e-12)
    assert found.error == pytest.approx(stats.binom(draws, hits / draws).std() / draws)
    assert share(hits, draws, 0.99).high >= found.high


@pytest.mark.parametrize(("hits", "draws"), [(0, 0), (-1, 5), (6, 5)])
def test_impossible_shares_are_refused(hits, draws):
    with pytest.raises(ValueError, match="0 <= hits <= draws"):
        share(hits, draws)
