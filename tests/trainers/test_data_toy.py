"""The densities integrate to one, and the samplers draw from exactly these densities."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from ebmdiag.errors import UsageError
from ebmdiag.report.pictures import read_landscape
from ebmdiag_trainers.data import EightGaussians, Rings
from ebmdiag_trainers.nets import ToyNet
from ebmdiag_trainers.pictures import save_landscape

DENSITIES = [Rings(), EightGaussians()]
DRAWS = 200_000


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def draw(density, count=DRAWS, seed=0):
    return density.draw(count, seeded(seed)).numpy()[:, :, 0, 0].astype(np.float64)


def cell_probabilities(density, edges):
    """Mass in each cell of a grid, by Gauss-Legendre quadrature with 5 x 5 nodes a cell."""
    nodes, weights = np.polynomial.legendre.leggauss(5)
    width = edges[1] - edges[0]
    places = ((edges[:-1] + edges[1:]) / 2)[:, None] + nodes * width / 2
    x, y = np.meshgrid(places.ravel(), places.ravel(), indexing="ij")
    density_values = np.exp(density.log_density(np.stack([x, y], axis=-1)))
    cells = density_values.reshape(len(places), 5, len(places), 5)
    return np.einsum("ajbk,j,k->ab", cells, weights, weights) * (width / 2) ** 2


def p_value(points, density):
    """Chi-square of the points against the density over cells; rare cells, and the outside, form one."""
    edges = np.linspace(-density.extent, density.extent, 97)
    probability = cell_probabilities(density, edges)
    counts, _, _ = np.histogram2d(points[:, 0], points[:, 1], bins=[edges, edges])
    common = probability * len(points) >= 10
    observed = np.append(counts[common], len(points) - counts[common].sum())
    expected = np.append(probability[common], 1 - probability[common].sum()) * len(points)
    return stats.chisquare(observed, expected).pvalue


@pytest.mark.parametrize("density", DENSITIES, ids=lambda density: density.name)
def test_density_integrates_to_one_over_its_square(density):
    mass = cell_probabilities(density, np.linspace(-density.extent, density.extent, 201)).sum()
    assert abs(mass - 1) < 1e-8


@pytest.mark.parametrize("sigma", [0.15, 0.4, 0.9])
def test_rings_integrate_to_one_at_any_width_along_the_radius(sigma):
    density = Rings(sigma)
    mass, error = integrate.quad(
        lambda r: 2 * math.pi * r * math.exp(density.log_density(np.array([r, 0.0]))), 0, 4 + 12 * sigma, limit=500
    )
    assert abs(mass - 1) < max(1e-9, 10 * error)


def stated_rings(radius, sigma):
    """The formula as it is written down, without the normalising constant."""
    return sum(stats.norm.pdf(radius, m, sigma) / m for m in (1, 2, 3, 4)) / (8 * math.pi)


def test_rings_follow_the_stated_formula_up_to_the_truncation_at_the_origin():
    radius = np.array([0.3, 0.9, 1.0, 1.45, 2.2, 3.5, 4.1, 4.8])
    found = np.exp(Rings().log_density(np.stack([radius, np.zeros(8)], axis=-1)))
    np.testing.assert_allclose(found, stated_rings(radius, 0.15), rtol=1e-12)


def test_the_stated_formula_alone_misses_one_where_rings_are_wide():
    mass, _ = integrate.quad(lambda r: 2 * math.pi * r * stated_rings(r, 0.9), 0, 20, limit=500)
    assert mass > 1.01
    ratio = stated_rings(1.7, 0.9) / np.exp(Rings(0.9).log_density(np.array([1.7, 0.0])))
    assert ratio == pytest.approx(mass, rel=1e-9)


def test_eight_gaussians_follow_the_stated_formula():
    points = np.random.default_rng(1).uniform(-2, 2, size=(50, 2))
    centres = [(math.cos(2 * math.pi * k / 8), math.sin(2 * math.pi * k / 8)) for k in range(8)]
    stated = np.mean([stats.multivariate_normal(c, 0.15**2 * np.eye(2)).pdf(points) for c in centres], axis=0)
    np.testing.assert_allclose(np.exp(EightGaussians().log_density(points)), stated, rtol=1e-10)


def test_log_density_stays_finite_far_away():
    far = np.array([[60.0, 0.0], [0.0, -1e4]])
    assert np.isfinite(Rings().log_density(far)).all()
    assert np.isfinite(EightGaussians().log_density(far)).all()


@pytest.mark.parametrize("density", [*DENSITIES, Rings(0.9)], ids=["rings", "gmm", "wide rings"])
def test_sampler_fits_its_density(density):
    assert p_value(draw(density), density) > 1e-3


@pytest.mark.parametrize("kind", [Rings, EightGaussians])
def test_a_wrong_width_fails_the_same_test(kind):
    assert p_value(draw(kind(0.17)), kind(0.15)) < 1e-6


def test_a_radius_without_the_area_element_fails_the_same_test():
    """The sampler of the reference implementation: ring, then radius from Normal(m, sigma)."""
    random = np.random.default_rng(2)
    radius = random.integers(1, 5, DRAWS) + 0.15 * random.standard_normal(DRAWS)
    angle = random.uniform(0, 2 * math.pi, DRAWS)
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
    assert p_value(points, Rings()) < 1e-6


def test_mean_radius_of_the_inner_ring_is_size_biased():
    radius = np.linalg.norm(draw(Rings()), axis=-1)
    inner = radius[radius < 1.5]
    error = inner.std() / math.sqrt(len(inner))
    assert abs(inner.mean() - (1 + 0.15**2)) < 4 * error + 3e-4  # 3e-4: the cut at 1.5 between two rings
    assert abs(inner.mean() - 1) > 20 * error


def test_the_mode_of_a_point_is_the_nearest_one():
    on_rings = np.array([[1.49, 0], [0, -1.51], [0, 0], [-2.4, 2.4], [0, 99]])
    assert Rings().modes(on_rings).tolist() == [0, 1, 0, 2, 3]
    centres = EightGaussians().centres
    assert EightGaussians().modes(np.stack([centres, 0.5 * centres, 7 * centres])).tolist() == [[*range(8)]] * 3
    assert EightGaussians().modes(np.array([0.1, 1.2])) == EightGaussians.mode_names.index("90°")


@pytest.mark.parametrize("density", DENSITIES, ids=lambda density: density.name)
def test_modes_share_the_draws_evenly(density):
    counts = np.bincount(density.modes(draw(density)), minlength=len(density.mode_names))
    assert len(counts) == len(set(density.mode_names))
    expected = np.full(len(counts), DRAWS / len(counts))
    assert stats.chisquare(counts, expected).pvalue > 1e-3
    uneven = np.bincount(density.modes(draw(density) + 0.3), minlength=len(counts))  # negative control
    assert stats.chisquare(uneven, expected).pvalue < 1e-6


@pytest.mark.parametrize("density", DENSITIES, ids=lambda density: density.name)
def test_a_landscape_holds_the_modes_of_grid_and_samples(density, tmp_path):
    torch.manual_seed(0)
    samples = density.draw(30, seeded())
    save_landscape(tmp_path / "step_7.npz", ToyNet(), density, samples, 7, epsilon=0.1)
    found = read_landscape(tmp_path / "step_7.npz", 1)
    assert (found.step, found.mode_names) == (7, density.mode_names)
    assert found.modes.dtype == found.sample_modes.dtype == np.int8
    row, column = 3, 100
    place = np.array([found.grid[column], found.grid[row]])
    assert found.modes[row, column] == density.modes(place)
    assert found.log_true[row, column] == density.log_density(place)
    np.testing.assert_array_equal(found.sample_modes, density.modes(found.samples))


@pytest.mark.parametrize("density", DENSITIES, ids=lambda density: density.name)
def test_draws_are_states_of_the_contract(density):
    points = density.draw(7, seeded())
    assert points.shape == (7, *density.shape) == (7, 2, 1, 1)
    assert points.dtype == torch.float32
    assert density.size is None
    assert density.draw(0, seeded()).shape == (0, 2, 1, 1)
    assert np.abs(draw(density)).max() < density.extent


@pytest.mark.parametrize("density", DENSITIES, ids=lambda density: density.name)
def test_the_generator_alone_decides(density):
    ours, theirs = seeded(3), seeded(3)
    before = torch.get_rng_state()
    first = density.draw(1000, ours)
    torch.rand(5)
    assert torch.equal(first, density.draw(1000, theirs))
    assert torch.equal(ours.get_state(), theirs.get_state())
    assert not torch.equal(first, density.draw(1000, ours))
    torch.set_rng_state(before)
    density.draw(10, ours)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("kind", [Rings, EightGaussians])
@pytest.mark.parametrize("sigma", [0.0, -1.0, math.nan, math.inf])
def test_an_impossible_width_is_refused(kind, sigma):
    with pytest.raises(UsageError, match="sigma must be a finite number above 0"):
        kind(sigma)


@pytest.mark.parametrize("density", DENSITIES, ids=lambda density: density.name)
def test_wrong_shapes_and_counts_are_refused(density):
    with pytest.raises(UsageError, match=r"shape \(\.\.\., 2\), but got shape \(4, 3\)"):
        density.log_density(np.zeros((4, 3)))
    with pytest.raises(UsageError, match="at least 0, but is -1"):
        density.draw(-1, seeded())
