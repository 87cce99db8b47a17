"""Numbers, spans of time and symbols as a reader wants to see them."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any

import numpy as np
from markupsafe import Markup, escape

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_SUBSCRIPT = re.compile(r"_(?:\{((?:[^{}]|\{[^{}]*\})*)\}|(\w))")
_LONGEST = 400
_FULL = 1e6  # whole numbers below are written in full


def number(value: Any, digits: int = 4) -> str:
    """A number to ``digits`` significant digits, whole numbers in full, a dash for what is absent.

    Example:
        >>> number(200000), number(-0.123456), number(5e-05), number(1e9), number(None)
        ('200,000', '−0.1235', '5×10⁻⁵', '10⁹', '–')
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or (isinstance(value, float) and not np.isfinite(value)):
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or (abs(value) < _FULL and value == round(value)):
        return f"{int(value):,}".replace("-", "−")
    return _scientific(f"{value:.{digits}g}")


def _scientific(text: str) -> str:
    mantissa, marker, exponent = text.partition("e")
    if marker:
        factor = {"1": "", "-1": "-"}.get(mantissa, f"{mantissa}×")
        return f"{factor}10{str(int(exponent)).translate(_SUPERSCRIPT)}".replace("-", "−")
    return mantissa.replace("-", "−")


def duration(seconds: float | None) -> str:
    """Seconds in the two largest units that apply.

    Example:
        >>> duration(42.4), duration(8000), duration(200000), duration(None)
        ('42 s', '2 h 13 min', '2 d 7 h', '–')
    """
    if seconds is None or not np.isfinite(seconds):
        return "–"
    if seconds < 10:
        return f"{seconds:.2g} s"
    left = round(seconds)
    parts: list[tuple[int, str]] = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        amount, left = divmod(left, size)
        if amount or parts:
            parts.append((amount, unit))
    return " ".join(f"{amount} {unit}" for amount, unit in parts[:2] if amount)


def unit(text: str) -> str:
    """The unit of a column as part of a sentence.

    Example:
        >>> unit("U"), unit("1"), unit("unit of x"), unit("iterations")
        ('in units of U', 'without unit', 'in units of x', 'in iterations')
    """
    if text == "1":
        return "without unit"
    return f"in units of {text.removeprefix('unit of ')}" if text in ("U", "T", "unit of x") else f"in {text}"


def sentence(text: str) -> str:
    """With a capital first letter, and the rest as it is.

    Example:
        >>> sentence("mean Metropolis ratio")
        'Mean Metropolis ratio'
    """
    return text[:1].upper() + text[1:]


def opening(text: str) -> str:
    """With a capital first letter, unless it begins with a symbol (``d``), a name (``d_s_t``) or a number."""
    first = text.split(" ", 1)[0]
    word = first.isalpha() and first.islower() and (len(first) > 1 or first == "a")
    return sentence(text) if word else text


def moment(text: str) -> str:
    """A time stamp in ISO 8601 as date and minute; anything else as it is.

    Example:
        >>> moment("2026-11-22T10:00:31+00:00"), moment("yesterday")
        ('2026-11-22 10:00 UTC', 'yesterday')
    """
    try:
        stamp = datetime.fromisoformat(text)
    except ValueError:
        return text
    return f"{stamp:%Y-%m-%d %H:%M} {stamp.tzname() or ''}".rstrip()


def symbol(text: str) -> Markup:
    """A symbol such as ``d_{s_t}`` with subscripts in HTML; anything else is escaped.

    Example:
        >>> symbol("d_{s_t}"), symbol("<b>")
        (Markup('d<sub>s<sub>t</sub></sub>'), Markup('&lt;b&gt;'))
    """
    found = _SUBSCRIPT.search(text)
    if found is None:
        return escape(text)
    inner = found[1] if found[1] is not None else found[2]
    before, after = escape(text[: found.start()]), symbol(text[found.end() :])
    return before + Markup("<sub>") + symbol(inner) + Markup("</sub>") + after


def plain(value: Any) -> str:
    """Any JSON value in one cell: text as it is, numbers as numbers, the rest as JSON; never endless."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple) and value and all(isinstance(item, str) for item in value):
        text = ", ".join(value)
    elif isinstance(value, float):
        text = f"{value:g}" if np.isfinite(value) else str(value)
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text):,} characters)"
