"""What the distances from the truth mean: modes missing, which law is nearer, and whether learning has turned."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ebmdiag.result import Finding, Result
from ebmdiag.statistics import PAPER

Floats = NDArray[np.float64]

SOURCE = f"{PAPER}, section 4.1; limit: this project's first proposal"
_LAW = {"learned": "exp(-U)", "short": "the short runs"}
_MEDIAN_OF = 5  # landscapes; single ones are noisy


@dataclass(frozen=True)
class Limits:
    """When a planar run is judged; first proposals of this project."""

    missing: float = 0.25  # of a mode's true weight
    spreads: float = 3.0  # of the floor: beyond chance
    gap: float = 0.02  # nats: smaller differences do not matter
    risen: float = 1.5  # times the lowest KL
    rise: float = 0.05  # nats
    outside: float = 0.01  # of the samples


LIMITS = Limits()


def judge(result: Result, limits: Limits = LIMITS) -> list[Finding]:
    """Modes that are missing, which law is nearer to the truth, KL that rises again, samples that left the square."""
    findings = [
        _nearer(result, limits),
        *(_missing(result, law, limits) for law in _LAW),
        *(_rising(result, law, limits) for law in _LAW),
        _outside(result, limits),
    ]
    return [finding for finding in findings if finding is not None]


def _nearer(result: Result, limits: Limits) -> Finding:
    learned, short = result.estimates["kl_learned"], result.estimates["kl_short"]
    said = f"at step {result.settings['last_step']} KL(truth || exp(-U)) is {_nats(learned.value)}"
    doubt = f"; doubtful: {learned.reason}" if learned.reason else ""
    floor, spread = (result.estimates[name].value for name in ("kl_floor", "kl_floor_spread"))
    if learned.value is None or short.value is None or floor is None or spread is None:
        return Finding("landscape-distance", "info", f"{said}{doubt}; {short.reason}.", learned.value, source=SOURCE)
    excess, chance = max(0.0, short.value - floor), max(limits.gap, limits.spreads * spread)
    alike = "no more than exact samples score" if short.value - floor <= chance else f"{_nats(floor)} is the floor"
    said += f", of the short runs' kernel density {_nats(short.value)} ({alike})"
    if learned.value > short.value + chance:
        return Finding(
            "landscape-distance",
            "warning",
            f"{said}: the energy is further from the truth than its own short runs{doubt}.",
            learned.value - short.value,
            chance,
            "The energy does not describe what short chains draw: longer or persistent chains, a lower learning rate "
            "at the end, a smaller langevin.epsilon.",
            SOURCE,
        )
    nearer = learned.value < excess - chance
    meaning = "exp(-U) is nearer even where the floor is taken off" if nearer else "neither is clearly nearer"
    return Finding(
        "landscape-distance", "info", f"{said}: {meaning}{doubt}.", learned.value - excess, chance, source=SOURCE
    )


def _missing(result: Result, law: str, limits: Limits) -> Finding | None:
    """Modes of too small a weight; for samples only where that is beyond chance."""
    table = result.tables.get("modes")
    if table is None:
        return None
    true, weight = table.columns["true"], table.columns[law]
    gone = (weight < limits.missing * true) & (true > 0)
    if law == "short":
        gone &= table.columns["short_high"] < true
    if not gone.any():
        return None
    said = [
        f"{name} ({_weight(found)} of {_weight(of)})"
        for name, found, of in zip(table.columns["mode"][gone], weight[gone], true[gone], strict=True)
    ]
    doubt = result.estimates["kl_learned"].reason if law == "learned" else ""
    lacks = "lacks" if law == "learned" else "lack"
    return Finding(
        f"landscape-missing-{law}",
        "warning",
        f"{_LAW[law]} {lacks} {'modes' if len(said) > 1 else 'a mode'}: {', '.join(said)}"
        f"{f'; doubtful: {doubt}' if doubt else ''}.",
        float((weight[gone] / true[gone]).min()),
        limits.missing,
        "Train on; if it stays, let chains start wider (langevin.scale) or run longer, or lower the learning rate.",
        SOURCE,
    )


def _rising(result: Result, law: str, limits: Limits) -> Finding | None:
    """KL that is well above its lowest value again, by running medians."""
    columns = result.tables["distances"].columns
    known = ~np.isnan(columns[f"kl_{law}"])
    steps, course = columns["step"][known], running_median(columns[f"kl_{law}"][known])
    if len(course) < 3:
        return None
    best, end = int(course.argmin()), float(course[-1])
    lowest = float(course[best])
    if not (end > limits.risen * lowest and end - lowest > limits.rise):
        return None
    return Finding(
        f"landscape-rising-{law}",
        "warning",
        f"KL(truth || {_LAW[law]}) rose again: lowest around step {steps[best]} ({_nats(lowest)}), {_nats(end)} at the "
        "end (running medians).",
        end / lowest if lowest > 0 else math.inf,
        limits.risen,
        f"Take the checkpoint nearest to step {steps[best]}; from there on lower the learning rate or "
        "langevin.epsilon.",
        SOURCE,
    )


def running_median(values: Floats) -> Floats:
    """Median of five neighbours, fewer at the ends; a series of fewer than ten is left as it is."""
    if len(values) < 2 * _MEDIAN_OF:
        return values
    reach = _MEDIAN_OF // 2
    return np.array([np.median(values[max(0, i - reach) : i + reach + 1]) for i in range(len(values))])


def _outside(result: Result, limits: Limits) -> Finding | None:
    gone = result.estimates["outside"].value
    if gone is None or gone <= limits.outside:
        return None
    return Finding(
        "landscape-outside",
        "warning",
        f"{100 * gone:.3g}% of the short-run samples lie outside of the square that holds practically all data: the "
        "distances do not see them.",
        gone,
        limits.outside,
        "Chains that run away: see to the virial and to langevin.epsilon.",
        SOURCE,
    )


def _nats(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3g}"


def _weight(value: float) -> str:
    return f"{value:.2g}"
