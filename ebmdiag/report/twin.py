"""The report's numbers as JSON, for programs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ebmdiag._version import VERSION
from ebmdiag.report.answers import Answer
from ebmdiag.report.compare import run_names
from ebmdiag.report.diagnosis import Diagnosis
from ebmdiag.report.gather import Run
from ebmdiag.report.landscape import compare
from ebmdiag.report.pictures import Picture


def to_json(runs: Sequence[Run], comparisons: Sequence[Answer] = ()) -> dict[str, Any]:
    """All runs: facts, findings (worst first), results, envelopes, landscape distances; and what compares them."""
    named = zip(run_names(runs), runs, strict=True)
    document: dict[str, Any] = finite(
        {
            "ebmdiag": VERSION,
            "runs": [_run(name, run) for name, run in named],
            "comparisons": [_answer(answer) for answer in comparisons],
        }
    )
    return document


def diagnoses_to_json(runs: Sequence[tuple[str, Diagnosis | str]]) -> dict[str, Any]:
    """What the report's twin says of each run, less what only a page shows; why one could not be read. Plain JSON.

    Args:
        runs: the trace as it was given, and its diagnosis or why there is none.
    """
    found = [
        {"trace": name, "error": run} if isinstance(run, str) else diagnosis_to_json(run.name, run)
        for name, run in runs
    ]
    document: dict[str, Any] = finite({"ebmdiag": VERSION, "runs": found})
    return document


def diagnosis_to_json(name: str, run: Diagnosis) -> dict[str, Any]:
    """Facts, verdict, findings (worst first, after the verdict) and what each analysis computed and judged."""
    verdict = None if run.verdict is None else run.verdict.to_json()
    if verdict is not None:
        del verdict["findings"]  # they stand beside it, with their analyses
    return {
        "name": name,
        "trace": str(run.path),
        "rows": run.rows,
        "first_step": run.first_step,
        "last_step": run.last_step,
        "metadata": asdict(run.metadata),
        "notes": list(run.notes),
        "verdict": verdict,
        "undecided": run.undecided or None,
        "findings": [
            {"analysis": answer.name if answer else None, **finding.to_json()} for answer, finding in run.findings
        ],
        "analyses": [_answer(answer) for answer in run.answers],
    }


def finite(value: Any) -> Any:
    """The same JSON value with null for what is not finite: a stranger's recipe may hold NaN."""
    if isinstance(value, dict):
        return {str(name): finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _run(name: str, run: Run) -> dict[str, Any]:
    return {
        **diagnosis_to_json(name, run),
        "series": {series.column: series.to_json() for series in run.series},
        "samples": [_picture(image) for image in run.images.images],
        "chains": [{"name": image.name, **_picture(image)} for image in run.chains.images],
        "landscapes": _landscapes(run),
    }


def _picture(image: Picture) -> dict[str, int]:
    return {"step": image.step, "width": image.width, "height": image.height}


def _answer(answer: Answer) -> dict[str, Any]:
    return {
        "name": answer.name,
        "title": answer.title,
        "failure": answer.failure or None,
        "result": None if answer.result is None else answer.result.to_json(),
        "findings": [finding.to_json() for finding in answer.findings],
    }


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
