"""Drawing with characters, for those who work in a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

_BLOCKS = " ▏▎▍▌▋▊▉█"


def signed_bar(value: float | None, width: int = 20, mark: float | None = None) -> str:
    """A bar from the middle, for a value between -1 and 1; ``mark`` sets a dot at ±mark (a band).

    Example:
        >>> signed_bar(0.5, width=4), signed_bar(-1.0, width=4)
        ('    │██  ', '████│    ')
    """
    if value is None or not np.isfinite(value):
        return " " * width + "│" + " " * width
    length = min(abs(value), 1.0) * width
    full, part = int(length), _BLOCKS[round((length - int(length)) * 8)] if value >= 0 else ""
    bar = ("█" * full + part).rstrip().ljust(width)[:width] if value >= 0 else ("█" * round(length)).ljust(width)
    cells = list(bar)
    if mark is not None and np.isfinite(mark):
        place = min(int(mark * width), width - 1)
        if cells[place] == " ":
            cells[place] = "·"
    bar = "".join(cells)
    return " " * width + "│" + bar if value >= 0 else bar[::-1] + "│" + " " * width


def columns(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Rows of text as right-aligned columns under a header.

    Example:
        >>> columns(["lag", "value"], [["1", "0.5"]])
        ['lag  value', '  1    0.5']
    """
    table = [list(header), *(list(row) for row in rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in table]


def number(value: float | None, digits: int = 4) -> str:
    """A number for reading: four significant digits, or a dash where there is none.

    Example:
        >>> number(0.123456), number(None)
        ('0.1235', '–')
    """
    if value is None or not np.isfinite(value):
        return "–"
    return f"{value:.{digits}g}"


def sparkline(values: NDArray[np.float64], width: int = 60) -> str:
    """A series as one line of blocks, each block the mean of its share."""
    if len(values) == 0:
        return ""
    shares = [share.mean() for share in np.array_split(values, min(width, len(values)))]
    low, high = min(shares), max(shares)
    if high == low:
        return "▄" * len(shares)
    return "".join("▁▂▃▄▅▆▇█"[int((share - low) / (high - low) * 7)] for share in shares)
