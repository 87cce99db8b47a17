"""Drawing with characters, for those who work in a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_LEVELS = "▁▂▃▄▅▆▇█"
_PLAIN = str.maketrans(
    {"│": "|", "·": ".", "–": "-", "±": "~", "…": "...", "×": "x", "σ": "s", "∞": "inf"}
    | dict.fromkeys(_EIGHTHS[4:], "#")
    | dict.fromkeys(_EIGHTHS[1:4] + "▐", "=")
    | dict.fromkeys(_LEVELS[:3], "_")
)


def signed_bar(value: float | None, width: int = 20, mark: float | None = None, scale: float = 1.0) -> str:
    """A bar from the middle, ``2 width + 1`` characters; ``scale`` fills a side, ``mark`` dots ±mark (a band).

    Example:
        >>> signed_bar(0.5, width=4), signed_bar(-1.0, width=4), signed_bar(None, width=4, mark=0.5)
        ('    │██  ', '████│    ', ' ·  │  · ')
    """
    left, right = [" "] * width, [" "] * width
    if mark is not None and np.isfinite(mark) and 0 <= mark < scale:
        place = min(int(mark / scale * width), width - 1)
        left[place] = right[place] = "·"
    if value is not None and np.isfinite(value):
        side, cells = (right, _bar_right) if value >= 0 else (left, _bar_left)
        drawn = cells(min(abs(value) / scale, 1.0) * width)
        side[: len(drawn)] = drawn
    return "".join(reversed(left)) + "│" + "".join(right)


def _bar_right(length: float) -> list[str]:
    full, part = divmod(round(length * 8), 8)
    return ["█"] * full + [_EIGHTHS[part]] * (part > 0)


def _bar_left(length: float) -> list[str]:
    """Outwards to the left; Unicode has only half a block that is filled on its right."""
    full, part = divmod(round(length * 2), 2)
    return ["█"] * full + ["▐"] * part


def bar_scale(values: NDArray[np.float64]) -> float:
    """A round number that the largest finite |value| does not exceed: 0.1, 0.2, 0.5 or 1 and their decades.

    Example:
        >>> bar_scale(np.array([0.03, -0.14, np.nan]))
        0.2
    """
    finite = np.abs(values[np.isfinite(values)])
    largest = float(finite.max(initial=0.0))
    if largest == 0:
        return 1.0
    decade = 10.0 ** np.floor(np.log10(largest))
    return float(next(decade * step for step in (1, 2, 5, 10) if largest <= decade * step * (1 + 1e-9)))


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
    if high == low or not np.isfinite(high - low):
        return "▄" * len(shares)
    return "".join(_LEVELS[int((share - low) / (high - low) * 7)] for share in shares)


def printable(text: str, encoding: str | None) -> str:
    """``text`` without control characters, and with plain ones where the encoding lacks a drawing character.

    Names and messages in a trace come from strangers: an escape sequence must not reach the terminal.

    Example:
        >>> printable("│██ ·", "ascii")
        '|## .'
    """
    text = "".join(character if character.isprintable() else "?" for character in text)
    try:
        text.encode(encoding or "utf-8")
    except UnicodeEncodeError:
        plain = text.translate(_PLAIN)
        return plain.encode(encoding or "utf-8", errors="replace").decode(encoding or "utf-8")
    return text
