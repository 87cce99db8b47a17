"""Options that mean the same in every command, defined once."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from ebmdiag.errors import UsageError

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

trace_argument: Decorator = click.argument("trace", type=click.Path(path_type=Path), metavar="TRACE")
run_argument: Decorator = click.argument("trace", type=click.Path(path_type=Path), metavar="RUN")
traces_argument: Decorator = click.argument(
    "trace", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="TRACE..."
)
json_option: Decorator = click.option(
    "--json", "as_json", is_flag=True, help="Print the numbers as JSON to stdout; notes go to stderr."
)
force_option: Decorator = click.option("--force", is_flag=True, help="Replace an existing output.")
from_option: Decorator = click.option(
    "--from", "first", type=click.IntRange(min=1), metavar="STEP", help="Use rows from this step on."
)
until_option: Decorator = click.option(
    "--until", "last", type=click.IntRange(min=1), metavar="STEP", help="Use rows up to this step, included."
)
limit_option: Decorator = click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="NAME=VALUE",
    help="Another limit for the verdict; may be repeated. The report's methods section has all names.",
)


def parse_limits(pairs: Iterable[str]) -> dict[str, float]:
    """``--limit NAME=VALUE`` as a mapping; whether a name is known, the rules say.

    Raises:
        UsageError: one is not of this form, is no finite number, or is named twice.
    """
    limits: dict[str, float] = {}
    for pair in pairs:
        name, _, value = (part.strip() for part in pair.partition("="))
        if not name or not _is_number(value):
            raise UsageError(f"--limit {pair!r}: write it as NAME=VALUE with a number, for example --limit virial=0.1.")
        if name in limits:
            raise UsageError(f"--limit names '{name}' twice, as {limits[name]:g} and as {value}; keep one.")
        limits[name] = float(value)
    return limits


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def out_option(description: str, *, required: bool = False) -> Decorator:
    """``-o/--out``, with what is written there."""
    return click.option(
        "-o", "--out", type=click.Path(path_type=Path), metavar="FILE", required=required, help=description
    )


def print_json(value: Any) -> None:
    """One JSON document on stdout; escapes where the terminal's encoding is not a Unicode one."""
    plain = not (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")
    click.echo(json.dumps(value, indent=2, allow_nan=False, ensure_ascii=plain))
