"""Rows that stay in their files: the same as those in memory, one snapshot, and few columns at a time."""

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ebmdiag import TraceWriter, read_trace
from ebmdiag.analysis import Analysis
from ebmdiag.errors import TraceError, UsageError
from ebmdiag.metadata import TraceMetadata
from ebmdiag.registry import ANALYSES, load
from ebmdiag.report import answers, diagnosis
from ebmdiag.report.diagnosis import diagnose
from ebmdiag.report.gather import gather
from ebmdiag.result import Result
from ebmdiag.runfolder import RunFolder
from ebmdiag.schema import trace_schema
from ebmdiag.trace import open_trace, part_paths

METADATA = replace(
    TraceMetadata.create(epsilon=0.1, producer="test", state="finished"), started_at="2020-01-01T00:00:00+00:00"
)
LOOKED_AT = ("step", "d_s_t", "r_t", "ksd", "v_t")


def same(one, other):
    """Whether two traces say the same, column by column, also of what is absent."""
    assert one.names == other.names
    assert one.columns == other.columns
    assert one.steps.tolist() == other.steps.tolist()
    assert one.metadata == other.metadata
    for name in {*LOOKED_AT, one.names[-1]}:
        a, b = one.rows.column(name), other.rows.column(name)
        np.testing.assert_array_equal(a.values, b.values)
        np.testing.assert_array_equal(present(a), present(b))
    assert one.table.equals(other.table)


def present(column):
    return np.ones(len(column.values), dtype=bool) if column.present is None else column.present


def write_file(path, rows=400, filled=("d_s_t", "r_t"), sparse=("ksd",), *, start=1, group=50, **options):
    """A trace file in small row groups; sparse columns have a value in the second half's every seventh row."""
    schema = trace_schema(METADATA)
    rng = np.random.default_rng(rows)
    now_and_then = [float(row) if row > rows / 2 and row % 7 == 0 else None for row in range(rows)]
    columns = {name: rng.standard_normal(rows) for name in filled} | dict.fromkeys(sparse, now_and_then)
    columns["step"] = np.arange(start, start + rows)
    arrays = [
        pa.array(columns[one.name], one.type) if one.name in columns else pa.nulls(rows, one.type) for one in schema
    ]
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(arrays, schema=schema), path, row_group_size=group, **options)
    return Path(path)


def reference(path):
    """The file by pyarrow's own hand."""
    return pq.read_table(path)


@pytest.mark.parametrize("options", [{}, {"write_statistics": False}, {"group": 400}, {"group": 7}])
@pytest.mark.parametrize("ends", [(None, None), (1, 120), (190, 260), (301, 399), (230, 230)])
def test_columns_are_what_the_file_holds(workplace, options, ends):
    path = write_file("a.parquet", **options)
    whole = reference(path)
    rows = slice((ends[0] or 1) - 1, ends[1])
    trace = open_trace(path).between(*ends)
    same(trace, read_trace(path).between(*ends))
    held = [name for name in whole.column_names if any(v is not None for v in whole.column(name).to_pylist()[rows])]
    assert trace.columns == tuple(held)
    for name in LOOKED_AT:
        expected = np.array([np.nan if v is None else v for v in whole.column(name).to_pylist()[rows]], dtype=float)
        np.testing.assert_array_equal(trace.rows.column(name).values, expected)


def test_a_value_that_is_no_number_is_not_an_absent_one(workplace):
    path = write_file("a.parquet", filled=("d_s_t",), sparse=())
    table = reference(path)
    values = [None, float("nan"), *[1.0] * 398]
    place = table.column_names.index("r_t")
    pq.write_table(table.set_column(place, table.schema.field("r_t"), pa.array(values)), path)
    trace = open_trace(path)
    assert trace.rows.column("r_t").present[:3].tolist() == [False, True, True]
    assert np.isnan(trace.values("r_t")[:2]).all()
    with pytest.raises(TraceError, match=r"2 of 400 values are not finite .the first, missing, at step 1"):
        trace.series("r_t")


