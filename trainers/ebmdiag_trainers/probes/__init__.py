"""Costly statistics, asked for in the recipe's [probe]; ebmdiag.statistics says what each column means.

A probe is a function of a :class:`~ebmdiag_trainers.probes.moment.Moment` that returns columns. It draws from
generators of its own, which follow from the seed and the iteration: a run with probes learns the same numbers as one
without, to the last bit, and resumes as exactly.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from ebmdiag.errors import EbmdiagError, RecipeError
from ebmdiag.names import nearest
from ebmdiag.rows import finite_or_none, temperature
from ebmdiag.schema import check_column_name
from ebmdiag_trainers.engines import Engine
from ebmdiag_trainers.named import import_function, number_or_none
from ebmdiag_trainers.probes.data_fit import data_fit
from ebmdiag_trainers.probes.depth import depth_scan
from ebmdiag_trainers.probes.discrepancy import kernel_stein
from ebmdiag_trainers.probes.memory import contraction, nested
from ebmdiag_trainers.probes.moment import Moment, ProbeFunction
from ebmdiag_trainers.recipe import Recipe
from ebmdiag_trainers.untouched import untouched

PROBES: Mapping[str, ProbeFunction] = {
    "data_fit": data_fit,
    "depth_scan": depth_scan,
    "ksd": kernel_stein,
    "nested_rhat": nested,
    "contraction": contraction,
}
WEIGHTS = "jarzynski"
"""Not a function of a moment: the bank carries weights all along, and every iteration logs them."""

__all__ = ["PROBES", "WEIGHTS", "Moment", "Probing", "measure"]


@dataclass(frozen=True)
class Probing:
    """The probes of one run.

    Attributes:
        functions: by name; a user's own under the name of its column.
        own: columns of the user's own.
        weighted: whether the bank carries log-weights.
    """

    functions: Mapping[str, ProbeFunction] = field(default_factory=dict)
    own: tuple[str, ...] = ()
    weighted: bool = False

    @classmethod
    def of(cls, recipe: Recipe) -> Probing:
        """The probes that the recipe asks for.

        Raises:
            RecipeError: an unknown probe, one that this run does not allow, a name that is taken, or every = 0.
            EbmdiagError: a probe of the user's own cannot be imported.
        """
        settings, asked = recipe.probe, recipe.probe.statistics
        if not settings.every:
            if asked:
                raise RecipeError("[probe] statistics are never measured while every = 0; set probe.every=100, say.")
            return cls()
        if not recipe.langevin.is_plain and "contraction" in asked:
            raise RecipeError("[probe] statistics: contraction is measured along plain Langevin steps only.")
        if not asked:
            fitting = {name: probe for name, probe in PROBES.items() if _fits(name, recipe)}
            return cls(fitting, weighted=_weighable(recipe))
        twice = sorted({name for name in asked if asked.count(name) > 1})
        if twice:
            raise RecipeError(f"[probe] statistics: '{twice[0]}' is named twice.")
        functions = {name: PROBES[name] for name in asked if name in PROBES}
        own: dict[str, ProbeFunction] = {}
        for column, function in (_own(name) for name in asked if name not in (*PROBES, WEIGHTS)):
            if column in (*own, *PROBES, WEIGHTS):
                raise RecipeError(f"[probe] statistics: the name '{column}' is taken; rename the function.")
            own[column] = function
        if WEIGHTS in asked and not _weighable(recipe):
            raise RecipeError(
                "[probe] statistics: jarzynski needs chains from a known start that is positive everywhere: "
                "langevin.start='persistent', langevin.bank_start='gaussian', epsilon above 0, precision='float32', "
                "and the plain Langevin sampler."
            )
        return cls({**functions, **own}, tuple(own), WEIGHTS in asked)

    def measure(
        self,
        recipe: Recipe,
        step: int,
        net: nn.Module,
        engine: Engine,
        batch: tuple[Tensor, Tensor, Tensor],
    ) -> dict[str, float | None]:
        """Columns of iteration ``step``; empty unless it is time.

        Args:
            recipe: the run's.
            step: from 1.
            net: at θ_t, before the update.
            engine: runs the chains.
            batch: positives, starts and negatives, each of shape (B, *shape).

        Raises:
            EbmdiagError: a probe of the user's own failed.
        """
        if not recipe.probe.every or step % recipe.probe.every:
            return {}
        found: dict[str, float | None] = {}
        for name, function in self.functions.items():
            positives, starts, negatives = (tensor[: recipe.probe.chains].clone() for tensor in batch)
            seeds = np.random.SeedSequence([recipe.training.seed, step, zlib.crc32(name.encode())])
            seed = int(seeds.generate_state(1, np.uint64)[0] >> 1)
            moment = Moment(
                net=net,
                engine=engine,
                epsilon=recipe.langevin.epsilon,
                temperature=temperature(recipe.langevin.epsilon),
                steps=recipe.langevin.steps,
                positives=positives,
                starts=starts,
                negatives=negatives,
                generator=torch.Generator(starts.device).manual_seed(seed),
                rng=np.random.default_rng(seeds),
                settings=recipe.probe,
            )
            try:
                found |= measure(moment, [function])
            except Exception as error:
                if name not in self.own:
                    raise
                # it is the user's code: say whose, and where
                raise EbmdiagError(f"your probe '{name}' failed at iteration {step}: {error!r}.") from error
        return found


def measure(moment: Moment, probes: Iterable[ProbeFunction] = ()) -> dict[str, float | None]:
    """Columns of these probes, of all if none are given; None where undefined, so that a trace takes them.

    The net is left as it was: buffers, modes, gradients, and PyTorch's default generators.
    """
    found: dict[str, float | None] = {}
    with untouched(moment.net), np.errstate(all="ignore"):
        for probe in probes or PROBES.values():
            found |= probe(moment)
    return finite_or_none(found)


def _fits(name: str, recipe: Recipe) -> bool:
    return recipe.langevin.is_plain or name != "contraction"


def _weighable(recipe: Recipe) -> bool:
    langevin = recipe.langevin
    if not langevin.is_plain:
        return False
    known = langevin.start == "persistent" and langevin.bank_start == "gaussian"
    return known and langevin.epsilon > 0 and langevin.precision == "float32"


def _own(name: str) -> tuple[str, ProbeFunction]:
    """A user's probe, ``module:function`` of a moment to a number; the column takes the function's name."""
    _, colon, attribute = name.partition(":")
    if not colon:
        known = (*PROBES, WEIGHTS)
        raise RecipeError(
            f"[probe] statistics: unknown probe '{name}'{nearest(name, known)} Known: {', '.join(known)}, "
            "or your own as module:function."
        )
    column = check_column_name(attribute)
    function: Callable[[Moment], float | None] = import_function(name, "[probe] statistic")
    return column, lambda moment: {column: number_or_none(function(moment))}
