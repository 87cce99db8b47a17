"""What is read off a table of chains: the facts of its sampler, and the draws of a phase that count."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ebmdiag.chains import Chains, Phase, Samples

END = 0.1  # the end of a long run is its last tenth
_KIND_OF_START = {"persistent": "bank", "bank": "bank", "uniform": "noise", "gaussian": "noise", "noise": "noise"}


def long_steps(chains: Chains) -> int:
    """Steps of the long run recorded so far; 0 where there is none."""
    phase = chains.phases.get("long")
    return int(phase.draws[-1]) if phase is not None and len(phase.draws) else 0


def samples_of(chains: Chains) -> tuple[Samples | None, str]:
    """Whole states beside a table, or why there are none.

    Raises:
        DataError: they are there, but cannot be read.
    """
    from ebmdiag.chains import read_samples

    path = chains.files.samples
    if path.exists():
        return read_samples(path), ""
    if chains.metadata.state in ("running", "interrupted"):
        return None, f"there is no {path.name} yet: whole states are written when the chains end"
    return None, f"there is no {path.name} beside the table: whole states were not kept"


def is_exact(chains: Chains) -> bool | None:
    """Whether the sampler of the long run leaves the density exactly invariant; None where the table does not say."""
    exact = chains.metadata.sampler.get("exact")
    return exact if isinstance(exact, bool) else None


def begins_like_short(chains: Chains) -> bool:
    """Whether the long run shows what becomes of short runs that run on, even before it has mixed.

    From the bank, where short runs begin: a law that the model's chains leave is not the model's. From noise: only by
    the training's own steps, more than L of them; chains of another sampler may just be slower on their way.
    """
    facts, phase = chains.metadata, chains.phases.get("long")
    if phase is None or _KIND_OF_START.get(facts.short_start) != phase.init:
        return False
    if phase.init == "bank":
        return is_exact(chains) is True or _paces_as_trained(chains)
    return _paces_as_trained(chains) and long_steps(chains) > facts.short_steps > 0


def _paces_as_trained(chains: Chains) -> bool:
    """Whether the steps of the long run are known to be those of the training: the paper's, of size ε."""
    sampler, epsilon = chains.metadata.sampler, chains.metadata.epsilon
    step = sampler.get("step_size")
    plain = sampler.get("name") == "langevin" and not sampler.get("temperatures")
    return plain and isinstance(step, int | float) and math.isclose(step, epsilon, rel_tol=1e-6)


def sampler_name(chains: Chains) -> str:
    """How the sampler of the long run is called."""
    return str(chains.metadata.sampler.get("name", "unknown"))


def second_half(phase: Phase) -> NDArray[np.int64]:
    """Places of the evenly spaced draws of the second half, shape (D',): from half of the last draw on.

    Where draws were recorded more densely at the beginning, only those a whole number of the widest gaps from the
    last one count.
    """
    draws = phase.draws
    half = np.flatnonzero(2 * draws >= draws[-1])
    if len(half) < 2:
        return half
    gap = int(np.diff(draws[half]).max())
    even: NDArray[np.int64] = half[(draws[-1] - draws[half]) % gap == 0]
    return even


def finite_values(phase: Phase, measure: str) -> NDArray[np.float64]:
    """A measure, shape (M, D), with NaN for whatever is not finite: an energy that overflowed is no number."""
    values = phase.values[measure]
    return np.where(np.isfinite(values), values, np.nan)


def at_end(phase: Phase, measure: str) -> NDArray[np.float64]:
    """One value of a measure for each chain: :func:`over_end`."""
    return over_end(phase, finite_values(phase, measure))


def over_end(phase: Phase, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values (M, D) → one for each chain, shape (M,): the mean over the last tenth of a long run, else the last draw.

    A short run is meant to be looked at after exactly its L steps.
    """
    if phase.name != "long":
        return np.asarray(values[:, -1])
    return np.asarray(values[:, phase.draws >= (1 - END) * phase.draws[-1]].mean(1))
