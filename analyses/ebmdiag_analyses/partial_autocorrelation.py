"""How long is the memory of d, and does it swing? The partial autocorrelation of columns of a trace.

Entry k is what the value k rows ago adds to foretelling the next one, once the rows between are known. An
autoregression of order p has none beyond lag p. Nijkamp et al. 2020 (arXiv:1903.12370) show it in their figures. The
autoregression that BIC prefers tells more by its roots: a complex pair is a damped wave. Momentum of the optimizer puts
such a pair at modulus √beta (derived for this project: docs/loop_gain.md). A learning loop without memory is no finite
autoregression (its moving average has a root at 1): then the order grows with the rows, and the roots are
many and flat. So a wave is judged by the height of its peak in the spectrum too. Mathematics:
ebmdiag.numerics.partial.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ebmdiag.analysis import Analysis
from ebmdiag.numerics.autoregression import LARGEST_ORDER, fit_autoregression
from ebmdiag.numerics.bands import quantile
from ebmdiag.numerics.correlation import autocorrelation
from ebmdiag.numerics.partial import partial_autocorrelation, strongest_wave
from ebmdiag.numerics.scaling import doubtful, undefined
from ebmdiag.result import Estimate, Finding, Result, Table
from ebmdiag.statistics import PAPER
from ebmdiag_analyses import autocorrelation as acf
from ebmdiag_analyses.conventions import check_at_least, is_centred
from ebmdiag_analyses.lags import lag_table
from ebmdiag_analyses.optimizer import optimizer_facts
from ebmdiag_analyses.partial_autocorrelation_view import draw, text
from ebmdiag_analyses.selection import last_rows, row_notes, span

if TYPE_CHECKING:
    from ebmdiag.trace import Trace

Series = NDArray[np.float64]

ROWS_PER_ORDER = 10
_KEYS = ("order", "left", "period", "modulus", "height")


@dataclass(frozen=True, kw_only=True)
class Options(acf.ColumnOptions):
    """As for the autocorrelation, and the longest autoregression.

    Raises:
        UsageError: a value is out of range.
    """

    max_order: int = field(
        default=LARGEST_ORDER, metadata={"help": "Highest order of the autoregression (at most rows / 10)."}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("max-order", self.max_order, 1)


@dataclass(frozen=True)
class Limits:
    """When a wave counts; the first and the last as in loop_gain, all this project's first proposals."""

    modulus: float = 0.8  # complex pairs above it: a wave that lasts
    height: float = 3.0  # of its peak over white noise; a memoryless loop stays near 1 (docs/correlation.md)
    near: float = 0.07  # how near the modulus must come to √beta to blame the optimizer


LIMITS = Limits()


def analyse(trace: Trace, options: Options) -> Result:
    """Partial autocorrelation of each column, and the autoregression that BIC prefers.

    Estimates, for each column c: ``c:order``; ``c:left``, the share of the variance that the past does not foretell;
    ``c:period`` (rows), ``c:modulus`` and ``c:height`` of the strongest wave among the roots. The
    autoregression is centred in both conventions. Tables: c, with the band z/√n, which holds beyond the order.

    Raises:
        UsageError: a column that was asked for is not there.
        TraceError: a column has gaps or values that are not finite.
    """
    used = last_rows(trace, options.rows())
    names = acf.chosen_columns(used, options)
    max_lag = options.max_lag or acf.automatic_lag(len(used), options.convention)
    series = {name: used.series(name) for name in names}
    half = quantile(options.level) / math.sqrt(max(len(used), 1))
    estimates: dict[str, Estimate] = {}
    tables: dict[str, Table] = {}
    for name, x in series.items():
        rho = autocorrelation(x, max_lag, centred=is_centred(name, options.convention))
        partial = partial_autocorrelation(rho)
        tables[name] = lag_table(f"partial autocorrelation of {name}", np.arange(max_lag + 1), partial, half)
        estimates |= {f"{name}:{key}": value for key, value in _estimates(x, options).items()}
    bound = _most_order(len(used), options)
    settings = {
        "columns": list(names),
        "max_lag": max_lag,
        "max_order": bound,
        **options.settings(),
        **optimizer_facts(trace),
        **span(used),
    }
    notes = (*row_notes(used), *acf.centring_notes(series, options.convention), *_bound_notes(estimates, names, bound))
    return Result("pacf", trace.name, len(used), settings, estimates, tables, notes)


