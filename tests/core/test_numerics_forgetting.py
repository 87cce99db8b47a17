"""Whether ends of chains tell where they began: size, power, and the closed forms of two modes."""

import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform
from scipy.stats import binom

from ebmdiag.numerics.forgetting import forgetting, principal_axes


def frozen(rng, starts, copies, coordinates, apart):
    """Ends of chains that never leave one of two modes at a distance ``apart`` along the first coordinate."""
    states = rng.standard_normal((starts * copies, coordinates))
    states[:, 0] += apart / 2 * np.repeat(rng.choice([-1, 1], starts), copies)
    return states, np.repeat(np.arange(starts), copies)


@pytest.fixture
def rng():
    return np.random.default_rng(41)


def test_ratios_are_those_of_all_pairs(rng):
    """Against plain arithmetic, with starts of different numbers of chains, out of order."""
    states, starts = rng.standard_normal((14, 3)), rng.permutation([7, 7, 7, 7, 7, 3, 3, 5, 5, 5, 1, 1, 1, 9])
    found = forgetting(states, starts, rng=rng, replicas=9)
    upper = np.triu_indices(14, 1)
    near = (starts[:, None] == starts)[upper]
    distances = pdist(states)
    assert found.ratio == pytest.approx(distances[near].mean() / distances[~near].mean())
    centred = states - states.mean(0)
    along = centred @ np.linalg.svd(centred)[2].T
    squares = [(np.subtract.outer(y, y)[upper] ** 2) for y in along.T]
    assert found.axis_ratio == pytest.approx(min(gap[near].mean() / gap[~near].mean() for gap in squares))
    assert (found.chains, found.starts) == (14, 5)


def test_axes_are_principal_components(rng):
    states = rng.standard_normal((30, 5)) * np.arange(1, 6)
    distances = squareform(pdist(states))
    axes = distances.max() * principal_axes(distances)
    _, values, _ = np.linalg.svd(states - states.mean(0))
    assert np.sqrt((axes**2).sum(0))[::-1] == pytest.approx(values)
    assert squareform(pdist(axes)) == pytest.approx(distances)


@pytest.mark.parametrize(("starts", "copies", "coordinates"), [(40, 2, 2), (40, 2, 200), (12, 4, 20)])
def test_size_where_starts_are_forgotten(rng, starts, copies, coordinates):
    runs, level = 200, 0.05
    p = [forgetting(*frozen(rng, starts, copies, coordinates, 0.0), rng=rng, replicas=199).p_value for _ in range(runs)]
    assert np.count_nonzero(np.array(p) <= level) <= binom.ppf(0.999, runs, level)
    assert np.count_nonzero(np.array(p) <= level) >= binom.ppf(0.001, runs, level / 2)  # twice the smaller of two


@pytest.mark.parametrize(("starts", "coordinates", "apart"), [(100, 784, 6.0), (100, 3072, 8.0), (100, 784, 4.0)])
def test_power_for_two_modes_that_are_never_left(rng, starts, coordinates, apart):
    runs = 20
    found = [forgetting(*frozen(rng, starts, 2, coordinates, apart), rng=rng, replicas=600) for _ in range(runs)]
    assert sum(test.p_value < 0.01 for test in found) == runs
    ratios = np.array([test.ratio for test in found])
    error = 1 / np.sqrt(4 * coordinates * starts)
    # the modes' shares among the starts are half and half but for 1/√starts, which moves the ratio in second order
    exact = np.sqrt(2 * coordinates) / np.mean([np.sqrt(2 * coordinates), np.sqrt(2 * coordinates + apart**2)])
    first_order = apart**2 / (8 * coordinates)
    assert exact == pytest.approx(1 - first_order, abs=2.5 * first_order**2)
    assert ratios.mean() == pytest.approx(exact, abs=4 * error / np.sqrt(runs))
    assert ratios.std(ddof=1) == pytest.approx(error, rel=0.6)


def test_modes_too_near_for_so_many_coordinates_are_not_seen(rng):
    """Negative control, and the limit of the method: s²/4 = 1 is below √(N/n) = 3.9."""
    found = [forgetting(*frozen(rng, 100, 2, 3072, 2.0), rng=rng, replicas=600).p_value < 0.01 for _ in range(20)]
    assert sum(found) <= 5


def test_chains_that_stand_still(rng):
    states = np.repeat(rng.standard_normal((20, 6)), 3, axis=0)
    found = forgetting(states.reshape(60, 1, 2, 3), np.repeat(np.arange(20), 3), rng=rng, replicas=600)
    assert found.ratio == pytest.approx(0, abs=1e-6)
    assert found.p_value == 2 / 601


def test_undefined_and_refused(rng):
    starts = np.repeat([0, 1, 2], 2)
    assert "not finite" in forgetting(np.full((6, 2), np.nan), starts, rng=rng).reason
    assert "are equal" in forgetting(np.ones((6, 2)), starts, rng=rng).reason
    for wrong in (np.arange(6), np.zeros(6), starts[:5]):
        with pytest.raises(ValueError, match="at least four chains"):
            forgetting(np.ones((6, 2)), wrong, rng=rng)


def test_the_scale_does_not_matter(rng):
    states, starts = frozen(rng, 20, 2, 10, 3.0)
    first, huge = (
        forgetting(scale * states, starts, rng=np.random.default_rng(1), replicas=99) for scale in (1.0, 1e200)
    )
    assert huge.ratio == pytest.approx(first.ratio)
    assert huge.axis_ratio == pytest.approx(first.axis_ratio)
    assert huge.p_value == first.p_value