@pytest.fixture(params=[0, 35, 100_000])
def kept(request, monkeypatch):
    """How many rows of parts lie in memory: none, some, all."""
    monkeypatch.setattr("ebmdiag.layout._KEPT", request.param * len(trace_schema(METADATA)))


def test_parts_duplicates_and_columns_of_some_pieces_only(workplace, kept):
    """The trace file, a part that was merged already, one that overlaps, one with a column that no other has."""
    run = RunFolder.of("a.parquet")
    write_file(run.trace, 100)
    for start, rows in ((41, 30), (91, 30), (121, 10)):
        write_file(run.parts / f"part-{start:010d}.parquet", rows, start=start)
    last = run.parts / "part-0000000121.parquet"
    pq.write_table(reference(last).append_column("mine", pa.array(np.arange(10.0))), last)
    trace = open_trace(run.trace)
    same(trace, read_trace(run.trace))
    assert trace.steps.tolist() == list(range(1, 131))
    expected = np.concatenate(
        [
            reference(run.trace)["d_s_t"],
            reference(run.parts / "part-0000000091.parquet")["d_s_t"][10:],
            reference(last)["d_s_t"],
        ]
    )
    assert trace.series("d_s_t").tolist() == expected.tolist()
    assert trace.measured("mine")[0].tolist() == list(range(121, 131))
    same(trace.between(95, 125), read_trace(run.trace).between(95, 125))


def test_narrower_traces(workplace):
    trace = open_trace(write_file("a.parquet"))
    few = trace.only(["r_t", "absent"])
    assert few.table.column_names == ["step", "r_t"]
    assert few.latest(3).steps.tolist() == [398, 399, 400]
    assert len(few.latest(1000)) == 400
    with pytest.raises(UsageError, match=r"no column 'absent'\. It has: step, r_t"):
        few.series("absent")
    with pytest.raises(TraceError, match="'v_t' is empty; it has values in: step, d_s_t, r_t, ksd"):
        trace.series("v_t")
    with pytest.raises(ValueError, match="read-only"):
        trace.steps[0] = 7
    assert repr(trace) == "Trace('a.parquet', 400 rows, finished)"


# one snapshot


def log(writer, first, last):
    for step in range(first, last + 1):
        writer.append({"step": step, "d_s_t": float(step), "r_t": -float(step)})


def test_a_run_that_grows_and_merges_its_parts_is_seen_as_it_was(workplace, kept):
    with TraceWriter("a.parquet", epsilon=0.1, flush_rows=5) as writer:
        log(writer, 1, 20)
        trace = open_trace("a.parquet")
        assert trace.series("d_s_t").tolist() == list(range(1, 21))
        log(writer, 21, 33)
        assert trace.series("r_t").tolist() == [-step for step in range(1, 21)]
        writer._compact()
        assert not part_paths(writer.run)
        log(writer, 34, 40)
        assert trace.between(15).series("r_t").tolist() == [-step for step in range(15, 21)]
        assert trace.table.column("d_s_t").to_pylist() == list(range(1, 21))
    assert trace.series("d_s_t").tolist() == list(range(1, 21))
    assert len(open_trace("a.parquet")) == 40


def test_other_rows_in_their_place_are_refused(workplace):
    write_file("a.parquet")
    trace = open_trace("a.parquet")
    write_file("a.parquet", 300)
    with pytest.raises(TraceError, match=r"a\.parquet was written anew while it was read; try again"):
        trace.series("d_s_t")
    Path("a.parquet").unlink()
    with pytest.raises(TraceError, match="no such trace"):
        trace.series("d_s_t")


def test_a_run_begun_anew_is_refused_though_it_has_the_same_steps(workplace):
    for place in range(2):
        metadata = replace(METADATA, started_at=f"2020-01-0{place + 1}T00:00:00+00:00")
        with TraceWriter("a.parquet", metadata=metadata, force=True) as writer:
            log(writer, 1, 20)
        if place == 0:
            trace = open_trace("a.parquet")
    with pytest.raises(TraceError, match="was written anew"):
        trace.series("d_s_t")


