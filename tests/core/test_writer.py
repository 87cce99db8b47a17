"""The writer: nothing lost, nothing overwritten, readable at any moment."""

import errno
import math
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import ebmdiag.locks
import ebmdiag.writer
from ebmdiag import TraceMetadata, TraceWriter, read_trace
from ebmdiag.errors import DivergenceError, OutputExistsError, TraceError, UsageError, WriteError


def row(step, d=None, **extra):
    d = math.sin(step) if d is None else d
    return {"step": step, "d_s_t": d, "r_t": 0.5, "v_t": 1.0, **extra}


def write(path, steps, **options):
    with TraceWriter(path, epsilon=0.1, **options) as writer:
        for step in steps:
            writer.append(row(step))


def steps_of(path):
    return read_trace(path).steps.tolist()


def test_rows_come_back_as_they_went(workplace):
    with TraceWriter("runs/a.parquet", epsilon=0.1, extra=["mine"], flush_rows=4) as writer:
        for step in range(1, 11):
            writer.append(row(step, mine=step / 3))
    trace = read_trace("runs/a.parquet")
    assert trace.steps.tolist() == list(range(1, 11))
    assert trace.series("d_s_t").tolist() == [math.sin(step) for step in range(1, 11)]
    assert trace.series("mine").tolist() == [step / 3 for step in range(1, 11)]
    assert trace.metadata.state == "finished"
    assert trace.metadata.temperature == 0.1**2 / 2
    assert (trace.series("elapsed_s") >= 0).all()
    assert not list(Path("runs/a").glob("trace/*"))


def test_field_metadata_comes_from_the_table(workplace):
    write("a.parquet", [1])
    field = pq.read_schema("a.parquet").field("d_s_t")
    assert not field.nullable
    assert field.metadata[b"unit"] == b"U"
    assert b"negative: expansion" in field.metadata[b"sign"]


def test_a_living_run_is_readable(workplace):
    writer = TraceWriter("a.parquet", epsilon=0.1, flush_rows=3)
    for step in range(1, 9):
        writer.append(row(step))
    trace = read_trace("a.parquet")
    assert trace.steps.tolist() == [1, 2, 3, 4, 5, 6]
    assert trace.metadata.state == "running"
    assert steps_of("a") == [1, 2, 3, 4, 5, 6]
    writer.close()
    assert steps_of("a.parquet") == list(range(1, 9))


def test_time_flushes_too(workplace):
    writer = TraceWriter("a.parquet", epsilon=0.1, flush_rows=10**6, flush_seconds=1e-9)
    writer.append(row(1))
    assert steps_of("a.parquet") == [1]
    writer.close()


def test_many_parts_are_compacted_on_the_way(workplace, monkeypatch):
    monkeypatch.setattr(ebmdiag.writer, "_COMPACT_AT_PARTS", 5)
    writer = TraceWriter("a.parquet", epsilon=0.1, flush_rows=1)
    for step in range(1, 24):
        writer.append(row(step))
        assert steps_of("a.parquet") == list(range(1, step + 1))
    assert len(list(Path("a/trace").glob("part-*"))) < 5
    writer.close()


def test_an_empty_run_is_a_trace(workplace):
    write("a.parquet", [])
    assert len(read_trace("a.parquet")) == 0


def test_nothing_is_overwritten_unasked(workplace):
    write("a.parquet", [1, 2])
    with pytest.raises(OutputExistsError, match=r"a\.parquet exists already.*--force or --resume"):
        TraceWriter("a.parquet", epsilon=0.1)
    assert steps_of("a.parquet") == [1, 2]
    write("a.parquet", [1], force=True)
    assert steps_of("a.parquet") == [1]


def test_parts_of_a_killed_run_are_not_overwritten_either(workplace):
    writer = TraceWriter("a.parquet", epsilon=0.1, flush_rows=1)
    writer.append(row(1))
    writer._lock.release()  # as the operating system does for a killed process
    assert read_trace("a.parquet").metadata.state == "interrupted"
    with pytest.raises(OutputExistsError, match="rows of an earlier run"):
        TraceWriter("a.parquet", epsilon=0.1)


def test_two_writers_at_once(workplace, monkeypatch):
    monkeypatch.setattr(ebmdiag.locks, "_PATIENCE_S", 0.0)
    with TraceWriter("a.parquet", epsilon=0.1) as writer:
        with pytest.raises(UsageError, match="another process is writing"):
            TraceWriter("a.parquet", epsilon=0.1, force=True)
        writer.append(row(1))
    assert steps_of("a.parquet") == [1]


