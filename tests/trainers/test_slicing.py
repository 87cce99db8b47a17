"""Slice sampling of one coordinate: what starts in a law must stay in it, exactly."""

import math

import numpy as np
import pytest
import torch
from gibbs_faults import CHANCE, interval_not_at_random, no_exponential, p_value, shrinks_one_end, steps_to_one_side
from helpers import assert_within_errors
from scipy import stats

from ebmdiag_trainers.samplers import slicing
from ebmdiag_trainers.samplers.slicing import slice_sample

CHAINS = 20_000


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(x):
    return x**2 / 2


def two_bumps(x):
    return -torch.logaddexp(-((x - 1.5) ** 2) / 0.5, -((x + 1.5) ** 2) / 0.5)


def half_line(x):
    """Exponential(1) on x > 0; NaN below."""
    return torch.where(x > 0, x, torch.nan)


def normal_draw(count):
    return torch.randn(count, generator=generator(5), dtype=torch.float64)


def exponential_draw(count):
    return -torch.log1p(-torch.rand(count, generator=generator(5), dtype=torch.float64))


def bumps_cdf(x):
    return (stats.norm.cdf(x, 1.5, 0.5) + stats.norm.cdf(x, -1.5, 0.5)) / 2


def bumps_draw(count):
    side = torch.rand(count, generator=generator(5), dtype=torch.float64).round() * 2 - 1
    return 1.5 * side + 0.5 * torch.randn(count, generator=generator(6), dtype=torch.float64)


LAWS = {
    "normal": (normal, stats.norm.cdf, normal_draw),
    "two bumps": (two_bumps, bumps_cdf, bumps_draw),
    "half line": (half_line, stats.expon.cdf, exponential_draw),
}
WIDTHS = [(0.3, 3), (0.5, 1), (1.0, 8), (20.0, 2)]


def updated(law, width, expansions, times=4):
    potential, _, draw = LAWS[law]
    x, draws = draw(CHAINS), generator(7)
    for _ in range(times):
        x = slice_sample(x, potential, torch.tensor(width), expansions, draws)
    return x


@pytest.mark.parametrize(("width", "expansions"), WIDTHS)
@pytest.mark.parametrize("law", LAWS)
def test_a_slice_leaves_its_law_invariant(law, width, expansions):
    assert p_value(updated(law, width, expansions), LAWS[law][1]) > CHANCE


def test_giving_up_after_few_refusals_is_exact(monkeypatch):
    monkeypatch.setattr(slicing, "REFUSALS", 1)
    x = updated("normal", 10.0, 1, times=8)
    start = LAWS["normal"][2](CHAINS)
    assert (x == start).double().mean() < 0.5  # it moves
    assert p_value(x, stats.norm.cdf) > CHANCE


FAULTS = [
    (no_exponential, 1.0, 8, "normal"),
    (steps_to_one_side, 0.3, 4, "normal"),
    (interval_not_at_random, 2.0, 1, "half line"),
    (shrinks_one_end, 5.0, 1, "two bumps"),
]


@pytest.mark.parametrize(
    ("fault", "width", "expansions", "law"), FAULTS, ids=lambda value: getattr(value, "__name__", "")
)
def test_planted_errors_are_seen(fault, width, expansions, law, monkeypatch):
    assert p_value(updated(law, width, expansions), LAWS[law][1]) > CHANCE
    fault(monkeypatch)
    assert p_value(updated(law, width, expansions), LAWS[law][1]) < 1e-9


def test_a_slice_forgets_its_start():
    x, draws = torch.full((CHAINS,), 4.0, dtype=torch.float64), generator()
    for _ in range(30):
        x = slice_sample(x, normal, torch.tensor(1.0), 8, draws)
    assert p_value(x, stats.norm.cdf) > CHANCE


def test_widths_of_their_own():
    """Short intervals move little in one update, long ones freely; either law is right."""
    width = torch.tensor([0.05, 3.0], dtype=torch.float64)
    start = torch.randn((CHAINS, 2), generator=generator(3), dtype=torch.float64)
    x = slice_sample(start, normal, width, 1, generator())
    moved = (x - start).abs().amax(0)
    assert moved[0] <= 0.05 < 1.0 < moved[1]
    for column in x.T:
        assert p_value(column, stats.norm.cdf) > CHANCE


def test_a_slice_below_the_spacing_of_float32_ends():
    """At 1000 the neighbours of a float32 are 6e-5 away: with a slice of 1e-9, only x₀ is in it."""
    start = torch.full((50,), 1000.0)
    x = slice_sample(start, lambda x: ((x.double() - 1000) / 1e-9) ** 2, torch.tensor(1.0), 8, generator())
    assert torch.equal(x, start)


def test_a_law_on_the_grid_of_float32():
    """A normal law three spacings wide: its mean and variance are those of its masses on the grid."""
    spacing = 2.0**-14
    start = 1000 + spacing * (3 * torch.randn(CHAINS, generator=generator(4))).round()
    x, draws = start.clone(), generator()
    for _ in range(20):
        x = slice_sample(x, lambda x: ((x.double() - 1000) / spacing) ** 2 / 18, torch.tensor(100 * spacing), 1, draws)
    grid = np.arange(-40, 41)
    mass = np.exp(-(grid**2) / 18)
    places = (x.double() - 1000) / spacing
    assert_within_errors(places, 0.0)
    assert_within_errors(places**2, float(mass @ grid**2 / mass.sum()))


def test_a_net_that_never_repeats_itself_ends():
    """V of the same x differs from call to call by more than the slice is deep: x₀ is kept in the end."""
    draws = generator(8)

    def potential(x):
        return 1e6 + 1e9 * torch.rand(x.shape, generator=draws, dtype=torch.float64)

    calls = 0

    def counted(x):
        nonlocal calls
        calls += 1
        return potential(x) if calls > 1 else torch.zeros_like(x)

    start = torch.zeros(20, dtype=torch.float64)
    assert torch.equal(slice_sample(start, counted, torch.tensor(1.0), 1, generator()), start)
    assert calls == slicing.REFUSALS + 2


def test_potentials_that_are_no_numbers():
    """NaN stays; an infinite potential lets the chain come back to where V is finite."""
    start = torch.tensor([math.nan, -0.5, -0.5], dtype=torch.float64)
    wall = torch.tensor([math.nan, math.nan, math.inf], dtype=torch.float64)
    draws = generator()
    x = start.clone()
    for _ in range(20):
        x = slice_sample(x, lambda x: torch.where(x > 0, x, wall), torch.tensor(1.0), 4, draws)
    assert math.isnan(x[0])
    assert x[1] == -0.5
    assert x[2] > 0
