"""Numbers at the ticks of an axis: as short as fits a phone, and still told apart.

From 10,000 on thousands are k and millions M, from 10⁹ on a power of ten; below, as everywhere (``wording``). So few
digits are written as tell the ticks from each other, three at least.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ebmdiag.report.wording import number

if TYPE_CHECKING:
    from matplotlib.ticker import Formatter

_UNITS = ((1e6, "M"), (1e3, "k"))
_SHORT_FROM, _POWER_FROM = 1e4, 1e9
_FEWEST, _MOST = 3, 12
_NOTHING = 1e-9  # of the largest tick: what rounding leaves of 0


def short(value: float, digits: int = _FEWEST) -> str:
    """One number in short.

    Example:
        >>> short(20000), short(-1.25e6), short(2500), short(3e12), short(0.00025)
        ('20k', '−1.25M', '2,500', '3×10¹²', '0.00025')
    """
    size = abs(value)
    if not _SHORT_FROM <= size < _POWER_FROM:
        return number(value, digits)
    scale, unit = next((scale, unit) for scale, unit in _UNITS if float(f"{size:.{digits}g}") >= scale)
    return f"{float(f'{value / scale:.{digits}g}'):.12g}{unit}".replace("-", "−")


def labels(values: Sequence[float]) -> list[str]:
    """The ticks of one axis, different ticks by different words."""
    largest = max((abs(value) for value in values if np.isfinite(value)), default=0.0)
    shown = [0.0 if abs(value) < _NOTHING * largest else float(value) for value in values]
    for digits in range(_FEWEST, _MOST):
        said = [short(value, digits) for value in shown]
        if len(set(said)) == len(set(shown)):
            return said
    return [short(value, _MOST) for value in shown]


def formatter() -> Formatter:
    """For an axis of matplotlib."""
    from matplotlib.ticker import Formatter

    class Short(Formatter):
        def __call__(self, value: float, position: int | None = None) -> str:
            return short(value)

        def format_ticks(self, values: Sequence[float]) -> list[str]:
            return labels(values)

    return Short()
