"""KPSS and ADF as side numbers: what other tools print, with their known defects.

Kwiatkowski, Phillips, Schmidt and Shin 1992 (J. Econometrics 54:159; null: stationary) and the augmented test of Dickey
and Fuller 1979 (J. Am. Stat. Assoc. 74:427; null: a random walk), both from statsmodels. No judgement rests on them: at
5% KPSS rejected 20 of 100 stationary AR(.95) series of 2,000 rows, and ADF calls any series stationary that
returns to its mean, however slowly. On at most 1,000 means of neighbouring rows, since ADF's search of lags takes
minutes on long series.
"""

from __future__ import annotations

import warnings

import numpy as np

from ebmdiag.numerics.scaling import Series, undefined
from ebmdiag.result import Estimate

KEYS = ("kpss_p", "adf_p")
_MOST = 1000
_FEWEST = 50
_MOST_LAG = 12
_DEFECT = {
    "kpss_p": "a side number: KPSS rejects settled series with memory far too often",
    "adf_p": "a side number: ADF calls a series stationary that returns to its mean, however slowly",
}


def unit_root(blocks: Series) -> dict[str, Estimate]:
    """p-values of both tests (statsmodels' tables end at 0.01 and 0.1 for KPSS), always marked as doubtful."""
    means = _decimated(blocks)
    reason = undefined(means) or (f"{len(means)} rows are too few for it" if len(means) < _FEWEST else "")
    if reason:
        return dict.fromkeys(KEYS, Estimate.undefined(reason))
    from statsmodels.tsa.stattools import adfuller, kpss

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the p-value lies beyond the table: said in the docstring
        found = {
            "kpss_p": kpss(means, regression="c", nlags="auto", result_object=True).pvalue,
            "adf_p": adfuller(means, maxlag=_MOST_LAG, autolag="AIC", result_object=True).pvalue,
        }
    return {key: Estimate.doubted(float(value), _DEFECT[key]) for key, value in found.items()}


def _decimated(blocks: Series) -> Series:
    size = -(-len(blocks) // _MOST)
    means = blocks[len(blocks) % size :].reshape(-1, size).mean(1)
    return np.asarray(means, dtype=np.float64)
