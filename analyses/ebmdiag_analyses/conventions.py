"""Two conventions of correlation, the rows they use, and the checks of options that all analyses share.

``standard``: every series is centred, all rows are used. ``nijkamp``: the plots of the reference implementation of
Nijkamp et al. 2020 (arXiv:1903.12370): the last 2,000 rows, lags up to 15, and d_s_t is NOT centred (its mean is
0 in theory); every other column is. Their divisors cancel (see ebmdiag.numerics.correlation), so for a centred
series and equal rows the two conventions give the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ebmdiag.errors import UsageError
from ebmdiag.names import nearest

CONVENTIONS = ("standard", "nijkamp")
NIJKAMP_ROWS = 2000
NIJKAMP_LAG = 15
NOT_CENTRED = {"standard": frozenset[str](), "nijkamp": frozenset({"d_s_t"})}


def is_centred(column: str, convention: str) -> bool:
    """Whether the convention subtracts the mean of this column."""
    return column not in NOT_CENTRED[convention]


def window_rows(window: int | None, convention: str) -> int | None:
    """How many of the last rows to use; None: all."""
    return NIJKAMP_ROWS if window is None and convention == "nijkamp" else window


def check_convention(convention: str) -> None:
    """Refuse an unknown convention.

    Raises:
        UsageError: it is none of :data:`CONVENTIONS`.
    """
    if convention not in CONVENTIONS:
        hint = nearest(convention, CONVENTIONS)
        raise UsageError(f"unknown convention '{convention}'{hint} Known: {', '.join(CONVENTIONS)}.")


def check_level(level: float) -> None:
    """Refuse a confidence level outside (0, 1).

    Raises:
        UsageError: it is.
    """
    if not 0 < level < 1:
        raise UsageError(f"level must lie between 0 and 1, but is {level}.")


def check_at_least(name: str, value: int | None, smallest: int) -> None:
    """Refuse a count that is too small; None passes.

    Raises:
        UsageError: it is.
    """
    if value is not None and value < smallest:
        raise UsageError(f"{name} must be at least {smallest}, but is {value}.")


def check_different(name: str, values: Iterable[str]) -> None:
    """Refuse a list that names something twice.

    Raises:
        UsageError: it does.
    """
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise UsageError(f"{name} '{value}' is given twice.")
        seen.add(value)


@dataclass(frozen=True, kw_only=True)
class LagOptions:
    """The options that auto- and cross-correlation share.

    Raises:
        UsageError: a value is out of range.
    """

    window: int | None = field(
        default=None,
        metadata={"help": "Use only the last so many rows. Default: 2000 for nijkamp, else all."},
    )
    convention: str = field(
        default="standard",
        metadata={"help": "nijkamp: as the reference's plots, d_s_t not centred.", "choices": CONVENTIONS},
    )
    level: float = field(default=0.95, metadata={"help": "Level of the band, between 0 and 1."})

    def __post_init__(self) -> None:
        check_at_least("window", self.window, 1)
        check_convention(self.convention)
        check_level(self.level)

    def rows(self) -> int | None:
        """How many of the last rows to use; None: all."""
        return window_rows(self.window, self.convention)

    def settings(self) -> dict[str, int | float | str | None]:
        """These options as they take effect, for a result."""
        return {"window": self.rows(), "convention": self.convention, "level": self.level}
