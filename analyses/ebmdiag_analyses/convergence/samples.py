"""Whole states: do data, short runs and long runs come from one distribution?

Energy distance and maximum mean discrepancy with permutation p-values (numerics.two_sample), on the flattened states.
Permutation asks for independent states: one chain of each start, at most 500 of them by a fixed rule. The p-values of
all tests of a table are adjusted for false discoveries (Benjamini and Hochberg 1995, J. R. Stat. Soc. B 57:289).

A test that does not reject proves nothing; the size of what it saw is told beside it: the share H = E / (2 mean
‖x - y‖) of the energy distance (Székely and Rizzo 2013, J. Stat. Plan. Inference 143:1249), 0 for equal laws, 1 for two
points.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ebmdiag.errors import DataError
from ebmdiag.numerics.discoveries import adjusted
from ebmdiag.result import Estimate, Table

if TYPE_CHECKING:
    from ebmdiag.chains import Chains, Samples
    from ebmdiag.numerics.two_sample import Pooled, TwoSample

Floats = NDArray[np.float64]
States = NDArray[np.float32]
COMPARISONS = (("short", "data"), ("long", "data"), ("short", "long"))
TESTS = 2 * len(COMPARISONS)
MOST = 500


def two_samples(
    chains: Chains, samples: Samples | None, reason: str, permutations: int, seed: int
) -> tuple[dict[str, Estimate], dict[str, Table]]:
    """Both tests of each pair of phases.

    Estimates: ``two_sample:short-data``, ``two_sample:long-data``, ``two_sample:short-long``: the smaller adjusted p
    of the pair's two tests. Table ``two_sample``: pair, test, statistic, its mean without a difference, share H (of
    the energy distance), p, adjusted p, sizes.

    Raises:
        DataError: the numbers of states and chains differ.
    """
    names = [f"two_sample:{first}-{second}" for first, second in COMPARISONS]
    if samples is None:
        return dict.fromkeys(names, Estimate.undefined(reason)), {}
    states = {kind: independent(chains, samples, kind) for kind in ("data", "short", "long")}
    estimates: dict[str, Estimate] = {}
    rows: list[tuple[str, str, TwoSample, float]] = []
    for first, second in COMPARISONS:
        pair, x, y = f"{first}-{second}", states[first], states[second]
        if x is None or y is None or min(len(x), len(y)) < 2:
            missing = " and ".join(kind for kind in (first, second) if states[kind] is None)
            few = (
                f"there are no states of {missing}" if missing else "one of them has fewer than two independent states"
            )
            estimates[f"two_sample:{pair}"] = Estimate.undefined(few)
            continue
        rows += tests(pair, x, y, permutations, seed)
    if not rows:
        return estimates, {}
    corrected = adjusted([found.p_value for *_, found, _ in rows])
    for pair in dict.fromkeys(pair for pair, *_ in rows):
        mine = [place for place, row in enumerate(rows) if row[0] == pair]
        estimates[f"two_sample:{pair}"] = _smallest(corrected[mine], rows[mine[0]][2])
    return estimates, {"two_sample": _table(rows, corrected)}


def fewest_permutations(p: float) -> int:
    """How many are needed for one of six tests to fall below ``p`` after the adjustment: 6 / (1 + R) < p."""
    return math.floor(TESTS / p)


def _smallest(p_values: Floats, found: TwoSample) -> Estimate:
    if not np.isfinite(p_values).any():
        return Estimate.undefined(found.reason)
    return Estimate(float(np.nanmin(p_values)))


def independent(chains: Chains, samples: Samples, kind: str) -> Floats | None:
    """States of one chain of each start, flattened, shape (n, N), n at most 500; None where there are none.

    Raises:
        DataError: the numbers of states and chains differ.
    """
    flat, phase = states_of(chains, samples, kind), chains.phases.get(kind)
    if flat is None:
        return None
    if kind != "data" and phase is not None:
        flat = flat[np.sort(np.unique(phase.starts, return_index=True)[1])]
    return flat[thinned(len(flat), MOST)]


def states_of(chains: Chains, samples: Samples, kind: str) -> Floats | None:
    """States of all chains, flattened, shape (n, N); None where there are none.

    Raises:
        DataError: the numbers of states and chains differ.
    """
    states: States | None = getattr(samples, kind)
    phase = chains.phases.get(kind)
    if states is None:
        return None
    if kind != "data" and phase is not None and len(phase.starts) != len(states):
        raise DataError(
            f"{chains.files.samples}: {len(states)} states of '{kind}', but the table has {len(phase.starts)} "
            "chains; they do not belong together."
        )
    return states.reshape(len(states), -1).astype(np.float64)


def thinned(count: int, most: int) -> NDArray[np.int64]:
    """At most ``most`` of ``count`` places, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def tests(pair: str, x: Floats, y: Floats, permutations: int, seed: int) -> list[tuple[str, str, TwoSample, float]]:
    """Pair, name, outcome and share H (NaN for MMD) of both tests."""
    from ebmdiag.numerics.two_sample import energy_test, mmd_test, pool

    pooled = pool(x, y)
    energy = energy_test(pooled, rng=np.random.default_rng([seed, 0]), replicas=permutations)
    mmd = mmd_test(pooled, rng=np.random.default_rng([seed, 1]), replicas=permutations)
    return [(pair, "energy distance", energy, _share(pooled, energy)), (pair, "MMD²", mmd, np.nan)]


def _share(pooled: Pooled, energy: TwoSample) -> float:
    across = float(pooled.distances[: pooled.n, pooled.n :].mean())
    return energy.statistic / (2 * across) if across else np.nan


def _table(rows: list[tuple[str, str, TwoSample, float]], corrected: Floats) -> Table:
    pairs, names, found, shares = zip(*rows, strict=True)
    return Table(
        "two-sample tests",
        {
            "pair": np.array(pairs, dtype=object),
            "test": np.array(names, dtype=object),
            "statistic": np.array([test.statistic for test in found]),
            "expected": np.array([test.expected for test in found]),
            "share": np.array(shares),
            "p": np.array([test.p_value for test in found]),
            "adjusted_p": corrected,
            "n": np.array([test.n for test in found]),
            "m": np.array([test.m for test in found]),
        },
    )
