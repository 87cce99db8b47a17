"""Help with misspelt names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` if a known name is close, else ``"."``: the end of an error's first sentence.

    Example:
        >>> nearest("stepz", ["steps", "epsilon"])
        "; did you mean 'steps'?"
    """
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean '{close[0]}'?" if close else "."
