"""What is in a trace: for each column its mean with an honest error, its spread and its ends.

The error of a mean takes the column's autocorrelation into account (ebmdiag.numerics.mean); tau, the integrated
autocorrelation time, says how many rows are worth one independent one. A number from fewer than 50 tau is marked.
The whole trace is used, its beginning too: choose the settled part with --from. A column that is measured in every
k-th iteration only is summarized over the rows that hold it; its tau counts those.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ebmdiag.analysis import Analysis
from ebmdiag.errors import TraceError
from ebmdiag.numerics.bands import quantile
from ebmdiag.numerics.mean import Mean, mean_and_deviation, mean_with_error
from ebmdiag.result import Estimate, Finding, Result, Table
from ebmdiag.statistics import BY_COLUMN, PAPER
from ebmdiag_analyses.conventions import check_different, check_level
from ebmdiag_analyses.selection import row_notes, span
from ebmdiag_analyses.summary_view import draw, text

if TYPE_CHECKING:
    from ebmdiag.trace import Trace

Series = NDArray[np.float64]

SET_BY_THE_RUN = ("step", "elapsed_s", "learning_rate")  # not measured: a mean of them says nothing
_DRAWN = 2
_BINS = 240
_FAR = 10.0


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which columns, and the level of their intervals.

    Raises:
        UsageError: a value is out of range.
    """

    columns: tuple[str, ...] = field(
        default=(),
        metadata={"name": "column", "help": "Column; may be repeated. Default: all that are measured."},
    )
    level: float = field(default=0.95, metadata={"help": "Level of the interval, between 0 and 1."})

    def __post_init__(self) -> None:
        check_different("column", self.columns)
        check_level(self.level)


@dataclass(frozen=True)
class Limits:
    """When a mean counts as away from its equilibrium value; first proposals of this project."""

    errors: float = 3.0  # standard errors; beyond chance
    share: float = 0.2  # of d's standard deviation: smaller differences are real perhaps, but do not matter
    virial: float = 0.05  # from 1
    temperature: float = 0.2  # from 1
    drift: float = 4.0  # of depth_drift, in errors of its mean


LIMITS = Limits()


def analyse(trace: Trace, options: Options) -> Result:
    """Mean, error, spread and ends of each column.

    Estimates, for each column c: ``c:mean`` with its interval, ``c:error``, ``c:tau``, ``c:sd`` (divisor n),
    ``c:min``, ``c:max``, ``c:first``, ``c:last``; and ``configurational_temperature:ratio``. Tables:
    ``series:c`` for the first two columns, at most 240 bins of rows with the lowest, mean and highest value of each.

    Raises:
        UsageError: a column that was asked for is not there.
        TraceError: a column that was asked for has gaps or values that are not finite.
    """
    known: dict[str, _Known] = {}
    gaps: list[str] = []
    for name in options.columns or _measured(trace):
        try:
            known[name] = _known(trace, name, options.level, drawn=len(known) < _DRAWN)
        except TraceError:
            if options.columns:
                raise
            gaps.append(name)
    estimates = {f"{name}:{key}": value for name, one in known.items() for key, value in one.estimates.items()}
    if known.keys() >= {"gradient_power", "curvature"}:
        estimates |= _temperature(trace, options.level)
    tables = {f"series:{name}": one.series for name, one in known.items() if one.series is not None}
    counts = {name: one.rows for name, one in known.items()}
    settings = {"columns": list(known), "measured": counts, "level": options.level, **span(trace)}
    notes = (*row_notes(trace), *_left_out(gaps), *_sparse(counts, len(trace)))
    return Result("summary", trace.name, len(trace), settings, estimates, tables, notes)


@dataclass(frozen=True)
class _Known:
    """What is kept of a column: a long trace has more of them than fit in memory at once."""

    rows: int
    estimates: dict[str, Estimate]
    series: Table | None


def _known(trace: Trace, name: str, level: float, *, drawn: bool) -> _Known:
    steps, x = trace.measured(name)
    return _Known(len(x), _estimates(x, level), _bins(name, steps, x) if drawn else None)


def _measured(trace: Trace) -> list[str]:
    return [name for name in _ordered(trace.columns) if name not in SET_BY_THE_RUN]


