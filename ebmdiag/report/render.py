"""Views into one page of HTML: self-contained, without scripts, the same bytes for the same runs."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ebmdiag._version import VERSION
from ebmdiag.report import compare
from ebmdiag.report.answers import Answer
from ebmdiag.report.gather import Run
from ebmdiag.report.views import Plot, comparison, map_plot, view
from ebmdiag.report.wording import opening, symbol, unit

GENERATOR = f"ebmdiag {VERSION}"
_MARK = b'<meta name="generator" content="ebmdiag '
_HEAD = 4096
MOST_WHOLE = 4
"""Runs on one page that are shown with all their figures; more would make it larger than 5 MB."""


def render(runs: Sequence[Run], comparisons: Sequence[Answer] = ()) -> bytes:
    """The page of one run, or of several with a comparison in front.

    Args:
        runs: all that is shown of each.
        comparisons: what analyses of several runs say (:func:`ebmdiag.report.compare.comparisons`).

    Returns:
        UTF-8. It loads nothing from anywhere and says so in a content security policy.
    """
    from markupsafe import Markup

    several = len(runs) > 1
    suffixes = [f"-{place}" for place in range(1, len(runs) + 1)] if several else [""]
    style = _template_text("report.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    page: str = (
        _environment()
        .get_template("report.html")
        .render(
            title=" · ".join(compare.run_names(runs)),
            generator=GENERATOR,
            style=Markup(style),  # noqa: S704 - our own file
            style_hash=digest,
            names=compare.run_names(runs),
            runs=[view(run, suffix, whole=len(runs) <= MOST_WHOLE) for run, suffix in zip(runs, suffixes, strict=True)],
            several=several,
            map=_shared_map(runs) if several else None,
            by_recipe=compare.by_recipe(runs) if several else None,
            comparisons=[comparison(answer) for answer in comparisons],
            overview=compare.overview(runs) if several else None,
            side_by_side=compare.estimates_side_by_side(runs) if several else None,
        )
    )
    return page.encode()


def _shared_map(runs: Sequence[Run]) -> Plot | None:
    """One map for all runs that have a verdict; None where none has."""
    if not any(run.verdict for run in runs):
        return None
    return map_plot([(name, run.verdict) for name, run in zip(compare.run_names(runs), runs, strict=True)])


def is_our_page(path: Path) -> bool:
    """Whether a file is a report that ebmdiag wrote, and so may be made anew."""
    with path.open("rb") as handle:
        return _MARK in handle.read(_HEAD)


def _template_text(name: str) -> str:
    return (Path(__file__).parent / "templates" / name).read_text(encoding="utf-8")


def _environment() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["symbol"] = symbol
    environment.filters["unit"] = unit
    environment.filters["opening"] = opening
    return environment
