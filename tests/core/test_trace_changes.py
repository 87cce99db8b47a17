"""A trace that is replaced, moved or merged while it is read: one history, or one sentence."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from report_files import fake_analysis, install_analyses

from ebmdiag import TraceWriter
from ebmdiag.cli.main import call
from ebmdiag.columns import Column
from ebmdiag.errors import TraceError
from ebmdiag.metadata import TraceMetadata
from ebmdiag.pieces import look, read_columns, read_into, signature
from ebmdiag.report.diagnosis import diagnose
from ebmdiag.report.gather import gather
from ebmdiag.runfolder import RunFolder
from ebmdiag.schema import trace_schema
from ebmdiag.stored import Store, TraceChanged
from ebmdiag.trace import open_trace, part_paths

METADATA = TraceMetadata.create(epsilon=0.1, producer="test", state="finished", started_at="")
ANEW = r"a\.parquet was written anew while it was read; try again"


def write_file(path, columns, rows=100, start=1, metadata=METADATA, own=()):
    """A trace file made by hand; what is not given is absent."""
    schema = trace_schema(metadata, own)
    columns = {"step": np.arange(start, start + rows), "d_s_t": np.arange(rows) * 1.0} | columns
    arrays = [pa.array(columns[f.name], f.type) if f.name in columns else pa.nulls(rows, f.type) for f in schema]
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(arrays, schema=schema), "beside.tmp")
    Path("beside.tmp").replace(path)


def log(writer, first, last, value):
    for step in range(first, last + 1):
        writer.append({"step": step, "d_s_t": float(value), "r_t": float(value)})


# one history


def rewind():
    with TraceWriter("a.parquet", epsilon=0.1, resume=True) as writer:
        log(writer, 51, 100, 2)


def resume_further():
    with TraceWriter("a.parquet", epsilon=0.1, resume=True) as writer:
        log(writer, 91, 120, 1)


def begin_anew():
    begun = open_trace("a.parquet").metadata.started_at
    metadata = replace(METADATA, started_at=begun, producer="ebmdiag.TraceWriter")
    with TraceWriter("a.parquet", metadata=metadata, force=True) as writer:
        log(writer, 1, 100, 3)


@pytest.mark.parametrize("change", [rewind, begin_anew])
def test_rows_of_two_histories_are_not_mixed(workplace, change):
    with TraceWriter("a.parquet", epsilon=0.1) as writer:
        log(writer, 1, 100, 1)
    trace = open_trace("a.parquet")
    assert (trace.values("d_s_t") == 1).all()
    change()
    for name in ("r_t", "d_s_t"):
        with pytest.raises(TraceChanged, match=ANEW):
            trace.values(name)


def test_a_run_that_only_goes_on_is_the_same_history(workplace):
    with TraceWriter("a.parquet", epsilon=0.1) as writer:
        log(writer, 1, 100, 1)
    trace = open_trace("a.parquet")
    assert (trace.values("d_s_t") == 1).all()
    resume_further()
    assert trace.values("r_t").tolist() == [1.0] * 100
    assert len(open_trace("a.parquet")) == 120


def test_rows_rewound_after_those_in_use_do_not_matter(workplace):
    with TraceWriter("a.parquet", epsilon=0.1) as writer:
        log(writer, 1, 100, 1)
    trace = open_trace("a.parquet").between(1, 50)
    assert (trace.values("d_s_t") == 1).all()
    rewind()
    assert (trace.values("r_t") == 1).all()


@pytest.mark.parametrize("epsilon", [0.1, 0.2])
@pytest.mark.parametrize("same_d", [True, False])
def test_another_log_imported_in_its_place(workplace, epsilon, same_d):
    """Without a date, with the same steps, perhaps with the same d: only what it says, and said, tells them apart."""
    for place, factor in enumerate((1, 2)):
        d = 1 if same_d else factor
        lines = [f"{step},{d + step / 1000},{factor}" for step in range(1, 51)]
        Path(f"{place}.csv").write_text("\n".join(["step,d_s_t,r_t", *lines]))
    Path("log.csv").write_text(Path("0.csv").read_text())
    assert call(["import", "log.csv", "-o", "a.parquet", "--epsilon", "0.1"]) == 0
    trace = open_trace("a.parquet")
    assert trace.values("r_t")[0] == 1
    trace.values("d_s_t")
    Path("log.csv").write_text(Path("1.csv").read_text())
    assert call(["import", "log.csv", "-o", "a.parquet", "--epsilon", str(epsilon), "--force"]) == 0
    with pytest.raises(TraceChanged, match=ANEW):
        trace.values("v_t")


@pytest.mark.parametrize("seen", ["columns", "table", "gaps"])
def test_whatever_was_handed_out_is_held_to(workplace, seen):
    """The list of columns, a table, and where a column has gaps: r_t differs in one of these only."""
    r = {"columns": None, "table": np.arange(100.0), "gaps": [float("nan"), *[1.0] * 99]}[seen]
    other = {"columns": [1.0] * 100, "table": np.arange(100.0) + 1, "gaps": [None, *[1.0] * 99]}[seen]
    write_file("a.parquet", {} if r is None else {"r_t": pa.array(r, from_pandas=False)})
    handed_out = {"columns": lambda t: t.columns, "table": lambda t: t.table, "gaps": lambda t: t.values("r_t")}[seen]
    trace, blind = open_trace("a.parquet"), open_trace("a.parquet")
    handed_out(trace)
    write_file("a.parquet", {"r_t": pa.array(other, from_pandas=False)})
    assert len(blind.values("d_s_t")) == 100
    with pytest.raises(TraceChanged, match=ANEW):
        trace.values("d_s_t")


def test_a_column_that_is_gone_is_no_column_without_values(workplace):
    write_file("a.parquet", {"mine": [1.0] * 100}, own=("mine",))
    trace = open_trace("a.parquet")
    write_file("a.parquet", {})
    with pytest.raises(TraceChanged, match=ANEW):
        trace.rows.column("mine")


def test_rows_that_appear_in_front(workplace):
    """The rows seen at first are found where they lie now, by their steps."""
    values = np.arange(100.0)
    write_file("a.parquet", {"r_t": values[50:], "d_s_t": values[50:]}, rows=50, start=51)
    trace = open_trace("a.parquet")
    assert trace.series("d_s_t")[0] == 50
    write_file("a.parquet", {"r_t": values, "d_s_t": values})
    assert trace.series("r_t").tolist() == values[50:].tolist()
    assert trace.between(61, 70).series("r_t").tolist() == values[60:70].tolist()
    assert trace.table.column("r_t").to_pylist() == values[50:].tolist()


# races


def test_a_file_of_the_same_size_is_another_one(workplace):
    write_file("a.parquet", {})
    first = signature(Path("a.parquet"))
    size = Path("a.parquet").stat()
    shutil.copyfile("a.parquet", "b.parquet")
    os.utime("b.parquet", ns=(size.st_atime_ns, size.st_mtime_ns))
    Path("b.parquet").replace("a.parquet")
    by_inode = signature(Path("a.parquet"))
    os.utime("a.parquet", ns=(size.st_atime_ns, size.st_mtime_ns + 1))
    assert len({first, by_inode, signature(Path("a.parquet"))}) == 3


@pytest.fixture
def two_parts(workplace):
    run = RunFolder.of("a.parquet")
    write_file(run.trace, {})
    for start in (101, 111):
        write_file(run.parts / f"part-{start:010d}.parquet", {}, rows=10, start=start)
    return run


def merge(run):
    """What a writer does: the rows go into the trace file, then the parts go."""
    write_file(run.trace, {}, rows=120)
    for path in part_paths(run):
        path.unlink()


@pytest.mark.parametrize("moment", [1, 2, 3])
def test_parts_that_are_merged_while_they_are_looked_for(two_parts, monkeypatch, moment):
    """Before the trace file, the first part or the second part is looked at: a part is gone, or all are in twice."""
    calls = []

    def looked(path, *arguments):
        calls.append(path.name)
        if len(calls) == moment:
            merge(two_parts)
        return look(path, *arguments)

    monkeypatch.setattr("ebmdiag.layout.look", looked)
    assert open_trace("a.parquet").steps.tolist() == list(range(1, 121))
    assert len(calls) > moment


def test_parts_merged_between_listing_and_looking(two_parts, monkeypatch):
    """Listed are none, since all have gone into a trace file that was looked at before: its rows would be missing."""
    calls = []

    def look_then_merge(path, *arguments):
        found = look(path, *arguments)
        calls.append(path)
        if len(calls) == 3:
            write_file(two_parts.trace, {}, rows=130)
        return found

    monkeypatch.setattr("ebmdiag.layout.look", look_then_merge)
    assert len(open_trace("a.parquet")) == 130


def test_small_parts_are_kept_up_to_so_many_values(two_parts, monkeypatch):
    width = len(trace_schema(METADATA))
    for kept, expected in ((0, 0), (10 * width - 1, 0), (10 * width, 1), (20 * width - 1, 1), (20 * width, 2)):
        monkeypatch.setattr("ebmdiag.layout._KEPT", kept)
        pieces = Store(two_parts).layout.pieces
        assert pieces[0].table is None
        assert sum(piece.table is not None for piece in pieces) == expected


def test_a_wide_part_is_not_kept_though_it_has_few_rows(workplace, monkeypatch):
    monkeypatch.setattr("ebmdiag.layout._KEPT", 1000)
    own = [f"own_{place}" for place in range(200)]
    write_file("a/trace/part-0000000001.parquet", {}, rows=10, own=own)
    assert Store(RunFolder.of("a")).layout.pieces[0].table is None


@pytest.mark.parametrize("other", [{"rows": 90}, {"rows": 110}, {"own": ()}])
def test_a_file_with_other_rows_or_columns_than_were_looked_at(workplace, other):
    """A column is neither filled in part, nor another exception than the one that makes the store look again."""
    write_file("a.parquet", {"mine": [1.0] * 100}, own=("mine",))
    piece, _ = look(Path("a.parquet").absolute(), Path("a.parquet"))
    rows = other.get("rows", 100)
    write_file("a.parquet", {"mine": [1.0] * rows}, **{"own": ("mine",)} | other)
    place = Column(np.full(100, np.nan), np.zeros(100, dtype=np.bool_))
    with pytest.raises(TraceError, match="not the rows and columns that were there at first"):
        read_into(place, piece, "mine", 0)
    with pytest.raises(TraceError, match="not the rows and columns that were there at first"):
        read_columns(piece, ["d_s_t", "mine"])


# places


def test_the_working_directory_may_change(workplace, monkeypatch):
    """Columns are read, and looked for again, where they were; a complaint names the path as it was given."""
    write_file("a.parquet", {"r_t": [2.0] * 100})
    write_file("a/trace/part-0000000101.parquet", {"r_t": [3.0] * 10}, rows=10, start=101)
    trace = open_trace("a.parquet")
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    assert trace.series("r_t").tolist() == [2.0] * 100 + [3.0] * 10
    assert str(trace.path) == "a.parquet"
    Path("../a/trace/part-0000000101.parquet").touch()
    assert trace.series("r_t").tolist() == [2.0] * 100 + [3.0] * 10
    Path("../a.parquet").write_bytes(b"no Parquet")
    with pytest.raises(TraceError, match=r"^a\.parquet cannot be read as Parquet"):
        trace.series("r_t")


# a diagnosis


@pytest.fixture
def changing(workplace, monkeypatch):
    """Two analyses of d and then r; before r is read for the first times, the trace is replaced."""

    def install(changes):
        left = list(changes)

        def read_d(trace, options):
            trace.values("d_s_t")
            return fake_analysis().analyse(trace, options)

        def read_r(trace, options):
            if left:
                left.pop(0)()
            trace.values("r_t")
            return fake_analysis().analyse(trace, options)

        one, two = (replace(fake_analysis(), name=name) for name in ("one", "two"))
        install_analyses(monkeypatch, replace(one, analyse=read_d), replace(two, analyse=read_r))

    write(1)
    return install


def write(value):
    write_file("a.parquet", {"d_s_t": [float(value)] * 100, "r_t": [float(value)] * 100})


@pytest.mark.parametrize("judge", [diagnose, gather])
def test_a_diagnosis_of_a_trace_that_is_replaced_begins_anew_once(changing, judge):
    changing([lambda: write(2)])
    found = judge(Path("a.parquet"))
    assert [answer.failure for answer in found.answers] == ["", ""]
    changing([lambda: write(3), lambda: write(4)])
    with pytest.raises(TraceChanged, match=ANEW):
        judge(Path("a.parquet"))


def test_a_diagnosis_of_a_trace_that_is_deleted_gives_no_verdict(changing, capsys):
    changing([Path("a.parquet").unlink])
    assert call(["diagnose", "a.parquet"]) == 3
    said = capsys.readouterr()
    assert "a.parquet: no such trace" in said.err
    assert said.out == ""
