"""Writing a table of chains as a stream: memory does not grow with the steps, and a kill costs the last part at most.

Rows go into parts; at the end these become the one table in row groups of fixed size, so that the bytes do not depend
on when parts were written. The rows come in one fixed order, so "so many rows" names a point in the run: the state
that the chains resume from says how many there were, and what came after is cut off.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ebmdiag.chains.files import ChainFiles
from ebmdiag.chains.metadata import ChainsMetadata
from ebmdiag.chains.schema import MEASURES, chains_schema
from ebmdiag.chains.table import chain_groups, read_chain_piece
from ebmdiag.errors import OutputExistsError
from ebmdiag.files import replacing
from ebmdiag.locks import acquire

_FLUSH_ROWS = 20_000
_ROW_GROUP = 50_000


class ChainWriter:
    """Append draws; use it as a context manager. Leaving it by an exception keeps parts, to be resumed.

    Args:
        files: where to write.
        metadata: the facts; may be replaced before the end (evaluations, step size after the warm-up).
        keep_rows: None: a new table. A number: go on with an existing one after so many rows.
        force: replace an existing table.

    Raises:
        OutputExistsError: a table is there, and neither ``keep_rows`` nor ``force`` is given.
        UsageError: another process is writing it.
    """

    def __init__(
        self, files: ChainFiles, metadata: ChainsMetadata, *, keep_rows: int | None = None, force: bool = False
    ) -> None:
        self.files, self.metadata = files, metadata.with_facts(state="running")
        self.rows = 0
        self._held: list[pa.Table] = []
        self._lock = acquire(files.lock, files.table)
        try:
            self._open(keep_rows, force=force)
        except BaseException:
            self._lock.release()
            raise

    def _open(self, keep_rows: int | None, *, force: bool) -> None:
        if keep_rows is not None:
            self._cut(keep_rows)
            return
        if self.files.exists() and not force:
            raise OutputExistsError(
                f"{self.files.table} exists already (or parts of it); add --resume, --force, or choose another --out."
            )
        for path in (self.files.table, self.files.samples, self.files.state, *self.files.part_paths()):
            path.unlink(missing_ok=True)

    def _cut(self, keep_rows: int) -> None:
        """Keep the first ``keep_rows`` rows, as parts."""
        if self.files.table.exists():  # parts beside a whole table were left by a kill after it had been written
            for part in self.files.part_paths():
                part.unlink()
            for first, group in chain_groups(self.files.table):
                self._write_part(group, first)
            self.files.samples.unlink(missing_ok=True)  # they are of a run that now goes on
            self.files.table.unlink()
        for path in self.files.part_paths():
            piece = read_chain_piece(path)
            kept = piece.slice(0, max(0, keep_rows - self.rows))
            if not len(kept):
                path.unlink()
            elif len(kept) < len(piece):
                self._write_part(kept, self.rows)
            self.rows += len(kept)

    def append(
        self,
        phase: str,
        init: str,
        draw: int,
        starts: NDArray[np.integer[Any]],
        values: Mapping[str, NDArray[np.float64]],
    ) -> None:
        """One draw of all M chains of a phase.

        Args:
            phase, init: see :data:`~ebmdiag.chains.schema.CHAIN_COLUMNS`.
            draw: steps since the start.
            starts: which chains began together, shape (M,).
            values: measure → shape (M,); what is left out, or NaN, becomes missing.
        """
        count = len(starts)
        columns: dict[str, Any] = {
            "phase": [phase] * count,
            "init": [init] * count,
            "chain": np.arange(count, dtype=np.int32),
            "start": np.asarray(starts, dtype=np.int32),
            "draw": np.full(count, draw, dtype=np.int64),
            **{name: pa.array(values[name], from_pandas=True) for name in MEASURES if name in values},
        }
        schema = chains_schema(self.metadata)
        arrays = [columns.get(field.name, pa.nulls(count, field.type)) for field in schema]
        self._held.append(pa.table(dict(zip(schema.names, arrays, strict=True)), schema=schema))
        self.rows += count
        if sum(map(len, self._held)) >= _FLUSH_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write the rows held in memory as a part.

        Raises:
            WriteError: the operating system refused.
        """
        if self._held:
            table = pa.concat_tables([table.replace_schema_metadata(None) for table in self._held])
            self._write_part(table, self.rows - len(table))
            self._held.clear()

    def _write_part(self, table: pa.Table, first: int) -> None:
        with replacing(self.files.parts / f"part-{first:012d}.parquet") as beside:
            pq.write_table(table.cast(chains_schema(self.metadata)), beside, compression="zstd")

    def finish(self, **facts: Any) -> None:
        """Write the one table, with these last facts in its metadata, and remove the parts."""
        self.flush()
        self.metadata = self.metadata.with_facts(**{"state": "finished", **facts})
        schema = chains_schema(self.metadata)
        parts = self.files.part_paths()
        with replacing(self.files.table) as beside, pq.ParquetWriter(beside, schema, compression="zstd") as writer:
            for group in _groups(read_chain_piece(part) for part in parts):
                writer.write_table(group.cast(schema), row_group_size=_ROW_GROUP)
        for part in parts:
            part.unlink()
        with suppress(OSError):  # something of the user's lies in it
            self.files.parts.rmdir()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is not None:
                self.flush()
        finally:
            self._lock.release()


def _groups(pieces: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in tables of one size, however the pieces were cut."""
    held: list[pa.Table] = []
    for piece in pieces:
        held.append(piece.replace_schema_metadata(None))
        while sum(map(len, held)) >= _ROW_GROUP:
            joined = pa.concat_tables(held)
            yield joined.slice(0, _ROW_GROUP).combine_chunks()
            held = [joined.slice(_ROW_GROUP)]
    if held:
        yield pa.concat_tables(held).combine_chunks()
