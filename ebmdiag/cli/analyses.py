"""An analysis as a command: its options become the command's options, its result text, JSON or a picture."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints

import click

from ebmdiag.analysis import Analysis, Drawing
from ebmdiag.cli.options import (
    force_option,
    from_option,
    json_option,
    out_option,
    print_json,
    run_argument,
    trace_argument,
    traces_argument,
    until_option,
)
from ebmdiag.cli.whereabouts import require_run
from ebmdiag.errors import EbmdiagError, TraceError, UsageError
from ebmdiag.files import refuse_existing, replacing
from ebmdiag.report.style import FORMATS
from ebmdiag.result import Finding, Result
from ebmdiag.runfolder import RunFolder
from ebmdiag.terminal import printable

if TYPE_CHECKING:
    from ebmdiag.report.answers import Reader

UNDETERMINED = 4
_OWN = "option_"  # keeps an analysis' option from taking the name of a common one
_COMMON = {"--from", "--until", "--json", "--out", "--force", "--strict", "--help"}
_SUBJECTS = {"trace": trace_argument, "run": run_argument, "runs": traces_argument}
_MARKS = {"info": "=", "warning": "!", "error": "!!"}


def analysis_command(analysis: Analysis) -> click.Command:
    """``ebmdiag NAME TRACE [options]`` for one analysis; ``NAME TRACE...`` for one of several runs.

    Raises:
        EbmdiagError: an option has a type that a command line cannot offer, or the name of a common one.
    """

    def command(trace: Path | tuple[Path, ...], **values: Any) -> int:
        chosen = {name.removeprefix(_OWN): value for name, value in values.items() if name.startswith(_OWN)}
        common = {name: value for name, value in values.items() if not name.startswith(_OWN)}
        paths = trace if isinstance(trace, tuple) else (trace,)
        return _run(analysis, paths, analysis.options(**chosen), **common)

    decorators = [
        _SUBJECTS[analysis.subject],
        *_own_options(analysis),
        *((from_option, until_option) if analysis.subject != "run" else ()),
        json_option,
        out_option(f"Draw the result: a file ending in {', '.join('.' + kind for kind in FORMATS)}."),
        force_option,
        click.option("--strict", is_flag=True, help=f"Exit with {UNDETERMINED} if a number is undefined or doubtful."),
    ]
    function: Callable[..., Any] = command
    for decorator in reversed(decorators):
        function = decorator(function)
    return click.command(analysis.name, help=analysis.summary)(function)


def _run(
    analysis: Analysis,
    paths: Sequence[Path],
    options: Any,
    *,
    as_json: bool,
    out: Path | None,
    force: bool,
    strict: bool,
    first: int | None = None,
    last: int | None = None,
) -> int:
    if out is not None:
        _check_output(out, force=force)
    result = _analysed(analysis, paths, options, first, last)
    findings = analysis.judge(result)
    if as_json:
        print_json({"result": result.to_json(), "findings": [finding.to_json() for finding in findings]})
    else:
        _print([*analysis.text(result), *_spoken(findings)])
    if out is not None:
        _write(analysis.draw(result), out, force=force)
    return UNDETERMINED if strict and not _all_reliable(result) else 0


def _analysed(analysis: Analysis, paths: Sequence[Path], options: Any, first: int | None, last: int | None) -> Result:
    if analysis.subject == "run":
        return analysis.analyse(_existing(RunFolder.of(paths[0])), options)
    if analysis.subject == "runs":
        return analysis.analyse([_reader(path, first, last, may_be_empty=True) for path in paths], options)
    return analysis.analyse(_reader(paths[0], first, last)(analysis.columns(options)), options)


def _reader(path: Path, first: int | None, last: int | None, *, may_be_empty: bool = False) -> Reader:
    """Columns → those of the steps that were asked for; all of one state of the file, however often it is asked.

    Of several runs one may have ended before these steps: it has no rows then, which the analysis may count.
    """
    from ebmdiag.report.diagnosis import reader
    from ebmdiag.trace import open_trace

    trace = open_trace(require_run(path))
    if first is None and last is None:
        return reader(trace)
    return reader(trace.within(first, last) if may_be_empty else trace.between(first, last))


def _spoken(findings: list[Finding]) -> Iterator[str]:
    for finding in findings:
        yield f"{_MARKS[finding.severity]} {finding.statement}"
        if finding.severity != "info" and finding.advice:
            yield f"  {finding.advice}"


def _existing(run: RunFolder) -> RunFolder:
    """The run, if anything of it is there.

    Raises:
        TraceError: nothing is.
    """
    if not (run.trace.exists() or run.folder.exists()):
        raise TraceError(f"{run.trace}: no such run, and no folder {run.folder} beside it; name the trace of a run.")
    return run


def _all_reliable(result: Result) -> bool:
    return all(estimate.reliable for estimate in result.estimates.values())


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(printable(line, sys.stdout.encoding).rstrip())


def _check_output(out: Path, *, force: bool) -> None:
    if out.suffix.removeprefix(".").lower() not in FORMATS:
        allowed = ", ".join(f".{kind}" for kind in FORMATS)
        raise UsageError(f"{out}: a figure must end in one of {allowed}.")
    refuse_existing(out, force=force)


def _write(drawings: list[Drawing], out: Path, *, force: bool) -> None:
    """One drawing goes to ``out``; several to ``out`` with each drawing's name added to the stem."""
    from ebmdiag.report.style import save

    if not drawings:
        raise UsageError(f"nothing to draw for {out}: this analysis has no figure.")
    places = [out] if len(drawings) == 1 else [out.with_stem(f"{out.stem}-{item.name}") for item in drawings]
    for place in places:
        refuse_existing(place, force=force)
    for place, drawing in zip(places, drawings, strict=True):
        with replacing(place) as beside:
            save(drawing.figure, beside, place.suffix.removeprefix(".").lower())
        click.echo(f"wrote {place}", err=True)


