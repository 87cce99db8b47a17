"""``ebmdiag diagnose TRACE...``: every analysis, the verdict on both axes, and an exit code for scripts."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ebmdiag.cli.options import (
    force_option,
    from_option,
    json_option,
    limit_option,
    out_option,
    parse_limits,
    print_json,
    until_option,
)
from ebmdiag.cli.report import refuse_trace, write_page
from ebmdiag.cli.whereabouts import require_run
from ebmdiag.errors import TraceError, UsageError
from ebmdiag.files import refuse_existing, write_bytes

if TYPE_CHECKING:
    from ebmdiag.report.diagnosis import Diagnosis
    from ebmdiag.report.junit import Suite
    from ebmdiag.result import Severity

_FURTHER = "'ebmdiag diagnose' of a single trace gives the reasons; 'ebmdiag compare' tells recipes apart."
UNHEALTHY, UNREADABLE, UNDETERMINED = 1, 3, 4


@click.command("diagnose")
@click.argument("traces", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="TRACE...")
@from_option
@until_option
@limit_option
@click.option(
    "--fail-on",
    type=click.Choice(["warning", "error"]),
    help=f"Exit with {UNHEALTHY} if the verdict or a finding is at least this grave.  [default: never]",
)
@click.option("-v", "--verbose", is_flag=True, help="Print the notes too, not the warnings alone.")
@click.option("--strict", is_flag=True, help=f"Exit with {UNDETERMINED} if an axis is undetermined.")
@json_option
@click.option(
    "--junit",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Also write JUnit XML: a suite for each trace, a case for each axis and finding.",
)
@out_option("Also write the report of these traces, from the same numbers.")
@force_option
def diagnose(
    traces: tuple[Path, ...],
    first: int | None,
    last: int | None,
    limits: tuple[str, ...],
    fail_on: Severity | None,
    verbose: bool,
    strict: bool,
    as_json: bool,
    junit: Path | None,
    out: Path | None,
    force: bool,
) -> int:
    """Say how a run went: run every analysis, and place the run on both axes.

    Stability: does learning balance, or does it swing, run away, collapse? Convergence: do short runs have the law of
    the model? Prints both with reason and advice, the numbers they rest on, and the warnings, worst first (-v: all
    findings); of several traces a table.

    Exit codes: 0 done or healthy; 1 see --fail-on; 3 a trace cannot be read; 4 see --strict.
    """
    chosen = parse_limits(limits)
    _check_outputs(traces, junit, out, force=force)
    suites = [_diagnosed(trace, first, last, chosen, whole=out is not None) for trace in traces]
    _print(suites, as_json=as_json, verbose=verbose)
    if junit is not None:
        _write_junit(junit, suites, fail_on, strict=strict)
    if out is not None:
        _write_report(out, suites)
    return outcome([suite.diagnosis for suite in suites], fail_on, strict=strict)


def outcome(runs: Sequence[Diagnosis | None], fail_on: Severity | None, *, strict: bool) -> int:
    """The exit code: of several reasons, the first in the order 3, 1, 4."""
    if any(run is None or run.undecided for run in runs):
        return UNREADABLE
    known = [run for run in runs if run is not None]
    if fail_on is not None and any(run.is_at_least(fail_on) for run in known):
        return UNHEALTHY
    return UNDETERMINED if strict and not all(run.is_determined for run in known) else 0


def _check_outputs(traces: Sequence[Path], junit: Path | None, out: Path | None, *, force: bool) -> None:
    """Before anything is computed.

    Raises:
        UsageError: an output is a trace, is there already, or is named twice.
    """
    if junit is not None and out is not None and junit.resolve() == out.resolve():
        raise UsageError(f"--junit and --out both name {out}; give each its own file.")
    for path in (junit, out):
        if path is not None:
            refuse_trace(path, traces)
            refuse_existing(path, force=force)


def _diagnosed(trace: Path, first: int | None, last: int | None, limits: Mapping[str, float], *, whole: bool) -> Suite:
    """One trace; whole, with all that a report shows. One that cannot be read must not cost the others."""
    from ebmdiag.report.diagnosis import diagnose
    from ebmdiag.report.gather import gather
    from ebmdiag.report.junit import Suite

    began = time.perf_counter()
    try:
        found = (gather if whole else diagnose)(require_run(trace), first, last, limits)
    except TraceError as error:
        return Suite(str(trace), None, str(error), time.perf_counter() - began)
    return Suite(str(trace), found, "", time.perf_counter() - began)


def _print(suites: Sequence[Suite], *, as_json: bool, verbose: bool) -> None:
    """What was found on stdout, what could not be read on stderr."""
    from ebmdiag.report import diagnosis_text
    from ebmdiag.report.twin import diagnoses_to_json
    from ebmdiag.terminal import printable

    if as_json:
        print_json(diagnoses_to_json([(suite.trace, suite.diagnosis or suite.error) for suite in suites]))
    elif len(suites) > 1:
        _say(diagnosis_text.several([(suite.trace, suite.diagnosis) for suite in suites]))
        click.echo(f"note: {_FURTHER}", err=True)
    elif suites[0].diagnosis is not None:
        width = shutil.get_terminal_size((100, 24)).columns
        _say(diagnosis_text.one(suites[0].diagnosis, width, verbose=verbose))
    for suite in suites:
        if suite.diagnosis is None:
            click.echo(printable(f"ebmdiag: {suite.error}", sys.stderr.encoding), err=True)


def _say(lines: Iterable[str]) -> None:
    from ebmdiag.terminal import printable

    for line in lines:
        click.echo(printable(line, sys.stdout.encoding).rstrip())


def _write_junit(path: Path, suites: Sequence[Suite], fail_on: Severity | None, *, strict: bool) -> None:
    from datetime import UTC, datetime

    from ebmdiag.report.junit import junit

    write_bytes(path, junit(suites, datetime.now(UTC), fail_on, strict=strict))
    click.echo(f"wrote {path}", err=True)


def _write_report(path: Path, suites: Sequence[Suite]) -> None:
    from ebmdiag.report.gather import Run

    runs = [suite.diagnosis for suite in suites if isinstance(suite.diagnosis, Run)]
    if len(runs) < len(suites):
        click.echo(f"note: {path} is not written, for not every trace can be read.", err=True)
    else:
        write_page(path, runs)
