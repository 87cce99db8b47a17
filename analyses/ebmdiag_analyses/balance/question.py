"""The balance of a trace: what is computed, and in which units."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ebmdiag.analysis import Analysis
from ebmdiag.numerics.bands import quantile
from ebmdiag.numerics.bursts import Bursts, find_bursts
from ebmdiag.numerics.mean import mean_with_error
from ebmdiag.numerics.scaling import doubtful, undefined
from ebmdiag.numerics.settling import Blocks, blocks_of, late_rows, relaxation, settling
from ebmdiag.numerics.slope import slope_with_error
from ebmdiag.result import Estimate, Result, Table
from ebmdiag_analyses.balance.figures import draw
from ebmdiag_analyses.balance.judge import judge
from ebmdiag_analyses.balance.options import CEILING, DRIFT, LIMITS, TEMPERATURE, WIDTH, Options, R
from ebmdiag_analyses.balance.scale import Quantity, langevin_steps, quantities, scale_of
from ebmdiag_analyses.balance.view import text
from ebmdiag_analyses.selection import last_rows, row_notes, span

if TYPE_CHECKING:
    from ebmdiag.trace import Trace

Series = NDArray[np.float64]
Rows = NDArray[np.int64]

PER = 10_000
_TENTHS, _BINS = 10, 240
_SETTLED = ("settled", "relaxation", "amplitude", "asymptote")
_COURSE = ("late", "tau", "growth", "growth_share", *_SETTLED)


def analyse(trace: Trace, options: Options) -> Result:
    """r against its own late mean, its ceiling and the noise.

    Estimates of r: ``r:late`` (mean of the late rows), ``r:tau`` (in rows), ``r:growth`` (slope over the second half,
    per 10,000 iterations), ``r:growth_share`` (change over that half over the late mean), ``r:settled`` (step),
    ``r:relaxation`` (iterations), ``r:amplitude``, ``r:asymptote``; ``burst:count``, ``burst:first`` (step),
    ``burst:height`` (highest r over its level of before), if there is one. Late means: ``r_over_ceiling``,
    ``drift_to_noise``, ``sigma_eff``, and ``configurational_temperature`` if it is there; ``crossover``:
    1 / drift_to_noise, in Langevin steps.
    Tables: ``tenths`` of the rows, ``bursts``, ``course`` and ``blocks`` (what the picture shows).

    Raises:
        UsageError: there is no column r_t.
        TraceError: r_t has gaps or values that are not finite.
    """
    used = last_rows(trace, options.window)
    r, steps = used.series(R), used.steps
    scale = scale_of(trace, options)
    others = quantities(used, r, scale)
    bursts = find_bursts(r, LIMITS.burst_factor, LIMITS.burst_spreads)
    blocks = None if _short(r) else blocks_of(r, options.late, options.tolerance)
    estimates = {
        **_course(r, steps, blocks, options),
        **_bursts(bursts, steps),
        **_late(others, len(r), options),
    }
    tables = _tables(r, steps, others, bursts, blocks)
    settings = {**_settings(options, scale.coordinates, scale.data_noise), "epsilon": trace.metadata.epsilon}
    settings |= {"langevin_steps": langevin_steps(trace), **_sources(others), **span(used)}
    notes = (*row_notes(used), *_notes(others))
    return Result("balance", trace.name, len(used), settings, estimates, tables, notes)


def _settings(options: Options, coordinates: int | None, data_noise: float | None) -> dict[str, Any]:
    plain = {name: getattr(options, name) for name in ("window", "late", "tolerance", "level")}
    return {**plain, "coordinates": coordinates, "data_noise": data_noise}


def _sources(others: dict[str, Quantity]) -> dict[str, Any]:
    return {"sources": {name: item.source or None for name, item in others.items()}}


def _notes(others: dict[str, Quantity]) -> list[str]:
    computed = [f"{name} from {item.source}" for name, item in others.items() if item.source and item.doubt]
    return [f"computed: {', '.join(computed)}."] if computed else []


def _short(r: Series) -> str:
    return undefined(r) or doubtful(len(r))


def _course(r: Series, steps: Rows, blocks: Blocks | None, options: Options) -> dict[str, Estimate]:
    """Late mean, growth and settling; the latter need 50 rows."""
    if not len(r):
        return dict.fromkeys((f"r:{key}" for key in _COURSE), Estimate.undefined("there are no rows"))
    late = mean_with_error(r[late_rows(len(r), options.late) :])
    z = quantile(options.level)
    constant = late.error == 0
    found = {
        "late": _mean_estimate(late.value, late.error, "" if constant else late.reason, z),
        "tau": Estimate.doubted(late.autocorrelation_time, late.reason)
        if math.isfinite(late.autocorrelation_time)
        else Estimate.undefined(late.reason),
        **_growth(r, steps, late.value, z),
    }
    if blocks is None:
        found |= dict.fromkeys(_SETTLED, Estimate.undefined(_short(r)))
    else:
        found |= _settled(blocks, steps, options.tolerance, z)
    return {f"r:{key}": found[key] for key in _COURSE}


def _mean_estimate(value: float, error: float, doubt: str, z: float) -> Estimate:
    if math.isnan(error):
        return Estimate.doubted(value, doubt)
    return Estimate.doubted(value, doubt, low=value - z * error, high=value + z * error)


def _growth(r: Series, steps: Rows, late: float, z: float) -> dict[str, Estimate]:
    half = len(r) // 2
    slope = slope_with_error(r[half:], steps[half:].astype(np.float64))
    if math.isnan(slope.value):
        return dict.fromkeys(("growth", "growth_share"), Estimate.undefined(slope.reason))
    length = float(steps[-1] - steps[half])
    share = length / late if late else math.nan
    growth = _mean_estimate(PER * slope.value, PER * slope.error, slope.reason, z)
    if not math.isfinite(share):
        return {"growth": growth, "growth_share": Estimate.undefined("the late mean is 0")}
    return {"growth": growth, "growth_share": _mean_estimate(share * slope.value, share * slope.error, slope.reason, z)}


def _settled(blocks: Blocks, steps: Rows, tolerance: float, z: float) -> dict[str, Estimate]:
    found, relaxed = settling(blocks, tolerance, z), relaxation(blocks, z)
    unit = float(np.diff(steps).mean())
    doubt = relaxed.reason
    settled = Estimate.undefined(found.reason)
    if found.row is not None:
        row, low, high = (float(steps[min(place or 0, len(steps) - 1)]) for place in (found.row, found.low, found.high))
        settled = Estimate.doubted(row, found.reason, low=low, high=high)
    if math.isnan(relaxed.time):
        return {"settled": settled, **dict.fromkeys(_SETTLED[1:], Estimate.undefined(doubt))}
    return {
        "settled": settled,
        "relaxation": Estimate.doubted(relaxed.time * unit, doubt, low=relaxed.low * unit, high=relaxed.high * unit),
        "amplitude": Estimate.doubted(relaxed.amplitude, doubt),
        "asymptote": Estimate.doubted(relaxed.level, doubt),
    }


def _bursts(bursts: Bursts, steps: Rows) -> dict[str, Estimate]:
    if bursts.reason:
        return {"burst:count": Estimate.undefined(bursts.reason)}
    count = {"burst:count": Estimate(float(len(bursts.first)))}
    if not len(bursts.first):
        return count
    return {
        **count,
        "burst:first": Estimate(float(steps[bursts.first[0]])),
        "burst:height": Estimate(float(bursts.height.max())),
    }


def _late(others: dict[str, Quantity], rows: int, options: Options) -> dict[str, Estimate]:
    begin, z = late_rows(rows, options.late) if rows else 0, quantile(options.level)
    found = {name: _late_mean(item, begin, z) for name, item in others.items()}
    drift = found[DRIFT]
    if drift.value is None or not drift.value > 0:
        found["crossover"] = Estimate.undefined(drift.reason or "there is no drift")
    else:
        low, high = (1 / bound if bound and bound > 0 else math.inf for bound in (drift.high, drift.low))
        found["crossover"] = Estimate.doubted(1 / drift.value, drift.reason, low=low, high=high)
    return found


def _late_mean(item: Quantity, begin: int, z: float) -> Estimate:
    values = item.values[np.searchsorted(item.rows, begin) :]
    if item.reason or not len(values):
        return Estimate.undefined(item.reason or "no late row holds a value")
    mean = mean_with_error(values)
    return _mean_estimate(mean.value, mean.error, item.doubt or ("" if mean.error == 0 else mean.reason), z)


def _tables(
    r: Series, steps: Rows, others: dict[str, Quantity], bursts: Bursts, blocks: Blocks | None
) -> dict[str, Table]:
    if not len(r):
        return {}
    tables = {
        "tenths": _tenths(r, steps, others),
        "bursts": Table("bursts of r_t", {"step": steps[bursts.first], "height": bursts.height}),
        "course": _stretches(r, steps),
    }
    if blocks is not None:
        last = steps[blocks.edges[1:] - 1]
        tables["blocks"] = Table("block means of r_t", {"last_step": last, "mean": blocks.means})
    return tables


def _tenths(r: Series, steps: Rows, others: dict[str, Quantity]) -> Table:
    """Question: which of drift and diffusion rules, and how large is r, over the training?"""
    edges = np.linspace(0, len(r), min(_TENTHS, len(r)) + 1).astype(np.int64)
    columns: dict[str, NDArray[Any]] = {"first_step": steps[edges[:-1]], "last_step": steps[edges[1:] - 1]}
    every = np.arange(len(r), dtype=np.int64)
    for name, item in {R: Quantity(every, r), **others}.items():
        if item.reason:
            continue
        means = [_mean_between(item, low, high) for low, high in pairwise(edges)]
        columns[name] = np.array([value for value, _ in means])
        columns[f"{name}_error"] = np.array([error for _, error in means])
    return Table("tenths of the rows: means and their errors", columns)


def _mean_between(item: Quantity, low: int, high: int) -> tuple[float, float]:
    first, last = np.searchsorted(item.rows, (low, high))
    if first == last:
        return math.nan, math.nan
    mean = mean_with_error(item.values[first:last])
    return mean.value, mean.error


def _stretches(r: Series, steps: Rows) -> Table:
    bounds = np.linspace(0, len(r), min(_BINS, len(r)) + 1).astype(np.int64)
    shares = [r[low:high] for low, high in pairwise(bounds)]
    return Table(
        "r_t over the run",
        {
            "step": steps[bounds[1:] - 1],
            "low": np.array([share.min() for share in shares]),
            "mean": np.array([share.mean() for share in shares]),
            "high": np.array([share.max() for share in shares]),
        },
    )


def columns(options: Options) -> list[str]:
    """What ``analyse`` reads."""
    return [R, CEILING, DRIFT, WIDTH, TEMPERATURE]


ANALYSIS = Analysis(
    name="balance",
    title="Gradient against noise",
    summary="Has r_t settled, how near is its ceiling, and does drift or diffusion rule?",
    options=Options,
    analyse=analyse,
    judge=judge,
    text=text,
    draw=draw,
    columns=columns,
)
