"""How the L Langevin steps are run. One contract, :class:`Engine`; every engine is tested against ``reference``."""

from __future__ import annotations

from collections.abc import Mapping

from ebmdiag.errors import RecipeError
from ebmdiag.names import nearest
from ebmdiag_trainers.engines.contract import Chain, Engine, PathSums
from ebmdiag_trainers.engines.reference import run_reference

ENGINES: Mapping[str, Engine] = {"reference": run_reference}

__all__ = ["ENGINES", "Chain", "Engine", "PathSums", "choose_engine"]


def choose_engine(name: str) -> Engine:
    """The engine of a recipe.

    Raises:
        RecipeError: there is none of that name.
    """
    if name not in ENGINES:
        raise RecipeError(
            f"[langevin] engine: unknown engine '{name}'{nearest(name, ENGINES)} Known: {', '.join(ENGINES)}."
        )
    return ENGINES[name]
