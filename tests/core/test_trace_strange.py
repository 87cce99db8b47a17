"""Traces that are odd: wide, with steps beyond float64, damaged, or no regular files at all."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ebmdiag import TraceWriter, open_trace, read_trace
from ebmdiag.cli.main import call
from ebmdiag.errors import TraceError, UsageError
from ebmdiag.metadata import TraceMetadata
from ebmdiag.pieces import part_paths
from ebmdiag.runfolder import RunFolder
from ebmdiag.schema import trace_schema

METADATA = TraceMetadata.create(epsilon=0.1, producer="test", state="finished", started_at="")
READERS = pytest.mark.parametrize("reader", [open_trace, read_trace])


def write_file(steps, columns, own=(), **options):
    schema = trace_schema(METADATA, own)
    columns = {"step": steps, "d_s_t": np.arange(len(steps)) * 1.0} | columns
    arrays = [pa.array(columns[f.name], f.type) if f.name in columns else pa.nulls(len(steps), f.type) for f in schema]
    pq.write_table(pa.table(arrays, schema=schema), "a.parquet", **options)


@pytest.fixture
def opened(monkeypatch):
    """How often a Parquet file is opened."""
    times, plain = [], pq.ParquetFile

    def counted(*arguments, **options):
        times.append(arguments)
        return plain(*arguments, **options)

    monkeypatch.setattr(pq, "ParquetFile", counted)
    return times


# many columns


@pytest.mark.parametrize("group", [7, 400])
def test_columns_with_values_are_found_in_one_opening(workplace, opened, group, monkeypatch):
    """With values at the end only, in the middle only, nowhere, or a NaN that was written."""
    own = [f"own_{place}" for place in range(300)]
    where = {place: place * 2 for place in range(0, 200, 3)}
    columns = {own[place]: [1.0 if row == at else None for row in range(400)] for place, at in where.items()}
    columns["r_t"] = pa.array([None] * 399 + [float("nan")], from_pandas=False)
    write_file(range(1, 401), columns, own, row_group_size=group)
    trace = open_trace("a.parquet")
    opened.clear()
    assert set(trace.columns) == {"step", *columns, "d_s_t"}
    assert len(opened) == 1
    assert [trace.rows.is_empty(name) for name in own] == [name not in columns for name in own]
    assert len(opened) == 1
    some = trace.between(101, 200)
    assert set(some.columns) == {"step", "d_s_t", *(own[place] for place, at in where.items() if 100 <= at < 200)}
    monkeypatch.setattr("ebmdiag.pieces._BATCH", 64)  # as of a trace that is read in several batches
    assert open_trace("a.parquet").columns == trace.columns
    assert open_trace("a.parquet").between(101, 200).columns == some.columns


@READERS
def test_a_complaint_names_twenty_columns_at_most(workplace, reader):
    own = [f"own_{place:02}" for place in range(30)]
    write_file([1, 2], {name: [1.0, 2.0] for name in own}, own)
    with pytest.raises(UsageError, match=r"It has: step, d_s_t, own_00, .*, own_17 and 12 more"):
        reader("a.parquet").series("nothing_like_it")


# steps


@READERS
def test_steps_beyond_what_float64_tells_apart(workplace, reader, capsys):
    first = 2**53 + 1
    write_file([first + row for row in range(100)], {})
    trace = reader("a.parquet")
    assert trace.steps[0] == first
    assert trace.series("step").tolist() == [float(first + row) for row in range(100)]
    assert call(["summary", "a.parquet", "--column", "step"]) == 0


# slices and names


@READERS
@pytest.mark.parametrize(
    ("low", "high", "rows"),
    [(-3, 2, (0, 2)), (8, 99, (8, 10)), (20, 30, (10, 10)), (6, 2, (6, 6)), (-9, -2, (0, 0)), (0, 10, (0, 10))],
)
def test_a_slice_takes_the_rows_that_there_are(workplace, reader, low, high, rows):
    write_file(range(1, 11), {})
    assert reader("a.parquet").between(3, 8).rows.slice(-5, 99).steps.tolist() == list(range(3, 9))
    some = reader("a.parquet").rows.slice(low, high)
    assert some.steps.tolist() == list(range(1, 11))[slice(*rows)]
    assert some.column("d_s_t").values.tolist() == list(np.arange(10.0))[slice(*rows)]


@READERS
def test_unknown_names_are_refused_alike(workplace, reader):
    write_file([1, 2], {"r_t": [1.0, 2.0]})
    few = reader("a.parquet").only(["d_s_t"]).rows
    assert few.filled == {"step", "d_s_t"}
    for asked in (few.column, few.is_empty):
        for name in ("nothing", "r_t"):
            with pytest.raises(UsageError, match=f"no column '{name}' in these rows"):
                asked(name)


# no regular files


@READERS
def test_a_pipe_is_refused_and_not_waited_for(workplace, reader):
    os.mkfifo("a.parquet")
    with pytest.raises(TraceError, match=r"^a\.parquet is no regular file but a folder, a pipe or a device"):
        reader("a.parquet")


@READERS
def test_a_part_that_is_a_broken_link(workplace, reader):
    write_file([1, 2], {})
    Path("a/trace").mkdir(parents=True)
    Path("a/trace/part-0000000003.parquet").symlink_to("nowhere.parquet")
    with pytest.raises(TraceError, match=r"^a/trace/part-0000000003\.parquet is a link to a file that is not there"):
        reader("a.parquet")


def test_a_folder_of_parts_that_cannot_be_looked_into(workplace, monkeypatch):
    """A run's latest rows must not be left out in silence."""
    write_file([1, 2], {})
    Path("a").mkdir()
    assert part_paths(RunFolder.of("a.parquet")) == []
    Path("a/trace").write_text("a file of the user's")
    assert len(open_trace("a.parquet")) == 2

    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(
        TraceError, match=r"trace, where a run keeps its latest rows, cannot be read .Permission denied"
    ):
        open_trace("a.parquet")


# damage


def test_every_flipped_bit_of_the_values_is_noticed(workplace):
    """The writer's pages carry checksums: without them, other numbers would be handed out."""
    with TraceWriter("a.parquet", epsilon=0.1) as writer:
        for step, value in enumerate(np.random.default_rng(1).standard_normal(200), 1):
            writer.append({"step": step, "d_s_t": float(value)})
    whole = Path("a.parquet").read_bytes()
    column = pq.ParquetFile("a.parquet").metadata.row_group(0).column(1)
    header = 64  # bytes at most, which no checksum covers
    for place in range(column.dictionary_page_offset + header, column.data_page_offset, 9):
        broken = bytearray(whole)
        broken[place] ^= 4
        Path("a.parquet").write_bytes(broken)
        with pytest.raises(TraceError, match="cannot be read as Parquet"):
            open_trace("a.parquet").series("d_s_t")


def test_pages_without_a_checksum_are_read(workplace):
    write_file([1, 2], {}, write_page_checksum=False)
    assert open_trace("a.parquet").series("d_s_t").tolist() == [0, 1]
