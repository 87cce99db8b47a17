"""The numbers of the analysis ``windows``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ebmdiag.analysis import Analysis
from ebmdiag.errors import UsageError
from ebmdiag.numerics.bands import quantile
from ebmdiag.numerics.character import Change, find_changes, local_autocorrelation, windows_of
from ebmdiag.numerics.scaling import undefined
from ebmdiag.numerics.sliding import Map, first_lag, sliding_autocorrelation, sliding_crosscorrelation, window_starts
from ebmdiag.result import Estimate, Result, Table
from ebmdiag_analyses.conventions import NIJKAMP_LAG, check_at_least, check_level
from ebmdiag_analyses.selection import row_notes, span
from ebmdiag_analyses.windows.judge import judge
from ebmdiag_analyses.windows.view import draw, text

if TYPE_CHECKING:
    from ebmdiag.trace import Trace

Series = NDArray[np.float64]

WINDOWS = 40
SHORTEST = 100
MOST_WINDOWS = 2000
FEWEST_ROWS = 60


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which columns, which windows, and what counts as found.

    Raises:
        UsageError: a value is out of range.
    """

    x: str = field(
        default="d_s_t", metadata={"help": "The column that leads at negative lags; its changes are sought."}
    )
    y: str = field(default="r_t", metadata={"help": "The column that leads at positive lags; left out if not there."})
    width: int | None = field(
        default=None,
        metadata={"help": "Rows of a window. Default: for about 40 windows that overlap by half, 100 at least."},
    )
    stride: int | None = field(
        default=None, metadata={"help": "Rows from one window to the next. Default: half of the width, or less."}
    )
    max_lag: int = field(default=NIJKAMP_LAG, metadata={"help": "Longest lag; a quarter of the width at most."})
    level: float = field(default=0.95, metadata={"help": "Level of the intervals, between 0 and 1."})
    false_rate: float = field(
        default=0.05, metadata={"help": "Share of false marks that is allowed among the values marked in a map."}
    )
    seed: int = field(default=0, metadata={"help": "Of the permutations: the same seed, the same changes."})

    def __post_init__(self) -> None:
        if self.x == self.y:
            raise UsageError(f"x and y are both '{self.x}': take two columns.")
        check_at_least("width", self.width, 20)
        check_at_least("stride", self.stride, 1)
        check_at_least("max-lag", self.max_lag, 1)
        check_at_least("seed", self.seed, 0)
        check_level(self.level)
        if not 0 < self.false_rate < 1:
            raise UsageError(f"false-rate must lie between 0 and 1, but is {self.false_rate}.")


@dataclass(frozen=True)
class _Windows:
    width: int
    stride: int
    max_lag: int


def analyse(trace: Trace, options: Options) -> Result:
    """Maps of correlations, gains over time and changes of character.

    Estimates: ``share:acf_x``, ``share:acf_y``, ``share:ccf`` (of a map's values that stand out), ``changes`` (how
    many), and for each ``change:i`` (step, with the steps between which it lies). Tables: ``acf_x``, ``acf_y``, ``ccf``
    (window by window: last_step, lag, correlation, significant), ``gains`` (first_step, last_step, difference and state
    with low and high), ``stretches`` (first_step, last_step, lowest autocorrelation of x over lags 1 … 10, its lag,
    p_value of the change at its beginning).

    Raises:
        UsageError: a column is not there, or the windows do not fit.
        TraceError: a column has gaps or values that are not finite.
    """
    x = trace.series(options.x)
    y = trace.series(options.y) if options.y in trace.columns or options.y != "r_t" else None
    settings = {"x": options.x, "y": options.y if y is not None else None, **_kept(options), **span(trace)}
    reason = _undefined(x)
    if reason:
        estimates = {"changes": Estimate.undefined(f"{options.x}: {reason}")}
        return Result("windows", trace.name, len(x), settings, estimates, {}, tuple(row_notes(trace)))
    windows = _windows(len(x), options)
    maps = _maps(x, y, windows)
    changes = find_changes(x, seed=options.seed)
    tables = {name: _map_table(name, found, trace.steps, windows, options) for name, found in maps.items()}
    tables |= {
        "gains": _gains(x, y, trace.steps, windows, options.level),
        "stretches": _stretches(x, changes, trace.steps),
    }
    settings |= {
        "width": windows.width,
        "stride": windows.stride,
        "max_lag": windows.max_lag,
        "windows": len(tables["gains"]),
    }
    estimates = {
        **{f"share:{name}": _share(tables[name]) for name in maps},
        **_changes(changes, trace.steps, len(x)),
    }
    return Result("windows", trace.name, len(x), settings, estimates, tables, tuple(row_notes(trace)))


def _kept(options: Options) -> dict[str, Any]:
    return {name: getattr(options, name) for name in ("level", "false_rate", "seed")}


def _undefined(x: Series) -> str:
    if len(x) < FEWEST_ROWS:
        return f"{len(x)} rows are too few for windows: at least {FEWEST_ROWS} are needed"
    return undefined(x)