def test_resume_appends_and_skips_what_is_there(workplace):
    write("a.parquet", range(1, 6))
    with TraceWriter("a.parquet", epsilon=0.1, resume=True) as writer:
        assert writer.last_step == 5
        for step in range(4, 9):
            writer.append(row(step))
    trace = read_trace("a.parquet")
    assert trace.steps.tolist() == list(range(1, 9))
    assert (trace.series("elapsed_s")[1:] >= trace.series("elapsed_s")[:-1]).all()


def test_resume_on_another_way_replaces_from_there(workplace):
    write("a.parquet", range(1, 8))
    with TraceWriter("a.parquet", epsilon=0.1, resume=True, flush_rows=1) as writer:
        writer.append(row(3))
        writer.append(row(4, d=9.0))
        assert steps_of("a.parquet") == [1, 2, 3, 4]
        writer.append(row(5))
    trace = read_trace("a.parquet")
    assert trace.steps.tolist() == [1, 2, 3, 4, 5]
    assert trace.series("d_s_t")[3] == 9.0


def test_resume_keeps_own_columns_or_refuses(workplace):
    with TraceWriter("a.parquet", epsilon=0.1, extra=["mine"]) as writer:
        writer.append(row(1, mine=2.0))
    with pytest.raises(TraceError, match="has the columns mine"):
        TraceWriter("a.parquet", epsilon=0.1, resume=True)
    assert read_trace("a.parquet").series("mine").tolist() == [2.0]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"step": 0, "d_s_t": 1.0}, "'step' must be a whole number from 1, but is 0"),
        ({"step": 1.5, "d_s_t": 1.0}, "but is 1.5"),
        ({"d_s_t": 1.0}, "but is None"),
        ({"step": 2, "d_s_t": 1.0}, "steps must increase, but step 2 comes after step 2"),
        ({"step": 3}, "step 3 has no 'd_s_t'"),
        ({"step": 3, "d_s_t": "x"}, "'d_s_t' at step 3 must be a number, but is 'x'"),
        ({"step": 3, "d_s_t": 1.0, "r_tt": 1.0}, "unknown column 'r_tt'; did you mean 'r_t'"),
    ],
)
def test_a_bad_row_is_refused_and_costs_nothing(workplace, bad, message):
    with TraceWriter("a.parquet", epsilon=0.1) as writer:
        writer.append(row(1))
        writer.append(row(2))
        with pytest.raises(TraceError, match=message):
            writer.append(bad)
        writer.append(row(3))
    assert steps_of("a.parquet") == [1, 2, 3]


def write_values(*values):
    with TraceWriter("a.parquet", epsilon=0.1) as writer:
        for step, d in enumerate(values, 1):
            writer.append(row(step, d=d))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_ends_the_run_as_diverged(workplace, value):
    with pytest.raises(DivergenceError, match=r"d_s_t is .* at step 3; the rows before are kept"):
        write_values(0.0, 1.0, value)
    trace = read_trace("a.parquet")
    assert trace.steps.tolist() == [1, 2]
    assert trace.metadata.state == "diverged"
    assert "step 3" in trace.metadata.message


def test_an_exception_in_the_loop_keeps_the_rows(workplace):
    with pytest.raises(TraceError, match="must be a number"):
        write_values(0.5, "not a number")
    trace = read_trace("a.parquet")
    assert trace.steps.tolist() == [1]
    assert trace.metadata.state == "interrupted"
    assert "must be a number" in trace.metadata.message


