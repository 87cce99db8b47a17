"""A sampler by its name and plain options, as a recipe or a command line gives them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Self

from torch import nn

from ebmdiag.errors import RecipeError
from ebmdiag.names import nearest
from ebmdiag_trainers.engines.contract import Engine
from ebmdiag_trainers.recipe import OPTIONS_OF
from ebmdiag_trainers.recipe import Langevin as LangevinTable
from ebmdiag_trainers.samplers.contract import Sampler
from ebmdiag_trainers.samplers.gibbs import Gibbs
from ebmdiag_trainers.samplers.gibbs_blocked import GibbsBlocked
from ebmdiag_trainers.samplers.hamiltonian import Hmc, HmcUnadjusted
from ebmdiag_trainers.samplers.langevin import Langevin, Mala
from ebmdiag_trainers.samplers.tempering import Tempered
from ebmdiag_trainers.samplers.underdamped import SPLITTINGS, Underdamped, UnderdampedUnadjusted

LANGEVIN = "langevin"


@dataclass(frozen=True, kw_only=True)
class SamplerOptions:
    """What a sampler can be told; options of other samplers are left alone.

    Attributes:
        name: one of :data:`SAMPLERS`.
        step_size: h; 0: ε √τ, the step of the training.
        leapfrog: of hmc: leapfrog steps in one step.
        friction: of underdamped: γ per unit of time, where a step lasts h; infinity forgets the momentum each step.
        splitting: of underdamped: baoab or obabo.
        expansions: of gibbs: how many widths a slice may take.
        temperatures: parallel tempering beside the chains: 1, then rising; empty: none.
    """

    name: str = LANGEVIN
    step_size: float = 0.0
    leapfrog: int = LangevinTable.leapfrog
    friction: float = LangevinTable.friction
    splitting: str = LangevinTable.splitting
    expansions: int = LangevinTable.expansions
    temperatures: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.name not in SAMPLERS:
            raise RecipeError(
                f"unknown sampler '{self.name}'{nearest(self.name, SAMPLERS)} Known: {', '.join(SAMPLERS)}."
            )
        rules = {
            "step_size must be at least 0 and finite": 0 <= self.step_size < math.inf,
            "leapfrog must be at least 1": self.leapfrog >= 1,
            "friction must be above 0": self.friction > 0,
            f"splitting must be one of {', '.join(SPLITTINGS)}": self.splitting in SPLITTINGS,
            "expansions must be at least 1": self.expansions >= 1,
            "temperatures must begin with 1, rise, and be at least two": _rising(self.temperatures),
        }
        for rule, kept in rules.items():
            if not kept:
                raise RecipeError(f"sampler {rule}, but is {getattr(self, rule.split()[0])}.")

    @classmethod
    def of_recipe(cls, langevin: LangevinTable) -> Self:
        """As [langevin] says.

        Raises:
            RecipeError: an unknown sampler, or an option out of range.
        """
        return cls(
            name=langevin.sampler,
            step_size=langevin.step_size,
            leapfrog=langevin.leapfrog,
            friction=langevin.friction,
            splitting=langevin.splitting,
            expansions=langevin.expansions,
            temperatures=langevin.temperatures,
        )

    def facts(self) -> dict[str, Any]:
        """Those options that the sampler looks at, as plain JSON."""
        used = ("name", "step_size", *(key for key, owner in OPTIONS_OF.items() if self.name.startswith(owner)))
        facts = {name: value for name, value in asdict(self).items() if name in used}
        return facts | ({"temperatures": list(self.temperatures)} if self.temperatures else {})


def _rising(temperatures: tuple[float, ...]) -> bool:
    if not temperatures:
        return True
    pairs = pairwise(temperatures)
    return len(temperatures) > 1 and temperatures[0] == 1 and all(a < b < math.inf for a, b in pairs)


Make = Callable[[SamplerOptions, float, nn.Module, tuple[int, ...], "Engine | None"], Sampler]

SAMPLERS: Mapping[str, Make] = {
    LANGEVIN: lambda options, h, net, shape, engine: Langevin(h, engine),
    "mala": lambda options, h, net, shape, engine: Mala(h),
    "hmc": lambda options, h, net, shape, engine: Hmc(h, options.leapfrog),
    "hmc-unadjusted": lambda options, h, net, shape, engine: HmcUnadjusted(h, options.leapfrog),
    "underdamped": lambda options, h, net, shape, engine: Underdamped(h, options.friction, options.splitting),
    "underdamped-unadjusted": lambda options, h, net, shape, engine: UnderdampedUnadjusted(
        h, options.friction, options.splitting
    ),
    "gibbs": lambda options, h, net, shape, engine: Gibbs(h, options.expansions),
    "gibbs-blocked": lambda options, h, net, shape, engine: GibbsBlocked.of(net, shape, h, options.expansions),
}
"""Name → how it is made of its options, its step size, the net, the shape of a state and an engine for Langevin."""


def build_sampler(
    options: SamplerOptions,
    *,
    epsilon: float,
    net: nn.Module,
    shape: tuple[int, ...],
    temperature: float = 1.0,
    engine: Engine | None = None,
) -> Sampler:
    """The sampler of these options for chains on exp(-U / temperature).

    Args:
        epsilon: ε of the training, above 0.
        net: the energy (gibbs-blocked looks at its receptive fields).
        shape: of one state.
        temperature: τ, above 0.
        engine: runs unadjusted Langevin steps of size ε √τ faster; None: a plain loop.

    Raises:
        RecipeError: ε is 0, or the net does not suit the sampler.
    """
    if not epsilon > 0:
        raise RecipeError("sampling needs noise: langevin.epsilon must be above 0.")
    sampler = SAMPLERS[options.name](options, options.step_size or epsilon * math.sqrt(temperature), net, shape, engine)
    return Tempered.of(sampler, options.temperatures) if options.temperatures else sampler
