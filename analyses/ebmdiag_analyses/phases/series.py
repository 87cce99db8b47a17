"""d in units of its sampling error: z_t where the trace has it, else d_s_t over the noise of its own steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ebmdiag.errors import TraceError
from ebmdiag.numerics.noise import step_noise
from ebmdiag.numerics.scaling import undefined
from ebmdiag_analyses.phases.options import D, Z

if TYPE_CHECKING:
    from ebmdiag.trace import Trace

Series = NDArray[np.float64]
_FEW = 30
_UNEVEN = 2.0
_LARGEST = 1e100


@dataclass(frozen=True)
class Standardized:
    """x, shape (rows,), what it is, the divisor (1 for z_t), why it may be doubted, why it is undefined."""

    x: Series
    name: str
    unit: float
    doubt: str
    undefined: str
    note: str


def standardized(trace: Trace) -> Standardized:
    """The series whose phases are sought.

    Raises:
        UsageError: there is no column d_s_t.
        TraceError: d_s_t has gaps or values that are not finite.
    """
    d = trace.series(D)
    z, why = _standard_column(trace)
    if z is not None:
        return Standardized(z, Z, 1.0, "", undefined(z), f"phases of {Z}: {D} in units of its own sampling error.")
    reason = undefined(d)
    unit = float("nan") if reason else step_noise(d)
    if not reason and unit == 0:
        reason = f"most values of {D} repeat the one before, so its noise cannot be told"
    if reason:
        return Standardized(d, D, 1.0, "", reason, "")
    note = f"phases of {D} over the noise of its steps, {unit:.4g}, since {why}: not exactly its sampling error."
    return Standardized(d / unit, D, unit, _uneven(d), "", note)


def _standard_column(trace: Trace) -> tuple[Series | None, str]:
    if Z not in trace.columns:
        return None, f"there is no {Z}"
    try:
        z: Series = trace.series(Z)
    except TraceError:
        return None, f"{Z} has gaps"
    return (z, "") if np.abs(z).max(initial=0.0) < _LARGEST else (None, f"{Z} has values beyond any sampling error")


def _uneven(d: Series) -> str:
    """One noise for the whole record says little where the noise itself changes."""
    if len(d) < 3 * _FEW:
        return ""
    levels = sorted(step_noise(third) for third in np.array_split(d, 3))
    if levels[-1] <= _UNEVEN * levels[0]:
        return ""
    return f"the noise of {D} changes by more than a factor {_UNEVEN:g} over the rows: choose even ones with --from"
