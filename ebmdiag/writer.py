"""Writing a trace so that a crash costs at most the rows since the last flush.

An unclosed Parquet file cannot be read, so rows go into small parts, each written beside its place and renamed
into it; on closing (and now and then) the parts are compacted into the one trace file. Rows are checked before
they reach Parquet, since a null in a required column would close the file and lose what it held.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ebmdiag.arrow import integers
from ebmdiag.errors import DivergenceError, OutputExistsError, TraceError, UsageError, WriteError
from ebmdiag.files import refuse_existing, replacing, writing
from ebmdiag.locks import acquire
from ebmdiag.metadata import RunState, TraceMetadata
from ebmdiag.names import nearest
from ebmdiag.runfolder import RunFolder
from ebmdiag.schema import trace_schema
from ebmdiag.statistics import BY_COLUMN
from ebmdiag.trace import part_paths, read_piece, read_trace, rows_after

_COMPACT_AT_PARTS = 200
_REQUIRED = tuple(name for name, statistic in BY_COLUMN.items() if statistic.required)
_ROW_GROUP = 50_000
_AGAIN = "add --force or --resume (in Python: force=True or resume=True)"


def _plain_recipe(recipe: Mapping[str, Any]) -> dict[str, Any]:
    try:
        plain: dict[str, Any] = json.loads(json.dumps(dict(recipe), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise UsageError(f"recipe must be plain JSON (texts, numbers, lists, tables), but {error}.") from error
    return plain


class TraceWriter:
    """Log one row an iteration; use it as a context manager.

    Args:
        path: the trace file, ``….parquet``; a folder of the same stem holds the parts.
        epsilon: ε of the Langevin noise, for the units (ignored if ``metadata`` is given).
        metadata: all facts about the run; by default only ε, recipe and seed.
        recipe: your settings, as plain JSON; 'ebmdiag compare' pools runs whose recipes say the same.
        seed: of the run; runs of one recipe and seed are one run.
        extra: names of your own columns, nullable float64.
        flush_rows, flush_seconds: a part is written after so many rows or seconds, whichever comes first.
        force: replace an existing trace.
        resume: continue an existing trace. Rows that come again with the same d_s_t are skipped; the first
            that differs replaces all old rows from its step on.

    Raises:
        OutputExistsError: a trace is there, and neither ``force`` nor ``resume`` is given.
        UsageError: another process is writing this run, or the recipe is not plain JSON.

    Example:
        >>> with TraceWriter("runs/mine.parquet", epsilon=0.01) as trace:   # doctest: +SKIP
        ...     for step in range(1, 1001):
        ...         trace.log(step, energy_pos=f(x_pos), energy_neg=f(x_neg), gradient_norm=r)
    """

    def __init__(
        self,
        path: str | Path,
        *,
        epsilon: float | None = None,
        metadata: TraceMetadata | None = None,
        recipe: Mapping[str, Any] | None = None,
        seed: int | None = None,
        extra: Iterable[str] = (),
        flush_rows: int = 100,
        flush_seconds: float = 5.0,
        force: bool = False,
        resume: bool = False,
    ) -> None:
        if metadata is None:
            if epsilon is None:
                raise UsageError("TraceWriter needs epsilon (or metadata), to state the units of U.")
            facts = {"recipe": _plain_recipe(recipe or {}), "seed": seed}
            metadata = TraceMetadata.create(epsilon=epsilon, producer="ebmdiag.TraceWriter", **facts)
        elif recipe is not None or seed is not None:
            raise UsageError("TraceWriter takes recipe and seed either by themselves or in metadata, not both.")
        if flush_rows < 1 or not flush_seconds > 0:
            raise UsageError("flush_rows must be at least 1 and flush_seconds above 0.")
        self.run = RunFolder.of(path)
        self.metadata = metadata.with_state("running")
        self._schema = trace_schema(self.metadata, extra)
        self._names = frozenset(self._schema.names)  # the schema makes a new list whenever it is asked
        self._flush_rows = flush_rows
        self._flush_seconds = flush_seconds
        self._rows: list[dict[str, Any]] = []
        self._started = self._flushed_at = time.monotonic()
        self._lock = acquire(self.run.lock, self.run.trace)
        try:
            self._open(force=force, resume=resume)
        except BaseException:
            self._lock.release()
            raise

    def _open(self, *, force: bool, resume: bool) -> None:
        self._recorded: dict[int, float] = {}
        self.last_step = 0
        if not resume:
            refuse_existing(self.run.trace, force=force, hint=f"choose another path, or {_AGAIN}")
            if self.run.exists() and not force:
                raise OutputExistsError(f"{self.run.parts} holds rows of an earlier run; {_AGAIN}.")
            if force:
                self.run.remove_extras()
                self.run.trace.unlink(missing_ok=True)
                for part in part_paths(self.run):
                    part.unlink()
        with writing(self.run.parts):
            self.run.parts.mkdir(parents=True, exist_ok=True)
            for stray in self.run.parts.glob(".*.tmp"):
                stray.unlink()
        if self.run.exists():
            self._continue()

    def _continue(self) -> None:
        trace = read_trace(self.run.trace, ["d_s_t", "elapsed_s"])
        self._refuse_other_units(trace.metadata)
        if not len(trace):
            self._compact()
        else:
            self.last_step = int(trace.steps[-1])
            self.metadata = replace(self.metadata, started_at=trace.metadata.started_at)
            self._schema = self._schema.with_metadata(trace_schema(self.metadata).metadata)
            self._recorded = dict(zip(trace.steps.tolist(), trace.series("d_s_t").tolist(), strict=True))
            self._compact()
            with suppress(TraceError):  # a log without times: the clock starts anew
                self._started -= float(trace.series("elapsed_s")[-1])

    def _refuse_other_units(self, old: TraceMetadata) -> None:
        for fact in ("epsilon", "energy_sign", "producer"):
            before, now = getattr(old, fact), getattr(self.metadata, fact)
            if before != now:
                raise TraceError(
                    f"{self.path} was written with {fact} {before!r} and cannot be continued with {now!r}; "
                    "choose another path."
                )

    @property
    def path(self) -> Path:
        """The trace file."""
        return self.run.trace

    def log(self, step: int, *, gradient_norm: float, **values: Any) -> None:
        """Append a row made by :func:`ebmdiag.iteration_row` from the raw energies F and the mean ‖∇F‖."""
        from ebmdiag.rows import iteration_row

        self.append(iteration_row(step, gradient_norm=float(gradient_norm), epsilon=self.metadata.epsilon, **values))

    def append(self, row: Mapping[str, float | int | None]) -> None:
        """Add one row; ``elapsed_s`` is filled in when it is missing.

        Raises:
            DivergenceError: a value is not finite. The rows before are on disk, and the state is 'diverged'.
            TraceError: an unknown column, a missing required one, or a step that does not increase.
        """
        step = self._checked_step(row)
        if step in self._recorded:
            if self._recorded.pop(step) == row.get("d_s_t"):
                return
            self._rewind(step)
        checked = self._checked(row, step)
        self._rows.append({"elapsed_s": time.monotonic() - self._started, **checked, "step": step})
        self.last_step = step
        if len(self._rows) >= self._flush_rows or time.monotonic() - self._flushed_at >= self._flush_seconds:
            self.flush()

    def _checked_step(self, row: Mapping[str, float | int | None]) -> int:
        step = row.get("step")
        if isinstance(step, bool) or not isinstance(step, int | np.integer) or step < 1:
            raise TraceError(f"{self.path}: 'step' must be a whole number from 1, but is {step!r}.")
        if step <= self.last_step and step not in self._recorded:
            raise TraceError(f"{self.path}: steps must increase, but step {step} comes after step {self.last_step}.")
        return int(step)

    def _checked(self, row: Mapping[str, float | int | None], step: int) -> dict[str, float | None]:
        """The row in plain floats: what Arrow refuses later would cost the rows beside it."""
        checked: dict[str, float | None] = {}
        for name, value in row.items():
            if name not in self._names:
                raise TraceError(
                    f"{self.path}: unknown column '{name}'{nearest(name, self._schema.names)} "
                    "Name your own columns when you open the writer: extra=[…]."
                )
            if value is None:
                checked[name] = None
                continue
            try:
                number = float(value)
            except (TypeError, ValueError, OverflowError) as error:
                raise TraceError(
                    f"{self.path}: column '{name}' at step {step} must be a number, but is {value!r}."
                ) from error
            if not math.isfinite(number):
                self._diverge(name, number, step)
            checked[name] = number
        for name in _REQUIRED:
            if row.get(name) is None:
                raise TraceError(f"{self.path}: the row of step {step} has no '{name}', which every row needs.")
        return checked

    def _diverge(self, name: str, value: float, step: int) -> None:
        message = f"{name} is {value} at step {step}"
        self.metadata = self.metadata.with_state("diverged", message)
        self.flush()
        raise DivergenceError(f"{message}; the rows before are kept in {self.path}.")

    def flush(self) -> None:
        """Write the rows held in memory as a part.

        Raises:
            WriteError: the operating system refused; the rows stay in memory.
        """
        self._flushed_at = time.monotonic()
        if not self._rows:
            return
        columns = {name: [row.get(name) for row in self._rows] for name in self._schema.names}
        table = pa.table(columns, schema=self._schema)
        first = int(self._rows[0]["step"])
        _write(self.run.parts / f"part-{first:010d}.parquet", iter([table]), self._schema)
        self._rows.clear()
        if len(part_paths(self.run)) >= _COMPACT_AT_PARTS:
            self._compact()

    def _rewind(self, step: int) -> None:
        """Forget all recorded rows from ``step`` on: the resumed run took another way."""
        self.flush()
        self._compact(before=step)
        self._recorded.clear()
        self.last_step = step - 1

    def _compact(self, before: int | None = None) -> None:
        """Merge trace file and parts into the trace file, then remove the parts."""
        parts = part_paths(self.run)
        sources = ([self.run.trace] if self.run.trace.exists() else []) + parts
        if not sources:
            return
        if parts and before is not None:  # in two steps: a kill between must not bring old parts back
            self._compact()
            sources, parts = [self.run.trace], []
        schema = self._schema.with_metadata(trace_schema(self.metadata).metadata)
        _write(self.run.trace, _merged(sources, before, schema), schema)
        for part in parts:
            part.unlink()

    def close(self, state: RunState = "finished", message: str | None = None) -> None:
        """Write what is left, compact to the one file, and let the run go."""
        if not self._lock.is_locked:
            return
        if self.metadata.state != "diverged":
            self.metadata = self.metadata.with_state(state, message)
        try:
            self.flush()
            if not part_paths(self.run) and not self.run.trace.exists():
                _write(self.run.trace, iter([self._schema.empty_table()]), self._schema)
            self._compact()
            with suppress(OSError):  # the folder stays if something of the user's lies in it
                self.run.parts.rmdir()
        finally:
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.close("finished")
            return
        try:
            self.close("interrupted", f"{type(error).__name__}: {error}".removesuffix(": ")[:500])
        except WriteError as refused:  # the first error is the one to show; the parts on disk stay readable
            if str(refused) != str(error):
                error.add_note(str(refused))


def _write(path: Path, tables: Iterator[pa.Table], schema: pa.Schema) -> None:
    with replacing(path) as beside, _parquet_writer(beside, schema) as writer:
        for table in tables:
            if table.num_rows or path.name.startswith("part-"):
                writer.write_table(table)


def _parquet_writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    return pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True)


def _merged(sources: list[Path], before: int | None, schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows of all sources in order, each step once, cast to one schema; never all in memory at once."""
    last: int | None = None
    held: list[pa.Table] = []  # so that many small parts become few row groups
    for path in sources:
        piece = rows_after(read_piece(path), last)
        if piece.num_rows:
            last = int(piece.column("step")[-1].as_py())
        if before is not None:
            piece = piece.slice(0, int(np.searchsorted(integers(piece.column("step")), before, side="left")))
        held.append(_conform(piece, schema))
        if sum(len(table) for table in held) >= _ROW_GROUP:
            yield pa.concat_tables(held)
            held.clear()
    if held:
        yield pa.concat_tables(held)


def _conform(piece: pa.Table, schema: pa.Schema) -> pa.Table:
    """The piece in the given columns: an absent one is all null, one that would be lost is an error."""
    lost = [name for name in piece.column_names if name not in schema.names]
    if lost:
        raise TraceError(
            f"the existing trace has the columns {', '.join(lost)}, which this writer does not; "
            "name them in extra=[…] or write to another path."
        )
    arrays = [
        piece.column(field.name) if field.name in piece.column_names else pa.nulls(piece.num_rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)
