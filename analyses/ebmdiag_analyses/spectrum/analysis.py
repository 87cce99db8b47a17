"""The numbers of the analysis ``spectrum``."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ebmdiag.analysis import Analysis
from ebmdiag.errors import UsageError
from ebmdiag.numerics.bands import quantile
from ebmdiag.numerics.lines import Line, find_line
from ebmdiag.numerics.loop import spectrum as loop_spectrum
from ebmdiag.numerics.loop_fit import best_of, fit_all, periodogram
from ebmdiag.numerics.scaling import deviations, doubtful
from ebmdiag.numerics.spectral import FEWEST_ROWS, LONGEST_SEGMENT, METHODS, TAPERS, Method, Spectrum, power_spectrum
from ebmdiag.numerics.spectral_peak import Peak, find_peak
from ebmdiag.result import Estimate, Result, Table
from ebmdiag_analyses.conventions import check_at_least, check_different, check_level
from ebmdiag_analyses.selection import last_rows, row_notes, span
from ebmdiag_analyses.spectrum.judge import LINE_P, D, judge
from ebmdiag_analyses.spectrum.view import draw, text

if TYPE_CHECKING:
    from ebmdiag.trace import Trace

Series = NDArray[np.float64]

DEFAULT_COLUMNS = (D, "r_t")
HIGH_ORDER = 8
ROUGH_ROWS = 3000  # measured: docs/spectrum.md
KEYS = ("low", "peak_period", "peak_quality", "peak_modulus", "line_p", "white_line_p", "line_period", "line_share")
_CIRCLE = 8192
_MOST_ROWS = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which columns and rows, and how to estimate.

    Raises:
        UsageError: a value is out of range.
    """

    columns: tuple[str, ...] = field(
        default=(),
        metadata={"name": "column", "help": "Column; may be repeated. Default: d_s_t and r_t, if present."},
    )
    window: int | None = field(default=None, metadata={"help": "Use only the last so many rows. Default: all."})
    method: str = field(
        default="multitaper", metadata={"help": "Sine tapers, or Welch's overlapping windows.", "choices": METHODS}
    )
    segment: int = field(
        default=LONGEST_SEGMENT, metadata={"help": "Rows of a segment at most: longer resolves more, and is noisier."}
    )
    tapers: int = field(default=TAPERS, metadata={"help": "Of the multitaper: more are smoother and broader."})
    level: float = field(default=0.95, metadata={"help": "Level of bands and intervals, between 0 and 1."})
    loop: bool = field(default=True, metadata={"help": "Show the spectrum of the loop that loop_gain fits to d_s_t."})

    def __post_init__(self) -> None:
        check_different("column", self.columns)
        check_at_least("window", self.window, 1)
        if self.method not in METHODS:
            raise UsageError(f"unknown method '{self.method}'. Known: {', '.join(METHODS)}.")
        check_at_least("tapers", self.tapers, 1)
        check_at_least("segment", self.segment, FEWEST_ROWS)
        check_level(self.level)


def analyse(trace: Trace, options: Options) -> Result:
    """Spectrum, slow power, peak and line of each column.

    Estimates, for each column c: ``c:low`` (S at frequency 0 over the variance), ``c:peak_period`` (rows),
    ``c:peak_quality``, ``c:peak_modulus``, ``c:line_p`` (Fisher's test after whitening), ``c:white_line_p`` (against
    white noise), ``c:line_period`` (rows), ``c:line_share`` (of the variance). Tables: c, with columns frequency,
    power, band_low, band_high and, for d_s_t, loop.

    Raises:
        UsageError: a column that was asked for is not there.
        TraceError: a column has gaps or values that are not finite.
    """
    used = last_rows(trace, options.window)
    names = options.columns or tuple(name for name in DEFAULT_COLUMNS if name in used.columns) or (D,)
    estimates: dict[str, Estimate] = {}
    tables: dict[str, Table] = {}
    for name in names:
        x = used.series(name)
        spectrum, reason = _spectrum(x, options)
        tables[name] = _table(name, spectrum, _loop(x, spectrum) if name == D and options.loop else None, options.level)
        estimates |= {f"{name}:{key}": value for key, value in _estimates(x, spectrum, reason, options.level).items()}
    return Result("spectrum", trace.name, len(used), _settings(used, names, options), estimates, tables, _notes(used))


def _settings(used: Trace, names: tuple[str, ...], options: Options) -> dict[str, object]:
    kept = {name: getattr(options, name) for name in ("window", "method", "segment", "tapers", "level", "loop")}
    return {"columns": list(names), **kept, **span(used)}


