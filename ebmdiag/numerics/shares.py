"""A share of independent draws, with its error and Wilson's interval.

    share = k / n,   standard error √(share (1 - share) / n),
    interval (share + z²/2n ± z √(share (1 - share) / n + z²/4n²)) / (1 + z²/n)   (Wilson 1927, JASA 22:209).

The standard error is 0 where k is 0 or n; the interval is not, which is what a mode without a sample needs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ebmdiag.numerics.bands import quantile


@dataclass(frozen=True)
class Share:
    """A share, its standard error and the ends of its interval, all between 0 and 1."""

    value: float
    error: float
    low: float
    high: float


def share(hits: int, draws: int, level: float = 0.95) -> Share:
    """``hits`` of ``draws`` independent draws.

    Raises:
        ValueError: there are no draws, or more hits than draws.
    """
    if not 0 <= hits <= draws or draws < 1:
        raise ValueError(f"a share needs 0 <= hits <= draws and a draw, but got {hits} of {draws}")
    z, value = quantile(level), hits / draws
    error = math.sqrt(value * (1 - value) / draws)
    middle, stretch = value + z**2 / (2 * draws), 1 + z**2 / draws
    half = z * math.sqrt(value * (1 - value) / draws + z**2 / (4 * draws**2))
    return Share(value, error, max(0.0, (middle - half) / stretch), min(1.0, (middle + half) / stretch))
