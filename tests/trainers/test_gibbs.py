"""Gibbs sweeps against laws that are known: what starts in a law must stay in it."""

import math

import numpy as np
import pytest
import torch
from gibbs_faults import CHANCE, no_exponential, p_value, steps_to_one_side
from helpers import assert_within_errors
from scipy import stats

from ebmdiag.errors import UsageError
from ebmdiag_trainers.data.toy import Rings
from ebmdiag_trainers.energies import LaplaceEnergy, MixtureEnergy
from ebmdiag_trainers.samplers.gibbs import Gibbs
from ebmdiag_trainers.samplers.target import Point, Target

CHAINS = 20_000
CORRELATED = torch.tensor([[1.0, 0.8, -0.3], [0.8, 2.0, 0.2], [-0.3, 0.2, 0.5]], dtype=torch.float64)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def sampled(net, x, sampler, sweeps=3, scale=1.0, seed=1):
    """The chains after some sweeps, flat."""
    target, draws = Target(net, scale), generator(seed)
    state, info = sampler.advance(target, sampler.init(target, x, draws), sweeps, draws)
    assert info.log_ratio is info.acceptance is None
    assert state.count == sweeps
    assert state.x.dtype == x.dtype
    return state.x.flatten(1)


class Gaussian(torch.nn.Module):
    """F = (x - μ)ᵀ Σ⁻¹ (x - μ) / 2."""

    def __init__(self, covariance, mean=0.0):
        super().__init__()
        self.register_buffer("precision", torch.linalg.inv(covariance))
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float64))

    def forward(self, x):
        centred = x.flatten(1).double() - self.mean
        return ((centred @ self.precision) * centred).sum(1) / 2


def gaussian_draws(covariance, mean=0.0, count=CHAINS, seed=2):
    z = torch.randn((count, len(covariance)), generator=generator(seed), dtype=torch.float64)
    return torch.as_tensor(mean, dtype=torch.float64) + z @ torch.linalg.cholesky(covariance).T


def assert_moments(x, mean, covariance):
    centred = x.double() - torch.as_tensor(mean, dtype=torch.float64)
    size = x.shape[1]
    for i in range(size):
        assert_within_errors(centred[:, i], 0.0)
        for j in range(i, size):
            assert_within_errors(centred[:, i] * centred[:, j], float(covariance[i, j]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("width", "expansions"), [(0.5, 2), (2.0, 8), (10.0, 1)])
def test_a_correlated_gaussian_stays(width, expansions, dtype):
    mean = [1.0, -2.0, 0.5]
    start = gaussian_draws(CORRELATED, mean).to(dtype)[:, :, None, None]
    x = sampled(Gaussian(CORRELATED, mean), start, Gibbs(width, expansions))
    assert_moments(x, mean, CORRELATED)


@pytest.mark.parametrize("fault", [no_exponential, steps_to_one_side], ids=lambda fault: fault.__name__)
def test_planted_errors_move_a_correlated_gaussian(fault, monkeypatch):
    fault(monkeypatch)
    x = sampled(Gaussian(CORRELATED), gaussian_draws(CORRELATED), Gibbs(0.5, 3))
    with pytest.raises(AssertionError, match="standard errors"):
        assert_moments(x, 0.0, CORRELATED)


def test_a_correlated_gaussian_is_found_from_a_wrong_start():
    start = torch.tensor([[4.0, -4.0, 3.0]], dtype=torch.float64).repeat(8_000, 1)
    net = Gaussian(CORRELATED)
    with pytest.raises(AssertionError, match="standard errors"):
        assert_moments(sampled(net, start, Gibbs(2.0), sweeps=1), 0.0, CORRELATED)
    assert_moments(sampled(net, start, Gibbs(2.0), sweeps=40), 0.0, CORRELATED)


def test_the_last_coordinate_has_its_conditional_law():
    """Whatever the law of the others was before, x₃ given x₁ and x₂ is as it must be, whatever they are."""
    x = sampled(Gaussian(CORRELATED), gaussian_draws(CORRELATED), Gibbs(1.0), sweeps=1)
    slope = torch.linalg.solve(CORRELATED[:2, :2], CORRELATED[:2, 2])
    variance = CORRELATED[2, 2] - CORRELATED[2, :2] @ slope
    rest = (x[:, 2] - x[:, :2] @ slope) / variance.sqrt()
    assert p_value(rest, stats.norm.cdf) > CHANCE
    for i in range(2):
        assert_within_errors(rest * x[:, i], 0.0)


def test_a_laplace_law_stays():
    rates = torch.tensor([1.0, 4.0])
    sign = torch.rand((CHAINS, 2), generator=generator(3)).round() * 2 - 1
    start = -sign * torch.log1p(-torch.rand((CHAINS, 2), generator=generator(4))) / rates
    x = sampled(LaplaceEnergy(rates.tolist()), start, Gibbs(0.7, 3))
    for i, rate in enumerate(rates.tolist()):
        assert p_value(x[:, i], stats.laplace(scale=1 / rate).cdf) > CHANCE
    assert_within_errors(x[:, 0] * x[:, 1], 0.0)


MEANS, SIGMA = [[-1.5, 0.0], [1.5, 0.5]], 0.6


def mixture_moments(x):
    assert_within_errors(x[:, 0] > 0, 0.5)
    middle, spread = np.mean(MEANS, 0), np.cov(np.transpose(MEANS), ddof=0)
    assert_moments(x, middle, torch.from_numpy(spread) + SIGMA**2 * torch.eye(2))


def test_a_mixture_stays_and_its_modes_are_crossed():
    which = torch.randint(2, (CHAINS,), generator=generator(3))
    start = torch.tensor(MEANS)[which] + SIGMA * torch.randn((CHAINS, 2), generator=generator(4))
    net = MixtureEnergy(MEANS, SIGMA)
    x = sampled(net, start, Gibbs(1.0), sweeps=3)
    mixture_moments(x)
    assert ((x[:, 0] > 0) != (start[:, 0] > 0)).double().mean() > 0.1


def test_a_mixture_is_found_from_one_mode():
    mixture_moments(sampled(MixtureEnergy(MEANS, SIGMA), torch.tensor(MEANS[:1]).repeat(5_000, 1), Gibbs(1.0), 40))


class RingsEnergy(torch.nn.Module):
    """-log q of the rings, but for a constant."""

    def forward(self, x):
        radii = torch.tensor(Rings.radii, dtype=torch.float64)
        distance = x.flatten(1).double().norm(dim=1)[:, None] - radii
        return -torch.logsumexp(-((distance / Rings().sigma) ** 2) / 2 - radii.log(), 1)


def radius_law():
    """Radii on a fine grid, and the distribution function there; of the density, not of the sampler."""
    radius = np.linspace(0, 6, 60_001)
    density = 2 * np.pi * radius * np.exp(Rings().log_density(np.stack([radius, 0 * radius], -1)))
    cumulated = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2 * np.diff(radius))])
    return radius, density, cumulated / cumulated[-1]