def _windows(rows: int, options: Options) -> _Windows:
    """Those asked for, or about 40 that overlap by half.

    Raises:
        UsageError: they do not fit, or are too many.
    """
    width = options.width or min(rows, max(SHORTEST, 2 * rows // (WINDOWS + 1)))
    stride = options.stride or max(1, min(width // 2, -(-(rows - width) // (WINDOWS - 1)) or 1))
    if width > rows:
        raise UsageError(f"width is {width} rows, but the trace has only {rows}; ask for a smaller one.")
    if (count := len(window_starts(rows, width, stride))) > MOST_WINDOWS:
        raise UsageError(
            f"a stride of {stride} rows makes {count} windows; at most {MOST_WINDOWS}: ask for a longer one."
        )
    return _Windows(width, stride, min(options.max_lag, width // 4))


def _maps(x: Series, y: Series | None, windows: _Windows) -> dict[str, Map]:
    sizes = (windows.width, windows.stride, windows.max_lag)
    maps = {"acf_x": sliding_autocorrelation(x, *sizes)}
    if y is not None:
        maps |= {"acf_y": sliding_autocorrelation(y, *sizes), "ccf": sliding_crosscorrelation(x, y, *sizes)}
    return maps


def _map_table(name: str, found: Map, steps: NDArray[np.int64], windows: _Windows, options: Options) -> Table:
    ends = steps[found.starts + windows.width - 1]
    title = {
        "acf_x": f"autocorrelation of {options.x} by window",
        "acf_y": f"autocorrelation of {options.y} by window",
        "ccf": f"cross-correlation of {options.x} with {options.y} by window",
    }[name]
    return Table(
        title,
        {
            "last_step": np.repeat(ends, len(found.lags)),
            "lag": np.tile(found.lags, len(ends)),
            "correlation": found.values.ravel(),
            "significant": found.significant(options.false_rate).ravel(),
        },
    )


def _share(table: Table) -> Estimate:
    """Of the values that were tested: all but lag 0 of an autocorrelation."""
    tested = np.isfinite(table.columns["correlation"])
    if table.columns["lag"].min() == 0:
        tested &= table.columns["lag"] > 0
    if not tested.any():
        return Estimate.undefined("the series is constant in each window")
    return Estimate(float(table.columns["significant"][tested].mean()))


def _gains(x: Series, y: Series | None, steps: NDArray[np.int64], windows: _Windows, level: float) -> Table:
    """-2 rho_1(x) and 1 - rho_1(y) in each window, with intervals from Bartlett's formula in full."""
    starts, z = window_starts(len(x), windows.width, windows.stride), quantile(level)
    rho, error = first_lag(x, windows.width, windows.stride)
    columns: dict[str, NDArray[Any]] = {
        "first_step": steps[starts],
        "last_step": steps[starts + windows.width - 1],
        "difference": -2 * rho,
        "difference_low": -2 * (rho + z * error),
        "difference_high": -2 * (rho - z * error),
    }
    if y is not None:
        rho, error = first_lag(y, windows.width, windows.stride)
        columns |= {"state": 1 - rho, "state_low": 1 - rho - z * error, "state_high": 1 - rho + z * error}
    return Table("gains of a memoryless loop by window", columns)


def _stretches(x: Series, changes: list[Change], steps: NDArray[np.int64]) -> Table:
    """The record between its changes, and the mean autocorrelation of its windows in each stretch."""
    width = len(x) // (windows_of(len(x)) or 1)
    begins = np.array([0, *(change.row for change in changes)])
    ends = np.array([*(change.row for change in changes), len(x)])
    rho = [local_autocorrelation(x[begin:end], width) for begin, end in zip(begins, ends, strict=True)]
    return Table(
        "stretches between changes",
        {
            "first_step": steps[begins],
            "last_step": steps[ends - 1],
            "lowest": np.array([float(each.min()) for each in rho]),
            "lag": np.array([int(np.argmin(each)) + 1 for each in rho]),
            "p_value": np.array([np.nan, *(change.p_value for change in changes)]),
        },
    )


def _changes(changes: list[Change], steps: NDArray[np.int64], rows: int) -> dict[str, Estimate]:
    if not windows_of(rows):
        return {"changes": Estimate.undefined(f"{rows} rows are too few to seek a change: 600 are needed")}
    found = {
        f"change:{place}": Estimate(
            float(steps[change.row]),
            float(steps[max(change.row - change.uncertainty, 0)]),
            float(steps[min(change.row + change.uncertainty, rows - 1)]),
        )
        for place, change in enumerate(changes, 1)
    }
    return {"changes": Estimate(float(len(changes))), **found}


def columns(options: Options) -> list[str]:
    """What ``analyse`` reads."""
    return [options.x, options.y]


ANALYSIS = Analysis(
    name="windows",
    title="Correlations over time",
    summary="Sliding correlations of d_s_t and r_t: when does the training change its character?",
    options=Options,
    analyse=analyse,
    judge=judge,
    text=text,
    draw=draw,
    columns=columns,
)
