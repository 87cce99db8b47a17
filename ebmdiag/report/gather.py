"""Everything a report shows: the diagnosis, the series and the pictures as plain records; nothing is drawn here."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ebmdiag.report.diagnosis import Diagnosis, begun_anew, judged, reader, with_rows
from ebmdiag.report.envelope import Envelope, envelope
from ebmdiag.report.pictures import Folder, read_chain_pictures, read_landscapes, read_pictures
from ebmdiag.report.series import SHOWN
from ebmdiag.result import Table
from ebmdiag.runfolder import RunFolder
from ebmdiag.trace import Trace, open_trace

_LARGEST_ENVIRONMENT = 1024**2


@dataclass(frozen=True, kw_only=True)
class Run(Diagnosis):
    """One run, as the report tells of it: its diagnosis, and all that is to be seen beside it.

    ``trace`` reads a column when it is asked for; its ``table`` would lie in memory as a whole from then on.
    """

    trace: Trace
    series: tuple[Envelope, ...]
    columns: Table | None
    images: Folder = field(default_factory=Folder)
    chains: Folder = field(default_factory=Folder)
    landscapes: Folder = field(default_factory=Folder)
    environment: dict[str, Any] = field(default_factory=dict)


def gather(
    path: Path, first: int | None = None, last: int | None = None, limits: Mapping[str, float] | None = None
) -> Run:
    """Read one run, put every registered analysis to it, judge, and collect what is to be shown.

    Raises:
        TraceError: the trace cannot be read, holds no rows, or was replaced twice while it was read.
        UsageError: no row lies between ``first`` and ``last``, or a limit has no known name.
    """
    return begun_anew(lambda: _gathered(path, first, last, limits))


def _gathered(path: Path, first: int | None, last: int | None, limits: Mapping[str, float] | None) -> Run:
    whole = with_rows(open_trace(path))
    trace = whole.between(first, last)
    place = RunFolder.of(path)
    environment, notes = _environment(place.environment)
    diagnosis = judged(trace, len(whole), reader(trace), limits)
    return Run(
        **{**vars(diagnosis), "notes": (*notes, *diagnosis.notes)},
        trace=trace,
        series=tuple(_series(trace)),
        columns=_other_columns(trace),
        images=read_pictures(place.samples),
        chains=read_chain_pictures(place.chains),
        landscapes=read_landscapes(place.landscape),
        environment=environment,
    )


def _series(trace: Trace) -> Iterable[Envelope]:
    known = trace.columns
    for column in SHOWN:
        if column in known:
            yield envelope(column, trace.steps, trace.values(column))


def _other_columns(trace: Trace) -> Table | None:
    """Extremes, quartiles and last value of each column that has no figure of its own."""
    names = [name for name in trace.columns if name not in ("step", *SHOWN)]
    rows = [(name, _spread(trace.values(name))) for name in names]
    rows = [(name, spread) for name, spread in rows if spread is not None]
    if not rows:
        return None
    header = ("values", "smallest", "lower quartile", "median", "upper quartile", "largest", "last")
    columns: dict[str, NDArray[Any]] = {"column": np.array([name for name, _ in rows])}
    for place, title in enumerate(header):
        columns[title] = np.array([spread[place] for _, spread in rows if spread is not None])
    return Table("All other columns of the trace", columns)


def _spread(values: NDArray[np.float64]) -> tuple[float, ...] | None:
    """Of the finite values; the array is used up."""
    finite = np.isfinite(values)
    known = values if finite.all() else values[finite]
    if not len(known):
        return None
    last = float(known[-1])
    quartiles = np.percentile(known, [0, 25, 50, 75, 100], overwrite_input=True).tolist()
    return (len(known), *quartiles, last)


def _environment(path: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The run's environment, or a note why it is not shown; no file is no fault."""
    if not path.is_file():
        return {}, ()
    try:
        if path.stat().st_size > _LARGEST_ENVIRONMENT:
            return {}, (f"{path.name} is larger than 1 MB and is not shown.",)
        facts = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        return {}, (f"{path.name} cannot be read and is not shown ({type(error).__name__}).",)
    if not isinstance(facts, dict):
        return {}, (f"{path.name} is not a JSON object and is not shown.",)
    return facts, ()
