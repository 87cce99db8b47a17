"""What the words of the terminal's tables mean: for each table that is printed, in the order of the tables."""

from __future__ import annotations

from collections.abc import Iterator

from ebmdiag.result import Result

_ENERGY = (
    "U: energy, at the end of each phase (long: its last tenth); low, high: interval; long - data: of their means; L:",
    "steps of a short run, d: U of data less U of the chains.",
)
_MIXING = (
    "second half: of the long run; R-hat: 1 where all chains cover the same range; bulk, tail: worth so many",
    "independent draws, for the middle and the ends; tau: steps worth one independent one; nested: R-hat of chains",
    "that began together against the others, expected: once starts are forgotten, p: chance of so much more.",
)
_MOVES = (
    "distance from start: 1 beside independent items' once chains have left it; of one start, over others: 1 as well;",
    "kept by single chains: correlation of their means in the first and last third of the second half; 0 if forgotten.",
)
_ACCEPTANCE = "acceptance: share of the steps that Metropolis takes; for an unadjusted sampler, that it would take."
_IMAGES = (
    "images: means of phases; saturation: 0 grey, 1 pure colours; salt_and_pepper: noise; outside: beyond [-1, 1]."
)
_SAMPLES = (
    "statistic: distance of the two laws, if equal: what chance makes of it; share: 0 for equal laws, 1 for far ones;",
    "p by permutation, adjusted: for the number of tests.",
)
_END = "errors: in standard errors over independent starts; –: not known; ?: doubtful."


def legend(result: Result) -> Iterator[str]:
    """Lines for the tables that a result has."""
    if result.settings["steps"]:
        yield from _ENERGY
    for shown, lines in (
        ("mixing" in result.tables, _MIXING),
        ("displacement" in result.estimates, _MOVES),
        ("acceptance" in result.estimates, (_ACCEPTANCE,)),
        ("images" in result.tables, (_IMAGES,)),
        ("two_sample" in result.tables, _SAMPLES),
    ):
        if shown:
            yield from lines
    yield _END