def assert_rings(x):
    radius, density, cumulated = radius_law()
    assert p_value(x.norm(dim=1), lambda r: np.interp(r, radius, cumulated)) > CHANCE
    square = float(np.trapezoid(density * radius**2, radius))
    assert_moments(x, 0.0, square / 2 * torch.eye(2))


def test_the_energy_of_the_rings_is_theirs():
    x = Rings().draw(100, generator())
    rest = RingsEnergy()(x).numpy() + Rings().log_density(x.flatten(1).numpy())
    assert np.ptp(rest) < 1e-12


def test_the_rings_stay():
    start = Rings().draw(CHAINS, generator(2))
    x = sampled(RingsEnergy(), start, Gibbs(1.0))
    assert_rings(x)
    ring, before = x.norm(dim=1).round(), start.flatten(1).norm(dim=1).round()
    assert (ring != before).double().mean() > 0.3  # chains do change rings


def test_the_rings_are_found_from_one_point():
    start = torch.tensor([0.0, 1.0])[:, None, None].repeat(4_000, 1, 1, 1)
    assert_rings(sampled(RingsEnergy(), start, Gibbs(1.0), sweeps=40))


def test_rings_without_the_exponential_level_are_no_rings(monkeypatch):
    no_exponential(monkeypatch)
    with pytest.raises(AssertionError):
        assert_rings(sampled(RingsEnergy(), Rings().draw(CHAINS, generator(2)), Gibbs(1.0)))


# Geweke 2004 (JASA 99:799): parameters and data drawn in turn keep their joint law


class Posterior:
    """μ ~ Normal(0, 1), η ~ Normal(0, 1/4), y_1 … y_3 ~ Normal(μ, e^{2η}): the potential of (μ, η) given y."""

    def __init__(self, y):
        self.y = y

    def __call__(self, x):
        mu, eta = x[:, :1], x[:, 1:]
        fit = ((self.y - mu) ** 2 / (2 * torch.exp(2 * eta)) + eta).sum(1)
        return fit + mu[:, 0] ** 2 / 2 + 2 * eta[:, 0] ** 2


def draw_data(x, draws):
    return x[:, :1] + x[:, 1:].exp() * torch.randn((len(x), 3), generator=draws, dtype=x.dtype)


def successive_conditional(sampler, rounds=6):
    draws = generator(9)
    x = torch.randn((CHAINS, 2), generator=draws, dtype=torch.float64) * torch.tensor([1.0, 0.5])
    for _ in range(rounds):
        target = Target(Posterior(draw_data(x, draws)), 1.0)
        x = sampler.step(target, sampler.init(target, x, draws), draws)[0].x
    return x, draw_data(x, draws)


