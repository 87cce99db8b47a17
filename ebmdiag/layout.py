"""Which rows of which files make up a trace: of each file those of later steps than the files before it hold.

A writer that is killed, or at work, may leave rows in a part that the trace file holds already; while the files are
looked at, parts may go into it. Both must neither lose a row nor count one twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ebmdiag.columns import Steps, shared
from ebmdiag.errors import TraceError
from ebmdiag.locks import is_held
from ebmdiag.metadata import TraceMetadata
from ebmdiag.pieces import Piece, look, part_paths, signature
from ebmdiag.runfolder import RunFolder
from ebmdiag.schema import metadata_of

ATTEMPTS = 20
_KEPT = 6_000_000  # values of parts that are kept in memory, gaps counted


@dataclass(frozen=True)
class Layout:
    """Which rows of which files make up a trace: of each piece all from ``starts`` on."""

    pieces: tuple[Piece, ...]
    starts: tuple[int, ...]
    steps: Steps
    metadata: TraceMetadata

    @property
    def names(self) -> tuple[str, ...]:
        """Columns of any piece, in the order in which they come."""
        return tuple(dict.fromkeys(name for piece in self.pieces for name in piece.schema.names))


def find_layout(run: RunFolder, place: RunFolder) -> Layout:
    """Which rows of which files make up a trace.

    Args:
        run: as it is named in complaints.
        place: the same, by a path that holds in every working directory.

    Raises:
        TraceError: nothing is there, or it cannot be read as a trace.
    """
    for _ in range(ATTEMPTS):
        before = signature(place.trace)
        try:
            pieces = _pieces(run, place)
        except FileNotFoundError:  # a part was compacted away between listing and reading
            continue
        if before == signature(place.trace):  # else parts may have gone into it
            return _join(run, place, pieces)
    raise TraceError(f"{run.trace} keeps changing while it is read; try again.")


def _pieces(run: RunFolder, place: RunFolder) -> list[tuple[Piece, Steps]]:
    parts, is_merged = part_paths(place), place.trace.exists()
    if not parts and not is_merged:
        raise TraceError(f"{run.trace}: no such trace (and no parts of one in {run.parts}).")
    found = [look(place.trace, run.trace)] if is_merged else []
    keep = _KEPT
    for path in parts:  # a live run has hundreds, too small to be opened again for each column
        found.append(look(path, run.parts / path.name, keep))
        if (table := found[-1][0].table) is not None:
            keep -= table.num_rows * table.num_columns
    return found


def _join(run: RunFolder, place: RunFolder, found: list[tuple[Piece, Steps]]) -> Layout:
    starts: list[int] = []
    kept: list[Steps] = []
    last: int | None = None
    newest = found[0][0]  # a part that adds no row was left behind by a kill after it had been merged
    for piece, own in found:
        start = 0 if last is None else int(np.searchsorted(own, last, side="right"))
        starts.append(start)
        kept.append(own[start:])
        if start < len(own):
            last, newest = int(own[-1]), piece
    metadata = metadata_of(newest.schema, str(run.trace))
    if metadata.state == "running" and not is_held(place.lock):
        metadata = metadata.with_state("interrupted", "the process that wrote this run is gone")
    steps = kept[0] if len(kept) == 1 else np.concatenate(kept)
    _refuse_disorder(run, steps)
    return Layout(tuple(piece for piece, _ in found), tuple(starts), shared(steps), metadata)


def _refuse_disorder(run: RunFolder, steps: Steps) -> None:
    wrong = np.flatnonzero(steps[1:] <= steps[:-1])
    if len(wrong):
        row = int(wrong[0])
        raise TraceError(
            f"{run.trace}: steps must increase, but row {row + 2} has step {steps[row + 1]} after step {steps[row]}."
        )
