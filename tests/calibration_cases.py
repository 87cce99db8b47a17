"""The labelled collection on which the verdict is calibrated: planted series and short runs of exactly solvable loops.

Labels come from theory, never from the rules. For a linear loop of known gain and poles (ebmdiag.numerics.loop), with
A = Var z, the factor by which feedback amplifies the sampling noise of d:

    stable                A <= 1.05 (memoryless: g <= 0.1)
    weakly oscillating    1.08 <= A <= 1.25 (g from 0.15 to 0.4), poles not both complex and of modulus above 0.8
    strongly oscillating  A >= 1.43 (g >= 0.6), or A >= 1.25 with complex poles of modulus above 0.8
    diverging             a pole outside the unit circle

and between them a loop is a border case, which the collection leaves out. Drift, a change of regime, a collapse, a
burst are labelled by how they were made. "Too short": fewer rows than 16 / g² at g = 0.2, which is 400.
Axis 2: a Gaussian of variance c learned by L steps from Normal(0, 1) ends at the precision λ that gives short runs the
data's variance; short-run only if λc, which is 1 for the true model, is off by more than a tenth.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy.signal import lfilter
from series import memory_trace

from ebmdiag.numerics.loop import Loop, first_order, momentum, predict
from ebmdiag.verdict import Verdict
from ebmdiag_analyses import autocorrelation, summary
from ebmdiag_analyses.verdict import rules

KEPT = Path(__file__).parent / "calibration" / "kept.npz"
SHOWN = Path(__file__).parent / "calibration" / "shown.npz"
PLANTED_SEEDS, HALVES = 12, ("train", "test")
ROWS, MANY_ROWS, BURN_IN = 1500, 3000, 500
Columns = dict[str, np.ndarray]


@dataclass(frozen=True)
class Case:
    """One trace of a family: its columns as float32, its label on one axis and the recorded state."""

    family: str
    axis: str
    label: str
    columns: Mapping[str, np.ndarray]
    state: str = "finished"


@dataclass(frozen=True)
class Family:
    """Traces of one behaviour: what it is, its label and its maker, from a random generator."""

    name: str
    label: str
    why: str
    make: Callable[[np.random.Generator], Columns] | None = None
    axis: str = "stability"
    state: str = "finished"
    facts: Mapping[str, Any] = field(default_factory=dict)


def label_of(loop: Loop) -> str:
    """The place of a loop of known gain and poles.

    Raises:
        ValueError: it is a border case.
    """
    if not loop.stable:
        return "diverging"
    amplified = predict(loop, 1).standardized_variance
    rings = loop.rings and loop.modulus > 0.8
    if amplified >= 1.43 or (amplified >= 1.25 and rings):
        return "strongly oscillating"
    if amplified <= 1.05:
        return "stable"
    if 1.08 <= amplified <= 1.25 and not rings:
        return "weakly oscillating"
    raise ValueError(f"{loop} amplifies its noise by {amplified:.2f}: a border case.")


def simulate(rng: np.random.Generator, loop: Loop, rows: int = ROWS) -> np.ndarray:
    """d of a memoryless loop or one with momentum: (z-1)(z-b) / L(z) times white noise (ebmdiag.numerics.loop)."""
    g, b = loop.gain, loop.memory
    top = [1.0, -1.0] if loop.kind == "first" else [1.0, -(1 + b), b]
    below = [1.0, -(1 - g)] if loop.kind == "first" else [1.0, -(1 + b - g * (1 - b)), b]
    return lfilter(top, below, rng.standard_normal(rows + BURN_IN))[BURN_IN:]


def _white(rng: np.random.Generator) -> Columns:
    return {"d_s_t": rng.standard_normal(MANY_ROWS)}


def _short(rng: np.random.Generator) -> Columns:
    return {"d_s_t": rng.standard_normal(rng.integers(20, 250))}


def _sinusoid(rng: np.random.Generator) -> Columns:
    angle = 2 * np.pi * np.arange(ROWS) / rng.uniform(5, 15) + rng.uniform(0, 6)
    return {"d_s_t": np.sqrt(2) * np.sin(angle) + rng.standard_normal(ROWS)}


def _alternating(rng: np.random.Generator) -> Columns:
    return {"d_s_t": 0.8 * (-1.0) ** np.arange(ROWS) + rng.standard_normal(ROWS)}


def _drift(rng: np.random.Generator) -> Columns:
    slope = rng.choice([-1, 1]) * rng.uniform(2, 4)
    return {"d_s_t": simulate(rng, first_order(0.05)) + slope * np.linspace(-0.5, 0.5, ROWS)}


def _offset(rng: np.random.Generator) -> Columns:
    return {"d_s_t": rng.standard_normal(ROWS) + rng.choice([-1, 1]) * rng.uniform(0.8, 2)}


def _switch(rng: np.random.Generator) -> Columns:
    at = rng.integers(600, 900)
    factor = np.where(np.arange(ROWS) < at, 1.0, rng.uniform(3, 6))
    return {"d_s_t": simulate(rng, first_order(0.05)) * factor}


def _collapse(rng: np.random.Generator) -> Columns:
    share = np.linspace(0, 1, ROWS)
    fall = rng.uniform(20, 200) * np.maximum(0, share - rng.uniform(0, 0.4)) ** 2
    return {"d_s_t": rng.standard_normal(ROWS) - fall, "r_t": 0.1 + 0.002 * fall + 0.001 * rng.standard_normal(ROWS)}


def _divergence(rng: np.random.Generator) -> Columns:
    gain, rows = rng.uniform(2.01, 2.1), 1000
    grown = lfilter([1.0, -1.0], [1.0, -(1 - gain)], rng.standard_normal(rows))
    end = np.flatnonzero(np.abs(grown) > 1e8)
    d = grown[: max(100, int(end[0]) if len(end) else rows)]
    return {"d_s_t": d, "r_t": 0.1 + 1e-3 * np.abs(d)}


def _burst(rng: np.random.Generator) -> Columns:
    d, start = simulate(rng, first_order(0.05)), rng.integers(300, 1200)
    d[start : start + 40] *= rng.uniform(15, 40)
    return {"d_s_t": d}


def _growing_r(rng: np.random.Generator) -> Columns:
    """A net's youth: r grows by orders of magnitude, then rests."""
    grown = 0.1 / (1 + np.exp(-(np.arange(ROWS) - rng.integers(100, 600)) / 20))
    return {"d_s_t": rng.standard_normal(ROWS), "r_t": grown + 1e-6}


