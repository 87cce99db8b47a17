"""``ebmdiag validate``: each rule of the contract, kept and broken."""

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ebmdiag import TraceMetadata, TraceWriter
from ebmdiag.cli.main import call
from ebmdiag.schema import trace_schema

EPSILON = 0.1
TEMPERATURE = EPSILON**2 / 2
METADATA = TraceMetadata.create(epsilon=EPSILON, producer="test", state="finished", started_at="")


def row(step: int, **values: float | None) -> dict[str, float | int | None]:
    usual: dict[str, float | int | None] = {
        "step": step,
        "d_s_t": 1.5,
        "v_t": 2.0,
        "r_t": 2.0 * TEMPERATURE,
        "energy_pos_mean": 4.0,
        "energy_neg_mean": 2.5,
        "energy_pos_sd": 0.1,
        "energy_neg_sd": 0.2,
        "learning_rate": 1e-4,
        "elapsed_s": step / 10,
        "mh_acceptance": 0.9,
    }
    return usual | values


def write(rows: list[dict[str, float | int | None]], metadata: TraceMetadata = METADATA, extra: str = "") -> None:
    """Straight to Parquet, past the writer's own checks."""
    schema = trace_schema(metadata, [extra] if extra else [])
    loose = pa.schema([field.with_nullable(True) for field in schema], metadata=schema.metadata)
    columns = {name: [one.get(name) for one in rows] for name in schema.names}
    pq.write_table(pa.table(columns, schema=loose), "t.parquet")


def checks(capsys) -> tuple[int, dict[str, dict]]:
    code = call(["validate", "t.parquet", "--json"])
    said = json.loads(capsys.readouterr().out)
    assert said["valid"] == (code == 0)
    return code, {check["rule"]: check for check in said["checks"]}


def test_a_good_trace_has_no_violation(workplace, capsys):
    write([row(step) for step in range(1, 6)])
    code, found = checks(capsys)
    assert code == 0
    assert {check["outcome"] for check in found.values()} == {"ok"}
    assert found["r_t = temperature * v_t"]["message"] == "5 rows"
    assert found["d_s_t = energy_pos_mean - energy_neg_mean"]["message"] == "5 rows"


def test_what_the_writer_writes_is_valid(workplace):
    with TraceWriter("t.parquet", epsilon=EPSILON) as writer:
        for step in range(1, 4):
            writer.log(step, energy_pos=[1.0, 2.0], energy_neg=[0.5, 0.25], gradient_norm=0.3)
    assert call(["validate", "t.parquet"]) == 0


NAN, INF = float("nan"), float("inf")

