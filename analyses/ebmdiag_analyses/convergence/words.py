"""How far the long chains have mixed, in one of three words: the same in every sentence.

By the worst R-hat: "mixed" up to 1.01 with 400 effective draws in bulk and tail (Vehtari et al. 2021,
arXiv:1903.08008), "nearly mixed" up to 1.1 (Gelman and Rubin 1992, Statist. Sci. 7:457), "not mixed" beyond. Chains
that are short beside their memory are nearly mixed at best, though nothing keeps them apart (docs/convergence.md).
"""

from __future__ import annotations

from typing import Literal

from ebmdiag.result import Result
from ebmdiag_analyses.convergence.limits import Limits

Word = Literal["mixed", "nearly mixed", "not mixed"]


def mixing_word(result: Result, limits: Limits) -> Word | None:
    """The word for a result; None where R-hat is unknown."""
    rhat, bulk, tail = (result.estimates[name].value for name in ("rhat", "ess:bulk", "ess:tail"))
    if rhat is None:
        return None
    if rhat > limits.apart:
        return "not mixed"
    bulk = bulk or 0.0
    enough = min(bulk, tail or bulk) >= limits.effective
    return "mixed" if rhat <= limits.mixed and enough else "nearly mixed"
