"""The energy of long chains: does it still drift, and where does it lie beside data and short runs?

Drift: for each start, the mean over its chains of the energy's least-squares slope over the second half of the run;
slopes of different starts are independent (``means``). Depth scan (Nijkamp et al. 2020, arXiv:1903.12370: long
chains of a net trained by short runs run off): d(l) = mean U(data) - mean U(chain after l steps). In training d is seen
at l = L only. A d that crosses 0 near L and goes on is a memory of L steps, not a density.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ebmdiag.result import Estimate, Table
from ebmdiag_analyses.convergence.means import ONE_START, StartMean, difference, over_starts
from ebmdiag_analyses.convergence.select import at_end, finite_values, second_half

if TYPE_CHECKING:
    from ebmdiag.chains import Chains, Phase

Floats = NDArray[np.float64]
PAIRS = (("long", "data"), ("long", "short"), ("short", "data"))
_PER = 1000
_POINTS = 40
_FEWEST = 3
_RANGE = (0.05, 0.95)  # of single chains
_AWAY = 3.0  # errors: a scan that begins nearer to 0 has nothing to cross


@dataclass(frozen=True)
class Energies:
    """Numbers of the energy; ``total`` is the change from the middle of the long run to its end."""

    total: StartMean
    means: dict[str, StartMean]
    estimates: dict[str, Estimate]
    tables: dict[str, Table]


def energy(chains: Chains, level: float) -> Energies:
    """Drift, means of the phases, their differences, and the depth scan.

    Estimates: ``drift`` (U per 1,000 steps), ``drift:total`` (U, from the middle to the end), ``drift:errors``;
    ``energy:data``, ``energy:short``, ``energy:long`` and differences like ``energy:long-data`` (U); ``energy:sd`` of
    data; ``depth:crossing`` (steps), ``depth:crossing_per_L`` (not for chains from data, where d begins at 0).
    Tables: ``energy:long``, ``energy:short`` (mean and quantiles of chains by draw), ``depth:long``, ``depth:short``.
    """
    phases = chains.phases
    per_step, total = drift(phases.get("long"), "energy")
    means = {name: over_starts(at_end(phase, "energy"), phase.starts) for name, phase in phases.items()}
    estimates = {
        "drift": per_step.scaled(_PER).estimate(level),
        "drift:total": total.estimate(level),
        "drift:errors": _plain(total.errors, total.doubt),
        **{f"energy:{name}": mean.estimate(level) for name, mean in means.items()},
        **_gaps(means, level),
        "energy:sd": _deviation(phases.get("data")),
    }
    scans = _scan(phases, level)
    estimates |= _crossing(scans.get("long"), phases.get("long"), chains.metadata.short_steps)
    tables = {f"energy:{name}": _course(phases[name]) for name in ("long", "short") if name in phases}
    tables |= {f"depth:{name}": table for name, table in scans.items()}
    return Energies(total, means, estimates, tables)


def drift(phase: Phase | None, measure: str) -> tuple[StartMean, StartMean]:
    """Slope of a measure over the second half, per step, and the change that it makes from the middle to the end."""
    if phase is None or not phase.has(measure):
        return _nothing("no long run" if phase is None else f"{measure} was not recorded")
    places = second_half(phase)
    if len(places) < _FEWEST:
        return _nothing(f"{len(places)} draws in the second half of the long run: at least {_FEWEST} are needed")
    draws = phase.draws[places].astype(np.float64)
    centred = draws - draws.mean()
    values = finite_values(phase, measure)[:, places]
    whole = np.isfinite(values).all(1)
    slopes = np.full(len(values), np.nan)
    slopes[whole] = values[whole] @ centred / (centred @ centred)
    mean = over_starts(slopes, phase.starts)
    return mean, mean.scaled(float(draws[-1] - draws[0]))


def _nothing(reason: str) -> tuple[StartMean, StartMean]:
    mean = StartMean(math.nan, math.nan, math.nan, reason)
    return mean, mean


def _plain(value: float, doubt: str) -> Estimate:
    """A number without an interval; infinite or NaN is undefined."""
    if not math.isfinite(value):
        return Estimate.undefined(doubt or "its error is 0")
    return Estimate.doubted(value, doubt)


def _gaps(means: dict[str, StartMean], level: float) -> dict[str, Estimate]:
    """Differences of the phases' means; undefined where a phase is missing."""
    found = {}
    for first, second in PAIRS:
        missing = [name for name in (first, second) if name not in means]
        gap = None if missing else difference(means[first], means[second])
        reason = f"no chains of the phase {' and '.join(missing)}"
        found[f"energy:{first}-{second}"] = gap.estimate(level) if gap else Estimate.undefined(reason)
    return found


def _deviation(data: Phase | None) -> Estimate:
    values = finite_values(data, "energy")[:, -1] if data is not None else np.empty(0)
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return Estimate.undefined("fewer than two data items")
    return Estimate(float(values.std(ddof=1)))