def assert_joint_law(x, y):
    mu, eta = x.T
    assert p_value(mu, stats.norm.cdf) > CHANCE
    assert p_value(eta, stats.norm(scale=0.5).cdf) > CHANCE
    assert_within_errors(mu * eta, 0.0)
    assert_within_errors(mu * y[:, 0], 1.0)
    assert_within_errors((y[:, 0] - mu) ** 2, math.exp(0.5))  # E e^{2η}
    assert_within_errors((y[:, 0] - mu) * (y[:, 1] - mu), 0.0)


@pytest.mark.parametrize(("width", "expansions"), [(0.3, 3), (2.0, 8)])
def test_parameters_and_data_in_turn_keep_their_joint_law(width, expansions):
    assert_joint_law(*successive_conditional(Gibbs(width, expansions)))


@pytest.mark.parametrize("fault", [no_exponential, steps_to_one_side], ids=lambda fault: fault.__name__)
def test_planted_errors_break_the_joint_law(fault, monkeypatch):
    fault(monkeypatch)
    with pytest.raises(AssertionError):
        assert_joint_law(*successive_conditional(Gibbs(0.3, 3)))


# the contract


def test_scales_and_widths_of_each_chain():
    scale = torch.tensor([1.0, 9.0], dtype=torch.float64).repeat(CHAINS // 2)
    start = gaussian_draws(CORRELATED) * scale[:, None].sqrt()
    x = sampled(Gaussian(CORRELATED), start, Gibbs(scale.sqrt()), scale=scale)
    assert_moments(x[::2], 0.0, CORRELATED)
    assert_moments(x[1::2], 0.0, 9 * CORRELATED)


def test_the_state_carries_potential_and_gradient_of_its_end():
    target, draws, sampler = Target(Gaussian(CORRELATED), 0.5), generator(), Gibbs(1.0)
    start = gaussian_draws(CORRELATED, count=10).reshape(10, 3, 1, 1)
    kept = start.clone()
    state, _ = sampler.step(target, sampler.init(target, start, draws), draws)
    fresh = Target(target.net, 0.5).point(state.x)
    assert torch.equal(start, kept)
    assert state.x.shape == start.shape
    assert torch.equal(state.point.potential, fresh.potential)
    assert torch.equal(state.point.gradient, fresh.gradient)


def test_evaluations_are_counted():
    calls = 0

    def net(x):
        nonlocal calls
        calls += 1
        return x.square().sum(1) / 2

    target, draws, sampler = Target(net, 1.0), generator(), Gibbs(1.0)
    sampler.advance(target, sampler.init(target, torch.zeros(10, 4), draws), 3, draws)
    assert target.gradients == 4
    assert target.energies + target.gradients == calls


def test_chains_do_not_wait_for_each_other():
    """100 coordinates: one chain needs some 6 evaluations for each; the slowest of 200 about twice that every time."""
    needs = []
    for chains in (1, 200):
        target, draws, sampler = Target(lambda x: x.square().sum(1) / 2, 1.0), generator(), Gibbs(1.0)
        sampler.step(target, sampler.init(target, torch.randn((chains, 100), generator=draws), draws), draws)
        needs.append(target.energies / 100)
    assert needs[1] < 1.3 * needs[0]


def test_a_state_from_before_the_net_changed_does_no_harm():
    net, draws, sampler = LaplaceEnergy([1.0, 1.0]), generator(), Gibbs(1.0)
    target = Target(net, 1.0)
    state = sampler.init(target, torch.randn((50, 2), generator=draws), draws)
    with torch.no_grad():
        net.coefficients *= 5
    stale, _ = sampler.step(target, state, generator(4))
    anew, _ = sampler.step(target, sampler.init(target, state.x, draws), generator(4))
    assert torch.equal(stale.x, anew.x)
    assert not torch.equal(state.point.potential, target.point(state.x).potential)


def test_chains_that_are_no_numbers_leave_the_others_alone():
    start = gaussian_draws(CORRELATED)
    start[::100] = math.nan
    x = sampled(Gaussian(CORRELATED), start, Gibbs(1.0))
    assert x[::100].isnan().all()
    assert_moments(x[torch.arange(CHAINS) % 100 > 0], 0.0, CORRELATED)


def test_the_same_seed_gives_the_same_chains():
    start = gaussian_draws(CORRELATED, count=100)
    first, second, other = (sampled(Gaussian(CORRELATED), start, Gibbs(1.0), seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_what_gibbs_refuses():
    with pytest.raises(UsageError, match="expansions must be at least 1, but is 0"):
        Gibbs(1.0, expansions=0)
    x = torch.zeros(2, 2)
    state = Gibbs(1.0).init(Target(lambda x: x.sum(1), 1.0), x, generator())
    assert isinstance(state.point, Point)
    with pytest.raises(UsageError, match="noise must be None"):
        Gibbs(1.0).step(Target(lambda x: x.sum(1), 1.0), state, generator(), noise=x)
