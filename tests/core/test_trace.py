"""Reading: what is not a trace is refused in one sentence."""

import contextlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ebmdiag import TraceMetadata, TraceWriter, read_trace
from ebmdiag.errors import EbmdiagError, TraceError, UsageError
from ebmdiag.schema import trace_schema


@pytest.fixture
def path(workplace):
    with TraceWriter("runs/a.parquet", epsilon=0.1) as writer:
        for step in range(1, 41):
            writer.append({"step": step, "d_s_t": float(step), "r_t": 0.5})
    return Path("runs/a.parquet")


def refused(path, match, code=3):
    with pytest.raises(EbmdiagError, match=match) as caught:
        read_trace(path)
    assert caught.value.exit_code == code
    assert "\n" not in str(caught.value)


def test_missing(workplace):
    refused("nowhere.parquet", "no such trace")
    refused("nowhere", "no such trace")
    Path("a.txt").write_text("x")
    refused("a.txt", "a trace is a .parquet file", code=2)


def test_truncated_at_every_length(path):
    whole = path.read_bytes()
    for length in [1, 4, 100, len(whole) // 2, len(whole) - 9, len(whole) - 1]:
        Path("cut.parquet").write_bytes(whole[:length])
        refused("cut.parquet", "cannot be read as Parquet")


def test_damaged_in_the_middle(path):
    """Flipped bytes anywhere give the same rows, other numbers, or one clear sentence: never another exception."""
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    refusals = 0
    for _ in range(150):
        broken = bytearray(whole)
        for place in rng.integers(0, len(whole), 3):
            broken[place] ^= int(rng.integers(1, 256))
        Path("broken.parquet").write_bytes(broken)
        with contextlib.suppress(EbmdiagError):
            read_trace("broken.parquet")
            continue
        refusals += 1
    assert refusals > 20


def test_empty_and_text(workplace):
    Path("empty.parquet").touch()
    refused("empty.parquet", "empty")
    Path("text.parquet").write_text("step,d\n1,2\n")
    refused("text.parquet", "cannot be read as Parquet")


def test_foreign_parquet(workplace):
    pd.DataFrame({"step": [1], "loss": [2.0]}).to_parquet("foreign.parquet")
    refused("foreign.parquet", "is a Parquet file but not a trace.*ebmdiag import")


def save(table, metadata):
    pq.write_table(table.replace_schema_metadata({b"ebmdiag": json.dumps(metadata).encode()}), "x.parquet")


GOOD = {"epsilon": 0.1, "temperature": 0.005, "producer": "test", "schema_version": 1}
ROWS = pa.table({"step": pa.array([1, 2], pa.int64()), "d_s_t": [0.5, 0.25]})


def test_metadata_is_checked(workplace):
    save(ROWS, GOOD)
    assert read_trace("x.parquet").series("d_s_t").tolist() == [0.5, 0.25]
    for change, message in [
        ({"schema_version": 2}, "schema 2.*upgrade"),
        ({"schema_version": "1"}, "'schema_version' must be a whole number"),
        ({"epsilon": -1}, "'epsilon' must be a number"),
        ({"temperature": 0}, "'temperature' must be above 0"),
        ({"producer": 3}, "'producer' must be a string"),
        ({"state": "asleep"}, "'state' must be one of"),
        ({"recipe": []}, "'recipe' must be a JSON object"),
    ]:
        save(ROWS, GOOD | change)
        refused("x.parquet", message)
    pq.write_table(ROWS.replace_schema_metadata({b"ebmdiag": b"{"}), "x.parquet")
    refused("x.parquet", "is not JSON")


def test_columns_are_checked(workplace):
    save(ROWS.drop_columns(["d_s_t"]), GOOD)
    refused("x.parquet", "required column 'd_s_t' is missing")
    save(ROWS.set_column(1, "d_s_t", pa.array([1, 2])), GOOD)
    refused("x.parquet", "'d_s_t' must be float64, but is int64")
    save(ROWS.append_column("mine", pa.array(["a", "b"])), GOOD)
    refused("x.parquet", "'mine' must be float64, but is string")
    save(ROWS.set_column(0, "step", pa.array([1, None], pa.int64())), GOOD)
    refused("x.parquet", "'step' has 1 missing values")
    save(ROWS.set_column(0, "step", pa.array([2, 2], pa.int64())), GOOD)
    refused("x.parquet", "steps must increase, but row 2 has step 2 after step 2")


def test_a_column_twice_and_endless_metadata(workplace):
    twice = pa.table([pa.array([1], pa.int64()), pa.array([0.5]), pa.array([0.5])], names=["step", "d_s_t", "d_s_t"])
    save(twice, GOOD)
    refused("x.parquet", "'d_s_t' is there more than once")
    pq.write_table(ROWS.replace_schema_metadata({b"ebmdiag": b"[" * 100_000}), "x.parquet")
    refused("x.parquet", "is not JSON")
    refused("/", "is no place for a trace", code=2)


def test_series_names_what_is_wrong(path):
    trace = read_trace(path)
    with pytest.raises(UsageError, match=r"no column 'd_s'; did you mean 'd_s_t'\?"):
        trace.series("d_s")
    with pytest.raises(TraceError, match="column 'v_t' is empty; it has values in: step, d_s_t, r_t, elapsed_s"):
        trace.series("v_t")
    assert trace.columns == ("step", "d_s_t", "r_t", "elapsed_s")


def sparse(name, values, steps=None):
    steps = range(1, len(values) + 1) if steps is None else steps
    columns = {
        "step": pa.array(steps, pa.int64()),
        "d_s_t": np.zeros(len(values)),
        name: pa.array(values, pa.float64()),
    }
    save(pa.table(columns), GOOD)
    return read_trace("x.parquet")


@pytest.mark.parametrize(
    ("values", "steps"),
    [
        ([None, 1.0, None, 2.0, None], [2, 4]),
        ([None, 1.0, 2.0], [2, 3]),
        ([1.0, 2.0], [1, 2]),
        ([None, 3.0, None], [2]),
        ([1.0, None, 2.0, 3.0], [1, 3, 4]),
    ],
)
def test_a_column_measured_now_and_then(workplace, values, steps):
    trace = sparse("ksd", values)
    found, numbers = trace.measured("ksd")
    assert found.tolist() == steps
    assert numbers.tolist() == [value for value in values if value is not None]
    if len(steps) < len(values):
        with pytest.raises(
            TraceError, match=f"only {len(steps)} of {len(values)} rows hold a value .*'ebmdiag summary'"
        ):
            trace.series("ksd")


@pytest.mark.parametrize("values", [[1.0, None, float("nan")], [float("inf"), 1.0, None]])
def test_what_is_not_finite_is_no_gap(workplace, values):
    with pytest.raises(TraceError, match="are not finite"):
        sparse("ksd", values).measured("ksd")


def test_nan_is_named_with_its_step(workplace):
    table = pa.table(
        {"step": pa.array([1, 2, 3], pa.int64()), "d_s_t": [0.5, float("nan"), 1.0], "r_t": [1.0, 1.0, None]}
    )
    save(table, GOOD)
    trace = read_trace("x.parquet")
    with pytest.raises(TraceError, match=r"'d_s_t': 1 of 3 values are not finite .the first, nan, at step 2.*--from"):
        trace.series("d_s_t")
    with pytest.raises(TraceError, match=r"only 2 of 3 rows hold a value .the first gap is at step 3"):
        trace.series("r_t")
    assert trace.between(3).series("d_s_t").tolist() == [1.0]


def test_between_includes_both_ends(path):
    trace = read_trace(path)
    assert trace.between(3, 5).steps.tolist() == [3, 4, 5]
    assert len(trace.between()) == 40
    with pytest.raises(UsageError, match="no row from step 50 on; the trace holds 1 to 40"):
        trace.between(50)


def test_only_what_is_asked_for_is_read(path):
    assert read_trace(path, ["r_t"]).table.column_names == ["step", "r_t"]


def test_data_frame_round_trip(path):
    frame = read_trace(path).to_pandas()
    assert frame["d_s_t"].tolist() == [float(step) for step in range(1, 41)]


def test_metadata_round_trip():
    metadata = TraceMetadata.create(epsilon=0.5, producer="x", recipe={"a": {"b": 1}}, seed=3)
    schema = trace_schema(metadata, ["mine"])
    assert TraceMetadata.from_bytes(schema.metadata[b"ebmdiag"], "x") == metadata
    assert schema.field("mine").nullable
