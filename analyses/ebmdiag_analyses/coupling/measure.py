"""The numbers of the coupling: which column foretells which, how strongly, and how a shock spreads."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ebmdiag.errors import UsageError
from ebmdiag.names import nearest
from ebmdiag.numerics.bands import quantile
from ebmdiag.numerics.correlation import crosscorrelation
from ebmdiag.numerics.mean import TIMES_NEEDED, mean_with_error
from ebmdiag.numerics.prewhitening import Prewhitened, prewhitened
from ebmdiag.numerics.scaling import doubtful, undefined
from ebmdiag.numerics.vector_autoregression import Direction, VectorAutoregression, fit_pair
from ebmdiag.result import Estimate, Result, Table
from ebmdiag_analyses.conventions import check_at_least, check_different, check_level
from ebmdiag_analyses.lags import lag_table
from ebmdiag_analyses.selection import last_rows, row_notes, span

if TYPE_CHECKING:
    from ebmdiag.trace import Trace

Series = NDArray[np.float64]

DIFFERENCES = ("auto", "always", "never")
ROWS_PER_ORDER = 30
_ROUNDING = 1e-12
_WAYS = ("x_to_y", "y_to_x")
_KEYS = ("f", "p", "share", "response", "response_lag")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which columns and rows, how many lags.

    Raises:
        UsageError: a value is out of range.
    """

    x: str = field(default="d_s_t", metadata={"help": "The first column."})
    y: str = field(default="r_t", metadata={"help": "The second column."})
    window: int | None = field(default=None, metadata={"help": "Use only the last so many rows. Default: all."})
    max_order: int = field(default=15, metadata={"help": "Most rows of the past (at most rows / 30)."})
    horizon: int = field(default=15, metadata={"help": "Rows after a shock, and lags of the prewhitened correlation."})
    differences: str = field(
        default="auto",
        metadata={"help": "Take differences of a column; auto: where it has not settled.", "choices": DIFFERENCES},
    )
    level: float = field(default=0.95, metadata={"help": "Level of intervals and band, between 0 and 1."})

    def __post_init__(self) -> None:
        check_different("column", (self.x, self.y))
        check_at_least("window", self.window, 1)
        check_at_least("max-order", self.max_order, 1)
        check_at_least("horizon", self.horizon, 1)
        check_level(self.level)
        if self.differences not in DIFFERENCES:
            hint = nearest(self.differences, DIFFERENCES)
            raise UsageError(f"unknown differences '{self.differences}'{hint} Known: {', '.join(DIFFERENCES)}.")


