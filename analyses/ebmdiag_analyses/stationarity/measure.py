"""The numbers of stationarity: means, changes over the record, jumps, and the memory that they are held against."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ebmdiag.errors import TraceError
from ebmdiag.numerics.change_points import Change, change_points_of, cusum_of
from ebmdiag.numerics.contrast import Contrast
from ebmdiag.numerics.low_frequency import Slow, contrast, mean_contrast, ramp, slow, step
from ebmdiag.numerics.mean import mean_and_deviation, mean_with_error
from ebmdiag.numerics.scaling import undefined
from ebmdiag.result import Estimate, Result, Table
from ebmdiag_analyses.conventions import check_at_least, check_different, check_level
from ebmdiag_analyses.selection import last_rows, row_notes, span
from ebmdiag_analyses.stationarity.unit_root import KEYS as UNIT_ROOT_KEYS
from ebmdiag_analyses.stationarity.unit_root import unit_root

if TYPE_CHECKING:
    from ebmdiag.trace import Trace

Series = NDArray[np.float64]
Steps = NDArray[np.int64]

D, Z = "d_s_t", "z_t"
DEFAULT_COLUMNS = (D, Z, "r_t", "virial", "configurational_temperature")
JUMP_ALPHA = 0.01  # chance of any false jump in a column
_BINS = 240
_TESTS = ("change", "change_p", "difference", "difference_p", "cusum_p", "jumps")
_KEYS = ("mean", "error", "freedom", "sd", "time", "needed_rows", *_TESTS)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which columns and rows.

    Raises:
        UsageError: a value is out of range.
    """

    columns: tuple[str, ...] = field(
        default=(),
        metadata={"name": "column", "help": "Column; may be repeated. Default: d_s_t, z_t, r_t, virial … if present."},
    )
    window: int | None = field(default=None, metadata={"help": "Use only the last so many rows. Default: all."})
    level: float = field(default=0.95, metadata={"help": "Level of the intervals, between 0 and 1."})
    unit_root: bool = field(
        default=False, metadata={"help": "Also KPSS and ADF, as side numbers: their sizes are wrong under memory."}
    )

    def __post_init__(self) -> None:
        check_different("column", self.columns)
        check_at_least("window", self.window, 1)
        check_level(self.level)


def analyse(trace: Trace, options: Options) -> Result:
    """Mean, change, difference of halves and jumps of each column.

    Estimates, for each column c: ``c:mean`` with its interval, ``c:error``, ``d_s_t:newey_west`` (the error
    of numerics.mean, to compare); ``c:change``, what a straight line changes from first row to last, and
    ``c:difference``, second half less first, each with interval and ``_p``; ``c:cusum_p`` (one jump somewhere);
    ``c:jumps`` (how many are found); ``c:sd`` about the drift, ``c:time`` (memory in rows), ``c:needed_rows``
    (50 times that), ``c:freedom`` (of Student's t); with ``unit_root`` also ``c:kpss_p``, ``c:adf_p``.
    Tables: ``series:c``, means of at most 240 stretches; ``jumps:c``.

    Raises:
        UsageError: a column that was asked for is not there.
        TraceError: a column that was asked for has values that are not finite.
    """
    used = last_rows(trace, options.window)
    measured, notes = _measured(used, options)
    estimates: dict[str, Estimate] = {}
    tables: dict[str, Table] = {}
    for name, (steps, x) in measured.items():
        found, jumps = _estimates(x, options, compare=name == D)
        estimates |= {f"{name}:{key}": value for key, value in found.items()}
        tables |= {f"series:{name}": _stretches(name, steps, x), f"jumps:{name}": _jumps(name, steps, jumps)}
    settings: dict[str, Any] = {
        "columns": list(measured),
        "measured": {name: len(x) for name, (_, x) in measured.items()},
        "iterations_apart": {name: _apart(steps) for name, (steps, _) in measured.items()},
        "window": options.window,
        "level": options.level,
        "jump_alpha": JUMP_ALPHA,
        **span(used),
    }
    return Result("stationarity", trace.name, len(used), settings, estimates, tables, (*row_notes(used), *notes))