def _step_of_r(rng: np.random.Generator) -> Columns:
    """r settled within 1%, another level in its last 7 to 10%: a change of recipe, no growth."""
    r = 0.1 * (1 + 0.01 * rng.standard_normal(MANY_ROWS))
    r[-int(MANY_ROWS * rng.uniform(0.07, 0.1)) :] *= rng.choice([0.8, 1.2])
    return {"d_s_t": rng.standard_normal(MANY_ROWS), "r_t": r}


def _loop(name: str, loop: Loop) -> Family:
    poles = f"poles of modulus {loop.modulus:.2f}" + (f", period {loop.period:.1f}" if loop.angle else "")
    rows = MANY_ROWS if label_of(loop) == "stable" else ROWS
    why = f"g = {loop.gain:g}" + (f", b = {loop.memory:g}" if loop.memory else "") + f": {poles}"
    return Family(name, label_of(loop), why, lambda rng: {"d_s_t": simulate(rng, loop, rows)})


PLANTED: tuple[Family, ...] = (
    Family("white noise", "stable", "no feedback", _white),
    _loop("loop, g = 0.05", first_order(0.05)),
    Family("youth of r", "stable", "d white, r grows and rests", _growing_r),
    _loop("loop, g = 0.25", first_order(0.25)),
    _loop("loop, g = 0.35", first_order(0.35)),
    _loop("momentum 0.5, g = 0.4", momentum(0.4, 0.5)),
    _loop("loop, g = 0.7", first_order(0.7)),
    _loop("loop, g = 1", first_order(1.0)),
    _loop("loop, g = 1.5", first_order(1.5)),
    _loop("loop, g = 1.9", first_order(1.9)),
    _loop("damped wave, momentum 0.9, g = 1", momentum(1.0, 0.9)),
    _loop("damped wave, momentum 0.9, g = 3", momentum(3.0, 0.9)),
    Family("sinusoid", "strongly oscillating", "a wave that never dies, period 5 to 15", _sinusoid),
    Family("alternating", "strongly oscillating", "(-1)^t beside noise: a pole at -1", _alternating),
    Family("collapse", "collapsing", "d falls without end", _collapse),
    Family("loop, g > 2", "diverging", "g = 2.01 to 2.1: a pole outside the unit circle", _divergence),
    Family("drift", "undetermined", "d moves by 2 to 4 sd", _drift),
    Family("offset", "undetermined", "mean of d 0.8 to 2 sd off 0: not balanced", _offset),
    Family("change of spread", "undetermined", "sd of d changes by 3 to 6", _switch),
    Family("burst that ended", "undetermined", "40 rows of 15 to 40 times the size hide the rest", _burst),
    Family("too short", "undetermined", "20 to 249 rows: fewer than 16/g² for g = 0.2", _short),
    Family("late step of r", "stable", "d white, r moves by a fifth at the end and rests there", _step_of_r),
)


