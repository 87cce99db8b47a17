"""What a trace's recipe tells of the optimizer: its momentum rings at a modulus of √beta (docs/loop_gain.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ebmdiag.trace import Trace

_BETA = {"adam": "beta1", "sgd": "momentum"}


def optimizer_facts(trace: Trace) -> dict[str, Any]:
    """``optimizer`` (its name) and ``beta`` (Adam's beta1, SGD's momentum); None where the recipe tells nothing."""
    recipe = trace.metadata.recipe.get("optimizer")
    facts = recipe if isinstance(recipe, dict) else {}
    name = facts.get("name")
    beta = facts.get(_BETA.get(str(name), ""))
    known = isinstance(beta, int | float) and not isinstance(beta, bool) and 0 <= beta < 1
    return {"optimizer": str(name) if name else None, "beta": float(beta) if known and beta is not None else None}
