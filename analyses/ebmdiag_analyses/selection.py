"""Which rows of a trace an analysis used, and what a reader must know about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ebmdiag.trace import Trace

_STRETCH = 1_000_000  # rows whose distances are looked at together


def last_rows(trace: Trace, window: int | None) -> Trace:
    """The last ``window`` rows (all, if None or if there are not so many)."""
    return trace if window is None else trace.latest(window)


def span(trace: Trace) -> dict[str, Any]:
    """For a result's settings: first and last step used, and the iterations a row (None: irregular)."""
    steps = trace.steps
    gaps = _gaps(steps)
    return {
        "first_step": int(steps[0]) if len(steps) else None,
        "last_step": int(steps[-1]) if len(steps) else None,
        "iterations_per_row": gaps[0] if gaps is not None and gaps[0] == gaps[1] else None,
    }


def row_notes(trace: Trace) -> list[str]:
    """What one row means where it is not one iteration, and the state of an unfinished run."""
    return [note for note in (_spacing(trace), _state(trace)) if note]


def _spacing(trace: Trace) -> str:
    gaps = _gaps(trace.steps)
    if gaps is None or gaps == (1, 1):
        return ""
    if gaps[0] == gaps[1]:
        return f"every {gaps[0]} iterations a row: one lag is {gaps[0]} iterations."
    return (
        f"the steps are irregular (from {gaps[0]} to {gaps[1]} iterations apart): "
        "lags and times count rows, not iterations."
    )


def _gaps(steps: NDArray[np.int64]) -> tuple[int, int] | None:
    """Smallest and largest distance of neighbouring rows; None where there are none."""
    stretches = (np.diff(steps[low : low + _STRETCH + 1]) for low in range(0, len(steps) - 1, _STRETCH))
    ends = [(int(gaps.min()), int(gaps.max())) for gaps in stretches]
    return (min(low for low, _ in ends), max(high for _, high in ends)) if ends else None


def _state(trace: Trace) -> str:
    state, message = trace.metadata.state, trace.metadata.message
    because = f" ({message})" if message else ""
    return {
        "running": "the run is still going on: later rows will be added.",
        "interrupted": f"the run was interrupted{because}: these are its rows so far.",
        "diverged": f"the run diverged{because}: these are the rows before.",
    }.get(state, "")
