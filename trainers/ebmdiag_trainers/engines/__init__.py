"""How the L Langevin steps are run. One contract, :class:`Engine`; every engine is tested against ``reference``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from typing import Any

from torch import Tensor, nn

from ebmdiag.errors import RecipeError
from ebmdiag.names import nearest
from ebmdiag_trainers.engines.contract import Chain, Engine, PathSums
from ebmdiag_trainers.engines.graphed import run_graphed
from ebmdiag_trainers.engines.image import run_image
from ebmdiag_trainers.engines.perceptron import perceptron_of
from ebmdiag_trainers.engines.reference import run_reference


def _when_used(module: str, function: str) -> Callable[..., Chain]:
    """An engine whose compiler is imported when it is first used."""

    def run(*arguments: Any, **options: Any) -> Chain:
        chain: Chain = getattr(import_module(f"ebmdiag_trainers.engines.{module}"), function)(*arguments, **options)
        return chain

    return run


AUTO = "auto"
ROUNDING: Mapping[str, Callable[..., Chain]] = {
    "image": run_image,
    "graphed": run_graphed,
    "triton": _when_used("triton_engine", "run_triton"),
}
"""Engines that take a ``precision``."""
ENGINES: Mapping[str, Engine] = {"reference": run_reference, "fused": _when_used("fused", "run_fused"), **ROUNDING}

__all__ = ["AUTO", "ENGINES", "ROUNDING", "Chain", "Engine", "PathSums", "choose_engine", "output_of"]


def choose_engine(name: str, precision: str = "float32") -> Engine:
    """The engine of a resolved recipe, in its precision.

    Raises:
        RecipeError: there is none of that name, or it knows no other precision than float32.
    """
    if name not in ENGINES:
        known = (AUTO, *ENGINES)
        raise RecipeError(
            f"[langevin] engine: unknown engine '{name}'{nearest(name, known)} Known: {', '.join(known)}."
        )
    if precision == "float32":
        return ENGINES[name]
    if name not in ROUNDING:
        raise RecipeError(
            f"[langevin] precision = '{precision}' cannot be had on the engine '{name}', only on "
            f"{', '.join(ROUNDING)}; set it to 'float32' or choose another engine."
        )
    return partial(ROUNDING[name], precision=precision)


def output_of(name: str, net: nn.Module) -> Callable[[Tensor], Tensor]:
    """How a run on this engine computes F, (B,), outside its chains: by the net, or by something equal and faster.

    Raises:
        UnfitError: the engine is the fused one, and the net is no longer a perceptron.
    """
    return perceptron_of(net) if name == "fused" else net
