"""``ebmdiag report TRACE...``: one page that says how a run went."""

from __future__ import annotations

from collections.abc import Sequence
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
from ebmdiag.cli.whereabouts import require_run
from ebmdiag.errors import UsageError
from ebmdiag.files import refuse_existing, write_bytes

if TYPE_CHECKING:
    from ebmdiag.report.answers import Answer
    from ebmdiag.report.gather import Run

SIZE_BUDGET = 5 * 1024**2


@click.command("report")
@click.argument("traces", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="TRACE...")
@out_option("The page to write. Default, for one trace: report.html in the run's folder.")
@force_option
@json_option
@from_option
@until_option
@limit_option
def report(
    traces: tuple[Path, ...],
    out: Path | None,
    force: bool,
    as_json: bool,
    first: int | None,
    last: int | None,
    limits: tuple[str, ...],
) -> None:
    """Write a self-contained HTML page: verdict, findings, traces, every analysis, samples, recipe.

    Works for a run that is still alive. Several traces give one page that compares them. --json also prints the
    numbers of the page.
    """
    path = _place(traces, out, force=force)
    chosen = parse_limits(limits)

    from ebmdiag.report.gather import gather

    runs = [gather(require_run(trace), first, last, chosen) for trace in traces]
    comparisons = write_page(path, runs)
    if as_json:
        from ebmdiag.report.twin import to_json

        print_json(to_json(runs, comparisons))


def write_page(path: Path, runs: Sequence[Run]) -> Sequence[Answer]:
    """Write the page of these runs, say how large it is, and hand back what compares them."""
    from ebmdiag.report.compare import comparisons
    from ebmdiag.report.render import render

    several = comparisons(runs)
    page = render(runs, several)
    write_bytes(path, page)
    click.echo(f"wrote {path} ({len(page) / 1024**2:.1f} MB)", err=True)
    if len(page) > SIZE_BUDGET:
        click.echo(f"note: the page is larger than {SIZE_BUDGET // 1024**2} MB; compare fewer runs at once.", err=True)
    return several


def _place(traces: tuple[Path, ...], out: Path | None, *, force: bool) -> Path:
    """Where the page goes; our own page in the run's folder may be made anew without being asked.

    Raises:
        UsageError: something else is there, or several traces and no place.
    """
    from ebmdiag.report.render import is_our_page
    from ebmdiag.runfolder import RunFolder

    if len(traces) > 1 and out is None:
        raise UsageError("several traces make one page; say where to write it with -o report.html.")
    if out is not None:
        refuse_trace(out, traces)
    usual = RunFolder.of(traces[0]).folder / "report.html"
    path = usual if out is None else out
    ours = path == usual and path.is_file() and is_our_page(path)
    refuse_existing(path, force=force or ours)
    return path


def refuse_trace(out: Path, traces: Sequence[Path]) -> None:
    """Stop where an output would take the place of a trace.

    Raises:
        UsageError: it would.
    """
    from ebmdiag.runfolder import RunFolder

    if out.resolve() in {RunFolder.of(trace).trace.resolve() for trace in traces}:
        raise UsageError(f"{out} is the trace itself; name another file with -o.")
