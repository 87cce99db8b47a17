"""How strongly d oscillates: its lowest autocorrelation at short lags, what chance allows, and what would decide.

Strong oscillation shows as clearly negative autocorrelation of d at short lags (Nijkamp et al. 2020). Let R be the
lowest rho_k over lags 1 … K. That white noise has so low an R is tested at each lag with Bartlett's error about 0,
times K (Bonferroni). That R lies above a margin -m is shown if each lag's rho_k - z SE does, each at the full level (an
intersection-union test, Berger 1982); SE is Bartlett's in full, for a correlation that is there.

Rows that would decide: errors fall as 1/√n. For a loop of gain g, rho_1 = -g/2 needs about 16/g² rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from ebmdiag.numerics.bands import bartlett_errors, bartlett_in_full
from ebmdiag.numerics.scaling import FEW_ROWS
from ebmdiag_analyses.verdict.limits import Limits
from ebmdiag_analyses.verdict.reading import Results, Series, column, table


@dataclass(frozen=True)
class Oscillation:
    """The short-lag autocorrelation of d.

    Attributes:
        lowest, lag: R and where it is.
        p_value: of R under white noise, adjusted for the number of lags.
        least: what R is shown to lie above.
        error: of rho at that lag.
        memory: mean rho over the later half of the short lags, if it is above 0 beyond chance (three errors); else 0.
        rows: of the trace.
    """

    lowest: float
    lag: int
    p_value: float
    least: float
    error: float
    memory: float
    rows: int

    @property
    def least_of_the_fast(self) -> float:
        """What R of the fast part is shown to lie above: a slow part of the share m of Var d lifts each rho_k by m."""
        return (self.least - self.memory) / (1 - self.memory)

    def rows_to_see(self, p_value: float, lags: int) -> int:
        """Rows at which an R of this size is beyond chance: 16/g² with g = 2 |R|, or the p-value's own number."""
        size = max(abs(self.lowest), 1e-3)
        z = -NormalDist().inv_cdf(p_value / lags)
        return math.ceil(max(16 / (2 * size) ** 2, (z / size) ** 2))

    def rows_to_exclude(self, margin: float) -> int:
        """Rows at which R is shown to lie above -margin, if it is what it seems; twice these where it seems not to."""
        room = margin + self.lowest
        if room <= 0:
            return 2 * self.rows
        return max(FEW_ROWS, math.ceil(self.rows * ((self.lowest - self.least) / room) ** 2))


def oscillation(results: Results, limits: Limits) -> Oscillation | None:
    """From the table of ``acf``; None where there is none, or d has no correlation."""
    found = table(results, "acf", "d_s_t")
    lags, rho = column(found, "lag"), column(found, "correlation")
    if lags is None or rho is None or len(rho) < 2 or lags[0] != 0 or not np.isfinite(rho[1:]).any():
        return None
    rows = results["acf"].rows
    known = np.nan_to_num(rho)
    short = slice(1, int(limits.lags) + 1)
    about_zero, errors = bartlett_errors(known, rows)[short], bartlett_in_full(_shown(known, rows), rows, len(rho) - 1)
    here = known[short]
    lag = int(np.argmin(here))
    chance = min(1.0, len(here) * NormalDist().cdf(float(np.min(here / about_zero))))
    least = float(np.min(here - NormalDist().inv_cdf(limits.level) * errors[short]))
    later = here[len(here) // 2 :]
    slow = float(later.mean())
    memory = slow if slow > 3 * float(about_zero[-1]) / math.sqrt(len(later)) else 0.0
    return Oscillation(float(here[lag]), lag + 1, chance, least, float(errors[short][lag]), memory, rows)


def _shown(rho: Series, rows: int) -> Series:
    """Correlations up to the last one that is beyond 3/√n: later ones are noise, and would only widen the errors."""
    beyond = np.flatnonzero(np.abs(rho) > 3 / math.sqrt(max(rows, 1)))
    return rho[: int(beyond.max(initial=0)) + 1]