def analyse(trace: Trace, options: Options) -> Result:
    """Granger's test both ways, strength, responses, prewhitened cross-correlation.

    Estimates: ``order``; ``x_to_y:f``, ``:p``, ``:share`` (of the innovation variance of y that the past of x
    explains), ``:response`` (the clearest answer of y, in its standard deviations, to one standard deviation of an
    innovation of x) and ``:response_lag`` (rows later); the same for ``y_to_x``; ``instant``, the correlation of the
    innovations. Tables: ``response``, and ``ccf``, corr(x[t+k], y[t]) after prewhitening by x. Where a column is looked
    at by its differences, ``settings`` names it under ``differenced``.

    Raises:
        UsageError: a column is not there.
        TraceError: a column has gaps or values that are not finite.
    """
    used = last_rows(trace, options.window)
    raw = {name: used.series(name) for name in (options.x, options.y)}
    differenced = _differenced(raw, options)
    x, y = _aligned(raw, differenced)
    most = max(1, min(options.max_order, len(x) // ROWS_PER_ORDER))
    settings = {
        **{name: getattr(options, name) for name in ("x", "y", "window", "horizon", "level", "differences")},
        "max_order": most,
        "differenced": differenced,
        **span(used),
    }
    fitted, white, reason = _fitted(x, y, options, most)
    doubt = _doubt(x, y, settings) if fitted else ""
    tables = {"ccf": _ccf(white, options)}
    if fitted is not None:
        tables = {"response": _responses(fitted, options), **tables}
    estimates = _estimates(fitted, tables, reason, doubt, options.level)
    notes = (*row_notes(used), *_notes(settings, fitted, white))
    return Result("coupling", trace.name, len(used), settings, estimates, tables, notes)


def _differenced(raw: dict[str, Series], options: Options) -> list[str]:
    if options.differences == "auto":
        return [name for name, x in raw.items() if _unsettled(x)]
    return [options.y] if options.differences == "always" else []


def _unsettled(x: Series) -> bool:
    """Shorter than 50 autocorrelation times: then a test would take a slow drift for a cause."""
    return not undefined(x) and len(x) < TIMES_NEEDED * mean_with_error(x).autocorrelation_time


def _aligned(raw: dict[str, Series], differenced: list[str]) -> tuple[Series, Series]:
    """Both columns on the same rows; a difference belongs to the later of its two."""
    x, y = (np.diff(series) if name in differenced else series for name, series in raw.items())
    shorter = min(len(x), len(y))
    return x[len(x) - shorter :], y[len(y) - shorter :]


def _fitted(
    x: Series, y: Series, options: Options, most: int
) -> tuple[VectorAutoregression | None, Prewhitened | None, str]:
    for name, series in ((options.x, x), (options.y, y)):
        if reason := undefined(series):
            return None, None, f"{name}: {reason}"
    white = prewhitened(x, y)
    try:
        return fit_pair(x, y, most), white, ""
    except ValueError as error:
        return None, white, str(error)


def _doubt(x: Series, y: Series, settings: dict[str, Any]) -> str:
    if reason := doubtful(len(x)):
        return reason
    if settings["iterations_per_row"] is None:
        return "the rows are irregularly spaced, so a lag is no time"
    seen = settings["differences"] == "auto"  # then those that are looked at as they are have settled
    for name, series in ((settings["x"], x), (settings["y"], y)):
        if not (seen and name not in settings["differenced"]) and _unsettled(series):
            return f"{name} has not settled: {mean_with_error(series).reason}"
    return ""


def _notes(settings: dict[str, Any], fitted: VectorAutoregression | None, white: Prewhitened | None) -> list[str]:
    notes = [
        f"{name} is looked at by its differences from row to row"
        f"{': it has not settled' if settings['differences'] == 'auto' else ''}."
        for name in settings["differenced"]
    ]
    if settings["iterations_per_row"] not in (None, 1):
        notes.append("what happens between two rows has no direction here; the loop answers at each iteration.")
    if fitted is not None and fitted.exact:
        notes.append(f"one column follows exactly from {fitted.order} rows of both: further lags say nothing.")
    elif fitted is not None and fitted.order == settings["max_order"]:
        notes.append(f"the highest order allowed was taken, {fitted.order}: the memory may be longer (--max-order).")
    if white is not None and white.left:
        notes.append(f"prewhitening, order {white.order}: {settings['x']} {white.left}.")
    return notes


def _responses(fitted: VectorAutoregression, options: Options) -> Table:
    """Answers in standard deviations of the answering column, to one standard deviation of an innovation."""
    phi, errors = fitted.responses(options.horizon)
    shocks, z = np.sqrt(np.maximum(np.diag(fitted.covariance), 0)), quantile(options.level)
    columns: dict[str, NDArray[Any]] = {"rows_later": np.arange(options.horizon + 1)}
    for way, (answers, shocked) in zip(_WAYS, ((1, 0), (0, 1)), strict=True):
        value, error = (_rounded(part[:, answers, shocked] * shocks[shocked]) for part in (phi, errors))
        columns |= {way: value, f"{way}_low": value - z * error, f"{way}_high": value + z * error}
    return Table("answer to a shock", columns)


def _rounded(values: Series) -> Series:
    """Round-off of columns that follow from each other becomes 0."""
    return np.where(np.abs(values) < _ROUNDING, 0.0, values)


def _ccf(white: Prewhitened | None, options: Options) -> Table:
    lags = np.arange(-options.horizon, options.horizon + 1)
    title = f"prewhitened cross-correlation of {options.x} with {options.y}"
    if white is None:
        return lag_table(title, lags, np.full(len(lags), np.nan), np.nan)
    values = crosscorrelation(white.x, white.y, options.horizon)
    return lag_table(title, lags, values, quantile(options.level) / math.sqrt(len(white.x)))


def _estimates(
    fitted: VectorAutoregression | None, tables: dict[str, Table], reason: str, doubt: str, level: float
) -> dict[str, Estimate]:
    if fitted is None:
        names = ("order", *(f"{way}:{key}" for way in _WAYS for key in _KEYS), "instant")
        return dict.fromkeys(names, Estimate.undefined(reason))
    found = {"order": Estimate.doubted(float(fitted.order), doubt)}
    for way, direction in zip(_WAYS, (fitted.forward, fitted.backward), strict=True):
        found |= {f"{way}:{key}": value for key, value in _direction(direction, doubt).items()}
        found |= {f"{way}:{key}": value for key, value in _clearest(tables["response"], way, doubt).items()}
    return found | {"instant": _instant(fitted, doubt, quantile(level))}


def _direction(direction: Direction, doubt: str) -> dict[str, Estimate]:
    finite = math.isfinite(direction.statistic)
    return {
        "f": Estimate.doubted(direction.statistic, doubt) if finite else Estimate.undefined("no noise is left"),
        "p": Estimate.doubted(direction.p_value, doubt),
        "share": Estimate.doubted(direction.share, doubt),
    }


def _clearest(table: Table, way: str, doubt: str) -> dict[str, Estimate]:
    """The answer that is most of its errors away from 0, after row 0, where it is 0 by definition."""
    value, low, high = (table.columns[f"{way}{end}"][1:] for end in ("", "_low", "_high"))
    half = np.maximum((high - low) / 2, _ROUNDING)
    place = int(np.argmax(np.abs(value) / half))
    return {
        "response": Estimate.doubted(float(value[place]), doubt, low=float(low[place]), high=float(high[place])),
        "response_lag": Estimate.doubted(place + 1.0, doubt),
    }


def _instant(fitted: VectorAutoregression, doubt: str, z: float) -> Estimate:
    """With Fisher's interval."""
    if fitted.exact:
        return Estimate.undefined("one column leaves no innovation")
    value = min(max(fitted.instant, -1 + 1e-15), 1 - 1e-15)
    half = z / math.sqrt(max(fitted.rows - 3, 1))
    low, high = math.tanh(math.atanh(value) - half), math.tanh(math.atanh(value) + half)
    return Estimate.doubted(fitted.instant, doubt, low=low, high=high)


def columns(options: Options) -> list[str]:
    """What ``analyse`` reads."""
    return [options.x, options.y]
