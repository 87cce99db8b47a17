"""What a table of chains says about itself, from its plan and from where its run is."""

from __future__ import annotations

import math
from typing import Any

from ebmdiag.chains import ChainsMetadata
from ebmdiag_trainers.data import ImageSet
from ebmdiag_trainers.sampling.cursor import Cursor
from ebmdiag_trainers.sampling.plan import Plan

PRODUCER = "ebmdiag sample"


def metadata_of(plan: Plan) -> ChainsMetadata:
    """The facts known before the run."""
    return ChainsMetadata(
        producer=PRODUCER,
        sampler=_sampler_facts(plan, Cursor()),
        epsilon=plan.epsilon,
        temperature=plan.temperature,
        seed=plan.seed,
        init=plan.init,
        steps=plan.steps,
        thin=plan.thin,
        chains=plan.chains,
        copies=plan.copies,
        warmup=plan.warmup,
        short_steps=plan.short.steps if plan.short else 0,
        short_start=plan.short.start if plan.short else "",
        training_step=plan.training_step,
        weights=plan.facts["weights"],
        shape=list(plan.shape),
        source=plan.dataset.name if plan.dataset else "",
        held_out=is_held_out(plan),
    )


def last_facts(plan: Plan, cursor: Cursor) -> dict[str, Any]:
    """The facts known after it."""
    return {
        "sampler": _sampler_facts(plan, cursor),
        "gradients": cursor.gradients,
        "energies": cursor.energies,
    }


def is_held_out(plan: Plan) -> bool:
    """Whether the data compared with are known to be none that the net was trained on."""
    if not plan.compare or plan.dataset is None:
        return False
    return not isinstance(plan.dataset, ImageSet) or (plan.apart and plan.dataset.held_out is not None)


def _sampler_facts(plan: Plan, cursor: Cursor) -> dict[str, Any]:
    """Name and options, the step as it was after the warm-up, and what kind of sampler it is."""
    sampler = plan.warmed(cursor.averages)
    options = plan.options.facts()
    if "friction" in options and math.isinf(options["friction"]):
        options["friction"] = "infinite"  # which JSON has no number for
    return {
        **options,
        "step_size": float(sampler.step_size),
        "exact": sampler.exact,
        "adjusted": sampler.adjusted,
        "dtype": plan.facts["dtype"],
        "engine": plan.engine_name,
    }
