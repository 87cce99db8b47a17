"""The report's numbers as JSON, for programs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ebmdiag._version import VERSION
from ebmdiag.report.compare import run_names
from ebmdiag.report.gather import Answer, Run
from ebmdiag.report.landscape import compare


def to_json(runs: Sequence[Run]) -> dict[str, Any]:
    """All runs: facts, findings (worst first), results, envelopes, landscape distances. Plain JSON."""
    named = zip(run_names(runs), runs, strict=True)
    document: dict[str, Any] = finite({"ebmdiag": VERSION, "runs": [_run(name, run) for name, run in named]})
    return document


def finite(value: Any) -> Any:
    """The same JSON value with null for what is not finite: a stranger's recipe may hold NaN."""
    if isinstance(value, dict):
        return {str(name): finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _run(name: str, run: Run) -> dict[str, Any]:
    steps = run.trace.steps
    return {
        "name": name,
        "trace": str(run.trace.path),
        "rows": len(run.trace),
        "first_step": int(steps[0]),
        "last_step": int(steps[-1]),
        "metadata": asdict(run.trace.metadata),
        "notes": list(run.notes),
        "findings": [{"analysis": answer.name, **finding.to_json()} for answer, finding in run.findings],
        "analyses": [_answer(answer) for answer in run.answers],
        "series": {series.column: series.to_json() for series in run.series},
        "samples": [{"step": image.step, "width": image.width, "height": image.height} for image in run.images.images],
        "landscapes": _landscapes(run),
    }


def _answer(answer: Answer) -> dict[str, Any]:
    result = None if answer.result is None else answer.result.to_json()
    return {"name": answer.name, "title": answer.title, "failure": answer.failure or None, "result": result}


def _landscapes(run: Run) -> list[dict[str, Any]]:
    found = [(landscape, compare(landscape)) for landscape in run.landscapes.landscapes]
    return [
        {
            "step": landscape.step,
            "samples": len(landscape.samples),
            "total_variation": distance.total_variation,
            "kl_truth_model": distance.divergence,
            "true_mass_in_square": distance.true_mass,
        }
        for landscape, distance in found
    ]