def _left_out(names: list[str]) -> list[str]:
    return [f"left out, since values are missing or not finite: {', '.join(names)}."] if names else []


def _sparse(measured: dict[str, int], rows: int) -> list[str]:
    """One note for all columns that have a value in the same number of rows."""
    counts: dict[int, list[str]] = {}
    for name, count in measured.items():
        if count < rows:
            counts.setdefault(count, []).append(name)
    return [f"measured in {count} of {rows} rows only: {', '.join(names)}." for count, names in counts.items()]


def _ordered(names: tuple[str, ...]) -> list[str]:
    """d_s_t and r_t first: they are what the paper looks at."""
    first = [name for name in ("d_s_t", "r_t") if name in names]
    return first + [name for name in names if name not in first]


_KEYS = ("mean", "error", "tau", "sd", "min", "max", "first", "last")


def _estimates(x: Series, level: float) -> dict[str, Estimate]:
    if not len(x):
        return dict.fromkeys(_KEYS, Estimate.undefined("there are no rows"))
    mean = mean_with_error(x)
    plain = {"min": x.min(), "max": x.max(), "first": x[0], "last": x[-1]}
    return {
        **_mean_estimates(mean, level),
        **{key: Estimate(float(value)) for key, value in plain.items()},
    }


def _temperature(trace: Trace, level: float) -> dict[str, Estimate]:
    """``configurational_temperature:ratio``: mean power over mean curvature, which a mean of their ratios is not.

    Its error is that of the mean of (power - ratio · curvature) / mean curvature (delta method).
    """
    (where, power), (there, curvature) = trace.measured("gradient_power"), trace.measured("curvature")
    if not np.array_equal(where, there) or not len(power):
        return {}
    below = mean_with_error(curvature)
    if not below.value > 3 * below.error:
        return {
            "configurational_temperature:ratio": Estimate.undefined(
                "the mean curvature is not known to a third of itself"
            )
        }
    ratio = float(power.mean()) / below.value
    rest = mean_with_error((power - ratio * curvature) / below.value)
    half = quantile(level) * rest.error
    known = Estimate.doubted(ratio, rest.reason, low=ratio - half, high=ratio + half)
    name = "configurational_temperature"
    return {f"{name}:ratio": known, f"{name}:ratio_error": Estimate.doubted(rest.error, rest.reason)}


def _mean_estimates(mean: Mean, level: float) -> dict[str, Estimate]:
    constant = mean.error == 0
    doubt = "" if constant else mean.reason
    half = quantile(level) * mean.error
    known = {
        "mean": Estimate.doubted(mean.value, doubt, low=mean.value - half, high=mean.value + half),
        "sd": Estimate.doubted(mean.deviation, doubt),
        "error": Estimate.doubted(mean.error, doubt),
        "tau": Estimate.doubted(mean.autocorrelation_time, doubt),
    }
    if np.isnan(mean.error):
        known["mean"] = Estimate.doubted(mean.value, doubt)
        known["error"] = Estimate.undefined(mean.reason)
    if np.isnan(mean.autocorrelation_time):
        known["tau"] = Estimate.undefined(mean.reason)
    return known


def _bins(name: str, steps: NDArray[np.int64], x: Series) -> Table:
    """Shares of consecutive rows with their lowest, mean and highest value: spikes survive the thinning."""
    bounds = np.linspace(0, len(x), min(_BINS, len(x)) + 1).astype(np.int64)
    shares = [x[low:high] for low, high in pairwise(bounds)]
    return Table(
        f"{name} over the run",
        {
            "step": steps[bounds[1:] - 1],
            "low": np.array([share.min() for share in shares]),
            "mean": np.array([mean_and_deviation(share)[0] for share in shares]),
            "high": np.array([share.max() for share in shares]),
        },
    )


def judge(result: Result, limits: Limits = LIMITS) -> list[Finding]:
    """Whether d_s_t, the virial, the configurational temperature and the depth scan are away from equilibrium.

    Away means: beyond chance, and enough to matter.
    """
    away = (
        _away(result, "virial", ("mean", "error"), limits.virial, limits),
        _away(result, "configurational_temperature", ("ratio", "ratio_error"), limits.temperature, limits),
        _depth(result, limits),
    )
    return [*_difference(result, limits), *(finding for finding in away if finding is not None)]


