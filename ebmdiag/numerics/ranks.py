"""Rank-normalized R-hat, effective sample sizes and the error of a mean, of M chains of D draws.

Vehtari, Gelman, Simpson, Carpenter and Bürkner 2021 (Bayesian Analysis 16:667; arXiv:1903.08008). Each chain is split
into halves, the draws are replaced by normal scores z of their ranks among all draws, and

    R = √((B / W + n - 1) / n),   B = n Var(half means),   W = mean variance within halves,   n = D // 2,

the larger of the one from z and the one from z of |x - median|, which sees different widths. The bulk size is the
effective number of draws of z, the tail size the smaller one of the indicators of the 5% and 95% quantiles, and the
error of the mean is sd / √(effective number of draws of x itself); all three count disagreement between chains. The
arithmetic is that of arviz-stats (array layer); here is what is done where its answers mislead:

    input                                  R-hat          sizes, error
    not (M, D), or no chain                ValueError     ValueError
    fewer than 4 draws per chain           undefined      undefined
    a value that is not finite             undefined      undefined
    all draws equal, up to rounding        undefined      undefined    (arviz-stats: a size of M D, which looks perfect)
    one chain                              undefined      number       R-hat compares chains
    some chains constant                   doubted        doubted
    no half of any chain moves             ∞, doubted     doubted
    5% of the draws tie at the maximum     as usual       tail undefined: the 95% indicator is constant
    fewer than 50 draws per chain          doubted        doubted
    bulk (tail, mean) size below 400       doubted if R < 1.1     doubted
    R >= 1.01                              number         doubted

400 is the paper's: below it variances and autocorrelations are too noisy for R-hat to show that chains agree. That
they disagree is clear earlier, hence the exception from R = 1.1 on. 1.01 is the paper's limit for R.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ebmdiag.numerics.chain_time import Draws, chains_of, no_draws, still_chains
from ebmdiag.numerics.scaling import FEW_ROWS, deviations
from ebmdiag.result import Estimate

MIXED = 1.01
APART = 1.1
ENOUGH = 400
_TAIL = 0.05


@dataclass(frozen=True)
class Ranked:
    """R-hat, bulk and tail size in draws, and the standard error of the mean of all draws, in units of x."""

    rhat: Estimate
    bulk: Estimate
    tail: Estimate
    mean_error: Estimate


def ranked(draws: ArrayLike) -> Ranked:
    """The four numbers of draws of shape (M chains, D draws); see the table above.

    Raises:
        ValueError: another shape, or no chain.
    """
    values = chains_of(draws)
    trouble = no_draws(values)
    if trouble:
        nothing = Estimate.undefined(trouble)
        return Ranked(nothing, nothing, nothing, nothing)
    scaled, exponent = deviations(values.ravel())  # arviz-stats takes a spread below 1e-15 for none
    return _of_scaled(scaled.reshape(values.shape), exponent)


def _of_scaled(values: Draws, exponent: int) -> Ranked:
    rhat, bulk, tail, error = _numbers(values)
    doubt = _few(values) or _unmixed(rhat)
    mean_size = (float(values.std(ddof=1)) / error) ** 2
    return Ranked(
        _agreement(rhat, bulk, _few(values)),
        Estimate.doubted(bulk, doubt or _small(bulk, "the bulk")),
        _tail_size(values, tail, doubt),
        Estimate.doubted(math.ldexp(error, exponent), doubt or _small(mean_size, "the mean")),
    )


def _numbers(values: Draws) -> tuple[float, float, float, float]:
    """R-hat (NaN for one chain), bulk size, tail size, error of the mean."""
    array_stats: Any = import_module("arviz_stats.base").array_stats  # a second to import, and without types
    with np.errstate(invalid="ignore"):  # |x - median| may be constant where x is not: then z of x decides
        return (
            _rhat(values, array_stats),
            float(array_stats.ess(values, method="bulk")),
            float(array_stats.ess(values, method="tail", prob=(_TAIL, 1 - _TAIL))),
            float(array_stats.mcse(values, method="mean")),
        )


def _rhat(values: Draws, array_stats: Any) -> float:
    if len(values) < 2:
        return math.nan
    if not _moving(values):
        return math.inf  # arviz-stats divides by a variance that is 0 up to rounding
    return float(array_stats.rhat(values, method="rank"))


def _moving(values: Draws) -> bool:
    """Whether any half of any chain takes two values."""
    half = values.shape[1] // 2
    return any(bool((part.min(1) < part.max(1)).any()) for part in (values[:, :half], values[:, -half:]))


def _agreement(rhat: float, bulk: float, few: str) -> Estimate:
    if math.isnan(rhat):
        return Estimate.undefined("one chain: R-hat compares chains")
    return Estimate.doubted(rhat, few or (_small(bulk, "the bulk") if rhat < APART else ""))


def _tail_size(values: Draws, tail: float, doubt: str) -> Estimate:
    """Undefined where the indicator of the upper quantile is constant: arviz-stats then gives M D."""
    if float(np.quantile(values, 1 - _TAIL)) >= float(values.max()):
        return Estimate.undefined(f"at least {_TAIL:.0%} of the draws are equal to the largest one")
    return Estimate.doubted(tail, doubt or _small(tail, "a tail"))


def _few(values: Draws) -> str:
    """Why chains as such are no ground for any of the numbers, or an empty string."""
    draws = values.shape[1]
    if not _moving(values):
        return "no half of any chain moves"
    if draws < FEW_ROWS:
        return f"{draws} draws per chain are few: at least {FEW_ROWS} are needed"
    return still_chains(values)


def _unmixed(rhat: float) -> str:
    return f"the chains do not agree: R-hat is {rhat:.3f}, at or above {MIXED}" if rhat >= MIXED else ""


def _small(size: float, what: str) -> str:
    return f"{what} holds {size:.0f} effective draws: at least {ENOUGH} are needed" if size < ENOUGH else ""