def test_a_file_replaced_in_the_middle_of_reading_is_read_again(workplace, monkeypatch):
    """The first reading sees a file with other row groups: its rows must not be handed out."""
    from ebmdiag import stored

    write_file("a.parquet", group=50)
    trace = open_trace("a.parquet")
    expected = reference("a.parquet")["d_s_t"].to_pylist()
    plain, tries = stored.read_into, []

    def read_into(*arguments):
        tries.append(arguments)
        if len(tries) == 1:
            write_file("a.parquet", group=33)
        plain(*arguments)

    monkeypatch.setattr(stored, "read_into", read_into)
    assert trace.series("d_s_t").tolist() == expected
    assert len(tries) == 2


def test_damage_in_a_column_is_one_sentence_when_it_is_asked_for(workplace):
    path = write_file("a.parquet", group=400, compression="zstd")
    place = pq.ParquetFile(path).metadata.row_group(0).column(1)
    assert place.path_in_schema == "d_s_t"
    broken = bytearray(path.read_bytes())
    begin = place.dictionary_page_offset or place.data_page_offset
    broken[begin : begin + place.total_compressed_size] = b"\xff" * place.total_compressed_size
    path.write_bytes(broken)
    trace = open_trace(path)
    assert len(trace.series("r_t")) == 400
    with pytest.raises(TraceError, match="cannot be read as Parquet"):
        trace.series("d_s_t")


# memory

_ROWS, _COLUMNS = 50_000, 40
_POOLS = []  # what was allocated in a pool must not outlive it


def most_held(function):
    """The most that NumPy and Arrow held at once, in columns of float64."""
    usual, pool = pa.default_memory_pool(), pa.proxy_memory_pool(pa.default_memory_pool())
    _POOLS.append(pool)
    pa.set_memory_pool(pool)
    tracemalloc.start()
    try:
        function()
        return (tracemalloc.get_traced_memory()[1] + pool.max_memory()) / (8 * _ROWS)
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(usual)


@pytest.fixture
def wide(workplace):
    names = [name for name in trace_schema(METADATA).names if name != "step"]
    return write_file("wide.parquet", _ROWS, names[:_COLUMNS], (), group=10_000)


@pytest.fixture
def only(monkeypatch):
    """Registers one analysis alone, and no rules."""

    def register(analysis):
        monkeypatch.setattr(answers, "registered", lambda kind: {"one": None})
        monkeypatch.setattr(answers, "load", lambda kind, name: analysis)
        monkeypatch.setattr(diagnosis, "registered", lambda kind: {})

    return register


def whole_table(summary):
    """The summary, by way of the whole table."""

    def analyse(trace, options):
        return summary.analyse(replace(trace, rows=trace.table), options)

    return replace(summary, analyse=analyse)


def test_a_diagnosis_of_many_columns_holds_few_at_once(wide, only):
    summary: Analysis = load(ANALYSES, "summary")
    found = []
    only(summary)
    assert most_held(lambda: found.append(diagnose(wide))) < _COLUMNS / 2
    only(whole_table(summary))
    assert most_held(lambda: found.append(diagnose(wide))) > _COLUMNS
    one, other = (run.answers[0].result.to_json() for run in found)
    assert one == other
    assert len(one["settings"]["columns"]) > _COLUMNS - 3


def test_what_a_report_gathers_holds_few_columns_at_once(wide, only):
    none = Analysis("one", "One", "One.", dict, lambda trace, _: Result("one", "", 0), lambda _: [], list, list)
    only(none)
    assert most_held(lambda: gather(wide)) < _COLUMNS / 2
    only(replace(none, analyse=lambda trace, _: Result("one", str(trace.table.num_rows), 0)))
    assert most_held(lambda: gather(wide)) > _COLUMNS


def test_columns_without_a_value_take_no_room_in_a_table(workplace, monkeypatch):
    path = write_file("narrow.parquet", _ROWS, group=10_000)
    monkeypatch.setattr("ebmdiag.pieces._TOGETHER", 2 * _ROWS)
    assert most_held(lambda: read_trace(path)) < _COLUMNS / 2
    monkeypatch.setattr("ebmdiag.pieces._TOGETHER", 1000 * _ROWS)
    assert most_held(lambda: read_trace(path)) > _COLUMNS
