"""Every sampler leaves its own exact law invariant, finds it from elsewhere, and planted errors are seen.

Chains begin in the exact law, independent of one another, so after any number of steps they still are independent
draws of it: standard errors are the plain ones, and few steps make a sharp test.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from laws import (
    MEANS,
    WIDTH,
    QuadraticEnergy,
    RingsEnergy,
    assert_law,
    assert_same_law,
    biased_covariance,
    draw_mixture,
    draw_rings,
    gaussian_of,
    mixture,
    moment_distances,
)
from scipy.stats import kstest
from torch import nn

from ebmdiag.errors import RecipeError
from ebmdiag.numerics.two_sample import energy_test, pool
from ebmdiag_trainers.energies import MixtureEnergy
from ebmdiag_trainers.engines.reference import run_reference
from ebmdiag_trainers.samplers import SamplerOptions, Target, build_sampler
from ebmdiag_trainers.samplers.adaptation import DualAveraging, adapted, aimed_acceptance, warm_up_step
from ebmdiag_trainers.samplers.contract import Info, State, metropolis
from ebmdiag_trainers.samplers.hamiltonian import Hmc, HmcUnadjusted
from ebmdiag_trainers.samplers.langevin import Langevin, Mala, langevin_log_ratio, langevin_proposal
from ebmdiag_trainers.samplers.tempering import Tempered
from ebmdiag_trainers.samplers.underdamped import Underdamped, UnderdampedUnadjusted

STEP = 0.7
COVARIANCE = torch.linalg.inv(QuadraticEnergy().precision)
LEAPFROG = biased_covariance(STEP)
CHAINS = 20_000

EXACT = {
    "mala": Mala(STEP),
    "hmc": Hmc(STEP, 3),
    "underdamped baoab": Underdamped(STEP, 1.0, "baoab"),
    "underdamped obabo": Underdamped(STEP, 1.0, "obabo"),
    "underdamped, little friction": Underdamped(0.6, 0.1, "baoab"),
    "tempered mala": Tempered.of(Mala(STEP), (1.0, 2.0, 4.0)),
    "tempered hmc": Tempered.of(Hmc(STEP, 2), (1.0, 3.0)),
}
BIASED = {
    "langevin": (Langevin(STEP), LEAPFROG),
    "hmc-unadjusted": (HmcUnadjusted(STEP, 3), LEAPFROG),
    "underdamped-unadjusted obabo": (UnderdampedUnadjusted(STEP, 1.0, "obabo"), LEAPFROG),
    "underdamped-unadjusted baoab": (UnderdampedUnadjusted(STEP, 1.0, "baoab"), COVARIANCE),
}


def run(sampler, net, x, steps, seed=0):
    """The visible states after so many steps."""
    generator = torch.Generator().manual_seed(seed)
    target = Target(net, 1.0)
    state, _ = sampler.advance(target, sampler.init(target, x, generator), steps, generator)
    return sampler.visible(state).x


def begin(draw, count=CHAINS, seed=100):
    return draw(count, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", EXACT)
def test_exact_samplers_keep_a_correlated_gaussian(name):
    x = begin(lambda n, g: gaussian_of(COVARIANCE, n, g))
    assert_law(run(EXACT[name], QuadraticEnergy(), x, 12), [0, 0], COVARIANCE)


@pytest.mark.parametrize("name", BIASED)
def test_unadjusted_samplers_keep_their_own_biased_gaussian(name):
    sampler, covariance = BIASED[name]
    x = begin(lambda n, g: gaussian_of(covariance, n, g))
    assert_law(run(sampler, QuadraticEnergy(), x, 12), [0, 0], covariance)


@pytest.mark.parametrize("name", [name for name, (_, law) in BIASED.items() if law is LEAPFROG])
def test_and_not_the_target(name):
    """The bias is large enough to be seen, so the test above can fail."""
    sampler, covariance = BIASED[name]
    x = begin(lambda n, g: gaussian_of(covariance, n, g))
    assert np.abs(moment_distances(run(sampler, QuadraticEnergy(), x, 12), [0, 0], COVARIANCE)).max() > 8


@pytest.mark.parametrize("name", [*EXACT, *BIASED])
def test_samplers_find_their_law_from_elsewhere(name):
    sampler, covariance = BIASED.get(name, (EXACT.get(name), COVARIANCE))
    x = torch.full((5_000, 2, 1, 1), 3.0, dtype=torch.float64)
    assert_law(run(sampler, QuadraticEnergy(), x, 300), [0, 0], covariance)


@pytest.mark.parametrize("name", EXACT)
def test_exact_samplers_keep_a_mixture(name):
    end = run(EXACT[name], mixture(), begin(draw_mixture), 8)
    exact = begin(draw_mixture, seed=7)
    assert_same_law(end, exact)
    pooled = pool(end[:600].flatten(1).numpy(), exact[:600].flatten(1).numpy())
    assert energy_test(pooled, rng=np.random.default_rng(0)).p_value > 1e-2


@pytest.mark.parametrize("name", EXACT)
def test_exact_samplers_keep_the_rings(name):
    sampler = EXACT[name].with_step_size(0.15)
    end = run(sampler, RingsEnergy(), begin(draw_rings), 8)
    assert_same_law(end, begin(draw_rings, seed=7))


def test_unadjusted_langevin_leaves_the_rings():
    """Negative control: its bias on a narrow ring is seen."""
    end = run(Langevin(0.25), RingsEnergy(), begin(draw_rings), 30)
    with pytest.raises(AssertionError, match="radius"):
        assert_same_law(end, begin(draw_rings, seed=7))


# Planted errors: the same tests must fail.


@dataclass(frozen=True)
class TooMuchNoise(Langevin):
    """A step error: the noise is a tenth too large."""

    def step(self, target, state, generator, noise=None):
        z = torch.randn(state.x.shape, generator=generator, dtype=state.x.dtype)
        return super().step(target, state, generator, 1.1 * z)


@dataclass(frozen=True)
class WrongSign(Langevin):
    """The gradient pushes uphill."""

    def step(self, target, state, generator, noise=None):
        turned = replace(state, point=replace(state.point, gradient=-state.point.gradient))
        return super().step(target, turned, generator, noise)


@dataclass(frozen=True)
class WithoutSquares(Mala):
    """The ratio lacks (h²/8) (‖g‖² - ‖g'‖²): its density of proposals is wrong."""

    def step(self, target, state, generator, noise=None):
        z = torch.randn(state.x.shape, generator=generator, dtype=state.x.dtype)
        after = langevin_proposal(target, state.point, self.step_size, z)
        squares = state.point.gradient.flatten(1).square().sum(1) - after.gradient.flatten(1).square().sum(1)
        ratio = langevin_log_ratio(state.point, after, self.step_size) - self.step_size**2 / 8 * squares
        kept, _ = metropolis(state.point, after, ratio, generator)
        return State(kept), Info.of_ratio(ratio)


@dataclass(frozen=True)
class RefusedNever(Hmc):
    """Every trajectory is accepted."""

    def step(self, target, state, generator, noise=None):
        return HmcUnadjusted.step(self, target, state, generator, noise)


@dataclass(frozen=True)
class NotTurned(Underdamped):
    """A refused step keeps its momentum."""

    def step(self, target, state, generator, noise=None):
        moved, info = super().step(target, state, generator, noise)
        refused = (moved.x == state.x).flatten(1).all(1).reshape(-1, 1, 1, 1)
        return replace(moved, momentum=torch.where(refused, -moved.momentum, moved.momentum)), info


@dataclass(frozen=True)
class HeatCounted(Underdamped):
    """The noise's change of the kinetic energy is taken for work."""

    def propose(self, target, state, generator, noise=None):
        after, momentum, _ = super().propose(target, state, generator, noise)
        change = state.point.potential - after.potential
        kinetic = (state.momentum.square() - momentum.square()).flatten(1).sum(1) / 2
        return after, momentum, change + kinetic


@dataclass(frozen=True)
class SwappedWrongly(Tempered):
    """Every swap is accepted."""

    def _exchange(self, state, chains, generator):
        moved, swaps = super()._exchange(replace(state, point=replace(state.point)), chains, generator)
        order = torch.arange(len(state.x)).roll(chains)
        return replace(
            moved, point=self._rescaled(state.point, order, order.reshape(-1, chains) // chains, chains)
        ), swaps


PLANTED = {
    "noise": (TooMuchNoise(STEP), LEAPFROG),
    "sign": (WrongSign(STEP), LEAPFROG),
    "ratio": (WithoutSquares(1.0), COVARIANCE),
    "never refused": (RefusedNever(STEP, 3), COVARIANCE),
    "momentum not turned": (NotTurned(1.2, 0.2, "baoab"), COVARIANCE),
    "heat counted": (HeatCounted(1.0, 1.0, "baoab"), COVARIANCE),
    "every swap": (SwappedWrongly.of(Mala(STEP), (1.0, 4.0)), COVARIANCE),
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_errors_are_seen(name):
    sampler, covariance = PLANTED[name]
    x = begin(lambda n, g: gaussian_of(covariance, n, g))
    with pytest.raises(AssertionError):
        assert_law(run(sampler, QuadraticEnergy(), x, 12), [0, 0], covariance)


# Geweke's joint test (2004, JASA 99:799): x ~ prior, y ~ p(y | x), then sampler steps on p(x | y) and fresh y in turn.


class Posterior(nn.Module):
    """F = x²/2 + (y - sin 2x - x)² / 2 per coordinate: the posterior of x given each chain's own y."""

    def __init__(self):
        super().__init__()
        self.y = None

    def observe(self, x, generator):
        self.y = x + torch.sin(2 * x) + torch.randn(x.shape, generator=generator, dtype=x.dtype)

    def forward(self, x):
        y = self.y.repeat(len(x) // len(self.y), 1, 1, 1)  # hotter copies see the same
        return (x.square() / 2 + (y - torch.sin(2 * x) - x).square() / 2).flatten(1).sum(1)


def joint(sampler, rounds=12, seed=3):
    generator = torch.Generator().manual_seed(seed)
    net, x = Posterior(), torch.randn(CHAINS, 1, 1, 1, generator=generator, dtype=torch.float64)
    for _ in range(rounds):
        net.observe(x, generator)
        target = Target(net, 1.0)
        state, _ = sampler.advance(target, sampler.init(target, x, generator), 3, generator)
        x = sampler.visible(state).x
    return kstest(x.flatten().numpy(), "norm").pvalue


@pytest.mark.parametrize("name", [name for name in EXACT if not name.startswith("tempered")])
@pytest.mark.parametrize("step", [None, 0.2])
def test_geweke_joint(name, step):
    """Also at a small step, where an error at the start of each round would not be forgotten."""
    sampler = EXACT[name] if step is None else EXACT[name].with_step_size(step)
    assert joint(sampler) > 1e-3


def test_geweke_joint_sees_hot_copies_that_begin_cold():
    """Not exact, and documented so: each round's fresh copies pull the cold chains to low energies."""
    assert joint(EXACT["tempered mala"].with_step_size(0.2), rounds=40) < 1e-3


@pytest.mark.parametrize("sampler", [WithoutSquares(1.0), RefusedNever(STEP, 3), HeatCounted(1.0), Langevin(STEP)])
def test_geweke_joint_sees_errors(sampler):
    assert joint(sampler) < 1e-4


# Special cases are the simpler algorithm.


def two_ways(first, second, noise, noise_second=None, momentum=None):
    """One step of each from the same state with the same random numbers: states and ratios."""
    x = begin(draw_mixture, 200)
    found = []
    for sampler, z in ((first, noise), (second, noise if noise_second is None else noise_second)):
        target = Target(mixture(), 1.0)
        state = State(target.point(x), momentum)
        found.append(sampler.step(target, state, torch.Generator().manual_seed(5), z))
    (one, told), (two, also) = found
    torch.testing.assert_close(one.x, two.x, rtol=0, atol=1e-12)
    torch.testing.assert_close(told.log_ratio, also.log_ratio, rtol=0, atol=1e-10)


def normals(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_hmc_of_one_step_is_mala():
    two_ways(Hmc(0.9, 1), Mala(0.9), normals(200, 2, 1, 1))
    two_ways(HmcUnadjusted(0.9, 1), Langevin(0.9), normals(200, 2, 1, 1))


def test_and_of_two_is_not():
    with pytest.raises(AssertionError):
        two_ways(Hmc(0.9, 2), Mala(0.9), normals(200, 2, 1, 1))


def test_underdamped_at_full_friction_is_langevin():
    z, momentum = normals(2, 200, 2, 1, 1), normals(200, 2, 1, 1, seed=2)
    two_ways(UnderdampedUnadjusted(0.9, math.inf, "obabo"), Langevin(0.9), z, z[0], momentum)
    two_ways(Underdamped(0.9, math.inf, "obabo"), Mala(0.9), z, z[0], momentum)


def test_baoab_at_full_friction_uses_each_noise_twice():
    """x' = x - (h²/2) ∇V + h (z + z')/2: the method of Leimkuhler and Matthews."""
    h, x, z = 0.9, begin(draw_mixture, 200), normals(3, 200, 2, 1, 1)
    sampler, target = UnderdampedUnadjusted(h, math.inf, "baoab"), Target(mixture(), 1.0)
    state, _ = sampler.step(target, State(target.point(x), z[0]), torch.Generator(), z[1])
    before = state.point
    state, _ = sampler.step(target, state, torch.Generator(), z[2])
    expected = before.x - h**2 / 2 * before.gradient + h * (z[1] + z[2]) / 2
    torch.testing.assert_close(state.x, expected, rtol=0, atol=1e-12)


def test_langevin_of_the_training_is_the_engines():
    """U = F / (ε²/2), h = ε: the same states and sums as the reference engine, whichever runs them."""
    epsilon, steps = 0.3, 20
    net, x = MixtureEnergy(MEANS, WIDTH, scale=epsilon**2 / 2).double(), begin(draw_mixture, 50)
    chain = run_reference(net, x, steps, epsilon, torch.Generator().manual_seed(2), closed=True)
    for engine in (None, run_reference):
        sampler = build_sampler(SamplerOptions(), epsilon=epsilon, net=net, shape=(2, 1, 1), engine=engine)
        target, generator = Target(net, epsilon**2 / 2), torch.Generator().manual_seed(2)
        state, info = sampler.advance(target, sampler.init(target, x, generator), steps, generator)
        torch.testing.assert_close(state.x, chain.end, rtol=0, atol=1e-11)
        torch.testing.assert_close(info.log_ratio, chain.sums.log_ratio / steps, rtol=0, atol=1e-10)
        assert target.gradients == (steps + 1 if engine is None else steps + 3)  # both ends twice, on an engine


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_the_temperature_widens_the_law(temperature):
    """exp(-U / τ) of a Gaussian has τ times the covariance; for Langevin at step ε √τ its bias follows."""
    x = begin(lambda n, g: gaussian_of(temperature * COVARIANCE, n, g))
    epsilon = 0.7
    heat = epsilon**2 / 2
    net = QuadraticEnergy(heat * QuadraticEnergy().precision)
    generator = torch.Generator().manual_seed(0)
    options = {"epsilon": epsilon, "net": net, "shape": (2, 1, 1), "temperature": temperature}
    for name, law in (("mala", COVARIANCE), ("langevin", biased_covariance(epsilon))):
        engine = run_reference if name == "langevin" else None
        sampler = build_sampler(SamplerOptions(name=name), engine=engine, **options)
        target = Target(net, heat * temperature)
        state, _ = sampler.advance(target, sampler.init(target, x, generator), 60, generator)
        assert_law(state.x, [0, 0], temperature * law)


# Tempering, step sizes, options.


def test_each_temperature_has_its_own_law():
    sampler = Tempered.of(Mala(STEP), (1.0, 2.0, 4.0))
    generator, target = torch.Generator().manual_seed(0), Target(QuadraticEnergy(), 1.0)
    state = sampler.init(target, begin(lambda n, g: gaussian_of(COVARIANCE, n, g)), generator)
    state, info = sampler.advance(target, state, 60, generator)
    for k, temperature in enumerate(sampler.temperatures):
        assert_law(state.x[k * CHAINS : (k + 1) * CHAINS], [0, 0], temperature * COVARIANCE)
    assert 0.3 < info.swaps.mean() < 0.95
    assert target.gradients == 3 * 61
    again = Target(QuadraticEnergy(), torch.tensor(sampler.temperatures).double().repeat_interleave(CHAINS))
    point = again.point(state.x)
    torch.testing.assert_close(state.point.potential, point.potential)  # carried through swaps, never recomputed
    torch.testing.assert_close(state.point.gradient, point.gradient)


@pytest.mark.parametrize("name", ["mala", "gibbs"])
def test_tempering_counts_the_evaluations_of_all_copies(name):
    plain, hot = (
        build_sampler(
            SamplerOptions(name=name, step_size=1.0, temperatures=t), epsilon=1.0, net=mixture(), shape=(2, 1, 1)
        )
        for t in ((), (1.0, 1.5, 2.0))
    )
    counts = []
    for sampler in (plain, hot):
        generator, target = torch.Generator().manual_seed(0), Target(mixture(), 1.0)
        sampler.advance(target, sampler.init(target, begin(draw_mixture, 50), generator), 20, generator)
        counts.append((target.gradients, target.energies))
    assert counts[1][0] == 3 * counts[0][0]
    assert counts[1][1] == pytest.approx(3 * counts[0][1], rel=0.3)  # how often a slice is tried is random
    assert (counts[0][1] > 0) == (name == "gibbs")


def test_tempering_of_chains_at_scales_of_their_own():
    """Each chain keeps its own law, τ times the covariance, beside its hotter copy."""
    half = CHAINS // 2
    scale = torch.cat([torch.full((half,), 1.0), torch.full((half,), 2.5)]).double()
    x = begin(lambda n, g: gaussian_of(COVARIANCE, n, g))
    x[half:] *= math.sqrt(2.5)
    sampler, generator = Tempered.of(Mala(STEP), (1.0, 2.0)), torch.Generator().manual_seed(0)
    target = Target(QuadraticEnergy(), scale)
    state, _ = sampler.advance(target, sampler.init(target, x, generator), 60, generator)
    end = sampler.visible(state).x
    assert_law(end[:half], [0, 0], COVARIANCE)
    assert_law(end[half:], [0, 0], 2.5 * COVARIANCE)


def test_tempering_crosses_a_barrier_that_mala_does_not():
    """Two modes ten widths apart: all chains begin in the left one, and half belong right."""
    net = MixtureEnergy([[-1.0, 0.0], [1.0, 0.0]], 0.2).double()
    x = torch.zeros(400, 2, 1, 1, dtype=torch.float64)
    x[:, 0] = -1
    plain = run(Mala(0.15), net, x, 600)
    tempered = run(Tempered.of(Mala(0.15), (1.0, 2.5, 6.0, 15.0)), net, x, 600)
    assert (plain[:, 0] > 0).double().mean() < 0.05
    share = (tempered[:, 0] > 0).double()
    assert abs(float(share.mean()) - 0.5) < 4 * 0.5 / math.sqrt(400)


@pytest.mark.parametrize("sampler", [Mala(5.0), Hmc(0.01, 3), Underdamped(3.0, 1.0, "baoab")])
def test_warm_up_finds_the_acceptance_aimed_at(sampler):
    precision = torch.diag(torch.linspace(0.5, 4.0, 20, dtype=torch.float64))
    net, aim = QuadraticEnergy(precision), aimed_acceptance(sampler)
    generator, target = torch.Generator().manual_seed(0), Target(net, 1.0)
    state = sampler.init(target, gaussian_of(torch.linalg.inv(precision), 200, generator), generator)
    first = sampler.advance(target, state, 50, generator)[1].acceptance.mean()
    averages = DualAveraging.start(sampler.step_size)
    for _ in range(400):
        averages, state = warm_up_step(sampler, averages, target, state, generator)
    tuned = adapted(sampler, averages)
    acceptance = float(tuned.advance(target, state, 200, generator)[1].acceptance.mean())
    assert abs(acceptance - aim) < 0.05
    assert abs(float(first) - aim) > 0.15  # it was not there before
    assert adapted(sampler, DualAveraging.start(1.0)) is sampler  # no warm-up, no change


def test_a_step_for_each_chain():
    """Chains of different steps are those of the plain steps, chain by chain."""
    x, z = begin(draw_mixture, 4), normals(4, 2, 1, 1)
    sizes = torch.tensor([0.1, 0.5, 0.9, 1.3], dtype=torch.float64)
    for make in (Mala, lambda h: Hmc(h, 3), Langevin):
        target = Target(mixture(), 1.0)
        _, together = make(sizes).step(target, State(target.point(x)), torch.Generator().manual_seed(0), z)
        for k, size in enumerate(sizes.tolist()):
            alone = Target(mixture(), 1.0)
            state = State(alone.point(x[k : k + 1]))
            _, info = make(size).step(alone, state, torch.Generator().manual_seed(0), z[k : k + 1])
            torch.testing.assert_close(together.log_ratio[k], info.log_ratio[0])


def test_metropolis_refuses_what_is_no_number():
    class Cliff(nn.Module):
        def forward(self, x):
            return torch.where(x[:, 0, 0, 0] > 0, x.flatten(1).square().sum(1), torch.nan)

    x = torch.full((500, 1, 1, 1), 0.5, dtype=torch.float64)
    end = run(Mala(1.0), Cliff(), x, 50)
    assert bool((end > 0).all())
    assert float(end.std()) > 0.1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"name": "mla"}, "unknown sampler 'mla'; did you mean 'mala'"),
        ({"leapfrog": 0}, "leapfrog must be at least 1, but is 0"),
        ({"friction": 0.0}, "friction must be above 0"),
        ({"splitting": "abc"}, "splitting must be one of baoab, obabo, but is abc"),
        ({"step_size": math.nan}, "step_size must be at least 0"),
        ({"temperatures": (2.0, 3.0)}, "temperatures must begin with 1, rise"),
        ({"temperatures": (1.0, 1.0)}, "temperatures must begin with 1, rise"),
        ({"temperatures": (1.0,)}, "at least two"),
    ],
)
def test_options_out_of_range(options, said):
    with pytest.raises(RecipeError, match=said):
        SamplerOptions(**options)


def test_sampling_needs_noise():
    with pytest.raises(RecipeError, match="epsilon must be above 0"):
        build_sampler(SamplerOptions(), epsilon=0.0, net=mixture(), shape=(2, 1, 1))
