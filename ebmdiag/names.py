"""Names of runs, and help with misspelt names."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path


def nearest(name: str, known: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` if a known name is close, else ``"."``: the end of an error's first sentence.

    Example:
        >>> nearest("stepz", ["steps", "epsilon"])
        "; did you mean 'steps'?"
    """
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean '{close[0]}'?" if close else "."


def distinct(paths: Sequence[Path]) -> list[str]:
    """Names of traces: without ending; where two are alike, with the folder in front.

    Example:
        >>> distinct([Path("a/rings.parquet"), Path("b/rings.parquet"), Path("b/mine.parquet")])
        ['a/rings', 'b/rings', 'mine']
    """
    count = Counter(path.stem for path in paths)
    return [f"{path.resolve().parent.name}/{path.stem}" if count[path.stem] > 1 else path.stem for path in paths]