def _own_options(analysis: Analysis) -> list[Callable[[Any], Any]]:
    hints = get_type_hints(analysis.options)
    inherited = [item for item in fields(analysis.options) if item.name not in vars(analysis.options)]
    own = [item for item in fields(analysis.options) if item not in inherited]
    return [_option(analysis.name, item, hints[item.name]) for item in (*own, *inherited)]


def _option(analysis: str, item: Field[Any], hint: Any) -> Callable[[Any], Any]:
    flag = f"--{item.metadata.get('name', item.name).replace('_', '-')}"
    default = item.default_factory() if item.default_factory is not MISSING else item.default
    if flag in _COMMON:
        raise EbmdiagError(f"analysis '{analysis}': every analysis has an option {flag}; name yours otherwise.")
    common: dict[str, Any] = {
        "help": item.metadata.get("help"),
        "default": default,
        "show_default": default not in (None, ()),
    }
    kind = _without_none(hint)
    if kind is bool:
        return click.option(f"{flag}/--no-{flag[2:]}", _OWN + item.name, **common)
    if get_origin(kind) is tuple and get_args(kind) == (str, ...):
        return click.option(flag, _OWN + item.name, multiple=True, type=_text(item), **common)
    if kind is str:
        return click.option(flag, _OWN + item.name, type=_text(item), **common)
    if kind in (int, float):
        return click.option(flag, _OWN + item.name, type=kind, **common)
    message = f"analysis '{analysis}': option '{item.name}' is a {kind}, which a command line cannot offer."
    raise EbmdiagError(message)


def _text(item: Field[Any]) -> Any:
    return click.Choice(list(item.metadata["choices"])) if "choices" in item.metadata else str


def _without_none(hint: Any) -> Any:
    if get_origin(hint) not in (Union, types.UnionType):
        return hint
    kinds = [kind for kind in get_args(hint) if kind is not type(None)]
    return kinds[0] if len(kinds) == 1 else hint
