"""``ebmdiag import``: what the log says becomes the trace, or one sentence says where it does not."""

from pathlib import Path

import numpy as np
import pytest

from ebmdiag import read_trace
from ebmdiag.cli.main import call

TEMPERATURE = 0.1**2 / 2
GOOD = "step,d_s_t,r_t\n1,0.5,0.02\n2,-0.25,0.04\n"


def run(folder: Path, text: str | bytes, *options: str, epsilon: str | None = "0.1") -> int:
    log = folder / "log.csv"
    log.write_bytes(text if isinstance(text, bytes) else text.encode())
    scale = [] if epsilon is None else ["--epsilon", epsilon]
    return call(["import", str(log), "-o", str(folder / "mine.parquet"), *scale, *options])


def test_known_names_are_taken_and_v_follows_from_r(workplace, capsys):
    assert run(workplace, GOOD) == 0
    trace = read_trace("mine.parquet")
    assert trace.steps.tolist() == [1, 2]
    assert trace.series("d_s_t").tolist() == [0.5, -0.25]
    np.testing.assert_allclose(trace.series("v_t"), [0.02 / TEMPERATURE, 0.04 / TEMPERATURE], rtol=1e-15)
    assert trace.metadata.state == "finished"
    assert trace.metadata.producer == "ebmdiag import"
    assert trace.metadata.temperature == pytest.approx(TEMPERATURE)
    assert trace.metadata.recipe["import"]["derived"] == {"v_t": "r_t / temperature"}
    assert "elapsed_s" not in trace.columns  # the time of the import is not the time of the run
    said = capsys.readouterr()
    assert said.out == ""
    assert "2 rows, steps 1 to 2" in said.err
    assert "derived   v_t = r_t / temperature" in said.err
    assert "VIOLATION" not in said.err


def test_r_follows_from_v(workplace):
    assert run(workplace, "d_s_t,v_t\n1,8\n") == 0
    assert read_trace("mine.parquet").series("r_t").tolist() == [8 * TEMPERATURE]


def test_the_imported_trace_is_valid(workplace):
    assert run(workplace, "d_s_t,v_t,r_t\n1,2,0.01\n") == 0
    assert call(["validate", "mine.parquet"]) == 0


def test_a_trace_that_breaks_a_rule_says_so_at_once(workplace, capsys):
    assert run(workplace, "d_s_t,v_t,r_t\n1,2,0.5\n") == 0
    assert "VIOLATION r_t = temperature * v_t" in capsys.readouterr().err
    assert call(["validate", "mine.parquet"]) == 3


def test_maps_name_other_columns_own_ones_are_kept_and_the_rest_is_left_out(workplace, capsys):
    text = "it,loss,accuracy,epoch\n1,2.5,0.9,1\n2,3.5,,1\n"
    options = ["--map", "d_s_t=loss", "--map", "step=it", "--map", "classifier_accuracy=accuracy"]
    assert run(workplace, text, *options) == 0
    trace = read_trace("mine.parquet")
    assert trace.series("d_s_t").tolist() == [2.5, 3.5]
    assert trace.table.column("classifier_accuracy").to_pylist() == [0.9, None]
    said = capsys.readouterr().err
    assert "left out  'epoch'" in said
    assert "taken     d_s_t = 'loss'" in said


def test_network_outputs_are_divided_by_the_temperature_and_spreads_have_no_sign(workplace):
    text = "energy_pos_mean,energy_neg_mean,energy_pos_sd,z_t,r_t\n1,3,0.5,2,0.02\n"
    assert run(workplace, text, "--energy", "F", "--sign", "-1") == 0
    trace = read_trace("mine.parquet")
    expected = {
        "energy_pos_mean": -1 / TEMPERATURE,
        "energy_neg_mean": -3 / TEMPERATURE,
        "d_s_t": 2 / TEMPERATURE,
        "energy_pos_sd": 0.5 / TEMPERATURE,
        "z_t": -2.0,
        "r_t": 0.02,
        "v_t": 0.02 / TEMPERATURE,
    }
    for column, value in expected.items():
        assert trace.series(column)[0] == pytest.approx(value, rel=1e-12), column


def test_the_same_numbers_as_the_core_makes_from_raw_energies(workplace):
    from ebmdiag import iteration_row

    rng = np.random.default_rng(5)
    positive, negative = rng.normal(size=20), rng.normal(size=30)
    row = iteration_row(1, energy_pos=positive, energy_neg=negative, gradient_norm=0.3, epsilon=0.1)
    log = "energy_pos_mean,energy_neg_mean,energy_pos_sd,energy_neg_sd,r_t\n" + ",".join(
        repr(float(x)) for x in (positive.mean(), negative.mean(), positive.std(ddof=1), negative.std(ddof=1), 0.3)
    )
    assert run(workplace, log, "--energy", "F") == 0
    trace = read_trace("mine.parquet")
    for column in ("d_s_t", "v_t", "r_t", "energy_pos_mean", "energy_pos_sd", "energy_neg_sd"):
        assert trace.series(column)[0] == pytest.approx(row[column], rel=1e-12), column