def _notes(used: Trace) -> tuple[str, ...]:
    notes = row_notes(used)
    if len(used) > _MOST_ROWS:
        notes.append(f"lines and peaks were sought in the last {_MOST_ROWS:,} rows; the spectrum is that of all.")
    return tuple(notes)


def _spectrum(x: Series, options: Options) -> tuple[Spectrum | None, str]:
    method: Method = "welch" if options.method == "welch" else "multitaper"
    try:
        return power_spectrum(x, method, segment=options.segment, tapers=options.tapers), ""
    except ValueError as error:
        return None, str(error).rstrip(".")


def _table(name: str, spectrum: Spectrum | None, loop: Series | None, level: float) -> Table:
    if spectrum is None:
        columns = dict.fromkeys(("frequency", "power", "band_low", "band_high"), np.zeros(0))
    else:
        low, high = spectrum.band(level)
        columns = {"frequency": spectrum.frequency, "power": spectrum.power, "band_low": low, "band_high": high}
    return Table(f"spectrum of {name}", columns if loop is None else {**columns, "loop": loop})


def _loop(x: Series, spectrum: Spectrum | None) -> Series | None:
    """S over the variance of the best loop of those that loop_gain fits; None if white noise is preferred."""
    if spectrum is None:
        return None
    loop = next(iter(best_of(fit_all(periodogram(x))).values())).loop
    if loop is None:
        return None
    circle = loop_spectrum(loop, 2 * math.pi * (np.arange(_CIRCLE) + 0.5) / _CIRCLE)
    answered = loop_spectrum(loop, 2 * math.pi * spectrum.frequency) / circle.mean()
    return np.asarray((1 - loop.floor) * answered + loop.floor, dtype=np.float64)


def _estimates(x: Series, spectrum: Spectrum | None, reason: str, level: float) -> dict[str, Estimate]:
    if spectrum is None:
        return dict.fromkeys(KEYS, Estimate.undefined(reason))
    low, high = spectrum.band(level)
    doubt = doubtful(len(x))
    slow = Estimate.doubted(float(spectrum.power[0]), doubt, low=float(low[0]), high=float(high[0]))
    centred, _ = deviations(x[-_MOST_ROWS:])
    return {"low": slow, **_peak(find_peak(centred, level), quantile(level)), **_line(find_line(x), quantile(level))}


def _peak(peak: Peak | None, z: float) -> dict[str, Estimate]:
    if peak is None:
        reason = "its spectrum has no peak"
        return dict.fromkeys(("peak_period", "peak_quality", "peak_modulus"), Estimate.undefined(reason))
    doubt = ""
    if peak.order > HIGH_ORDER:
        doubt = f"an autoregression of order {peak.order} follows this spectrum: the interval is too narrow"
    half = z * peak.period_error
    ends = sorted(math.exp(-math.pi * peak.frequency / q) for q in (peak.quality_low, peak.quality_high))
    return {
        "peak_period": Estimate.doubted(peak.period, doubt, low=max(2.0, peak.period - half), high=peak.period + half),
        "peak_quality": Estimate.doubted(peak.quality, doubt, low=peak.quality_low, high=peak.quality_high),
        "peak_modulus": Estimate.doubted(peak.modulus, doubt, low=ends[0], high=ends[1]),
    }


def _line(line: Line, z: float) -> dict[str, Estimate]:
    rough = ""
    if line.order > HIGH_ORDER and line.rows < ROUGH_ROWS:
        rough = f"{line.rows} rows are few for a background of order {line.order}: p may be up to 20 times too small"
    weak = f"no line stands out (p = {line.p_value:.2g}): this is the highest ordinate"
    doubt = rough if line.p_value < LINE_P else weak
    half = 0.0 if math.isnan(line.period_error) else z * line.period_error
    share, spread = min(line.share, 1.0), z * line.amplitude_error * line.amplitude
    low, high = max(0.0, share - spread), min(1.0, share + spread)
    return {
        "line_p": Estimate.doubted(line.p_value, rough),
        "white_line_p": Estimate(line.white_p),
        "line_period": Estimate.doubted(line.period, doubt, low=line.period - half, high=line.period + half),
        "line_share": Estimate.doubted(share, doubt, low=low, high=high),
    }


def columns(options: Options) -> list[str]:
    """What ``analyse`` reads."""
    return list(options.columns or DEFAULT_COLUMNS)


ANALYSIS = Analysis(
    name="spectrum",
    title="Spectrum",
    summary="Power spectrum of d_s_t and r_t: at which period does the training oscillate?",
    options=Options,
    analyse=analyse,
    judge=judge,
    text=text,
    draw=draw,
    columns=columns,
)
