"""Why does d oscillate? The gain of the learning loop, and which loop the run prefers.

Learning integrates d_s_t into the parameters and the sampler answers: a feedback loop. Its mathematics, for chains
without memory, for persistent chains and for momentum, is in ebmdiag.numerics.loop; the gain from correlations and
variances in ebmdiag.numerics.loop_moments; the fits in ebmdiag.numerics.loop_fit. All of it was derived for this
project: a hypothesis that each run can break (docs/loop_gain.md says what it explains so far and what not).

r_t stands for the state, but carries noise of its own: the chains that lower d raise r. That noise moves every number
that uses r; the correlation of d_s_t with the next increment of r_t keeps its sign.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ebmdiag.analysis import Analysis
from ebmdiag.errors import TraceError
from ebmdiag.numerics.bands import bartlett_errors, independence_error, quantile
from ebmdiag.numerics.correlation import autocorrelation, crosscorrelation
from ebmdiag.numerics.loop import Kind, predict
from ebmdiag.numerics.loop_fit import FIRST_FREQUENCY, Fit, best_of, fit_all, periodogram, standard_errors
from ebmdiag.numerics.loop_moments import FEWEST_BLOCKS, GAINS, Sample, sample
from ebmdiag.numerics.scaling import deviations, doubtful, undefined
from ebmdiag.result import Estimate, Result, Table
from ebmdiag_analyses.conventions import check_at_least, check_level
from ebmdiag_analyses.lags import lag_table
from ebmdiag_analyses.loop_gain_judge import D, judge
from ebmdiag_analyses.loop_gain_view import FAMILY, FLOOR, draw, text
from ebmdiag_analyses.optimizer import optimizer_facts
from ebmdiag_analyses.selection import last_rows, row_notes, span

if TYPE_CHECKING:
    from ebmdiag.trace import Trace

Series = NDArray[np.float64]

R, Z = "r_t", "z_t"
_COLUMN = {"difference": D, "state": R, "meeting": R, "lead": R, "variance": Z}
CROSS_LAGS = 10
MOST_ROWS = 1 << 20  # a fit of more takes gigabytes, and says no more of a loop that remembers hundreds of rows
_LARGEST_Z = 1e100
_EDGE = (
    "it lies at the edge of its range, so it has no error",
    "it lies at the edge of its range: it cannot be told from 0 (memory without feedback) or from instability",
)
LOOPS: tuple[Kind, ...] = ("first", "persistent", "momentum")
_PARAMETERS = ("gain", "memory", "chain_share", "floor")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which rows, how many lags, and the errors.

    Raises:
        UsageError: a value is out of range.
    """

    window: int | None = field(
        default=None, metadata={"help": f"Use only the last so many rows. Default: all, {MOST_ROWS} at most."}
    )
    max_lag: int = field(default=15, metadata={"help": "Longest lag shown; no estimate depends on it."})
    level: float = field(default=0.95, metadata={"help": "Level of the intervals, between 0 and 1."})
    resamples: int = field(default=1000, metadata={"help": "Resamples of the block bootstrap."})
    seed: int = field(default=0, metadata={"help": "Of the bootstrap: the same seed, the same intervals."})

    def __post_init__(self) -> None:
        check_at_least("window", self.window, 1)
        check_at_least("max-lag", self.max_lag, 1)
        check_level(self.level)
        check_at_least("resamples", self.resamples, 100)
        check_at_least("seed", self.seed, 0)


def analyse(trace: Trace, options: Options) -> Result:
    """Gains, parameter-free relations and fits.

    Estimates: ``gain:difference``, ``gain:state``, ``gain:meeting``, ``gain:lead``, ``gain:variance`` (from
    rho_1(d), rho_1(r), the cross-correlation at lags 0 and -1, Var z); ``relation``, ``sum``, ``increment`` (predicted
    0, -1/2, below 0); ``agreement_p``; ``fit:lead`` (BIC to the next family), ``fit:gain``, ``fit:memory``,
    ``fit:chain_share``, ``fit:floor``, ``fit:modulus``, ``fit:period``, ``fit:misfit_p`` of the preferred loop.
    ``cross:first``, ``cross:persistent``, ``cross:momentum``: how far the measured cross-correlation at lags -10 … 10
    lies (root mean square) from what the best loop of each kind, fitted to d_s_t alone, predicts.
    Tables: ``models``; ``acf_d``, ``acf_r``, ``ccf`` with what the best loop of each kind predicts.

    Raises:
        UsageError: there is no column d_s_t.
        TraceError: d_s_t or r_t has gaps or values that are not finite.
    """
    used = last_rows(trace, options.window or MOST_ROWS)
    d = used.series(D)
    r = used.series(R) if R in used.columns else None
    z, z_reason = _standardized(used)
    settings = {**_settings(options), **optimizer_facts(trace), **span(used)}
    fits, reason = _fits(d)
    families = best_of(fits)
    preferred = next(iter(families.values()), None)
    samples, reasons = _samples(d, r, z, options)
    reasons = {Z: z_reason, **reasons}
    doubts = _doubts(d, r, settings["iterations_per_row"])
    fitted = _fit_estimates(d, families, reason, doubts[D], options.level)
    doubts = {name: doubt or _few_blocks(samples.get(name)) for name, doubt in doubts.items()}
    estimates = {
        **_gains(samples, reasons, doubts, options.level),
        **_relations(samples, reasons, doubts, preferred, options.level),
        **fitted,
        **_cross_distances(d, r, families, reasons, doubts[R]),
    }
    tables = {"models": _models(fits), **_curves(d, r, families, options)}
    settings |= {"blocks": _blocks(samples), **_preference(preferred)}
    return Result(
        "loop_gain", trace.name, len(used), settings, estimates, tables, (*row_notes(used), *_cut(trace, options))
    )


