"""Do the whole states at the end of the long run still know where their chains began?

Energy and projections may see nothing of modes that lie along other directions; so the ends of chains of one start are
held beside those of different starts, by their distances and along the leading principal axes
(numerics.forgetting). At most 500 chains of evenly spread starts, at most 10 of each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ebmdiag.result import Estimate
from ebmdiag_analyses.convergence.samples import MOST, states_of, thinned

if TYPE_CHECKING:
    from ebmdiag.chains import Chains, Samples

COPIES = 10


def forgotten(
    chains: Chains, samples: Samples | None, reason: str, permutations: int, seed: int
) -> dict[str, Estimate]:
    """Of the end of the long run, 1 where starts are forgotten and less where they are not.

    Estimates: ``states:forgotten``, mean distance of chains of one start over that of chains of different starts;
    ``states:forgotten_axis``, the same of squares along the principal axis where it is least;
    ``states:forgotten_p``, of both. Only the first, undefined, where no start has two chains.

    Raises:
        DataError: the numbers of states and chains differ.
    """
    from ebmdiag.numerics.forgetting import forgetting

    name, phase = "states:forgotten", chains.phases.get("long")
    if phase is None:
        return {name: Estimate.undefined("no long run")}
    if samples is None or samples.long is None:
        return {name: Estimate.undefined(reason or "there are no states of long")}
    states = states_of(chains, samples, "long")
    places = shared_starts(phase.starts)
    if states is None or not len(places):
        return {name: Estimate.undefined("no two starts have several chains each (chains of one start: copies)")}
    rng = np.random.default_rng([seed, 2])
    found = forgetting(states[places], phase.starts[places], rng=rng, replicas=permutations)
    if found.reason:
        return {name: Estimate.undefined(found.reason)}
    values = {"": found.ratio, "_axis": found.axis_ratio, "_p": found.p_value}
    return {f"{name}{key}": Estimate(value) for key, value in values.items() if np.isfinite(value)}


def shared_starts(starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Places of the chains that are compared; empty where fewer than two starts have two chains."""
    numbers, counts = np.unique(starts, return_counts=True)
    shared, most = numbers[counts > 1], min(COPIES, int(counts.max(initial=0)))
    if len(shared) < 2:
        return np.empty(0, dtype=np.int64)
    kept = shared[thinned(len(shared), MOST // most)]
    return np.concatenate([np.flatnonzero(starts == number)[:most] for number in kept])
