"""R-hat, effective sizes and the error of a mean: AR(1), planted disagreement, and the traps of the library used."""

import numpy as np
import pytest
from arviz_stats.base import array_stats
from series import autoregression

from ebmdiag.numerics.ranks import ranked

PHI = 0.8
TRUE_SHARE = (1 - PHI) / (1 + PHI)  # effective draws per draw, AR(1)


@pytest.fixture(scope="module")
def sets():
    """60 independent sets of 4 chains of 2000 draws, and their four numbers."""
    draws = autoregression(np.random.default_rng(1), PHI, (60, 4, 2000))
    return draws, [ranked(one) for one in draws]


def test_sizes_of_an_autoregression(sets):
    """The size of the mean is that of the closed form; z of a Gaussian is the Gaussian, so the bulk size is too."""
    draws, found = sets
    errors = np.array([one.mean_error.value for one in found])
    deviation = 1 / np.sqrt(1 - PHI**2)
    size = (deviation / errors) ** 2
    truth = draws[0].size * TRUE_SHARE
    bulk = np.array([one.bulk.value for one in found])
    for values in (size, bulk):
        error = values.std(ddof=1) / np.sqrt(len(values))
        assert abs(values.mean() - truth) < 4 * error + 0.04 * truth  # Geyer's monotone sums are biased by 1/n
        assert abs(values.mean() - 1.25 * truth) > 4 * error + 0.04 * truth


def test_the_error_of_the_mean_is_the_spread_of_means(sets):
    draws, found = sets
    deviates = draws.mean((1, 2)) / [one.mean_error.value for one in found]
    chi_square = float((deviates**2).sum())
    assert abs(chi_square - 60) < 4 * np.sqrt(2 * 60)
    assert abs(4 * chi_square - 60) > 4 * np.sqrt(2 * 60)  # half the error would be found out


def test_chains_that_agree_are_reliable(sets):
    _, found = sets
    assert all(one.rhat.value < 1.02 for one in found)
    assert np.mean([one.rhat.value < 1.01 for one in found]) > 0.8
    fine = [one for one in found if one.rhat.value < 1.01]
    for one in fine:
        assert one.rhat.reliable
        assert one.bulk.reliable
        assert one.tail.reliable
        assert one.mean_error.reliable
    assert 0.5 < np.mean([one.tail.value for one in found]) / np.mean([one.bulk.value for one in found]) < 2.5


def normal(shape, seed=2):
    return np.random.default_rng(seed).normal(size=shape)


def test_a_shifted_chain_is_detected():
    x = normal((4, 500))
    assert ranked(x).rhat.value < 1.01
    x[0] += 1.0
    found = ranked(x)
    assert found.rhat.value > 1.05
    assert not found.bulk.reliable
    assert "do not agree" in found.bulk.reason


def test_a_wider_chain_is_detected():
    """By the folded draws: the means agree."""
    x = normal((4, 500))
    x[0] *= 4
    assert ranked(x).rhat.value > 1.05


def test_a_drift_within_one_chain_is_detected_by_halves():
    x = normal((4, 500)) + np.where(np.arange(500) < 250, -1.0, 1.0)
    assert ranked(x).rhat.value > 1.2
    assert np.ptp(x.mean(1)) < 0.3  # whole chains agree


def test_disagreement_is_clear_from_few_effective_draws():
    """Four chains stuck apart hold a handful of effective draws; that is no reason to doubt that they disagree."""
    found = ranked(normal((4, 500)) + 10.0 * np.arange(4)[:, None])
    assert found.rhat.value > 1.5
    assert found.rhat.reliable
    assert found.bulk.value < 10
    assert not found.bulk.reliable


def test_agreement_is_not_clear_from_few_effective_draws():
    found = ranked(autoregression(np.random.default_rng(0), 0.8, (4, 300)))
    assert found.rhat.value < 1.1
    assert not found.rhat.reliable
    assert "effective draws: at least 400" in found.rhat.reason


def test_few_draws_are_doubted_whatever_they_say():
    found = ranked(normal((100, 20)))
    assert "20 draws per chain are few" in found.rhat.reason
    assert found.bulk.value > 400
    assert not found.bulk.reliable


UNDEFINED = [
    (np.zeros((4, 3)), "too few"),
    (np.ones((4, 60)), "all draws are constant"),
    (np.where(np.eye(4, 60, -3) > 0, np.nan, normal((4, 60))), "1 of 4 chains hold a value that is not finite"),
    (np.where(np.eye(4, 60, -3) > 0, -np.inf, normal((4, 60))), "1 of 4 chains hold a value that is not finite"),
]


@pytest.mark.parametrize(("draws", "reason"), UNDEFINED)
def test_what_is_undefined(draws, reason):
    found = ranked(draws)
    for estimate in (found.rhat, found.bulk, found.tail, found.mean_error):
        assert estimate.value is None
        assert not estimate.reliable
        assert reason in estimate.reason


def test_the_library_calls_a_constant_chain_perfect():
    """Why the table is needed."""
    assert array_stats.ess(np.ones((4, 60)), method="bulk") == 240


def test_one_chain_has_sizes_but_no_rhat():
    found = ranked(normal((1, 2000)))
    assert found.rhat.value is None
    assert "one chain" in found.rhat.reason
    assert found.bulk.value == pytest.approx(2000, rel=0.15)
    assert found.bulk.reliable
    assert found.mean_error.value == pytest.approx(2000**-0.5, rel=0.1)


def test_a_chain_that_never_moves_is_named():
    x = normal((4, 500))
    x[1] = 0.3
    found = ranked(x)
    assert found.rhat.value > 1.1
    assert {e.reason for e in (found.rhat, found.bulk, found.tail, found.mean_error)} == {"1 of 4 chains never move"}


@pytest.mark.parametrize("draws", [np.arange(4.0)[:, None].repeat(60, 1), np.repeat([[0.0, 1.0]] * 4, 30, axis=1)])
def test_chains_whose_halves_are_constant(draws):
    found = ranked(draws)
    assert found.rhat.value == np.inf
    assert found.bulk.value < 10
    assert found.rhat.reason == found.bulk.reason == "no half of any chain moves"


def test_ties_at_the_maximum_have_no_tail_size():
    x = normal((4, 500))
    clipped = np.minimum(x, np.quantile(x, 0.9))
    assert array_stats.ess(clipped, method="quantile", prob=0.95) == x.size  # the library: perfect
    found = ranked(clipped)
    assert found.tail.value is None
    assert "equal to the largest" in found.tail.reason
    assert found.bulk.reliable
    assert ranked(np.maximum(x, np.quantile(x, 0.1))).tail.reliable


@pytest.mark.parametrize("scale", [1e-30, 1e200])
def test_size_and_offset_do_not_matter(scale):
    """arviz-stats alone calls a spread below 1e-15 none, and gives sd / √(M D)."""
    x = autoregression(np.random.default_rng(3), 0.8, (4, 1000))
    expected = ranked(x)
    found = ranked(x * scale)
    assert found.mean_error.value == pytest.approx(scale * expected.mean_error.value, rel=1e-9)
    assert found.rhat.value == pytest.approx(expected.rhat.value, rel=1e-12)
    assert ranked(x + 1e5).mean_error.value == pytest.approx(expected.mean_error.value, rel=1e-8)


@pytest.mark.parametrize("shape", [(50,), (0, 50), (2, 3, 4)])
def test_refuses_other_shapes(shape):
    with pytest.raises(ValueError, match=r"shape \(chains, draws\)"):
        ranked(np.zeros(shape))