_MEANING = {
    "virial": (
        "the chains are not stationary, so a mean of d_s_t near 0 proves nothing about longer chains",
        "Run longer chains (langevin.steps) or persistent ones; choose the settled part with --from first.",
    ),
    "configurational_temperature": (
        "the Langevin step is too large for this energy, or the chains are not settled",
        "Where the virial is near 1, lower langevin.epsilon (from 2 on a Gaussian's learning runs away); else see to "
        "the virial first.",
    ),
}


def _away(result: Result, name: str, keys: tuple[str, str], limit: float, limits: Limits) -> Finding | None:
    """A statistic that is 1 at equilibrium; None where it is, or where there is none.

    A number that is not to be trusted is still told where it is far off: as a warning from ten limits on.
    """
    mean, error = (result.estimates.get(f"{name}:{key}") for key in keys)
    if mean is None or mean.value is None or error is None or not error.value:
        return None
    distance = abs(mean.value - 1)
    if distance <= limit or distance <= limits.errors * error.value:
        return None
    meaning, advice = _MEANING[name]
    doubt = "" if mean.reliable else f"; doubtful: {mean.reason}"
    return Finding(
        name.replace("_", "-"),
        "warning" if mean.reliable or distance > _FAR * limit else "info",
        f"{name} is {mean.value:.4g} ± {error.value:.2g} on average where 1 is equilibrium: {meaning}{doubt}.",
        distance,
        limit,
        advice,
        f"{BY_COLUMN[name].reference}; limit: this project's first proposal",
    )


def _depth(result: Result, limits: Limits) -> Finding | None:
    """Whether chains that run on leave the energies of length L: a mean of k values, each of standard error 1."""
    mean, count = result.estimates.get("depth_drift:mean"), result.settings["measured"].get("depth_drift", 0)
    if mean is None or mean.value is None or abs(mean.value) * count**0.5 <= limits.drift:
        return None
    way = "lower" if mean.value < 0 else "higher"
    return Finding(
        "depth-drift",
        "warning",
        f"chains that run on to 10 L find {way} energies: depth_drift is {mean.value:.3g} on average of {count} "
        "probes, where 0 ± 1 is equilibrium for each.",
        abs(mean.value) * count**0.5,
        limits.drift,
        "The model holds for chains of length L only: run longer chains (langevin.steps), or persistent ones.",
        f"{BY_COLUMN['depth_drift'].reference}; limit: this project's first proposal",
    )


def _difference(result: Result, limits: Limits) -> list[Finding]:
    mean = result.estimates.get("d_s_t:mean")
    if mean is None or mean.value is None:
        return []
    error, deviation = result.estimates["d_s_t:error"].value, result.estimates["d_s_t:sd"].value
    if not mean.reliable or not error or not deviation:
        statement = f"the mean of d_s_t is {mean.value:.4g}; it is not judged: {mean.reason or 'd is constant'}."
        return [Finding("mean-difference", "info", statement, mean.value)]
    errors, share = abs(mean.value) / error, abs(mean.value) / deviation
    seen = f"the mean of d_s_t is {mean.value:.4g} ± {error:.2g}: {errors:.1f} errors, {share:.2f} sd from 0"
    if errors > limits.errors and share > limits.share:
        kind = "expansion" if mean.value < 0 else "contraction"
        return [
            Finding(
                "mean-difference",
                "warning",
                f"d_s_t does not balance, {kind} prevails: {seen}.",
                share,
                limits.share,
                "Leave out the beginning with --from; if it stays, the run has not settled: train on.",
                f"{PAPER}, section 3; limit: this project's first proposal",
            )
        ]
    return [Finding("mean-difference", "info", f"{seen}.", share, limits.share, source=PAPER)]


def columns(options: Options) -> list[str] | None:
    """What ``analyse`` reads."""
    return list(options.columns) or None


ANALYSIS = Analysis(
    name="summary",
    title="Summary",
    summary="Mean, error, spread and autocorrelation time of each column.",
    options=Options,
    analyse=analyse,
    judge=judge,
    text=text,
    draw=draw,
    columns=columns,
)
