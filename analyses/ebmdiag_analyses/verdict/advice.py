"""Which knob, which way, for a measured symptom, and who says so.

Sources: the practical appendix of Nijkamp et al. 2020 (arXiv:1903.12370); the maintainers of JEM (Grathwohl et al.
2020, arXiv:1912.03263) in issues 4 and 8 of wgrathwohl/JEM (training blows up: go on from a checkpoint with another
seed, more steps, a lower learning rate); this project's linear response of the learning loop (docs/loop_gain.md) and
the fold of a Gaussian (docs/rings.md).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ebmdiag.metadata import TraceMetadata
from ebmdiag_analyses.verdict.others import settled_from
from ebmdiag_analyses.verdict.reading import Results, reliable, value

APPENDIX = "Nijkamp et al. 2020, practical appendix"
JEM = "JEM's maintainers, issues 4 and 8 of wgrathwohl/JEM"
LOOP = "linear response of the learning loop, docs/loop_gain.md"
FOLD = "docs/rings.md"
_NEAR, _FOLD = 0.07, 1.8
_OTHERS = ("ebmdiag.TraceWriter", "ebmdiag import")  # who has no checkpoint of ours to sample from


def against_oscillation(results: Results, metadata: TraceMetadata) -> str:
    """Momentum where the loop's poles are the optimizer's, longer chains where they lag, else the learning rate."""
    loop = results.get("loop_gain")
    modulus, beta = reliable(results, "loop_gain", "fit:modulus"), _beta(metadata)
    family = loop.settings.get("preferred") if loop else None
    if loop and loop.settings.get("complex_poles") and modulus and beta and abs(modulus - math.sqrt(beta)) < _NEAR:
        return (
            f"Lower the optimizer's momentum ({_momentum_key(metadata)}, now {beta:g}), or take SGD without it: the "
            f"loop's poles, of modulus {modulus:.2f}, are the momentum's, √beta = {math.sqrt(beta):.2f} ({LOOP})."
        )
    if family == "persistent" and loop and loop.settings.get("complex_poles"):
        return f"The chains lag behind the parameters: raise langevin.steps, or lower the learning rate ({LOOP})."
    gain = reliable(results, "loop_gain", "fit:gain") if family == "first" else None
    if gain and gain > 0.5:
        factor = 0.2 / gain
        return (
            f"Lower the learning rate to about {factor:.2g} of what it is: the loop's gain, {gain:.2g}, is in "
            f"proportion to it, and 2 diverges ({LOOP}; {APPENDIX}: anneal)."
        )
    rest = " and the momentum" if beta else ""
    return f"Lower the learning rate{rest}; with Adam, switch to SGD for the end of learning ({APPENDIX})."


def against_divergence(results: Results, metadata: TraceMetadata) -> str:
    """The fold of the step size where the temperature says so, else the learning rate."""
    temperature = value(results, "summary", "configurational_temperature:ratio")
    if temperature is not None and temperature > _FOLD:
        return (
            f"Lower langevin.epsilon: the configurational temperature is {temperature:.2f}, and from 2 on a steeper "
            f"energy makes the chains wider ({FOLD}). Go on from a checkpoint before the growth."
        )
    if_none = "" if _tells_noise(metadata) else ", if they have none"
    noise = "" if _data_noise(metadata) else f"; add noise to the data{if_none} (data.noise near 2 epsilon, {APPENDIX})"
    return (
        f"Go on from a checkpoint before the growth with a lower learning rate, or more Langevin steps ({JEM}); from a "
        f"loop gain of 2 on nothing else helps ({LOOP}){noise}."
    )


def against_collapse(metadata: TraceMetadata, *, at_balance: bool = False) -> str:
    """Noise on the data; where there is enough of it, d may also fall because learning has just begun.

    Args:
        metadata: of the trace.
        at_balance: whether r is known to be at its ceiling, so that the first expansion is over.
    """
    now = _data_noise(metadata)
    if now and now >= 2 * metadata.epsilon > 0:
        enough = f"The data's noise, {now:g}, is {now / metadata.epsilon:.2g} epsilon already"
        if at_balance:
            return f"{enough}: go on from a checkpoint before the growth with a lower learning rate ({APPENDIX})."
        return (
            f"{enough}. If learning has just begun, "
            f"train on: d falls (expansion) until r has grown enough to bring chains to the data. If it goes on, lower "
            f"the learning rate ({APPENDIX})."
        )
    unknown = "the trace does not say whether they have some: recipe, data.noise"
    said = f"raise it from {now:g}" if now else "there is none now" if _tells_noise(metadata) else unknown
    return (
        f"Add noise to the data, at least epsilon = {metadata.epsilon:g} and better twice that ({said}): without it d "
        f"collapses to -∞ ({APPENDIX}); then lower the learning rate."
    )


def for_settling(results: Results, share: float | None = None, first: int | None = None) -> str:
    """What to do while d has not settled; ``first``: where it may have, if that is known better than by others."""
    first = settled_from(results) if first is None else first
    start = "--from" if first is None else f"--from {first}"
    kind = "" if share is None else (" (expansion prevails)" if share < 0 else " (contraction prevails)")
    return (
        f"Train on{kind}, or leave out the beginning with {start}; if it stays, lower the learning rate by annealing "
        f"({APPENDIX}: from .05 to .0005 over the run)."
    )


def against_short_runs(metadata: TraceMetadata) -> str:
    """Longer or persistent chains."""
    start = _section(metadata, "langevin").get("start")
    persistent = " from a persistent bank (langevin.start)" if start != "persistent" else ""
    return (
        f"For a density, raise langevin.steps or start chains{persistent or ' from a larger bank'}, and end learning "
        f"with SGD at a low rate ({APPENDIX}); for samples of L steps nothing need change."
    )


def for_step_size(metadata: TraceMetadata) -> str:
    """A smaller step, or a sampler that corrects for it."""
    return (
        f"Lower langevin.epsilon (now {metadata.epsilon:g}), or sample with --sampler mala to see how much of it is "
        f"the step's bias ({FOLD})."
    )


def for_evidence(metadata: TraceMetadata) -> str:
    """How to get what axis 2 rests on."""
    if metadata.producer in _OTHERS:
        return (
            "Log what shows it from your own loop: the virial of the chains (docs/trace.md) and, now and then, the "
            "depth scan and nested R-hat of ebmdiag_trainers.probes (examples/own_probes.py)."
        )
    every = "" if _section(metadata, "probe").get("every") else "; or train with probe.every and long_run.every set"
    return f"Run 'ebmdiag sample RUN' for long chains, then look again{every}."


def _section(metadata: TraceMetadata, name: str) -> Mapping[str, Any]:
    found = metadata.recipe.get(name)
    return found if isinstance(found, dict) else {}


def _momentum_key(metadata: TraceMetadata) -> str:
    return "optimizer.beta1" if _section(metadata, "optimizer").get("name") == "adam" else "optimizer.momentum"


def _beta(metadata: TraceMetadata) -> float | None:
    found = _section(metadata, "optimizer").get(_momentum_key(metadata).partition(".")[2])
    known = isinstance(found, int | float) and not isinstance(found, bool) and 0 < found < 1
    return float(found) if known and found is not None else None


def _tells_noise(metadata: TraceMetadata) -> bool:
    return "noise" in _section(metadata, "data")


def _data_noise(metadata: TraceMetadata) -> float | None:
    found = _section(metadata, "data").get("noise")
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) and found > 0 else None