def _measured(used: Trace, options: Options) -> tuple[dict[str, tuple[Steps, Series]], list[str]]:
    if options.columns:
        return {name: used.measured(name) for name in options.columns}, []
    measured, broken = {}, []
    for name in [name for name in DEFAULT_COLUMNS if name in used.columns] or [D]:
        try:
            measured[name] = used.measured(name)
        except TraceError:
            if name == D:
                raise
            broken.append(name)
    notes = [f"left out, since values are not finite: {', '.join(broken)}."] if broken else []
    sparse = [f"{name} ({len(x)})" for name, (_, x) in measured.items() if len(x) < len(used)]
    return measured, [*notes, *([f"measured in some of {len(used)} rows only: {', '.join(sparse)}."] if sparse else [])]


def _apart(steps: Steps) -> float:
    """Iterations between two values, in the middle of their order."""
    return float(np.median(np.diff(steps))) if len(steps) > 1 else 1.0


def _estimates(x: Series, options: Options, *, compare: bool) -> tuple[dict[str, Estimate], list[Change]]:
    keys = (*_KEYS, *(("newey_west",) if compare else ()), *(UNIT_ROOT_KEYS if options.unit_root else ()))
    try:
        series = slow(x)
    except ValueError as error:
        return _without_tests(x, keys, str(error)), []
    doubt = series.doubt
    jumps = change_points_of(series, offset=len(x), alpha=JUMP_ALPHA)
    found = {
        **_mean(series, x, doubt, options.level),
        **_moves(series, doubt, options.level),
        "sd": Estimate.doubted(series.deviation, doubt),
        "time": Estimate.doubted(series.time, doubt),
        "needed_rows": Estimate(float(series.needed_rows)),
        "cusum_p": Estimate.doubted(cusum_of(series, offset=len(x)).p_value, doubt),
        "jumps": Estimate.doubted(float(len(jumps)), "" if jumps else doubt),
    }
    if compare:
        plain = mean_with_error(x)
        found["newey_west"] = Estimate.doubted(plain.error, plain.reason)
    return found | (unit_root(series.blocks) if options.unit_root else {}), jumps


def _without_tests(x: Series, keys: tuple[str, ...], reason: str) -> dict[str, Estimate]:
    """A constant has a mean, and it does not move; nothing else is known of it, and nothing at all of no rows."""
    found = dict.fromkeys(keys, Estimate.undefined(reason))
    if len(x):
        constant = "constant" in reason
        found["mean"] = Estimate.doubted(mean_and_deviation(x)[0], "" if constant else reason)
        if constant and undefined(x):
            found |= dict.fromkeys(("error", "sd", "change", "difference", "jumps"), Estimate(0.0))
    return found


def _mean(series: Slow, x: Series, doubt: str, level: float) -> dict[str, Estimate]:
    mean = mean_contrast(series, mean_and_deviation(x)[0])
    return {
        "mean": _with_bounds(mean, doubt, level),
        "error": Estimate.doubted(mean.error, doubt),
    }


def _moves(series: Slow, doubt: str, level: float) -> dict[str, Estimate]:
    blocks = len(series.blocks)
    change, difference = contrast(series, ramp(blocks)), contrast(series, step(blocks, blocks // 2))
    return {
        "change": _with_bounds(change, doubt, level),
        "change_p": Estimate.doubted(change.p_value, doubt),
        "difference": _with_bounds(difference, doubt, level),
        "difference_p": Estimate.doubted(difference.p_value, doubt),
        "freedom": Estimate.doubted(float(change.freedom), doubt),
    }


def _with_bounds(found: Contrast, doubt: str, level: float) -> Estimate:
    low, high = found.bounds(level)
    return Estimate.doubted(found.value, doubt, low=low, high=high)


def _stretches(name: str, steps: Steps, x: Series) -> Table:
    """Means of consecutive shares of the rows, with the last step of each."""
    bounds = np.linspace(0, len(x), min(_BINS, len(x)) + 1).astype(np.int64)
    means = [mean_and_deviation(x[low:high])[0] for low, high in pairwise(bounds)]
    return Table(f"{name} over the run", {"step": steps[bounds[1:] - 1], "mean": np.array(means, dtype=np.float64)})


def _jumps(name: str, steps: Steps, jumps: list[Change]) -> Table:
    return Table(
        f"jumps of the mean of {name}",
        {
            "step": np.array([steps[jump.row] for jump in jumps], dtype=np.int64),
            "shift": np.array([jump.shift for jump in jumps], dtype=np.float64),
            "p": np.array([jump.p_value for jump in jumps], dtype=np.float64),
        },
    )


def columns(options: Options) -> list[str]:
    """What ``analyse`` reads."""
    return list(options.columns or DEFAULT_COLUMNS)
