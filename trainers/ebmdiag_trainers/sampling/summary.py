"""A finished table in a few numbers, for programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from ebmdiag.chains import ChainFiles, ChainsMetadata
from ebmdiag_trainers.sampling.reading import pieces

_FACTS = (
    "sampler",
    "temperature",
    "init",
    "steps",
    "thin",
    "chains",
    "copies",
    "warmup",
    "training_step",
    "state",
    "held_out",
    "gradients",
    "energies",
    "seed",
    "weights",
)
_MEANS = ("energy", "grad_norm", "displacement")


def summary_of(files: ChainFiles, metadata: ChainsMetadata) -> dict[str, Any]:
    """Where the table is, its facts, and means over chains at the last draw of each phase."""
    facts = asdict(metadata)
    last = {"data": 0, "short": metadata.short_steps, "long": metadata.steps}
    phases = {name: _phase(files, name, draw) for name, draw in last.items()}
    return {
        "table": str(files.table),
        "samples": str(files.samples) if files.samples.exists() else None,
        **{name: facts[name] for name in _FACTS},
        "phases": {name: phase for name, phase in phases.items() if phase},
    }


def _phase(files: ChainFiles, name: str, last: int) -> Mapping[str, float]:
    """Means at the last draw, and of the acceptance over all draws; empty where there are no rows."""
    at_last: dict[str, list[float]] = {measure: [] for measure in _MEANS}
    acceptance = []
    for piece in pieces(files.table, name, ("draw", "acceptance", *_MEANS)):
        for measure, values in at_last.items():
            values.extend(piece[measure][piece["draw"] == last])
        acceptance.append((np.nansum(piece["acceptance"]), np.isfinite(piece["acceptance"]).sum()))
    if not at_last["energy"]:
        return {}
    total, count = np.sum(acceptance, axis=0)
    told = {"acceptance": float(total / count)} if count else {}
    means = {measure: float(np.mean(values)) for measure, values in at_last.items()}
    return {"chains": len(at_last["energy"]), "last_draw": last, **means, **told}
