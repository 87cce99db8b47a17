"""Names of runs, and help with misspelt names."""

from __future__ import annotations

import difflib
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
    """Last parts of paths; where two are alike, with as many folders in front as tell them apart.

    Example:
        >>> distinct([Path("a/rings"), Path("b/rings"), Path("b/mine")])
        ['a/rings', 'b/rings', 'mine']
    """
    whole = [path.resolve().parts for path in paths]
    depth = [1] * len(whole)
    while True:
        names = ["/".join(parts[-own:]) for parts, own in zip(whole, depth, strict=True)]
        alike = [
            place
            for place, name in enumerate(names)
            if depth[place] < len(whole[place])
            and any(name == other and whole[place] != whole[two] for two, other in enumerate(names))
        ]
        if not alike:
            return names
        for place in alike:
            depth[place] += 1
