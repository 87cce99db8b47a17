"""Does a chain still know, at the end, where it was a while before? What R-hat is too coarse to see.

A chain that never leaves its mode keeps a mean of its own. If the modes hold a share q of a measure's variance, R-hat
is only √(1 + q): 1.01 for q = 0.02, which "nearly mixed" lets pass. Yet the means of the M chains over the first third
of the second half, and those over its last third, are then correlated by

    q / (q + τ/D),   D draws in a third, τ the autocorrelation time within a mode,

and independent once a chain has forgotten within the third between them. So the rank correlation ρ of the two
(Spearman 1904, Am. J. Psychol. 15:72) is held against 0, one-sided, by t = ρ √((M - 2) / (1 - ρ²)) with M - 2 degrees
of freedom (Kendall and Stuart, Advanced Theory of Statistics 2, 31.19): for each measure x and its |x - median|, which
sees modes of other widths. p is multiplied by their number. This also sees forks: chains of one start that part at once
and never meet again, which forget their start and not their mode.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ebmdiag.result import Estimate
from ebmdiag_analyses.convergence.mixing import measures_of
from ebmdiag_analyses.convergence.select import finite_values, second_half

if TYPE_CHECKING:
    from ebmdiag.chains import Chains

Floats = NDArray[np.float64]
FEWEST_CHAINS, FEWEST_DRAWS = 10, 9


def persistence(chains: Chains) -> dict[str, Estimate]:
    """``persistence``: ρ of the measure with the smallest p, and ``persistence:p``, times the number of measures.

    Only the first, undefined, without a long run, with fewer than 10 chains or 9 draws in the second half, or where no
    measure is finite and varies from chain to chain.
    """
    name, phase = "persistence", chains.phases.get("long")
    if phase is None:
        return {name: Estimate.undefined("no long run")}
    places = second_half(phase)
    if len(phase.starts) < FEWEST_CHAINS or len(places) < FEWEST_DRAWS:
        few = f"{len(phase.starts)} chains of {len(places)} draws in the second half"
        return {name: Estimate.undefined(f"{few}: at least {FEWEST_CHAINS} of {FEWEST_DRAWS} are needed")}
    halves = [finite_values(phase, measure)[:, places] for measure in measures_of(phase)]
    tests = [test for values in halves for test in (kept(values), kept(np.abs(values - np.median(values))))]
    known = [test for test in tests if math.isfinite(test[1])]
    if not known:
        return {name: Estimate.undefined("no measure is finite and varies from chain to chain")}
    correlation, p = min(known, key=lambda test: test[1])
    return {name: Estimate(correlation), f"{name}:p": Estimate(min(1.0, len(known) * p))}


def kept(values: Floats) -> tuple[float, float]:
    """ρ over chains between the means of the first and of the last third, (M, D) → ρ and its one-sided p; else NaN."""
    from scipy.stats import rankdata

    third = values.shape[1] // 3
    if not np.isfinite(values).all():
        return math.nan, math.nan
    first, last = (rankdata(part.mean(1)) for part in (values[:, :third], values[:, -third:]))
    if not first.std() or not last.std():
        return math.nan, math.nan
    correlation = float(np.corrcoef(first, last)[0, 1])
    return correlation, _one_sided(correlation, len(values) - 2)


def _one_sided(correlation: float, freedom: int) -> float:
    from scipy.special import stdtr

    rest = 1 - correlation**2
    if rest <= 0:
        return 0.0 if correlation > 0 else 1.0
    return float(stdtr(freedom, -correlation * math.sqrt(freedom / rest)))
