"""The limits of the judgements on long runs, in one place."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ebmdiag.statistics import PAPER

VEHTARI = "Vehtari et al. 2021, arXiv:1903.08008"
MARGOSSIAN = "Margossian et al. 2024, arXiv:2110.13017"
PROPOSAL = "limit: this project's first proposal"
AXIS = f"{PAPER}, second axis: do long chains stay with the data?"


@dataclass(frozen=True)
class Limits:
    """When long chains are judged. Unless a source is named, a limit is a first proposal of this project."""

    errors: float = 3.0  # standard errors; beyond chance
    margin: float = 0.5  # sd of the data: Cohen's (1988) medium difference; smaller ones do not matter
    drift: float = 0.1  # sd of the data's energy, from the middle to the end: smaller drifts do not matter
    p: float = 0.01  # of tests, after their adjustment
    mixed: float = 1.01  # R-hat: Vehtari et al. 2021
    apart: float = 1.1  # R-hat: Gelman and Rubin 1992 (Statist. Sci. 7:457), the older and laxer one
    effective: float = 400.0  # bulk and tail effective size: Vehtari et al. 2021
    excess: float = 1.01  # nested R-hat over its expected value: as R-hat's
    accepted_low: float = 0.1  # adjusted samplers: below it chains hardly move
    accepted_unadjusted: float = 0.5  # what Metropolis would accept: below it the step's bias is no small matter
    accepted_unbiased: float = 0.9  # what Metropolis would accept: below it the step's bias may pass for agreement
    near_start: float = 0.9  # displacement over the distance of independent items
    forgotten: float = 0.9  # distance of chains of one start over that of others: as near_start
    forgotten_axis: float = 0.5  # of squares along one axis: half of its variance is the start's
    near_depth: float = 2.0  # the scan crosses 0 near L: between L/2 and 2 L

    @property
    def share(self) -> float:
        """Of the energy distance of whole states: what a shift of every coordinate by the margin makes.

        For unit normals in many dimensions 1 - 1/√(1 + margin²/2), 0.057 for half a deviation; 0.058 in one.
        """
        return 1 - 1 / math.sqrt(1 + self.margin**2 / 2)


LIMITS = Limits()
