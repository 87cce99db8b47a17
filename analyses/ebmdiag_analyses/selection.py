"""Which rows of a trace an analysis used, and what a reader must know about them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ebmdiag.trace import Trace


def last_rows(trace: Trace, window: int | None) -> Trace:
    """The last ``window`` rows (all, if None or if there are not so many)."""
    if window is None or len(trace) <= window:
        return trace
    return replace(trace, table=trace.table.slice(len(trace) - window, window))


def span(trace: Trace) -> dict[str, Any]:
    """For a result's settings: first and last step used, and the iterations a row (None: irregular)."""
    steps = trace.steps
    gaps = np.unique(np.diff(steps))
    return {
        "first_step": int(steps[0]) if len(steps) else None,
        "last_step": int(steps[-1]) if len(steps) else None,
        "iterations_per_row": int(gaps[0]) if len(gaps) == 1 else None,
    }


def row_notes(trace: Trace) -> list[str]:
    """What one row means where it is not one iteration, and the state of an unfinished run."""
    return [note for note in (_spacing(trace), _state(trace)) if note]


def _spacing(trace: Trace) -> str:
    gaps = np.unique(np.diff(trace.steps))
    if len(gaps) == 0 or (len(gaps) == 1 and gaps[0] == 1):
        return ""
    if len(gaps) == 1:
        return f"every {gaps[0]} iterations a row: one lag is {gaps[0]} iterations."
    return (
        f"the steps are irregular (from {gaps[0]} to {gaps[-1]} iterations apart): "
        "lags and times count rows, not iterations."
    )


def _state(trace: Trace) -> str:
    state, message = trace.metadata.state, trace.metadata.message
    because = f" ({message})" if message else ""
    return {
        "running": "the run is still going on: later rows will be added.",
        "interrupted": f"the run was interrupted{because}: these are its rows so far.",
        "diverged": f"the run diverged{because}: these are the rows before.",
    }.get(state, "")