def test_a_full_disk_loses_no_flushed_row(workplace, monkeypatch):
    real = pq.ParquetWriter.write_table

    def full(self, table, *args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    writer = TraceWriter("a.parquet", epsilon=0.1, flush_rows=2)
    for step in (1, 2, 3):
        writer.append(row(step))
    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with pytest.raises(WriteError, match="no space left on the device"):
        writer.append(row(4))
    assert steps_of("a.parquet") == [1, 2]
    assert not list(Path("a/trace").glob(".*"))
    monkeypatch.setattr(pq.ParquetWriter, "write_table", real)
    writer.close()
    assert steps_of("a.parquet") == [1, 2, 3, 4]


def test_bad_names(workplace):
    for name in ("Mine", "1x", "a b", "x" * 64):
        with pytest.raises(UsageError, match="must be lower_snake_case"):
            TraceWriter("a.parquet", epsilon=0.1, extra=[name])
    with pytest.raises(UsageError, match="is one of the trace's own"):
        TraceWriter("a.parquet", epsilon=0.1, extra=["v_t"])
    with pytest.raises(UsageError, match="different names"):
        TraceWriter("a.parquet", epsilon=0.1, extra=["x", "x"])
    with pytest.raises(UsageError, match=r"a trace is a \.parquet file"):
        TraceWriter("a.csv", epsilon=0.1)
    with pytest.raises(UsageError, match="needs epsilon"):
        TraceWriter("a.parquet")


def test_other_units_are_never_mixed(workplace):
    write("a.parquet", [1, 2])
    before = Path("a.parquet").read_bytes()
    with pytest.raises(TraceError, match=r"written with epsilon 0.1 and cannot be continued with 1.0"):
        TraceWriter("a.parquet", epsilon=1.0, resume=True)
    assert Path("a.parquet").read_bytes() == before


def test_numbers_of_any_kind_are_taken_as_floats(workplace):
    np = pytest.importorskip("numpy")
    with TraceWriter("a.parquet", epsilon=0.1) as writer:
        writer.append({"step": np.int64(1), "d_s_t": np.float32(0.5), "r_t": "0.25"})
        with pytest.raises(TraceError, match="'d_s_t' at step 2 must be a number"):
            writer.append({"step": 2, "d_s_t": 10**400})
    trace = read_trace("a.parquet")
    assert (trace.series("d_s_t")[0], trace.series("r_t")[0]) == (0.5, 0.25)


def test_force_clears_what_the_old_run_left_beside_its_trace(workplace):
    write("a.parquet", [1])
    for name in ("landscape", "samples", "checkpoints"):
        (Path("a") / name).mkdir()
        (Path("a") / name / "old").touch()
    write("a.parquet", [1], force=True)
    assert [path.name for path in Path("a").iterdir()] == ["lock"]


ENDLESS = """
import sys, math
from ebmdiag import TraceWriter
import ebmdiag.writer
ebmdiag.writer._COMPACT_AT_PARTS = 6
with TraceWriter(sys.argv[1], epsilon=0.1, flush_rows=3, resume=True) as writer:
    step = writer.last_step
    while True:
        step += 1
        writer.append({"step": step, "d_s_t": math.sin(step)})
        if step % 3 == 0:
            print(step, flush=True)
"""


@pytest.mark.slow
def test_kill_at_random_moments_costs_only_unflushed_rows(workplace):
    """Twelve kills of one run: every row that was said to be flushed is there, in order, and right."""
    moments = random.Random(7)
    for _ in range(12):
        process = subprocess.Popen([sys.executable, "-c", ENDLESS, "a.parquet"], stdout=subprocess.PIPE, text=True)
        first = process.stdout.readline()
        assert first, "the writer did not start"
        time.sleep(moments.uniform(0, 0.25))
        process.send_signal(signal.SIGKILL)
        said = [int(line) for line in (first + process.communicate()[0]).split("\n")[:-1]]
        trace = read_trace("a.parquet")
        assert trace.metadata.state == "interrupted"
        assert trace.steps.tolist() == list(range(1, len(trace) + 1))
        assert len(trace) >= said[-1]
        assert trace.series("d_s_t").tolist() == [math.sin(step) for step in trace.steps.tolist()]


def test_recipe_and_seed_of_ones_own_loop_are_kept(tmp_path):
    with TraceWriter(tmp_path / "a.parquet", epsilon=0.1, recipe={"optimizer": {"name": "adam"}}, seed=3) as writer:
        writer.append({"step": 1, "d_s_t": 0.0})
    found = read_trace(tmp_path / "a.parquet").metadata
    assert (found.recipe, found.seed) == ({"optimizer": {"name": "adam"}}, 3)


def test_a_recipe_that_is_not_json_is_refused(tmp_path):
    for recipe in ({"rate": float("nan")}, {"net": object()}):
        with pytest.raises(UsageError, match="recipe must be plain JSON"):
            TraceWriter(tmp_path / "a.parquet", epsilon=0.1, recipe=recipe)
    with pytest.raises(UsageError, match="not both"):
        TraceWriter(tmp_path / "a.parquet", metadata=TraceMetadata.create(epsilon=0.1, producer="test"), seed=1)
