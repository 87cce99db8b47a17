"""Settled, moving or undetermined; balanced, unbalanced or undetermined: by named limits, from the numbers alone."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ebmdiag.numerics.contrast import Contrast, student_quantile
from ebmdiag.numerics.mean import TIMES_NEEDED
from ebmdiag.result import Result
from ebmdiag_analyses.stationarity.measure import D, Z

Kind = Literal["settled", "moving", "balanced", "unbalanced", "undetermined"]


@dataclass(frozen=True)
class Limits:
    """When a change matters and when it is excluded; first proposals of this project."""

    balance: float = 0.2  # mean of d, in standard deviations of d about its drift (as in summary)
    sampling_errors: float = 0.2  # mean of z_t: of d in units of the sampling error of one iteration
    change: float = 0.5  # line or halves or jump, in standard deviations about the drift (as loop_gain for d)
    p_equivalence: float = 0.05  # of two one-sided tests
    p_value: float = 0.01  # of any movement: line and halves share it, jumps have their own


LIMITS = Limits()


@dataclass(frozen=True)
class Verdict:
    """What is known of a column (``settled`` …) or of its mean (``balanced`` …).

    Attributes:
        kind: the verdict.
        value: the largest movement, or the mean, in standard deviations (for z_t: in sampling errors).
        limit: what it was held against.
        p_value: of the equivalence test; None where there is none.
        more_iterations: how many further ones would tell; None where it is known, or nothing would.
        reason: why it is undetermined.
    """

    kind: Kind
    value: float | None
    limit: float
    p_value: float | None = None
    more_iterations: int | None = None
    reason: str = ""


def verdicts(result: Result, limits: Limits = LIMITS) -> dict[str, Verdict]:
    """By column whether it has settled, and under ``mean:d_s_t`` and ``mean:z_t`` whether its mean is 0."""
    found = {name: settled(result, name, limits) for name in result.settings["columns"]}
    margins = {D: limits.balance, Z: limits.sampling_errors}
    return found | {f"mean:{name}": balanced(result, name, margins[name], limits) for name in margins if name in found}


def settled(result: Result, name: str, limits: Limits) -> Verdict:
    """Whether a column has stopped moving."""
    sd, reason = _value(result, name, "sd"), result.estimates[f"{name}:change"].reason
    if sd is None:
        return Verdict("undetermined", None, limits.change, reason=reason)
    if sd == 0:  # constant, or a drift without noise
        return _noiseless(result, name, limits)
    margin = limits.change * sd
    moves = [_contrast(result, name, key) for key in ("change", "difference")]
    jumps = np.abs(result.tables[f"jumps:{name}"].columns["shift"])
    largest = max(*(abs(move.value) for move in moves), *jumps.tolist()) / sd
    p_equal = max(move.equivalence_p(margin) for move in moves)
    seen = len(jumps) > 0 or 2 * min(move.p_value for move in moves) < limits.p_value
    if (jumps > margin).any():  # their rate of false alarms holds in short records too
        return Verdict("moving", largest, limits.change, p_equal)
    if not _long_enough(result, name):
        return _short(result, name, largest, limits.change, p_equal)
    if p_equal < limits.p_equivalence:
        return Verdict("settled", largest, limits.change, p_equal)
    if seen and largest > limits.change:
        return Verdict("moving", largest, limits.change, p_equal)
    return _undecided(result, name, largest, limits.change, p_equal, [(move, margin) for move in moves], limits)


def balanced(result: Result, name: str, share: float, limits: Limits) -> Verdict:
    """Whether the mean of d_s_t (in its standard deviations) or of z_t (as it is) is 0."""
    mean, sd = _value(result, name, "mean"), _value(result, name, "sd")
    if mean is None or sd is None:
        return Verdict("undetermined", None, share, reason=result.estimates[f"{name}:mean"].reason)
    unit = 1.0 if name == Z else sd
    if _value(result, name, "error") == 0 or unit == 0:
        size = 0.0 if mean == 0 else math.inf if unit == 0 else abs(mean) / unit
        return Verdict("balanced" if size < share else "unbalanced", size, share)
    move, size = _contrast(result, name, "mean"), abs(mean) / unit
    p_equal = move.equivalence_p(share * unit)
    if not _long_enough(result, name):
        return _short(result, name, size, share, p_equal)
    if p_equal < limits.p_equivalence:
        return Verdict("balanced", size, share, p_equal)
    if move.p_value < limits.p_value and size > share:
        return Verdict("unbalanced", size, share, p_equal)
    return _undecided(result, name, size, share, p_equal, [(move, share * unit)], limits)


def _value(result: Result, name: str, key: str) -> float | None:
    return result.estimates[f"{name}:{key}"].value


def _number(result: Result, name: str, key: str) -> float:
    value = _value(result, name, key)
    return math.nan if value is None else value


def _contrast(result: Result, name: str, key: str) -> Contrast:
    """The estimate as a contrast again; its error is the half-width of the interval over Student's quantile."""
    found, freedom = result.estimates[f"{name}:{key}"], int(_number(result, name, "freedom"))
    freedom += key == "mean"  # nothing but the mean was taken out of its noise
    value, low, high = (math.nan if part is None else part for part in (found.value, found.low, found.high))
    error = (high - low) / 2 / student_quantile(freedom, (1 + result.settings["level"]) / 2)
    return Contrast.of(value, error, freedom)


def _rows(result: Result, name: str) -> int:
    return int(result.settings["measured"][name])


def _long_enough(result: Result, name: str) -> bool:
    """For its memory, all of which was seen."""
    enough = _rows(result, name) >= max(_number(result, name, "needed_rows"), TIMES_NEEDED)
    return enough and result.estimates[f"{name}:change"].reliable


def _noiseless(result: Result, name: str, limits: Limits) -> Verdict:
    still = _value(result, name, "change") == 0 == _value(result, name, "jumps")
    return Verdict("settled" if still else "moving", 0.0 if still else math.inf, limits.change)


def _short(result: Result, name: str, size: float, limit: float, p_equal: float) -> Verdict:
    needed = max(_number(result, name, "needed_rows"), TIMES_NEEDED)
    more = _iterations(result, name, needed) if _rows(result, name) < needed else None
    return Verdict("undetermined", size, limit, p_equal, more, result.estimates[f"{name}:change"].reason)


def _undecided(
    result: Result,
    name: str,
    size: float,
    limit: float,
    p_equal: float,
    moves: Iterable[tuple[Contrast, float]],
    limits: Limits,
) -> Verdict:
    """Long enough for its memory, yet the error is too large to tell on which side of the limit the value lies."""
    rows = _rows(result, name)
    needed = max(move.rows_for(margin, 1 - limits.p_equivalence, rows) for move, margin in moves)
    more = _iterations(result, name, max(needed, rows + 1))
    reason = f"the error is too large to tell {size:.2g} from {limit:g}"
    return Verdict("undetermined", size, limit, p_equal, more, reason)


def _iterations(result: Result, name: str, needed_rows: float) -> int:
    apart = result.settings["iterations_apart"][name]
    return max(1, math.ceil((needed_rows - _rows(result, name)) * float(apart)))
