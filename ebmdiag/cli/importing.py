"""``ebmdiag import LOG.csv -o TRACE.parquet``: a trace from the log that somebody has."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from ebmdiag._version import VERSION
from ebmdiag.cli.options import force_option, out_option
from ebmdiag.errors import UsageError

if TYPE_CHECKING:
    from ebmdiag.csvimport import Convention, Converted
    from ebmdiag.metadata import TraceMetadata
    from ebmdiag.writer import TraceWriter

_ROWS_IN_A_PART = 50_000


@click.command("import")
@click.argument("log", type=click.Path(path_type=Path), metavar="LOG.csv")
@out_option("The trace to write, ….parquet.", required=True)
@click.option("--epsilon", type=float, required=True, help="ε of the Langevin noise in one step; sets the units.")
@click.option(
    "--map",
    "mapping",
    multiple=True,
    metavar="COLUMN=CSVNAME",
    help="Which CSV column is which column of the trace (or a new one of your own); may be repeated.",
)
@click.option(
    "--energy",
    type=click.Choice(["U", "F"]),
    default="U",
    show_default=True,
    help="Energies in the log: U, or network outputs F (then divided by ε²/2).",
)
@click.option(
    "--sign",
    type=click.Choice(["+1", "-1"]),
    default="+1",
    show_default=True,
    help="-1 if the network is the negative energy, p(x) ∝ exp(f).",
)
@click.option("--delimiter", default=",", show_default=True, help="What stands between cells; 'tab' for a tab.")
@click.option("--until", "last", type=click.IntRange(min=1), metavar="STEP", help="Leave out the rows after this step.")
@force_option
def import_(
    log: Path,
    out: Path,
    epsilon: float,
    mapping: tuple[str, ...],
    energy: Literal["F", "U"],
    sign: str,
    delimiter: str,
    last: int | None,
    force: bool,
) -> None:
    """Make a trace from a CSV log of your own training loop.

    Columns that are named as in a trace (d_s_t, r_t, energy_pos_mean, …) are taken as they are; --map names
    others. What follows from other columns is derived; what nobody asked for is left out, and said so.
    """
    from ebmdiag.csvimport import Convention, convert
    from ebmdiag.csvtable import read_csv

    convention = Convention(
        epsilon=epsilon,
        mapping=_parsed(mapping),
        energy=energy,
        sign=1 if sign == "+1" else -1,
        last_step=last,
    )
    converted = convert(read_csv(log, _one_character(delimiter)), convention)
    written = _write(converted, out, _metadata(log, convention, converted), force=force)
    _say([*_summary(converted, convention, written), *_broken_rules(written)])


def _say(lines: Iterable[str]) -> None:
    from ebmdiag.terminal import printable

    for line in lines:
        click.echo(printable(line, sys.stderr.encoding), err=True)


def _parsed(pairs: Iterable[str]) -> dict[str, str]:
    mapping: dict[str, str] = {}
    for pair in pairs:
        column, equals, name = (part.strip() for part in pair.partition("="))
        if not (column and equals and name):
            raise UsageError(f"--map {pair!r}: write it as COLUMN=CSVNAME, for example --map d_s_t=loss.")
        if column in mapping:
            raise UsageError(f"--map names '{column}' twice, as {mapping[column]!r} and as {name!r}; keep one.")
        mapping[column] = name
    return mapping


def _one_character(delimiter: str) -> str:
    found = {"tab": "\t", "\\t": "\t"}.get(delimiter, delimiter)
    if len(found) != 1 or found in '"\n\r':
        raise UsageError(f"--delimiter must be one character (or 'tab'), but is {delimiter!r}.")
    return found


def _metadata(log: Path, convention: Convention, converted: Converted) -> TraceMetadata:
    from ebmdiag.metadata import TraceMetadata

    facts: dict[str, Any] = {
        "file": log.name,
        "energy": convention.energy,
        "sign": convention.sign,
        "taken": dict(converted.taken),
        "derived": dict(converted.derived),
    }
    return TraceMetadata.create(
        epsilon=convention.epsilon,
        producer="ebmdiag import",
        recipe={"import": facts},
        versions={"ebmdiag": VERSION},
        started_at="",  # when the run began is not known, and the time of the import is not it
    )


def _write(converted: Converted, out: Path, metadata: TraceMetadata, *, force: bool) -> Path:
    from ebmdiag.writer import TraceWriter

    writer: TraceWriter
    with TraceWriter(
        out,
        metadata=metadata,
        extra=converted.extra,
        flush_rows=_ROWS_IN_A_PART,
        flush_seconds=3600.0,
        force=force,
    ) as writer:
        for row in converted.rows():
            writer.append(row)
    return writer.path


def _summary(converted: Converted, convention: Convention, written: Path) -> Iterator[str]:
    steps = converted.steps
    yield (
        f"{written}: {len(steps)} rows, steps {steps[0]} to {steps[-1]}, epsilon {convention.epsilon:g}, "
        f"energies read as {convention.energy}, sign {convention.sign:+d}."
    )
    for column, name in converted.taken.items():
        factor = convention.factor(column)
        yield f"  taken     {column} = {name!r}" + ("" if factor == 1 else f" × {factor:g}")
    for column, formula in converted.derived.items():
        yield f"  derived   {column} = {formula}"
    for name in converted.left_out:
        yield f"  left out  {name!r} (keep it with --map NAME={name!r})"
    for note in converted.notes:
        yield f"  note      {note}"


def _broken_rules(written: Path) -> Iterator[str]:
    from ebmdiag.trace import read_trace
    from ebmdiag.validation import validate_trace

    for check in validate_trace(read_trace(written)):
        if check.outcome == "VIOLATION":
            yield f"  VIOLATION {check.rule}: {check.message} (see 'ebmdiag validate')"