def _most_order(rows: int, options: Options) -> int:
    return max(1, min(options.max_order, rows // ROWS_PER_ORDER))


def _bound_notes(estimates: dict[str, Estimate], names: tuple[str, ...], bound: int) -> list[str]:
    full = [name for name in names if bound and estimates[f"{name}:order"].value == bound]
    if not full:
        return []
    return [f"{', '.join(full)}: BIC takes the highest order allowed, {bound}; the memory may be longer (--max-order)."]


def _estimates(x: Series, options: Options) -> dict[str, Estimate]:
    reason = undefined(x)
    if reason:
        return dict.fromkeys(_KEYS, Estimate.undefined(reason))
    doubt, bound = doubtful(len(x)), _most_order(len(x), options)
    rho = autocorrelation(x, bound)
    fitted = fit_autoregression(x, options.max_order)
    known = {
        "order": Estimate.doubted(float(fitted.order), doubt),
        "left": Estimate.doubted((fitted.innovation / fitted.deviation) ** 2, doubt),
    }
    return known | _wave(fitted.coefficients, rho, len(x), doubt, quantile(options.level))


def _wave(phi: Series, rho: Series, rows: int, doubt: str, z: float) -> dict[str, Estimate]:
    wave = strongest_wave(phi, rho, rows)
    if wave is None:
        reason = "all roots are real and positive: no wave" if len(phi) else "no memory is seen, so no wave"
        return dict.fromkeys(("period", "modulus", "height"), Estimate.undefined(reason))
    if not doubt and not wave.modulus_error < wave.modulus / 2:
        doubt = "two roots nearly meet, so the wave is hardly known"
    return {
        "period": _with_error(wave.period, z * wave.period_error, doubt),
        "modulus": _with_error(wave.modulus, z * wave.modulus_error, doubt),
        "height": Estimate.doubted(wave.height, doubt),
    }


def _with_error(value: float, half: float, doubt: str) -> Estimate:
    return Estimate.doubted(value, doubt, low=value - half, high=value + half)


def judge(result: Result, limits: Limits = LIMITS) -> list[Finding]:
    """Whether a column swings in a wave that lasts, and whether the optimizer's momentum explains it."""
    return [_judged(result, name, limits) for name in result.settings["columns"]]


def _judged(result: Result, name: str, limits: Limits) -> Finding:
    order, modulus, height = (result.estimates[f"{name}:{key}"] for key in ("order", "modulus", "height"))
    if order.value is None:
        return Finding("pacf-undefined", "warning", f"{name} has no partial autocorrelation: {order.reason}.")
    said = f"{name} is an autoregression of order {order.value:.0f} (BIC)"
    if modulus.value is None or height.value is None:
        return Finding("wave", "info", f"{said}: {modulus.reason}.", source=PAPER)
    if not modulus.reliable:
        return Finding("wave", "info", f"{said}; its waves are not judged: {modulus.reason}.", modulus.value)
    period = float(result.estimates[f"{name}:period"].value or math.nan)
    wave = f"a wave of {period:.3g} {_unit(result)}, modulus {modulus.value:.3f}, {height.value:.3g} times white noise"
    lasting = modulus.value > limits.modulus and period > 2
    if height.value < limits.height or not lasting:
        verdict = "fades at once" if height.value >= limits.height else "hardly stands out"
        return Finding("wave", "info", f"{said}; {wave}, {verdict}.", modulus.value, limits.modulus, source=PAPER)
    return _ringing(result, f"{said} and rings: {wave}", modulus.value, limits)


def _unit(result: Result) -> str:
    return "iterations" if result.settings["iterations_per_row"] == 1 else "rows"


def _ringing(result: Result, said: str, modulus: float, limits: Limits) -> Finding:
    beta = result.settings["beta"] if result.settings["iterations_per_row"] == 1 else None
    advice = "Lower the learning rate; then look again."
    if beta and abs(modulus - math.sqrt(beta)) < limits.near:
        said += f", near √beta = {math.sqrt(beta):.3f} of the optimizer ({result.settings['optimizer']}, {beta:g})"
        advice = "The optimizer's momentum resonates: lower it (Adam's beta1), or take SGD without momentum."
    elif beta:
        said += f", away from √beta = {math.sqrt(beta):.3f} of the optimizer: slow chains ring too"
        advice = "More Langevin steps an iteration, or a lower learning rate."
    source = f"{PAPER}, strong oscillation; limit: this project's first proposal"
    return Finding("wave", "warning", f"{said}.", modulus, limits.modulus, advice, source)


def columns(options: Options) -> list[str]:
    """What ``analyse`` reads."""
    return acf.columns(options)


ANALYSIS = Analysis(
    name="pacf",
    title="Partial autocorrelation",
    summary="Partial autocorrelation of d_s_t and r_t: order of the memory, waves in it.",
    options=Options,
    analyse=analyse,
    judge=judge,
    text=text,
    draw=draw,
    columns=columns,
)
