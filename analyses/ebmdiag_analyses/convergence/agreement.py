"""Equivalence: are long runs, short runs and data the same up to a margin, and what would it take to know?

For the energy, the projections and the image measures, the difference of two phases' means; for energy and projections
also that of their spreads, mean |x - median of the data|: equal means alone hide a law that is three times as wide. All
in standard deviations of the data. Agreement must be shown, by two one-sided tests (Schuirmann 1987, J. Pharmacokinet.
Biopharm. 15:657): the interval of level 1 - 2 (1 - level) lies within ± margin. All measures must agree, which needs no
correction (an intersection-union test, Berger 1982, Technometrics 24:295). That they differ is shown by one interval
that lies wholly beyond the margin, its level corrected for the number of measures (Bonferroni). Anything else is
undetermined: with errors that fall as 1/√starts, an interval of half-width h about a difference of size s fits into the
margin m with (h / (m - s))² times the starts, if s < m.

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
from ebmdiag_analyses.convergence.select import at_end, finite_values, over_end

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ebmdiag.chains import Chains, Phase

Floats = NDArray[np.float64]
Row = tuple[str, str, StartMean, str]
NO_UNIT = "none"
SPREAD = "spread of "


def agreement(chains: Chains, total: StartMean) -> dict[str, Table]:
    """Table ``agreement``: pair, measure, difference, error and degrees of freedom, in standard deviations of ``unit``.

    The unit is ``data``; where the data do not vary, the phase whose deviation is used instead; ``none`` where nothing
    varies, and the difference is as large as it is. The pair ``drift`` is the change of the energy from the middle of
    the long run to its end. Empty without data.
    """
    phases = chains.phases
    data = phases.get("data")
    if data is None:
        return {}
    rows = [row for name, ends in _measured(phases, data).items() for row in _differences(phases, name, ends)]
    if "long" in phases:
        rows.append(("drift", "energy", *_in_units(total, _ends(phases, "energy"), ("long",))))
    columns = {
        "pair": np.array([pair for pair, *_ in rows], dtype=object),
        "measure": np.array([name for _, name, *_ in rows], dtype=object),
        "difference": np.array([found.value for _, _, found, _ in rows]),
        "error": np.array([found.error for _, _, found, _ in rows]),
        "freedom": np.array([found.freedom for _, _, found, _ in rows]),
        "starts": np.array([_starts(phases, pair) for pair, *_ in rows]),
        "unit": np.array([unit for *_, unit in rows], dtype=object),
    }
    return {"agreement": Table("differences in standard deviations of the data, or of the unit named", columns)}


def _measured(phases: Mapping[str, Phase], data: Phase) -> dict[str, dict[str, Floats]]:
    """Measure, or spread of one → phase → one value for each chain at its end."""
    compared = measures_of(data)
    means = {name: _ends(phases, name) for name in (*compared, *filter(data.has, IMAGE_MEASURES))}
    spreads = {f"{SPREAD}{name}": _spreads(phases, name, means[name].get("data", np.empty(0))) for name in compared}
    return means | spreads


def _ends(phases: Mapping[str, Phase], name: str) -> dict[str, Floats]:
    return {kind: at_end(phase, name) for kind, phase in phases.items() if phase.has(name)}


def _spreads(phases: Mapping[str, Phase], name: str, data: Floats) -> dict[str, Floats]:
    """|x - median of the data| at the end of each chain.

    About the median, where the mean of |x - c| is flat in c, so that the error of the median costs nothing.
    """
    known = data[np.isfinite(data)]
    centre = float(np.median(known)) if len(known) else math.nan
    return {
        kind: over_end(phase, np.abs(finite_values(phase, name) - centre))
        for kind, phase in phases.items()
        if phase.has(name)
    }


def _differences(phases: Mapping[str, Phase], name: str, ends: Mapping[str, Floats]) -> list[Row]:
    rows = []
    for first, second in PAIRS:
        if first in ends and second in ends:
            gap = difference(*(over_starts(ends[kind], phases[kind].starts) for kind in (first, second)))
            rows.append((f"{first}-{second}", name, *_in_units(gap, ends, (first, second))))
    return rows


def _in_units(gap: StartMean, ends: Mapping[str, Floats], pair: tuple[str, ...]) -> tuple[StartMean, str]:
    """In deviations of the first phase that varies, the data before the pair's own; and which phase that was."""
    for kind in ("data", *pair):
        deviation = _deviation(ends[kind]) if kind in ends else 0.0
        if deviation:
            return gap.scaled(1 / deviation), kind
    return gap, NO_UNIT  # nothing varies: the difference is 0, or as large as it is


def _deviation(sample: Floats) -> float:
    """Standard deviation; 0 where the sample does not vary by more than rounding."""
    finite = sample[np.isfinite(sample)]
    deviation = float(finite.std(ddof=1)) if len(finite) > 1 else 0.0
    varies = deviation > 1e-12 * float(np.abs(finite).max(initial=0.0)) and math.isfinite(deviation)
    return deviation if varies else 0.0


def _starts(phases: Mapping[str, Phase], pair: str) -> int:
    """The smaller number of independent starts among the chains of a pair."""
    kinds = ["long"] if pair == "drift" else [kind for kind in pair.split("-") if kind != "data"]
    return min(len(np.unique(phases[kind].starts)) for kind in kinds)