def _cut(trace: Trace, options: Options) -> list[str]:
    """Of a trace too long for all of it to be resampled in little memory."""
    if options.window is not None or len(trace) <= MOST_ROWS:
        return []
    return [f"the last {MOST_ROWS:,} of {len(trace):,} rows were used; --window takes more, and more memory."]


def _settings(options: Options) -> dict[str, Any]:
    names = ("window", "max_lag", "level", "resamples", "seed")
    return {**{name: getattr(options, name) for name in names}, "first_frequency": FIRST_FREQUENCY}


def _preference(preferred: Fit | None) -> dict[str, Any]:
    return {
        "preferred": preferred.family if preferred else None,
        "complex_poles": bool(preferred and preferred.loop and preferred.loop.rings),
    }


def _standardized(used: Trace) -> tuple[Series | None, str]:
    """z_t, which may have gaps by the trace's contract, or why it cannot be used."""
    if Z not in used.columns:
        return None, f"there is no column {Z}"
    try:
        z: Series = used.series(Z)
    except TraceError:
        return None, f"{Z} has gaps or values that are not finite"
    reason = undefined(z) or ("" if np.abs(z).max() < _LARGEST_Z else "it has values that no sampling error explains")
    return (None, f"{Z}: {reason}") if reason else (z, "")


def _fits(d: Series) -> tuple[list[Fit], str]:
    try:
        return fit_all(periodogram(d)), ""
    except ValueError as error:
        return [], str(error)


def _samples(
    d: Series, r: Series | None, z: Series | None, options: Options
) -> tuple[dict[str, Sample], dict[str, str]]:
    """By column, the statistics that need it (d and z apart from r, whose long memory asks for long blocks).

    For each column without, the reason.
    """
    try:
        plain = sample(d, z=z, resamples=options.resamples, seed=options.seed)
    except ValueError as error:
        return {}, dict.fromkeys((D, R, Z), str(error))
    samples = {D: plain, **({} if z is None else {Z: plain})}
    reason = f"there is no column {R}" if r is None else undefined(r)
    if r is None or reason:
        return samples, {R: reason}
    return samples | {R: sample(d, r, z, resamples=options.resamples, seed=options.seed)}, {}


def _blocks(samples: dict[str, Sample]) -> dict[str, int]:
    """Length of the bootstrap's blocks, by column."""
    return {name: found.block for name, found in samples.items()}


def _few_blocks(found: Sample | None) -> str:
    if found is None or found.blocks >= FEWEST_BLOCKS:
        return ""
    return f"the record holds {found.blocks:.1f} blocks of {found.block} rows: {FEWEST_BLOCKS} are needed"


def _doubts(d: Series, r: Series | None, spacing: int | None) -> dict[str, str]:
    """Why not to trust what comes from d, r or z, by column; empty: nothing known."""
    common = doubtful(len(d))
    if spacing is not None and spacing != 1:
        common = common or f"one row is {spacing} iterations, but the loop answers at each"
    if spacing is None and len(d) > 1:
        common = common or "the rows are irregularly spaced, but the loop answers at each iteration"
    difference = common or _drift(D, d, 0.5)
    return {D: difference, Z: difference, R: difference or ("" if r is None else _drift(R, r, 1.0))}


def _drift(name: str, x: Series, allowed: float) -> str:
    """Whether the halves of a series differ by effect size: mean by ``allowed`` sd, or spread by half."""
    if undefined(x):
        return ""
    scaled, _ = deviations(x)  # no square of it overflows
    first, second = np.array_split(scaled, 2)
    spreads = sorted((float(first.std()), float(second.std())))
    if abs(float(first.mean() - second.mean())) > allowed * float(scaled.std()):
        return f"{name} is not stationary: the means of its halves lie more than {allowed:g} sd apart"
    if spreads[1] > 1.5 * spreads[0]:
        return f"{name} is not stationary: the spreads of its halves differ by more than half"
    return ""