def log_places(draws: NDArray[np.int64]) -> NDArray[np.int64]:
    """Places of the first draw and about 40 more, evenly spaced in the logarithm."""
    later = np.flatnonzero(draws > 0)
    if not len(later):
        return np.arange(len(draws))
    wanted = np.geomspace(draws[later[0]], draws[-1], _POINTS)
    places = np.searchsorted(draws, wanted * (1 - 1e-9)).clip(max=len(draws) - 1)
    return np.unique(np.concatenate(([0], places)))


def _course(phase: Phase) -> Table:
    """Mean energy and the 5% and 95% quantile of single chains, by draw."""
    places = log_places(phase.draws)
    values = finite_values(phase, "energy")[:, places]
    means = [over_starts(column, phase.starts) for column in values.T]
    known = [column[np.isfinite(column)] for column in values.T]
    low, high = np.array([np.quantile(column, _RANGE) if len(column) else (np.nan, np.nan) for column in known]).T
    return Table(
        f"energy of {phase.name} chains by draw",
        {
            "draw": phase.draws[places],
            "mean": np.array([mean.value for mean in means]),
            "error": np.array([mean.error for mean in means]),
            "low": low,
            "high": high,
        },
    )


def _scan(phases: Mapping[str, Phase], level: float) -> dict[str, Table]:
    """d by draw, with its interval, of the long and the short run; nothing without data."""
    data = phases.get("data")
    if data is None:
        return {}
    reference = over_starts(data.values["energy"][:, -1], data.starts)
    return {name: _differences(reference, phases[name], level) for name in ("long", "short") if name in phases}


def _differences(reference: StartMean, phase: Phase, level: float) -> Table:
    places = log_places(phase.draws)
    columns = finite_values(phase, "energy")[:, places].T
    gaps = [difference(reference, over_starts(column, phase.starts)) for column in columns]
    value, half = np.array([gap.value for gap in gaps]), np.array([gap.half(level) for gap in gaps])
    error = np.array([gap.error for gap in gaps])
    return Table(
        f"U(data) - U({phase.name} run) by draw",
        {"draw": phase.draws[places], "d": value, "error": error, "low": value - half, "high": value + half},
    )


def _crossing(scan: Table | None, phase: Phase | None, short_steps: int) -> dict[str, Estimate]:
    """Where d of the long run crosses 0, in steps and in L; and d at its end."""
    if phase is not None and phase.init == "data":  # d begins at 0: there is nothing to cross
        return {}
    if scan is None or phase is None:
        nothing = Estimate.undefined("it needs the phases data and long")
        return {"depth:crossing": nothing, "depth:crossing_per_L": nothing}
    unknown = _unknown_beginning(scan, phase)
    crossing = Estimate.undefined(unknown) if unknown else _first_crossing(scan)
    if short_steps <= 0 or crossing.value is None:
        reason = crossing.reason if crossing.value is None else "the length L of the training's runs is not known"
        return {"depth:crossing": crossing, "depth:crossing_per_L": Estimate.undefined(reason)}
    low, high = (None if bound is None else bound / short_steps for bound in (crossing.low, crossing.high))
    relative = Estimate(crossing.value / short_steps, low, high, crossing.reliable, crossing.reason)
    return {"depth:crossing": crossing, "depth:crossing_per_L": relative}


def _unknown_beginning(scan: Table, phase: Phase) -> str:
    """Why it is not known on which side of 0 d begins; empty where it is."""
    d, error = float(scan.columns["d"][0]), float(scan.columns["error"][0])
    if math.isfinite(d) and math.isfinite(error):
        return ""
    if not math.isfinite(d):
        return "d at its beginning is not finite"
    return ONE_START if len(np.unique(phase.starts)) < 2 else "d at its beginning has no error"


def _first_crossing(scan: Table) -> Estimate:
    """The first place where d loses the sign that it begins with; its interval: where the two bounds of d do."""
    draw, d, error = (scan.columns[name].astype(np.float64) for name in ("draw", "d", "error"))
    if not abs(d[0]) > _AWAY * error[0]:
        return Estimate.undefined(f"d begins within {_AWAY:g} errors of 0")
    sign, half = math.copysign(1.0, d[0]), (scan.columns["high"] - scan.columns["low"]) / 2
    low, value, high = (_first_zero(draw, sign * d + shift * half) for shift in (-1, 0, 1))
    if value is None:
        return Estimate.undefined(f"d keeps its sign for {draw[-1]:.0f} steps")
    return Estimate(value, low, high)


def _first_zero(draw: Floats, curve: Floats) -> float | None:
    """Where a curve that begins above 0 first falls below, by a straight line between draws; None: it never does."""
    below = np.flatnonzero(curve < 0)
    if not len(below) or not below[0]:
        return None
    before, after = int(below[0]) - 1, int(below[0])
    share = curve[before] / (curve[before] - curve[after])
    return float(draw[before] + share * (draw[after] - draw[before]))
