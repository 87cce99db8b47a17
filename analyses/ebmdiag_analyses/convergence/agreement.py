"""Equivalence: are long runs, short runs and data the same up to a margin, and what would it take to know?

For the energy, the projections and the image measures, the difference of two phases in standard deviations of the
data. Agreement must be shown, by two one-sided tests (Schuirmann 1987, J. Pharmacokinet. Biopharm. 15:657): the
interval of level 1 - 2 (1 - level) lies within ± margin. All measures must agree, which needs no correction (an
intersection-union test, Berger 1982, Technometrics 24:295). That they differ is shown by one interval that lies wholly
beyond the margin, its level corrected for the number of measures (Bonferroni). Anything else is undetermined: with
errors that fall as 1/√starts, an interval of half-width h about a difference of size s fits into the margin m with
(h / (m - s))² times the starts, if s < m.

This module hands over differences and errors; margins are the judge's.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ebmdiag.result import Table
from ebmdiag_analyses.convergence.energy import PAIRS
from ebmdiag_analyses.convergence.images import IMAGE_MEASURES
from ebmdiag_analyses.convergence.means import StartMean, difference, over_starts
from ebmdiag_analyses.convergence.mixing import measures_of
from ebmdiag_analyses.convergence.select import at_end, finite_values

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ebmdiag.chains import Chains, Phase

Floats = NDArray[np.float64]


def agreement(chains: Chains, total: StartMean) -> dict[str, Table]:
    """Table ``agreement``: pair, measure, difference, error and degrees of freedom, in standard deviations of data.

    The pair ``drift`` is the change of the energy from the middle of the long run to its end. Empty without data.
    """
    data = chains.phases.get("data")
    if data is None:
        return {}
    measures = [*measures_of(data), *(name for name in IMAGE_MEASURES if data.has(name))]
    rows = [row for name in measures for row in _differences(chains.phases, name)]
    unit = _unit([finite_values(data, "energy")[:, -1]])
    if total.known and unit:
        rows.append(("drift", "energy", total.scaled(1 / unit)))
    columns = {
        "pair": np.array([pair for pair, *_ in rows], dtype=object),
        "measure": np.array([name for _, name, _ in rows], dtype=object),
        "difference": np.array([found.value for *_, found in rows]),
        "error": np.array([found.error for *_, found in rows]),
        "freedom": np.array([found.freedom for *_, found in rows]),
        "starts": np.array([_starts(chains.phases, pair) for pair, *_ in rows]),
    }
    return {"agreement": Table("differences in standard deviations of the data", columns)}


def _differences(phases: Mapping[str, Phase], name: str) -> list[tuple[str, str, StartMean]]:
    rows = []
    for first, second in PAIRS:
        if all(kind in phases and phases[kind].has(name) for kind in (first, second)):
            ends = [at_end(phases[kind], name) for kind in (first, second)]
            gap = difference(
                *(over_starts(end, phases[kind].starts) for end, kind in zip(ends, (first, second), strict=True))
            )
            rows.append((f"{first}-{second}", name, _in_units(gap, _unit([at_end(phases["data"], name), *ends]))))
    return rows


def _in_units(gap: StartMean, unit: float) -> StartMean:
    return gap.scaled(1 / unit) if unit else gap  # nothing varies: the difference is 0, or as large as it is


def _unit(samples: list[Floats]) -> float:
    """Standard deviation of the first sample that varies at all; 0 where none does."""
    for sample in samples:
        finite = sample[np.isfinite(sample)]
        deviation = float(finite.std(ddof=1)) if len(finite) > 1 else 0.0
        if deviation > 1e-12 * float(np.abs(finite).max(initial=0.0)) and math.isfinite(deviation):
            return deviation
    return 0.0


def _starts(phases: Mapping[str, Phase], pair: str) -> int:
    """The smaller number of independent starts among the chains of a pair."""
    kinds = ["long"] if pair == "drift" else [kind for kind in pair.split("-") if kind != "data"]
    return min(len(np.unique(phases[kind].starts)) for kind in kinds)
