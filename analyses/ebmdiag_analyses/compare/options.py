"""What ``compare`` can be asked, and its named limits."""

from __future__ import annotations

from dataclasses import dataclass, field

from ebmdiag_analyses.conventions import check_at_least, check_different, check_level


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which runs belong together, which rows count, which further columns are compared.

    Raises:
        UsageError: a value is out of range.
    """

    by: str = field(
        default="recipe",
        metadata={
            "help": "What makes runs one group: recipe (all of it but the seed), folder, run (each alone), or a key of "
            "the recipe such as optimizer.learning_rate."
        },
    )
    settled_from: int | None = field(
        default=None,
        metadata={"help": "Numbers are of rows from this step on. Default: the middle of the steps that all share."},
    )
    columns: tuple[str, ...] = field(
        default=(),
        metadata={"name": "column", "help": "Compare the mean of this column, too; may be repeated."},
    )
    level: float = field(default=0.95, metadata={"help": "Level of the intervals, between 0 and 1."})

    def __post_init__(self) -> None:
        check_different("column", self.columns)
        check_at_least("settled-from", self.settled_from, 1)
        check_level(self.level)


@dataclass(frozen=True)
class Limits:
    """When recipes differ or are alike, and when runs of one recipe disagree; first proposals of this project."""

    discoveries: float = 0.05  # share of false ones among the differences that are told, and among what is called alike
    disagreement: float = 0.01  # adjusted p of Cochran's Q
    outcome: float = 0.05  # p of Fisher's test on how many runs diverged


LIMITS = Limits()
