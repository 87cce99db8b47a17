"""``ebmdiag validate TRACE``: does the file keep to the trace contract?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ebmdiag.cli.options import json_option, print_json, trace_argument

if TYPE_CHECKING:
    from ebmdiag.validation import Check


@click.command("validate")
@trace_argument
@json_option
def validate(trace: Path, as_json: bool) -> int:
    """Check a trace against the contract: units, signs, finite values, steps.

    Exit code 0: it keeps to the contract; 3: it cannot be read, or a rule is broken.
    """
    from ebmdiag.trace import open_trace
    from ebmdiag.validation import validate_trace

    found = open_trace(trace)
    checks = validate_trace(found)
    violations = sum(check.outcome == "VIOLATION" for check in checks)
    if as_json:
        rows = [check.to_json() for check in checks]
        print_json({"trace": str(found.path), "rows": len(found), "valid": violations == 0, "checks": rows})
    else:
        _print(found.path, checks, violations)
    return 3 if violations else 0


def _print(path: Path, checks: list[Check], violations: int) -> None:
    width = max(len(check.rule) for check in checks)
    for check in checks:
        _say(f"{check.outcome:<9}  {check.rule:<{width}}  {check.message}")
    verdict = f"{violations} of {len(checks)} rules broken" if violations else "a valid trace"
    _say(f"{path}: {verdict}.")


def _say(line: str) -> None:
    from ebmdiag.terminal import printable

    click.echo(printable(line, sys.stdout.encoding))