def test_rows_are_numbered_when_nothing_names_the_step(workplace, capsys):
    assert run(workplace, "d_s_t\n1\n2\n3\n") == 0
    assert read_trace("mine.parquet").steps.tolist() == [1, 2, 3]
    assert "rows are numbered from 1" in capsys.readouterr().err


def test_steps_from_zero_move_up_by_one_and_the_spacing_is_told(workplace, capsys):
    assert run(workplace, "step,d_s_t\n0,1\n100,2\n200.0,3\n") == 0
    assert read_trace("mine.parquet").steps.tolist() == [1, 101, 201]
    said = capsys.readouterr().err
    assert "every step is one higher" in said
    assert "one row every 100 steps" in said


def test_gaps_are_told(workplace, capsys):
    assert run(workplace, "step,d_s_t\n1,1\n2,2\n7,3\n") == 0
    assert "1 gaps between steps; after step 2 comes 7" in capsys.readouterr().err


def test_until_leaves_out_what_diverged(workplace):
    text = "step,d_s_t\n1,1\n2,nan\n3,1\n"
    assert run(workplace, text, "--until", "1") == 0
    assert read_trace("mine.parquet").steps.tolist() == [1]


@pytest.mark.parametrize("text", [GOOD.replace("\n", "\r\n"), "\ufeff" + GOOD, GOOD.replace("\n2", "\n\n2"), GOOD[:-1]])
def test_line_ends_byte_order_marks_and_blank_lines_do_not_matter(workplace, text):
    assert run(workplace, text) == 0
    assert read_trace("mine.parquet").series("d_s_t").tolist() == [0.5, -0.25]


@pytest.mark.parametrize(("name", "character"), [(";", ";"), ("tab", "\t")])
def test_delimiters(workplace, name, character):
    assert run(workplace, GOOD.replace(",", character), "--delimiter", name) == 0
    assert read_trace("mine.parquet").series("r_t").tolist() == [0.02, 0.04]


