"""What a reader must know of a comparison beside its numbers."""

from __future__ import annotations

from collections.abc import Iterator

from ebmdiag.replicates import tells_recipe
from ebmdiag_analyses.compare.comparison import Comparison
from ebmdiag_analyses.compare.runs import Span

_SHORTER = 0.9


def notes(found: Comparison, by: str) -> Iterator[str]:
    """Runs left out, steps that only some have, units, and what is not known of a run."""
    yield from (f"left out of the numbers: {why}." for why in found.left_out.values())
    if found.span is None:
        yield "no run counts, so there are no numbers to compare."
    else:
        yield from _steps(found, found.span)
    if len({run.metadata.epsilon for run in found.runs}) > 1:
        yield "ε is not the same in all runs: r_t is in units of F, so its level differs for that reason alone."
    nameless = [run.name for run in found.runs if not tells_recipe(run.metadata)]
    if nameless and by == "recipe" and len(found.groups) > 1:
        yield f"no recipe is known of {', '.join(nameless)}: each stands alone; --by folder groups by folder."
    unfinished = [run.name for run in found.runs if run.metadata.state == "running"]
    if unfinished:
        yield f"still going on: {', '.join(unfinished)}."


def _steps(found: Comparison, span: Span) -> Iterator[str]:
    longest = max(run.last for run in found.runs)
    if span.last < _SHORTER * longest:
        yield (
            f"all numbers end at step {span.last}, where {span.shortest} ends; others go on to {longest}. Leave it out "
            "to compare more."
        )
    if span.spacing is None:
        yield "rows are not equally many iterations apart in all runs, so nothing by lag is compared."
    elif span.spacing > 1:
        yield f"every {span.spacing} iterations a row: one lag is {span.spacing} iterations."
    labels = found.labels
    if found.baseline:
        yield f"no run of {labels[0]} counts; all recipes are held against {labels[found.baseline]}."
