"""All limits of the verdict in one place, each with its source; every one can be replaced by name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace

from ebmdiag.errors import UsageError
from ebmdiag.names import nearest

CALIBRATED = "chosen on the training half of the calibration (docs/calibration.md)"
PROPOSAL = "this project's first proposal"
THEORY = "linear response of the learning loop, derived for this project (docs/loop_gain.md)"


def _limit(value: float, meaning: str, source: str, most: float = math.inf) -> float:
    found: float = field(default=value, metadata={"meaning": meaning, "source": source, "most": most})
    return found


@dataclass(frozen=True)
class Limits:
    """When a run is placed where.

    Raises:
        UsageError: a limit is not a number above 0, or beyond its largest value.
    """

    lags: float = _limit(10, "lags of d that count as short", "Nijkamp et al. 2020: most negative near lag 5")
    strong: float = _limit(0.24, "lowest short-lag autocorrelation of d below minus this: strong", CALIBRATED, 1)
    weak: float = _limit(0.1, "... below minus this: weak; above it: stable", CALIBRATED, 1)
    strong_p: float = _limit(0.001, "chance of so strong an oscillation in white noise", PROPOSAL, 1)
    weak_p: float = _limit(0.01, "chance of so weak an oscillation in white noise", PROPOSAL, 1)
    level: float = _limit(0.95, "confidence of each one-sided test of equivalence", "Schuirmann 1987", 1)
    balance: float = _limit(0.5, "mean of d, and its change between the halves, in its sd", PROPOSAL)
    stable_balance: float = _limit(0.2, "mean of d in its sd: stable (the margin of 'stationarity')", PROPOSAL)
    spread: float = _limit(2.0, "larger over smaller spread of d in the halves", PROPOSAL)
    dominated: float = _limit(
        0.6, "share of d's sum of squares in the tenth of the trace that reaches farthest", PROPOSAL
    )
    explosion: float = _limit(8.0, "|d| at the end over its usual size: diverging", CALIBRATED)
    excess: float = _limit(2.0, "r at the end over its usual value: diverging", PROPOSAL)
    still: float = _limit(1.5, "... and growth of either within the last tenth: it still grows", CALIBRATED)
    fewest: float = _limit(100, "rows below which neither diverging nor collapsing is said", PROPOSAL)
    collapse: float = _limit(4.0, "d falls below minus so many of its noise's sd and goes on falling", CALIBRATED)
    ceiling: float = _limit(
        0.9, "r at the end over its ceiling: below it a falling d may be a first expansion", PROPOSAL
    )
    virial: float = _limit(0.05, "distance of the virial from 1", PROPOSAL)
    temperature: float = _limit(0.2, "distance of the configurational temperature from 1", PROPOSAL)
    depth: float = _limit(0.5, "energy shift from L to 10 L, in sd of the data's energy", "Cohen 1988: medium effect")
    memory: float = _limit(1.1, "nested R-hat over its expected value: starts remembered", "Gelman and Rubin 1992")
    discoveries: float = _limit(0.05, "false discovery rate among the findings", "Benjamini and Hochberg 1995", 1)

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            most = type(self).__dataclass_fields__[name].metadata["most"]
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most:
                end = "" if math.isinf(most) else f" and at most {most:g}"
                raise UsageError(f"limit '{name}' must be a number above 0{end}, but is {value!r}.")

    def to_json(self) -> dict[str, float]:
        """Every limit by name."""
        return {name: float(value) for name, value in asdict(self).items()}


LIMITS = Limits()
SOURCES: Mapping[str, str] = {item.name: item.metadata["source"] for item in fields(Limits)}


def chosen(replaced: Mapping[str, float] | None) -> Limits:
    """The limits with some of them replaced.

    Raises:
        UsageError: no limit has such a name, or the value is out of range.
    """
    for name in replaced or {}:
        if name not in SOURCES:
            raise UsageError(f"unknown limit '{name}'{nearest(name, SOURCES)} Known: {', '.join(SOURCES)}.")
    return replace(LIMITS, **(replaced or {}))