FAULTS = {
    "not a number": ("step,d_s_t\n1,0.5\n2,abc\n", [], 3, ["line 3", "column 'd_s_t'", "'abc' is not a number"]),
    "underscored number": ("d_s_t\n1_0\n", [], 3, ["line 2", "'1_0' is not a number"]),
    "decimal comma": ('d_s_t\n"1,5"\n', [], 3, ["line 2", "'1,5' is not a number"]),
    "NaN": ("step,d_s_t\n5,1\n6,NaN\n", [], 3, ["line 3", "'NaN' is not finite", "--until 5"]),
    "infinite": ("d_s_t,r_t\n1,1\n2,-inf\n", [], 3, ["line 3", "column 'r_t'", "'-inf' is not finite", "--until 1"]),
    "too large for a float": ("d_s_t\n1e999\n", [], 3, ["line 2", "'1e999' is not finite"]),
    "too large in units of U": ("d_s_t\n1e306\n", ["--energy", "F"], 3, ["line 2", "too large"]),
    "steps repeat": (
        "step,d_s_t\n1,1\n2,1\n\n2,1\n",
        [],
        3,
        ["line 5", "step 2 comes after step 2 of line 3", "resumed"],
    ),
    "negative step": ("step,d_s_t\n-3,1\n", [], 3, ["line 2", "negative"]),
    "broken step": ("step,d_s_t\n1.5,1\n", [], 3, ["line 2", "'1.5' is not a whole number"]),
    "no step in a row": ("step,d_s_t\n1,1\n,1\n", [], 3, ["line 3", "'' is not a whole number"]),
    "empty cell of d": ("step,d_s_t\n1,1\n2,\n", [], 3, ["line 3", "'d_s_t'", "empty", "1 of 2"]),
    "no d": ("step,loss\n1,1\n", [], 3, ["--map d_s_t=COLUMN", "step, loss"]),
    "wrong delimiter": ("step;d_s_t\n1;1\n", [], 3, ["--delimiter"]),
    "misspelt target": (GOOD, ["--map", "d_st=d_s_t"], 2, ["'d_st'", "did you mean 'd_s_t'"]),
    "the reference's name": (GOOD, ["--map", "r_s_t=r_t"], 2, ["did you mean 'r_t'"]),
    "own name in capitals": (GOOD, ["--map", "Accuracy=r_t"], 2, ["lower_snake_case"]),
    "no such CSV column": ("d_s_t,loss_diff\n1,2\n", ["--map", "v_t=loss_dif"], 2, ["did you mean 'loss_diff'"]),
    "target twice": (GOOD, ["--map", "v_t=r_t", "--map", "v_t=d_s_t"], 2, ["names 'v_t' twice"]),
    "source twice": (GOOD, ["--map", "v_t=r_t", "--map", "z_t=r_t"], 2, ["'r_t' twice"]),
    "map without equals": (GOOD, ["--map", "v_t"], 2, ["COLUMN=CSVNAME"]),
    "long delimiter": (GOOD, ["--delimiter", "::"], 2, ["one character"]),
    "until before the start": ("step,d_s_t\n5,1\n", ["--until", "4"], 2, ["first step is 5"]),
    "empty": ("", [], 3, ["is empty"]),
    "header only": ("step,d_s_t\n", [], 3, ["no rows"]),
    "blank header": ("\n1,2\n", [], 3, ["line 1", "header is empty"]),
    "header names a column twice": ("d_s_t,d_s_t\n1,2\n", [], 3, ["line 1", "'d_s_t' twice"]),
    "more cells than names": ("step,d_s_t\n1,2,\n2,3,\n", [], 3, ["more cells than the header's 2"]),
    "one row too long": ("step,d_s_t\n1,2\n2,3,4\n", [], 3, ["line 3"]),
    "open quote": ('step,d_s_t\n1,"2\n', [], 3, ["not a regular CSV"]),
    "binary": (b"d_s_t\n\x00\x01", [], 3, ["binary"]),
    "Parquet": (b"PAR1\x00", [], 3, ["Parquet"]),
    "Latin-1": (b"d_s_t,ma\xdf\n1,2\n", [], 3, ["line 1", "0xdf", "UTF-8"]),
    "a quoted line break before the fault": ('d_s_t,note\n1,"a\nb"\nx,c\n', [], 3, ["line 4", "'x' is not a number"]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_sentence_that_says_where(workplace, capsys, fault):
    text, options, code, words = FAULTS[fault]
    assert run(workplace, text, *options) == code
    said = capsys.readouterr().err
    assert said.startswith("ebmdiag: ")
    assert said.count("\n") == 1
    for word in words:
        assert word in said, said
    assert not Path("mine.parquet").exists()


def test_a_missing_file_and_a_folder(workplace, capsys):
    assert call(["import", "absent.csv", "-o", "x.parquet", "--epsilon", "1"]) == 3
    assert "no such file" in capsys.readouterr().err
    assert call(["import", ".", "-o", "x.parquet", "--epsilon", "1"]) == 3
    assert "is a folder" in capsys.readouterr().err


def test_epsilon_has_no_default(workplace, capsys):
    assert run(workplace, GOOD, epsilon=None) == 2
    assert "--epsilon" in capsys.readouterr().err
    assert run(workplace, GOOD, epsilon="-1") == 2
    assert "at least 0" in capsys.readouterr().err


def test_nothing_is_overwritten_without_force(workplace, capsys):
    assert run(workplace, GOOD) == 0
    before = Path("mine.parquet").read_bytes()
    assert run(workplace, "d_s_t\n7\n") == 2
    assert "--force" in capsys.readouterr().err
    assert Path("mine.parquet").read_bytes() == before
    assert run(workplace, "d_s_t\n7\n", "--force") == 0
    assert read_trace("mine.parquet").series("d_s_t").tolist() == [7.0]


def test_the_same_log_gives_the_same_bytes(workplace):
    assert run(workplace, GOOD) == 0
    before = Path("mine.parquet").read_bytes()
    assert run(workplace, GOOD, "--force") == 0
    assert Path("mine.parquet").read_bytes() == before


def test_control_characters_do_not_reach_the_terminal(workplace, capsys):
    assert run(workplace, "d_s_t,\x1b[31mred\n1,2\n") == 0
    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.parametrize("text", ["step,d,r\n1,0.5,1\n2,0.7\n3,1,2\n", 'step,d,r\n1,"0.5",1\n\n2,0.7'])
def test_a_row_that_was_cut_off(workplace, capsys, text):
    (workplace / "log.csv").write_text(text)
    assert call(["import", "log.csv", "-o", "a.parquet", "--epsilon", "0.1", "--map", "d_s_t=d"]) == 3
    line = text[: text.index("2,0.7")].count("\n") + 1
    assert f"log.csv, line {line}: 2 cells, but the header names 3 columns" in capsys.readouterr().err
    assert not (workplace / "a.parquet").exists()