BROKEN = {
    "missing d": ({"d_s_t": None}, "d_s_t is finite", None),
    "NaN in a required column": ({"d_s_t": NAN}, "d_s_t is finite", "nan"),
    "infinite value": ({"learning_rate": INF}, "learning_rate is finite", "inf"),
    "r and v disagree": ({"r_t": 2.00001 * TEMPERATURE}, "r_t = temperature * v_t", 2.00001 * TEMPERATURE),
    "d and the energies disagree": ({"d_s_t": 1.50001}, "d_s_t = energy_pos_mean - energy_neg_mean", 1.50001),
    "d with the wrong sign": ({"d_s_t": -1.5}, "d_s_t = energy_pos_mean - energy_neg_mean", -1.5),
    "negative spread": ({"energy_pos_sd": -0.1}, "energy_pos_sd >= 0", -0.1),
    "negative norm": ({"v_t": -2.0, "r_t": -2 * TEMPERATURE}, "v_t >= 0", -2.0),
    "negative rate": ({"learning_rate": -1e-4}, "learning_rate >= 0", -1e-4),
    "acceptance above 1": ({"mh_acceptance": 1.01}, "0 <= mh_acceptance <= 1", 1.01),
    "negative norm of the parameters": ({"parameter_norm": -1.0}, "parameter_norm >= 0", -1.0),
    "a share below 0": ({"bank_unvisited": -0.5}, "0 <= bank_unvisited <= 1", -0.5),
    "clock runs back": ({"elapsed_s": 0.15}, "elapsed_s does not decrease", 0.15),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_rule_names_the_first_step_and_value(workplace, capsys, fault):
    values, rule, value = BROKEN[fault]
    write([row(1), row(2), row(3, **values), row(4, **values)])
    code, found = checks(capsys)
    assert code == 3
    assert found[rule]["outcome"] == "VIOLATION"
    assert found[rule]["step"] == 3
    assert found[rule]["value"] == pytest.approx(value) if isinstance(value, float) else found[rule]["value"] == value


def test_rounding_of_float32_is_no_violation(workplace, capsys):
    """d is a difference of large means: their last float32 digit may show in it."""
    write([row(1, energy_pos_mean=1e6, energy_neg_mean=1e6 - 1.5, d_s_t=1.5 + 0.06, r_t=2 * TEMPERATURE * (1 + 1e-7))])
    assert checks(capsys)[0] == 0


def test_absent_values_are_no_violation(workplace, capsys):
    write([row(1, z_t=0.5), row(2, v_t=None)])
    code, found = checks(capsys)
    assert code == 0
    assert found["z_t is finite"]["message"] == "1 values, 1 absent"
    assert found["r_t = temperature * v_t"]["message"] == "1 rows"


def test_a_clock_that_runs_back_across_a_gap_is_a_violation(workplace, capsys):
    write([row(1), row(2, elapsed_s=0.3), row(3, elapsed_s=None), row(4, elapsed_s=0.25), row(5)])
    code, found = checks(capsys)
    clock = found["elapsed_s does not decrease"]
    assert (code, clock["outcome"], clock["step"], clock["value"]) == (3, "VIOLATION", 4, 0.25)
    assert "0.25 s after 0.3 s" in clock["message"]


def test_gaps_are_a_note(workplace, capsys):
    write([row(1), row(2), row(5)])
    code, found = checks(capsys)
    assert code == 0
    assert found["steps"] | {"message": ""} == {
        "rule": "steps",
        "outcome": "note",
        "message": "",
        "step": 5,
        "value": None,
    }
    write([row(100), row(200), row(300)])
    assert "one row every 100 steps" in checks(capsys)[1]["steps"]["message"]


def test_a_step_below_one_is_a_violation(workplace, capsys):
    write([row(0), row(1)])
    code, found = checks(capsys)
    assert (code, found["steps"]["outcome"], found["steps"]["value"]) == (3, "VIOLATION", 0)


def test_metadata_must_agree_with_itself(workplace, capsys):
    write([row(1, v_t=None)], replace(METADATA, temperature=2 * TEMPERATURE))
    code, found = checks(capsys)
    assert (code, found["temperature"]["outcome"]) == (3, "VIOLATION")
    write([row(1)], replace(METADATA, energy_sign="p ~ exp(f)"))
    code, found = checks(capsys)
    assert (code, found["energy sign"]["outcome"]) == (3, "VIOLATION")


def test_epsilon_zero_has_temperature_one(workplace, capsys):
    metadata = TraceMetadata.create(epsilon=0.0, producer="test", state="finished")
    write([row(1, r_t=2.0)], metadata)
    assert checks(capsys)[0] == 0


@pytest.mark.parametrize("state", ["interrupted", "diverged"])
def test_other_states_are_a_note_and_their_message_cannot_steer_the_terminal(workplace, capsys, state):
    write([row(1)], METADATA.with_state(state, "\x1b[2Jgone"))
    assert call(["validate", "t.parquet"]) == 0
    said = capsys.readouterr().out
    assert "note       state" in said
    assert state in said
    assert "\x1b" not in said


def test_no_rows_yet_is_a_note(workplace, capsys):
    write([])
    code, found = checks(capsys)
    assert (code, found["schema"]["outcome"], found["steps"]["outcome"]) == (0, "note", "note")


def test_own_columns_are_checked_for_finite_values(workplace, capsys):
    write([row(1, mine=1.0), row(2, mine=INF)], extra="mine")
    code, found = checks(capsys)
    assert (code, found["mine is finite"]["step"]) == (3, 2)


def test_lines_for_people(workplace, capsys):
    write([row(1), row(2, learning_rate=-1.0)])
    assert call(["validate", "t.parquet"]) == 3
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("VIOLATION  learning_rate >= 0") and "at step 2" in line for line in lines)
    assert lines[-1] == f"t.parquet: 1 of {len(lines) - 1} rules broken."


UNREADABLE = {
    "absent": (None, "no such trace"),
    "empty": (b"", "is empty"),
    "foreign": (b"hello, world", "cannot be read as Parquet"),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_what_is_no_trace_is_one_sentence(workplace, capsys, kind):
    content, words = UNREADABLE[kind]
    if content is not None:
        Path("t.parquet").write_bytes(content)
    assert call(["validate", "t.parquet"]) == 3
    said = capsys.readouterr()
    assert said.out == ""
    assert words in said.err
    assert said.err.count("\n") == 1


def test_a_truncated_trace_and_steps_in_disorder(workplace, capsys):
    write([row(1), row(2)])
    Path("t.parquet").write_bytes(Path("t.parquet").read_bytes()[:-20])
    assert call(["validate", "t.parquet"]) == 3
    assert "truncated" in capsys.readouterr().err
    write([row(2), row(1)])
    assert call(["validate", "t.parquet"]) == 3
    assert "steps must increase" in capsys.readouterr().err
