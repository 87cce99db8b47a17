"""Which leads, the energy difference or the gradient? The cross-correlation of two columns of a trace.

Entry k is corr(x[t+k], y[t]); with x = d_s_t and y = r_t the difference leads for k < 0. Nijkamp et al. 2020
(arXiv:1903.12370): expansion (d < 0) raises r, contraction (d > 0) lowers it. One linear mode with loop gain g
(derived for this project) predicts +√(g/2) (1-g)^k for k >= 0 and -√(g/2) (1-g)^(-k-1) for k < 0: antisymmetric
about lag -1/2. How antisymmetric a measured curve is:

    A = sum_j o_j² / sum_j (o_j² + e_j²),   o_j = (c_j - c_{-1-j}) / 2,  e_j = (c_j + c_{-1-j}) / 2,  j = 0 … K - 1:

1 for the prediction, 1/2 for noise, 0 for a curve that is symmetric about lag -1/2. It is 1 by arithmetic whenever
the state moves by a fixed multiple of -d, in one mode or not: it tests "the step is d itself", not "one mode".

Memory smears the curve over many lags; ``prewhiten`` takes that of x out of both (ebmdiag.numerics.prewhitening).

The band is Bartlett's for two independent series, each with its own memory (ebmdiag.numerics.bands), or that of one
of the other options of ebmdiag_analyses.lag_bands.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ebmdiag.analysis import Analysis
from ebmdiag.numerics.correlation import crosscorrelation
from ebmdiag.numerics.mean import mean_with_error
from ebmdiag.numerics.prewhitening import Prewhitened, prewhitened
from ebmdiag.numerics.scaling import doubtful, undefined
from ebmdiag.result import Estimate, Finding, Result
from ebmdiag.statistics import PAPER
from ebmdiag_analyses.conventions import NIJKAMP_LAG, check_at_least, is_centred
from ebmdiag_analyses.crosscorrelation_view import draw, text
from ebmdiag_analyses.lag_bands import BandOptions, crosscorrelation_band, reach
from ebmdiag_analyses.lags import lag_table, outside, percent
from ebmdiag_analyses.selection import last_rows, row_notes, span

if TYPE_CHECKING:
    from ebmdiag.trace import Trace

Series = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Options(BandOptions):
    """What to correlate, and how.

    Raises:
        UsageError: a value is out of range.
    """

    x: str = field(default="d_s_t", metadata={"help": "The column that leads at negative lags."})
    y: str = field(default="r_t", metadata={"help": "The column that leads at positive lags."})
    max_lag: int = field(default=NIJKAMP_LAG, metadata={"help": "Longest lag, on either side."})
    prewhiten: bool = field(default=False, metadata={"help": "Filter both columns by the autoregression of x first."})

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("max-lag", self.max_lag, 1)


@dataclass(frozen=True)
class Limits:
    """When one column counts as leading the other."""

    lags: int = 5  # the pattern that the paper describes lies within a few iterations


LIMITS = Limits()


def analyse(trace: Trace, options: Options) -> Result:
    """Cross-correlation with its band.

    Estimates: ``lag0``, ``maximum``, ``maximum_lag``, ``minimum``, ``minimum_lag``, ``antisymmetry`` (the share
    A above) and ``band``, the half-width of the band (where it is narrowest). Table: ``ccf``.

    Raises:
        UsageError: a column is not there.
        TraceError: a column has gaps or values that are not finite.
    """
    used = last_rows(trace, options.rows())
    x, y = used.series(options.x), used.series(options.y)
    nothing = _undefined(x, y, options)
    centred = is_centred(options.x, options.convention), is_centred(options.y, options.convention)
    white = prewhitened(x, y) if options.prewhiten and not nothing else None
    if white is not None:
        x, y, centred = white.x, white.y, (True, True)
        nothing = _undefined(x, y, options)
    values = crosscorrelation(x, y, options.max_lag, centred_x=centred[0], centred_y=centred[1])
    half, doubt = crosscorrelation_band(x, y, options.max_lag, options, centred)
    table = lag_table(
        f"cross-correlation of {options.x} with {options.y}",
        np.arange(-options.max_lag, options.max_lag + 1),
        values,
        half,
    )
    estimates = nothing or _estimates(values, half, doubt or doubtful(len(x)))
    settings = {"x": options.x, "y": options.y, "max_lag": options.max_lag, **options.settings(), **span(used)}
    settings["prewhitened_by"] = None if white is None else white.order
    return Result("ccf", trace.name, len(used), settings, estimates, {"ccf": table}, _notes(used, options, white))


_KEYS = ("lag0", "maximum", "maximum_lag", "minimum", "minimum_lag", "antisymmetry", "band")


def _undefined(x: Series, y: Series, options: Options) -> dict[str, Estimate]:
    for name, series in ((options.x, x), (options.y, y)):
        if reason := undefined(series):
            return dict.fromkeys(_KEYS, Estimate.undefined(f"{name}: {reason}"))
    return {}


def _estimates(values: Series, half: Series, doubt: str) -> dict[str, Estimate]:
    middle = len(values) // 2
    highest, lowest = int(np.nanargmax(values)), int(np.nanargmin(values))
    numbers = {
        "lag0": values[middle],
        "maximum": values[highest],
        "maximum_lag": highest - middle,
        "minimum": values[lowest],
        "minimum_lag": lowest - middle,
        "band": reach(half),
    }
    estimates = {key: Estimate.doubted(float(number), doubt) for key, number in numbers.items()}
    if not doubt and not (np.abs(values) > half).any():
        doubt = "no lag lies outside the band: this compares noise with noise"
    share = antisymmetry(values[np.isfinite(values)])
    return {**estimates, "antisymmetry": Estimate.doubted(share, doubt)}


def antisymmetry(values: Series) -> float:
    """The share A of a cross-correlation at lags -K … K, shape (2K + 1,), K >= 1."""
    middle = len(values) // 2
    after, before = values[middle:-1], values[middle - 1 :: -1]
    odd, even = float(((after - before) ** 2).sum()), float(((after + before) ** 2).sum())
    return odd / (odd + even)


def _notes(used: Trace, options: Options, white: Prewhitened | None) -> tuple[str, ...]:
    notes = row_notes(used)
    if white is not None:
        order = f"the autoregression of {options.x} of order {white.order}"
        left = f"; {options.x} {white.left}" if white.left else ""
        notes.append(f"prewhitened: both columns centred and filtered by {order}{left}.")
        if not undefined(white.y) and mean_with_error(white.y).reason:
            notes.append(f"{options.y} has not settled even so: 'ebmdiag coupling' looks at its differences.")
        return tuple(notes)
    if options.convention == "nijkamp":
        notes.append("convention nijkamp: d_s_t is scaled to unit mean square and not centred; all else is.")
    return tuple(notes)


def judge(result: Result, limits: Limits = LIMITS) -> list[Finding]:
    """The strongest lag on either side, and whether they follow the expansion and contraction pattern."""
    first = result.estimates["lag0"]
    if first.value is None:
        return [Finding("ccf-undefined", "warning", f"there is no cross-correlation: {first.reason}.")]
    before, after = _strongest(result, limits)
    if before is None and after is None:
        statement = (
            f"{result.settings['x']} and {result.settings['y']} show no correlation outside the "
            f"{percent(result.settings['level'])} band within {limits.lags} lags."
        )
        return [Finding("lead", "info", statement, limit=result.estimates["band"].value, source=PAPER)]
    return [_lead(result, before, after)]


def _strongest(result: Result, limits: Limits) -> tuple[tuple[int, float] | None, tuple[int, float] | None]:
    """Lag and value of the strongest correlation outside the band before lag 0, and from lag 0 on."""
    table = result.tables["ccf"]
    lags, values = table.columns["lag"], table.columns["correlation"]
    near = outside(table) & (lags >= -limits.lags) & (lags < limits.lags)
    sides = []
    for side in (near & (lags < 0), near & (lags >= 0)):
        place = int(np.argmax(np.where(side, np.abs(values), -1.0)))
        sides.append((int(lags[place]), float(values[place])) if side.any() else None)
    return sides[0], sides[1]


def _lead(result: Result, before: tuple[int, float] | None, after: tuple[int, float] | None) -> Finding:
    x, y = result.settings["x"], result.settings["y"]
    said = []
    if before:
        said.append(f"{x} leads {y} with {before[1]:+.3f} at lag {before[0]}")
    if after:
        said.append(f"{y} leads or meets {x} with {after[1]:+.3f} at lag {after[0]}")
    pattern = ""
    if (x, y) == ("d_s_t", "r_t") and before and after and before[1] < 0 < after[1]:
        pattern = ": contraction lowers r, and a high r is answered by contraction"
    strongest = max((pair for pair in (before, after) if pair), key=lambda pair: abs(pair[1]))
    return Finding(
        "lead",
        "info",
        f"{'; '.join(said)}{pattern}.",
        strongest[1],
        result.estimates["band"].value,
        source=f"{PAPER}, expansion and contraction",
    )


def columns(options: Options) -> list[str]:
    """What ``analyse`` reads."""
    return [options.x, options.y]


ANALYSIS = Analysis(
    name="ccf",
    title="Cross-correlation",
    summary="Cross-correlation of d_s_t with r_t: which of them leads?",
    options=Options,
    analyse=analyse,
    judge=judge,
    text=text,
    draw=draw,
    columns=columns,
)
