"""Axis 2 from the columns of a trace alone: what must hold if the chains of L steps sample the model.

The virial is 1 for stationary chains; chains that run on from L to 10 L steps keep their energy (depth scan); chains of
one start differ among themselves as much as chains of different starts (nested R-hat √(1 + 1/M) for M chains a start);
the configurational temperature is 1 as the step goes to 0. One that is shown to be off says that short runs are not
the model. That all agree has to be shown as well, by two one-sided tests, and the depth scan has to be among them: a
virial of 1 alone is necessary only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from ebmdiag.metadata import TraceMetadata
from ebmdiag.result import Estimate
from ebmdiag.verdict import Evidence
from ebmdiag_analyses.convergence.limits import LIMITS as CHAINS
from ebmdiag_analyses.verdict.limits import SOURCES, Limits
from ebmdiag_analyses.verdict.reading import Results, estimate, value

CONVERGED, SHORT = "converged", "short-run only"
_COPIES = 5  # the recipe's default
_BEYOND_CHANCE = CHAINS.errors
EXCESS = CHAINS.excess
ACCEPTED = CHAINS.accepted_unbiased


@dataclass(frozen=True)
class Held:
    """A number held against its equilibrium value: by name of its limit, with its error and how far it may be off."""

    limit: str
    name: str
    value: float
    error: float
    target: float
    margin: float
    reason: str
    one_sided: bool = False

    def says(self, limits: Limits) -> str:
        """Shown to agree, shown to differ, or neither; a number that cannot be trusted shows nothing."""
        if self.reason or not math.isfinite(self.error):
            return "undetermined"
        half, off = NormalDist().inv_cdf(limits.level) * self.error, self.value - self.target
        distance = off if self.one_sided else abs(off)
        if distance + half < self.margin:
            return "undetermined" if self._remembers else CONVERGED
        return SHORT if distance - half > self.margin else "undetermined"

    @property
    def _remembers(self) -> bool:
        """Whether a memory of starts that is within the margin is beyond chance all the same.

        Modes that no chain leaves take up few of many coordinates: a small share of the variance, and all of the law.
        """
        off = self.value - self.target
        return self.one_sided and off > _BEYOND_CHANCE * self.error and off > (EXCESS - 1) * self.target

    def evidence(self, limits: Limits) -> Evidence:
        """For the verdict."""
        half = NormalDist().inv_cdf(limits.level) * self.error
        doubt = f"; {self.reason}" if self.reason else ""
        says = self.says(limits)
        if self.limit == "temperature" and says == SHORT:
            says = "undetermined"  # a hot model may well be sampled by a chain that is stationary
        return Evidence(
            f"summary: {self.name}",
            Estimate.doubted(self.value, self.reason, low=self.value - half, high=self.value + half),
            self.margin,
            says,
            f"{self.name} is {self.value:.4g} ± {self.error:.2g} where {self.target:.4g} ± {self.margin:g} is "
            f"equilibrium{doubt}.",
            SOURCES[self.limit],
        )


def held(results: Results, metadata: TraceMetadata, limits: Limits) -> list[Held]:
    """All that the trace has of these."""
    found = (
        _mean(results, "virial", "virial:mean", "virial:error", limits),
        _mean(
            results,
            "temperature",
            "configurational_temperature:ratio",
            "configurational_temperature:ratio_error",
            limits,
        ),
        _depth(results, limits),
        *_memory(results, metadata, limits),
    )
    return [item for item in found if item is not None]


def against(items: list[Held], limits: Limits) -> list[Held]:
    """Those that show that short runs are not the model.

    The virial is a mean over the second half of the L steps: chains that arrive only then are off in it, and right at
    their end. So alone it shows nothing where the energy stays from L to 10 L and starts are forgotten after L.
    """
    off = [item for item in items if item.limit != "temperature" and item.says(limits) == SHORT]
    ends = {name: [item.says(limits) for item in items if item.limit == name] for name in ("depth", "memory")}
    arrived = all(said and set(said) == {CONVERGED} for said in ends.values())
    return [] if arrived and {item.limit for item in off} == {"virial"} else off


def biased(results: Results, metadata: TraceMetadata) -> str:
    """Why a step may be so large that stationary chains are not the model's; empty where it is not known to be."""
    langevin = metadata.recipe.get("langevin")
    sampler = langevin.get("sampler", "langevin") if isinstance(langevin, dict) else "langevin"
    accepted = value(results, "summary", "mh_acceptance:mean")
    if accepted is None or accepted >= ACCEPTED or not (sampler == "langevin" or str(sampler).endswith("unadjusted")):
        return ""
    return (
        f"Metropolis would accept {accepted:.1%} of the steps, where {ACCEPTED:.0%} is the least: the chains may be "
        "stationary, but not under the model."
    )


def _mean(results: Results, limit: str, mean: str, error: str, limits: Limits) -> Held | None:
    known = estimate(results, "summary", mean)
    if known is None or known.value is None:
        return None
    size = value(results, "summary", error)
    name = mean.partition(":")[0].replace("_", " ")
    return Held(limit, name, known.value, math.nan if size is None else size, 1.0, getattr(limits, limit), known.reason)


def _depth(results: Results, limits: Limits) -> Held | None:
    """Energy of chains at depth 10 L less that at L, in sd of the data's energy; errors as if independent."""
    parts = {depth: estimate(results, "summary", f"depth_d_{depth}:mean") for depth in ("1", "10")}
    deviation = value(results, "summary", "energy_pos_sd:mean")
    near, far = parts["1"], parts["10"]
    if near is None or far is None or near.value is None or far.value is None or not deviation:
        return None
    errors = [value(results, "summary", f"depth_d_{depth}:error") for depth in ("1", "10")]
    error = math.hypot(*(math.nan if item is None else item for item in errors)) / deviation
    shift = (near.value - far.value) / deviation
    count = results["summary"].settings.get("measured", {}).get("depth_d_1", 0)
    reason = "" if count >= 2 else "one probe has no error"
    return Held("depth", "energy shift from depth L to 10 L", shift, error, 0.0, limits.depth, reason)


def _memory(results: Results, metadata: TraceMetadata, limits: Limits) -> list[Held]:
    probe = metadata.recipe.get("probe")
    copies = probe.get("copies", _COPIES) if isinstance(probe, dict) else _COPIES
    expected = math.sqrt(1 + 1 / copies) if isinstance(copies, int) and copies > 1 else math.sqrt(1 + 1 / _COPIES)
    items = []
    for name in ("nested_rhat_energy", "nested_rhat_state"):
        known, error = estimate(results, "summary", f"{name}:mean"), value(results, "summary", f"{name}:error")
        if known is not None and known.value is not None:
            margin = (limits.memory - 1) * expected
            size = math.nan if error is None else error
            said = name.replace("_", " ").replace("rhat", "R-hat")
            items.append(Held("memory", said, known.value, size, expected, margin, "", one_sided=True))
    return items