def planted(half: str) -> list[Case]:
    """Every planted family, at the seeds of one half."""
    offset = PLANTED_SEEDS * HALVES.index(half)
    return [
        _case(family, family.make(np.random.default_rng([number, seed])))
        for number, family in enumerate(PLANTED)
        for seed in range(offset, offset + PLANTED_SEEDS)
        if family.make is not None
    ]


def _case(family: Family, columns: Mapping[str, np.ndarray], state: str | None = None) -> Case:
    kept = {name: np.asarray(values, dtype=np.float32) for name, values in columns.items()}
    return Case(family.name, family.axis, family.label, kept, state or family.state)


def judged(case: Case) -> dict[str, Any]:
    """What ``acf`` and ``summary`` compute of a case, and its metadata: all that axis 1 and 2 decide on here."""
    trace = memory_trace({name: values.astype(np.float64) for name, values in case.columns.items()}, state=case.state)
    if "virial" in case.columns:
        trace = _with_gaps(trace, case)
    modules = (autocorrelation, summary)
    results = {module.ANALYSIS.name: module.ANALYSIS.analyse(trace, module.Options()) for module in modules}
    findings = {module.ANALYSIS.name: tuple(module.judge(results[module.ANALYSIS.name])) for module in modules}
    return {"results": results, "findings": findings, "metadata": trace.metadata}


def _with_gaps(trace: Any, case: Case) -> Any:
    """NaN is where a probe did not measure."""
    from dataclasses import replace

    import pyarrow as pa

    table = trace.table
    for name, values in case.columns.items():
        gaps = np.isnan(values)
        if gaps.any():
            filled = pa.array(values.astype(np.float64), mask=gaps)
            table = table.set_column(table.column_names.index(name), name, filled)
    return replace(trace, rows=table)


def verdict_of(case: Case, limits: Mapping[str, float] | None = None) -> Verdict:
    """The verdict on a case."""
    found = judged(case)
    return rules(found["results"], found["findings"], found["metadata"], limits)


def place(case: Case, verdict: Verdict) -> str:
    """On the case's axis."""
    return str(getattr(verdict, case.axis).place)


def counts(pairs: Iterable[tuple[str, str]]) -> dict[str, dict[str, int]]:
    """Label → place → how many."""
    table: dict[str, dict[str, int]] = {}
    for label, found in pairs:
        row = table.setdefault(label, {})
        row[found] = row.get(found, 0) + 1
    return table


def rates(axis: str, table: Mapping[str, Mapping[str, int]]) -> list[dict[str, Any]]:
    """False alarms and hits of each place, with Clopper and Pearson's (1934) 95% intervals."""
    places = dict.fromkeys([*table, *(found for row in table.values() for found in row)])
    rows = []
    for name in places:
        others = [row for label, row in table.items() if label != name]
        wrong, healthy = sum(row.get(name, 0) for row in others), sum(sum(row.values()) for row in others)
        hit, all_of_it = table.get(name, {}).get(name, 0), sum(table.get(name, {}).values())
        rows.append(
            {
                "axis": axis,
                "place": name,
                "false_alarms": wrong,
                "others": healthy,
                "false_alarm_interval": interval(wrong, healthy),
                "found": hit,
                "cases": all_of_it,
                "found_interval": interval(hit, all_of_it),
            }
        )
    return rows


def interval(hits: int, of: int) -> tuple[float, float]:
    """Clopper and Pearson's, rounded to 4 digits."""
    from scipy.stats import binomtest

    if not of:
        return 0.0, 1.0
    found = binomtest(hits, of).proportion_ci(0.95)
    return round(float(found.low), 4), round(float(found.high), 4)


def keep(cases: Iterable[Case], path: Path = KEPT) -> None:
    """Write cases: each column an array, each case a line of the index."""
    arrays: dict[str, np.ndarray] = {}
    index = []
    for number, case in enumerate(cases):
        index.append([case.family, case.axis, case.label, case.state, list(case.columns)])
        arrays |= {f"{number}/{name}": values for name, values in case.columns.items()}
    np.savez_compressed(path, index=np.array(json.dumps(index)), **arrays)


def kept(path: Path = KEPT) -> list[Case]:
    """The cases of a file."""
    with np.load(path, allow_pickle=False) as file:
        index = json.loads(str(file["index"]))
        return [
            Case(family, axis, label, {name: file[f"{number}/{name}"] for name in names}, state)
            for number, (family, axis, label, state, names) in enumerate(index)
        ]