def _gains(
    samples: dict[str, Sample], reasons: dict[str, str], doubts: dict[str, str], level: float
) -> dict[str, Estimate]:
    estimates = {}
    for name in GAINS:
        column = _COLUMN[name]
        found = samples.get(column)
        if found is None:
            estimates[f"gain:{name}"] = Estimate.undefined(reasons[column])
            continue
        gain, (low, high) = found.gain(name), found.gain_interval(name, level)
        doubt = doubts[column] or _too_short(name, gain, found.rows)
        estimates[f"gain:{name}"] = Estimate.doubted(gain, doubt, low=low, high=high)
    return {**estimates, "agreement_p": _agreement(samples, reasons, estimates)}


def _too_short(name: str, gain: float, rows: int) -> str:
    """Each estimate needs its number of rows: 16 / g² to see rho_1(d), 50 times the memory of the state."""
    if gain <= 0:
        return "the sign is not that of a loop: no gain can be read from it"
    if name in ("difference", "variance"):
        needed, rule = math.ceil(16 / gain**2), "16 / g²"
    else:
        needed, rule = math.ceil(50 * max(2 - gain, 0) / gain), "50 (2 - g) / g"
    return f"{rows} rows are fewer than {rule}: about {needed} are needed" if rows < needed else ""


def _agreement(samples: dict[str, Sample], reasons: dict[str, str], gains: dict[str, Estimate]) -> Estimate:
    agreement = samples[R].agreement() if R in samples else samples[Z].agreement() if Z in samples else None
    if agreement is None:
        return Estimate.undefined(reasons[R])
    (first, second), _, p_value = agreement
    return Estimate.doubted(p_value, gains[f"gain:{first}"].reason or gains[f"gain:{second}"].reason)


def _relations(
    samples: dict[str, Sample],
    reasons: dict[str, str],
    doubts: dict[str, str],
    preferred: Fit | None,
    level: float,
) -> dict[str, Estimate]:
    def estimate(name: str, column: str, doubt: str = "") -> Estimate:
        found = samples.get(column)
        if found is None:
            return Estimate.undefined(reasons[column])
        low, high = found.interval(name, level)
        return Estimate.doubted(found.values[name], doubts[column] or doubt, low=low, high=high)

    return {
        "relation": estimate("relation", R),
        "increment": estimate("increment", R),
        "sum": estimate("sum", D, _unfinished(samples.get(D), preferred)),
    }


def _unfinished(found: Sample | None, preferred: Fit | None) -> str:
    if found is None or preferred is None or preferred.loop is None:
        return ""
    left = preferred.loop.modulus**found.sum_lags
    return f"{found.sum_lags} lags do not see the loop to its end ({left:.0%} is left)" if left > 0.05 else ""


def _fit_estimates(d: Series, families: dict[Any, Fit], reason: str, doubt: str, level: float) -> dict[str, Estimate]:
    keys = ("lead", "misfit_p", *_PARAMETERS, "modulus", "period")
    if not families:
        return dict.fromkeys((f"fit:{key}" for key in keys), Estimate.undefined(reason))
    best, second, *_ = families.values()
    found = {
        "lead": Estimate.doubted(second.bic - best.bic, doubt),
        "misfit_p": Estimate.doubted(best.misfit_p, doubt),
        **_parameters(d, best, doubt, quantile(level)),
    }
    return {f"fit:{key}": found[key] for key in keys}


def _parameters(d: Series, best: Fit, doubt: str, z: float) -> dict[str, Estimate]:
    keys = (*_PARAMETERS, "modulus", "period")
    if best.loop is None:
        return dict.fromkeys(keys, Estimate.undefined("white noise is preferred: no loop is to be seen"))
    errors = standard_errors(periodogram(d), best)
    found = dict.fromkeys(keys, Estimate.undefined(f"the preferred loop ({FAMILY[best.family]}) has none"))
    for name in best.names:
        value, error = getattr(best.loop, name), errors[name]
        if math.isnan(error):
            found[name] = Estimate.doubted(value, doubt or _EDGE[name == "gain"])
        else:
            top = math.inf if name == "gain" else 1.0
            low, high = max(0.0, value - z * error), min(top, value + z * error)
            found[name] = Estimate.doubted(value, doubt, low=low, high=high)
    return found | {"modulus": _modulus(best, found, doubt), "period": _period(best, doubt)}


