"""Does the energy difference oscillate? The autocorrelation of columns of a trace.

Nijkamp et al. 2020 (arXiv:1903.12370) tell weak from strong oscillation by the autocorrelation of d_s_t: strong
oscillation shows as clearly negative values at short lags. One linear mode with loop gain g (derived for this
project) predicts rho_k(d) = -(g/2)(1-g)^(k-1), whose sum over all lags is -1/2 for every g. That sum means
something only over lags far fewer than rows: over all of them it is -1/2 for any centred series, by arithmetic.

Where a number is undefined: docs/undefined.md. Which band, and its measured size: docs/correlation.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ebmdiag.analysis import Analysis
from ebmdiag.numerics.correlation import autocorrelation
from ebmdiag.numerics.portmanteau import ljung_box
from ebmdiag.numerics.scaling import doubtful, spread_share, undefined
from ebmdiag.result import Estimate, Finding, Result, Table
from ebmdiag.statistics import PAPER
from ebmdiag.terminal import number
from ebmdiag_analyses.autocorrelation_view import draw, text
from ebmdiag_analyses.conventions import (
    NIJKAMP_LAG,
    LagOptions,
    check_at_least,
    check_different,
    is_centred,
)
from ebmdiag_analyses.lag_bands import BandOptions, autocorrelation_band
from ebmdiag_analyses.lags import lag_table
from ebmdiag_analyses.selection import last_rows, row_notes, span

if TYPE_CHECKING:
    from ebmdiag.trace import Trace

Series = NDArray[np.float64]

DEFAULT_COLUMNS = ("d_s_t", "r_t")
LONGEST_LAG = 40  # the automatic one
LJUNG_BOX_LAGS = 15
_UNCENTRED_SHARE = 0.01  # a mean that lifts an uncentred correlation by more than this is worth a note


@dataclass(frozen=True, kw_only=True)
class ColumnOptions(LagOptions):
    """Which columns and lags.

    Raises:
        UsageError: a value is out of range.
    """

    columns: tuple[str, ...] = field(
        default=(),
        metadata={"name": "column", "help": "Column; may be repeated. Default: d_s_t and r_t, if present."},
    )
    max_lag: int | None = field(
        default=None,
        metadata={"help": "Longest lag. Default: 15 for nijkamp, else 40 or a quarter of the rows."},
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_different("column", self.columns)
        check_at_least("max-lag", self.max_lag, 1)


@dataclass(frozen=True, kw_only=True)
class Options(ColumnOptions, BandOptions):
    """What to correlate, and how.

    Raises:
        UsageError: a value is out of range.
    """


@dataclass(frozen=True)
class Limits:
    """When the oscillation of d counts as strong; judged by size, guarded by p."""

    lags: int = 10  # short range: the paper's strongly oscillating run is most negative near lag 5
    lowest: float = -0.24  # an effect size, as calibrated for the verdict; long traces make any trifle significant
    p_value: float = 0.001  # Ljung-Box, so that few rows alone cannot raise the warning


LIMITS = Limits()


def analyse(trace: Trace, options: Options) -> Result:
    """Autocorrelation of each column with its band, minimum, sum and Ljung-Box test.

    Estimates, for each column c: ``c:lag1``, ``c:minimum`` and ``c:minimum_lag`` over lags from 1, ``c:sum``
    over lags from 1, ``c:ljung_box`` and ``c:ljung_box_p`` (always centred, at most 15 lags). Tables: c.

    Raises:
        UsageError: a column that was asked for is not there.
        TraceError: a column has gaps or values that are not finite.
    """
    used = last_rows(trace, options.rows())
    names = chosen_columns(used, options)
    max_lag = options.max_lag or automatic_lag(len(used), options.convention)
    series = {name: used.series(name) for name in names}
    estimates: dict[str, Estimate] = {}
    tables: dict[str, Table] = {}
    for name, x in series.items():
        centred = is_centred(name, options.convention)
        rho = autocorrelation(x, max_lag, centred=centred)
        half = autocorrelation_band(x, rho, options, centred=centred)
        tables[name] = lag_table(f"autocorrelation of {name}", np.arange(max_lag + 1), rho, half)
        estimates |= {f"{name}:{key}": value for key, value in _estimates(x, rho, half).items()}
    settings = {
        "columns": list(names),
        "max_lag": max_lag,
        **options.settings(),
        "ljung_box_lags": max(0, min(LJUNG_BOX_LAGS, max_lag, len(used) - 1)),
        **span(used),
    }
    notes = (*row_notes(used), *centring_notes(series, options.convention))
    return Result("acf", trace.name, len(used), settings, estimates, tables, notes)


def chosen_columns(used: Trace, options: ColumnOptions) -> tuple[str, ...]:
    """Those that were asked for, else those of the paper that are there."""
    return options.columns or tuple(name for name in DEFAULT_COLUMNS if name in used.columns) or ("d_s_t",)


def automatic_lag(rows: int, convention: str) -> int:
    """The longest lag where none is asked for."""
    if convention == "nijkamp":
        return NIJKAMP_LAG
    return max(1, min(LONGEST_LAG, rows // 4))


_KEYS = ("lag1", "minimum", "minimum_lag", "sum", "ljung_box", "ljung_box_p")


def _estimates(x: Series, rho: Series, half: Series) -> dict[str, Estimate]:
    reason = undefined(x)
    if reason:
        return dict.fromkeys(_KEYS, Estimate.undefined(reason))
    rows, later = len(x), rho[1:][np.isfinite(rho[1:])]
    doubt = doubtful(rows)
    statistic, p_value = ljung_box(autocorrelation(x, min(LJUNG_BOX_LAGS, len(later))), rows)
    lag, first = int(np.argmin(later)), float(rho[1])
    known = {
        "minimum": float(later[lag]),
        "minimum_lag": lag + 1.0,
        "ljung_box": statistic,
        "ljung_box_p": p_value,
    }
    return {
        "lag1": Estimate.doubted(first, doubt, low=first - float(half[1]), high=first + float(half[1])),
        "sum": _sum(later, rows),
        **{key: Estimate.doubted(value, doubt) for key, value in known.items()},
    }


def _sum(later: Series, rows: int) -> Estimate:
    doubt = doubtful(rows)
    if not doubt and rows < 10 * len(later):
        doubt = f"{len(later)} lags of {rows} rows: centring alone pulls such a sum to -1/2; ask for fewer lags"
    return Estimate.doubted(float(later.sum()), doubt)


def centring_notes(series: dict[str, Series], convention: str) -> list[str]:
    """What it does to a series that its mean stays in."""
    if convention == "standard":
        return []
    notes = ["convention nijkamp: d_s_t is scaled to unit mean square and not centred; all else is centred."]
    for name, x in series.items():
        lift = 1 - spread_share(x) ** 2
        if not is_centred(name, convention) and not undefined(x) and lift > _UNCENTRED_SHARE:
            notes.append(
                f"{name} has a mean away from 0, which lifts its uncentred correlation by about {lift:.3f} "
                "at every lag; the standard convention does not show this."
            )
    return notes


def judge(result: Result, limits: Limits = LIMITS) -> list[Finding]:
    """Whether d_s_t oscillates strongly; a column without correlation is a finding too."""
    findings = [
        Finding("acf-undefined", "warning", f"{name} has no autocorrelation: {estimate.reason}.")
        for name in result.settings["columns"]
        if (estimate := result.estimates[f"{name}:lag1"]).value is None
    ]
    d = result.estimates.get("d_s_t:minimum")
    if d is not None and d.value is not None:
        findings.append(_oscillation(result, d, limits))
    return findings


def _oscillation(result: Result, minimum: Estimate, limits: Limits) -> Finding:
    table = result.tables["d_s_t"]
    short = table.columns["correlation"][1 : limits.lags + 1]
    lag = int(np.nanargmin(short)) + 1
    lowest, p_value = float(short[lag - 1]), result.estimates["d_s_t:ljung_box_p"].value
    seen = f"the lowest autocorrelation of d_s_t over lags 1 to {len(short)} is {lowest:.3f}, at lag {lag}"
    test = f"Ljung-Box p = {number(p_value, 2)}"
    if not minimum.reliable:
        statement = f"{seen}, but {minimum.reason}."
        return Finding("oscillation", "info", statement, lowest, limits.lowest, source=PAPER)
    if p_value is not None and lowest < limits.lowest and p_value < limits.p_value:
        return Finding(
            "oscillation",
            "warning",
            f"d_s_t oscillates: {seen} ({test}).",
            lowest,
            limits.lowest,
            "Lower the learning rate or the momentum (Adam's beta1, too, rings); then look again.",
            f"{PAPER}, strong oscillation; limit: docs/calibration.md",
        )
    doubt = p_value is not None and lowest < limits.lowest
    verdict = "may oscillate, but chance is not excluded yet" if doubt else "does not oscillate strongly"
    statement = f"d_s_t {verdict}: {seen} ({test})."
    return Finding("oscillation", "info", statement, lowest, limits.lowest, source=PAPER)


def columns(options: ColumnOptions) -> list[str]:
    """What ``analyse`` reads."""
    return list(options.columns or DEFAULT_COLUMNS)


ANALYSIS = Analysis(
    name="acf",
    title="Autocorrelation",
    summary="Autocorrelation of d_s_t and r_t: does the energy difference oscillate?",
    options=Options,
    analyse=analyse,
    judge=judge,
    text=text,
    draw=draw,
    columns=columns,
)