def _modulus(best: Fit, found: dict[str, Estimate], doubt: str) -> Estimate:
    """Of the largest pole; its interval is that of √memory, where the poles are complex."""
    assert best.loop is not None
    memory = found["memory"]
    if best.loop.rings and memory.low is not None and memory.high is not None:
        return Estimate.doubted(best.loop.modulus, doubt, low=math.sqrt(memory.low), high=math.sqrt(memory.high))
    return Estimate.doubted(best.loop.modulus, doubt)


def _period(best: Fit, doubt: str) -> Estimate:
    assert best.loop is not None
    if math.isinf(best.loop.period):
        return Estimate.undefined("the poles are real and positive: no oscillation")
    return Estimate.doubted(best.loop.period, doubt)


def _cross_distances(
    d: Series, r: Series | None, families: dict[Any, Fit], reasons: dict[str, str], doubt: str
) -> dict[str, Estimate]:
    """How far the cross-correlation lies from what each loop, fitted to d alone, predicts: root mean square."""
    names = [f"cross:{kind}" for kind in LOOPS]
    if r is None or R in reasons:
        return dict.fromkeys(names, Estimate.undefined(reasons[R]))
    if not families:
        return dict.fromkeys(names, Estimate.undefined("nothing was fitted"))
    measured = crosscorrelation(d, r, CROSS_LAGS)
    loops = [families[kind].loop for kind in LOOPS]
    misses = [predict(loop, CROSS_LAGS).cross - measured for loop in loops if loop]
    found = [Estimate.doubted(float(np.sqrt(np.mean(miss**2))), doubt) for miss in misses]
    return dict(zip(names, found, strict=True))


def _models(fits: list[Fit]) -> Table:
    """All candidates, the best first; NaN where a candidate has no such parameter."""
    ordered = sorted(fits, key=lambda fit: fit.bic)
    lowest = min((fit.aic for fit in fits), default=0.0), min((fit.bic for fit in fits), default=0.0)

    def column(value: Callable[[Fit], float]) -> Series:
        return np.array([value(fit) for fit in ordered], dtype=np.float64)

    def parameter(name: str) -> Series:
        return column(lambda fit: getattr(fit.loop, name) if name in fit.names else math.nan)

    names = [FAMILY[fit.family] + (FLOOR if "floor" in fit.names else "") for fit in ordered]
    return Table(
        "candidates, the lowest BIC first",
        {
            "model": np.array(names, dtype=np.str_),
            **{name: parameter(name) for name in _PARAMETERS},
            "modulus": column(lambda fit: fit.loop.modulus if fit.loop else math.nan),
            "period": column(lambda fit: fit.loop.period if fit.loop else math.nan),
            "delta_aic": column(lambda fit: fit.aic - lowest[0]),
            "delta_bic": column(lambda fit: fit.bic - lowest[1]),
            "misfit_p": column(lambda fit: fit.misfit_p),
        },
    )


def _curves(d: Series, r: Series | None, families: dict[Any, Fit], options: Options) -> dict[str, Table]:
    """Measured correlations with their bands, and what the best loop of each kind predicts."""
    lags, z = np.arange(options.max_lag + 1), quantile(options.level)
    loops = {name: predict(fit.loop, options.max_lag) for name, fit in families.items() if fit.loop}
    rho = autocorrelation(d, options.max_lag)
    plain = lag_table(f"autocorrelation of {D}", lags, rho, z * bartlett_errors(rho, len(d)))
    tables = {"acf_d": _with(plain, {name: loop.difference for name, loop in loops.items()})}
    if r is None:
        return tables
    rho = autocorrelation(r, options.max_lag)
    plain = lag_table(f"autocorrelation of {R}", lags, rho, z * bartlett_errors(rho, len(r)))
    tables["acf_r"] = _with(plain, {name: loop.state for name, loop in loops.items()})
    values, both = crosscorrelation(d, r, options.max_lag), np.arange(-options.max_lag, options.max_lag + 1)
    plain = lag_table(f"cross-correlation of {D} with {R}", both, values, z * independence_error(d, r).value)
    tables["ccf"] = _with(plain, {name: loop.cross for name, loop in loops.items()})
    return tables


def _with(table: Table, predicted: dict[Any, Series]) -> Table:
    return Table(table.title, {**table.columns, **predicted})


def columns(options: Options) -> list[str]:
    """What ``analyse`` reads."""
    return [D, R, Z]


ANALYSIS = Analysis(
    name="loop_gain",
    title="Loop gain",
    summary="Gain of the learning loop, and which loop explains the oscillation of d_s_t.",
    options=Options,
    analyse=analyse,
    judge=judge,
    text=text,
    draw=draw,
    columns=columns,
)
