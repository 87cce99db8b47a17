"""Runs side by side: exact laws, planted differences, none in noise, and what must not be pooled."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from series import autoregression, learning_loop, memory_trace

from ebmdiag import TraceWriter
from ebmdiag.cli.main import call
from ebmdiag.errors import UsageError
from ebmdiag_analyses.compare import ANALYSIS, Options, analyse, judge
from ebmdiag_analyses.compare.judge import rows

ROWS = 1000


def run(rng, name, *, gain=0.2, level=20.0, rows=ROWS, seed=None, state="finished", rate=0.1, recipe=True, **columns):
    """A run of the linear loop with r about a level, as a reader."""
    d, _ = learning_loop(rng, gain, rows)
    held = {"d_s_t": d, "r_t": level + autoregression(rng, 0.5, (rows,)), **columns}
    facts = {"recipe": {"optimizer": {"learning_rate": rate}}} if recipe else {}
    trace = replace(memory_trace(held, seed=seed, state=state, **facts), path=Path(f"{name}.parquet"))
    return lambda wanted: trace


def seeds(rng, count, first=0, **facts):
    return [run(rng, f"run{first + place}", seed=first + place, **facts) for place in range(count)]


def codes(result):
    return [finding.code for finding in judge(result)]


def outcomes(result):
    return {row["quantity"]: row["outcome"] for row in rows(result, "differences")}


def test_pooled_numbers_are_those_of_the_loop():
    """rho_1 = -g/2 and Var d = 2 / (2 - g) of the linear loop; r has the mean that it was given."""
    gain, found = 0.4, analyse(seeds(np.random.default_rng(1), 12, gain=0.4), Options(settled_from=1))
    held = {row["quantity"]: row for row in rows(found, "numbers")}
    truth = {"d at lag 1": -gain / 2, "spread of d": math.sqrt(2 / (2 - gain)), "level of r": 20.0, "balance of d": 0.0}
    for quantity, value in truth.items():
        row = held[quantity]
        half = (row["high"] - row["low"]) / 2
        assert abs(row["mean"] - value) < 2 * half, quantity
        assert row["new_low"] < value < row["new_high"]
    assert rows(found, "differences") == []
    assert ANALYSIS.text(found)[0].startswith("compare: 12 runs, one recipe; numbers of steps 1 to 1000")


def test_a_planted_difference_is_found_and_told_with_its_size():
    rng = np.random.default_rng(2)
    found = analyse([*seeds(rng, 5, gain=0.1), *seeds(rng, 5, 5, gain=0.8, level=24.0, rate=0.8)], Options())
    told = outcomes(found)
    assert told["d at lag 1"] == told["level of r"] == "differs"
    held = {row["quantity"]: row for row in rows(found, "differences")}
    assert held["d at lag 1"]["low"] < (-0.8 + 0.1) / 2 < held["d at lag 1"]["high"]
    assert held["level of r"]["low"] < 1.2 < held["level of r"]["high"]
    statements = [one.statement for one in judge(found) if one.code == "recipes-differ"]
    assert statements[0].startswith("learning_rate 0.8 differs from learning_rate 0.1, in ")
    assert "lag-1 autocorrelation of d_s_t by -0.3" in statements[0]
    assert "mean of r_t 1." in statements[0]


def test_two_recipes_that_do_the_same_are_shown_to_be_alike():
    rng = np.random.default_rng(3)
    found = analyse([*seeds(rng, 6), *seeds(rng, 6, 6, rate=0.2)], Options(settled_from=1))
    assert set(outcomes(found).values()) == {"alike"}
    assert "recipes-alike" in codes(found)


@pytest.mark.slow
def test_nothing_is_found_in_noise_at_the_stated_rate():
    """Whole families of comparisons of recipes alike, whose seeds do differ: false discoveries in at most 5%."""
    trials, false = 150, 0
    for trial in range(trials):
        rng = np.random.default_rng(1000 + trial)
        levels = rng.normal(20, 1, 6)
        some = [
            run(rng, f"run{place}", seed=place, level=levels[place], rows=200, rate=0.1 + (place > 2))
            for place in range(6)
        ]
        false += any(outcome.startswith("differs") for outcome in outcomes(analyse(some, Options())).values())
    assert false / trials <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / trials)


@pytest.mark.slow
def test_seeds_disagree_as_rarely_as_they_say_in_noise_and_are_caught_where_they_do():
    trials, hits = 200, dict.fromkeys(("d at lag 1", "spread of d", "level of r"), 0)
    for trial in range(trials):
        found = analyse(seeds(np.random.default_rng(trial), 4), Options())
        for row in rows(found, "numbers"):
            if row["quantity"] in hits:
                hits[row["quantity"]] += (row["disagree_p"] or 1.0) <= 0.05
    for quantity, count in hits.items():
        assert count / trials <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / trials), quantity
    rng = np.random.default_rng(7)
    some = [run(rng, f"run{place}", seed=place, level=20 + place) for place in range(4)]
    found = analyse(some, Options())
    assert "seeds-disagree" in codes(found)
    assert "mean of r_t" in next(one.statement for one in judge(found) if one.code == "seeds-disagree")
    between = next(row["between"] for row in rows(found, "numbers") if row["quantity"] == "level of r")
    truth = np.std(np.log([20.0, 21, 22, 23]), ddof=1)
    assert between == pytest.approx(truth, rel=0.15)


def test_a_run_that_diverged_is_counted_and_not_pooled():
    rng = np.random.default_rng(4)
    some = [*seeds(rng, 3), *seeds(rng, 2, 3, rate=2.0), run(rng, "gone", rows=51, seed=9, state="diverged", rate=2.0)]
    found = analyse(some, Options())
    assert {row["recipe"]: row["diverged"] for row in rows(found, "recipes")} == {
        "learning_rate 0.1": 0,
        "learning_rate 2": 1,
    }
    assert found.settings["settled_until"] == ROWS
    said = next(one for one in judge(found) if one.code == "runs-diverged")
    assert "0 of 3 of learning_rate 0.1, 1 of 3 of learning_rate 2" in said.statement
    assert said.value == pytest.approx(1.0)
    assert "not shown to be more than chance" in said.statement


def test_many_that_diverge_are_no_chance():
    """Fisher's exact p of 0 of 5 against 5 of 5 is 2 / C(10, 5)."""
    rng = np.random.default_rng(5)
    gone = [run(rng, f"gone{place}", rows=60, seed=place, state="diverged", rate=2.0) for place in range(5)]
    found = analyse([*seeds(rng, 5), *gone], Options())
    said = next(one for one in judge(found) if one.code == "runs-diverged")
    assert said.value == pytest.approx(2 / math.comb(10, 5))
    assert "not shown" not in said.statement
    assert all(row["recipe"] == "learning_rate 0.1" for row in rows(found, "numbers"))


def test_a_run_is_one_run_whatever_makes_the_groups():
    """Grouped by a key, runs of other recipes may have the same seed."""
    rng = np.random.default_rng(21)
    some = [run(rng, f"{rate}-{seed}", seed=seed, rate=rate) for rate in (0.1, 0.2) for seed in (1, 2)]
    found = analyse(some, Options(by="folder"))
    assert "same-seed" not in codes(found)
    assert [row["counted"] for row in rows(found, "recipes")] == [4]


def test_of_one_run_twice_the_one_that_came_through_counts():
    rng = np.random.default_rng(22)
    dead = run(rng, "dead", rows=40, seed=1, state="diverged")
    found = analyse([dead, run(rng, "again", seed=1), run(rng, "other", seed=2)], Options())
    assert next(row for row in rows(found, "recipes"))["counted"] == 2
    assert "runs-diverged" not in codes(found)  # what counts nowhere is not counted as diverged


def test_copies_without_a_seed_are_found_by_their_numbers():
    one = run(np.random.default_rng(23), "one")(None)
    copy = replace(one, path=Path("copy.parquet"))
    other = run(np.random.default_rng(24), "other")
    found = analyse([lambda _: one, lambda _: copy, other], Options())
    assert next(row for row in rows(found, "recipes"))["counted"] == 2
    assert "same-seed" in codes(found)


@pytest.mark.slow
def test_single_runs_are_never_called_alike_and_slow_ones_never_said_to_disagree():
    for trial in range(40):
        rng = np.random.default_rng(trial)
        pair = [run(rng, "a", seed=1), run(rng, "b", seed=2, rate=0.2)]
        assert not any(
            "alike" in outcome or "within" in outcome for outcome in outcomes(analyse(pair, Options())).values()
        )
        slow = [run(rng, f"s{k}", seed=k, r_t=20 + 0.1 * autoregression(rng, 0.99, (ROWS,))) for k in range(4)]
        found = analyse(slow, Options())
        level = next(row for row in rows(found, "numbers") if row["quantity"] == "level of r")
        assert level["disagree_p"] is None or level["disagree_p"] > 1e-4
        assert level["reliable"]  # four runs speak for themselves, whatever their errors


def test_a_recipe_whose_label_is_that_of_an_axis_hides_nothing():
    rng = np.random.default_rng(25)
    found = analyse([run(rng, f"r{k}", seed=k, rate=("step", "lag")[k % 2]) for k in range(4)], Options())
    assert found.tables["r_t"].columns["step"][-1] > 900
    assert found.tables["acf"].columns["lag"][-1] == 40
    assert found.tables["r_t"].columns["mean of step"] == pytest.approx(20, abs=1)


def thinned(reader, every):
    trace = reader(None)
    fewer = replace(trace, rows=trace.table.take(np.arange(0, len(trace), every)))
    return lambda wanted: fewer


def test_lags_of_rows_unequally_far_apart_are_not_pooled():
    rng = np.random.default_rng(26)
    some = [run(rng, f"r{k}", seed=k, rows=4000) for k in range(4)]
    found = analyse([*some[:2], *(thinned(reader, 10) for reader in some[2:])], Options())
    assert "d at lag 1" not in {row["quantity"] for row in rows(found, "numbers")}
    assert found.estimates["d at lag 1 of all runs"].value is None
    assert "acf" not in found.tables
    alike = analyse([thinned(reader, 10) for reader in some], Options())
    assert "d at lag 1" in {row["quantity"] for row in rows(alike, "numbers")}
    assert any("one lag is 10 iterations" in note for note in alike.notes)


def test_what_no_run_has_is_undefined_with_the_reason_and_strict_sees_it():
    rng = np.random.default_rng(27)
    some = [run(rng, f"r{k}", seed=k, d_s_t=np.ones(ROWS), mine=np.full(ROWS, np.nan)) for k in range(3)]
    found = analyse(some, Options(columns=("mine",)))
    for name in ("d at lag 1 of all runs", "mean mine of all runs"):
        assert found.estimates[name].value is None
        assert "3 of 3 runs have none" in found.estimates[name].reason


@pytest.mark.parametrize("size", [1e155, 1e300, 1e-200])
def test_huge_and_tiny_numbers_are_told_as_they_are(size):
    rng = np.random.default_rng(28)
    some = [run(rng, f"r{k}", seed=k, d_s_t=size * rng.standard_normal(ROWS)) for k in range(3)]
    found = analyse(some, Options())
    spread = next(row for row in rows(found, "numbers") if row["quantity"] == "spread of d")
    assert spread["mean"] == pytest.approx(size, rel=0.1)
    assert abs(next(row for row in rows(found, "numbers") if row["quantity"] == "balance of d")["mean"]) < 0.2


def test_a_run_with_hardly_any_row_does_not_set_the_window():
    rng = np.random.default_rng(29)
    found = analyse([*seeds(rng, 3), run(rng, "short", rows=6, seed=9, state="interrupted")], Options())
    assert found.settings["settled_until"] == ROWS
    assert any("short has 6 rows only" in note for note in found.notes)


def test_settled_from_is_never_before_the_shared_steps():
    rng = np.random.default_rng(30)
    late = memory_trace({"d_s_t": rng.standard_normal(500)}, steps=range(500, 1000), seed=5)
    found = analyse([run(rng, "a", seed=1), lambda _: replace(late, path=Path("late"))], Options(settled_from=1))
    assert found.settings["settled_from"] == 500


def test_if_the_first_recipe_has_no_number_the_next_one_is_the_baseline():
    rng = np.random.default_rng(31)
    gone = [run(rng, f"gone{k}", seed=k, state="diverged", rate=9.0) for k in range(2)]
    found = analyse([*gone, *seeds(rng, 2, 2), *seeds(rng, 2, 4, rate=0.2)], Options())
    assert found.settings["baseline"] == "learning_rate 0.1"
    assert {row["recipe"] for row in rows(found, "differences")} == {"learning_rate 0.2"}
    assert any("no run of learning_rate 9 counts" in note for note in found.notes)


def test_unequal_units_of_r_are_told():
    rng = np.random.default_rng(32)
    other = run(rng, "b", seed=2)(None)
    other = replace(other, metadata=replace(other.metadata, epsilon=0.02))
    found = analyse([run(rng, "a", seed=1), lambda _: other], Options(by="folder"))
    assert any("r_t is in units of F" in note for note in found.notes)


def test_if_all_diverged_there_are_no_numbers():
    rng = np.random.default_rng(6)
    found = analyse([run(rng, f"gone{place}", seed=place, state="diverged") for place in range(2)], Options())
    assert rows(found, "numbers") == []
    assert any("no run counts" in note for note in found.notes)
    assert "r_t" not in found.tables
    assert ANALYSIS.text(found)
    assert ANALYSIS.draw(found) == []


def test_one_seed_twice_counts_once():
    rng = np.random.default_rng(8)
    found = analyse([run(rng, "a", seed=1), run(rng, "b", seed=1), run(rng, "c", seed=2)], Options())
    assert "same-seed" in codes(found)
    assert {row["runs"] for row in rows(found, "numbers")} == {2}


def test_single_runs_are_told_apart_but_not_their_recipes():
    rng = np.random.default_rng(9)
    found = analyse([run(rng, "a", seed=1), run(rng, "b", seed=2, level=30.0, rate=0.2)], Options())
    assert outcomes(found)["level of r"] == "differs"
    estimate = found.estimates["level of r of learning_rate 0.2 against learning_rate 0.1"]
    assert not estimate.reliable
    assert "not their recipes" in estimate.reason
    assert any("not their recipes" in one.statement for one in judge(found))


def test_open_questions_name_the_runs_that_would_answer_them():
    rng = np.random.default_rng(10)
    some = [run(rng, f"r{k}", seed=k, level=20 + 3 * rng.standard_normal(), rate=0.1 + (k > 1)) for k in range(4)]
    found = analyse(some, Options())
    row = next(row for row in rows(found, "differences") if row["quantity"] == "level of r")
    assert row["outcome"] == "open"
    assert row["runs_needed"] > 2
    assert f"about {row['runs_needed']:.0f} runs" in next(
        one.statement for one in judge(found) if one.code == "recipes-open"
    )


def test_numbers_are_of_the_later_half_of_the_shared_steps():
    rng = np.random.default_rng(11)
    found = analyse([run(rng, "a", rows=1000, seed=1), run(rng, "b", rows=400, seed=2)], Options())
    assert (found.settings["settled_from"], found.settings["settled_until"]) == (201, 400)
    assert any("all numbers end at step 400, where b ends" in note for note in found.notes)
    step = found.tables["r_t"].columns["step"]
    assert step[-1] > 900


def test_a_drift_before_the_settled_steps_does_not_count():
    rng = np.random.default_rng(12)
    drift = np.concatenate((np.linspace(0, 20, ROWS // 2), np.full(ROWS // 2, 20.0)))
    some = [run(rng, f"r{k}", seed=k, r_t=drift + rng.standard_normal(ROWS)) for k in range(3)]
    level = {
        start: next(
            row["mean"]
            for row in rows(analyse(some, Options(settled_from=start)), "numbers")
            if row["quantity"] == "level of r"
        )
        for start in (None, 1)
    }
    assert level[None] == pytest.approx(20, rel=0.01)
    assert level[1] < 16  # negative control


def test_courses_are_means_over_runs_of_means_over_rows():
    constant = [run(np.random.default_rng(k), f"r{k}", seed=k, r_t=np.full(ROWS, 10.0 + k)) for k in range(3)]
    table = analyse(constant, Options()).tables["r_t"].columns
    assert table["mean of all runs"] == pytest.approx(np.full(60, 11.0))
    half = 4.302653 / math.sqrt(3)  # Student's t with 2 degrees of freedom, spread 1
    assert table["high of all runs"] - table["mean of all runs"] == pytest.approx(np.full(60, half), rel=1e-6)


def test_the_band_of_what_is_never_negative_ends_at_zero():
    spreads = [1.0, 1.0, 30.0]
    some = [
        run(np.random.default_rng(k), f"r{k}", seed=k, d_s_t=s * np.random.default_rng(k).standard_normal(ROWS))
        for k, s in enumerate(spreads)
    ]
    found = analyse(some, Options())
    assert (found.tables["d_s_t_sd"].columns["low of all runs"] == 0).any()
    assert (found.tables["d_s_t"].columns["low of all runs"] < 0).any()  # d itself may


def test_a_further_column_is_compared():
    rng = np.random.default_rng(13)
    some = [
        run(rng, f"r{k}", seed=k, rate=0.1 + (k > 2), mine=k // 3 + 0.1 * rng.standard_normal(ROWS)) for k in range(6)
    ]
    found = analyse(some, Options(columns=("mine",)))
    assert outcomes(found)["mean mine"] == "differs"
    with pytest.raises(UsageError, match=r"no run has a column 'mini'; did you mean 'mine'"):
        analyse(some, Options(columns=("mini",)))


def test_what_is_undefined_says_so():
    """A constant d has no correlation, an r at or below 0 no ratio; a NaN costs the one number alone."""
    rng = np.random.default_rng(14)
    gap = rng.standard_normal(ROWS)
    gap[700] = np.nan
    some = [
        run(rng, "a", seed=1, d_s_t=np.ones(ROWS)),
        run(rng, "b", seed=2, level=-1.0),
        run(rng, "c", seed=3, d_s_t=gap),
    ]
    found = analyse(some, Options())
    held = {row["quantity"]: row["runs"] for row in rows(found, "numbers")}
    assert held == {"d at lag 1": 1, "spread of d": 1, "balance of d": 1, "level of r": 2}
    assert "2 of 3 runs have none" in found.estimates["d at lag 1 of all runs"].reason
    assert "1 of 3 runs have none: the mean of r_t" in found.estimates["level of r of all runs"].reason
    ANALYSIS.text(found)
    ANALYSIS.draw(found)


@pytest.mark.parametrize(
    ("readers", "options", "message"),
    [
        (1, {}, "at least two traces"),
        (2, {"settled_from": 2000}, "no step that all runs share is left from 2000"),
        (2, {"by": "optimizer.rate"}, "did you mean 'optimizer.learning_rate'"),
    ],
)
def test_what_cannot_be_compared_is_refused(readers, options, message):
    with pytest.raises(UsageError, match=message):
        analyse(seeds(np.random.default_rng(15), readers), Options(**options))


def test_runs_without_a_shared_step_are_refused():
    rng = np.random.default_rng(16)
    early, late = (
        replace(memory_trace({"d_s_t": rng.standard_normal(50)}, steps=range(start, start + 50)), path=Path(f"{start}"))
        for start in (1, 100)
    )
    with pytest.raises(UsageError, match="no step that all runs share"):
        analyse([lambda _: early, lambda _: late], Options())


def test_pictures_tell_in_words_what_they_show():
    rng = np.random.default_rng(17)
    found = analyse([*seeds(rng, 3), *seeds(rng, 3, 3, level=25.0, rate=0.5)], Options())
    drawings = {drawing.name: drawing for drawing in ANALYSIS.draw(found)}
    assert set(drawings) == {"r_t", "d_s_t", "d_s_t_sd", "acf", "differences"}
    assert "learning_rate 0.5: 25" in drawings["r_t"].alt or "learning_rate 0.5: 24.9" in drawings["r_t"].alt
    assert "differs: level of r of learning_rate 0.5" in drawings["differences"].alt


def test_ten_recipes_are_drawn_in_part_and_told_in_full():
    rng = np.random.default_rng(18)
    found = analyse([run(rng, f"r{k}", seed=k, rate=float(k + 1)) for k in range(11)], Options())
    caption = next(drawing.caption for drawing in ANALYSIS.draw(found) if drawing.name == "r_t")
    assert "2 further recipes stand in the table only" in caption
    assert "mean of learning_rate 11" in found.tables["r_t"].columns


def test_a_strangers_labels_are_drawn_as_they_are():
    rng = np.random.default_rng(20)
    some = [run(rng, f"r{k}", seed=k, rate=f"_$\\frac{k % 2}$ <b>\x1b") for k in range(4)]
    found = analyse(some, Options())
    for drawing in ANALYSIS.draw(found):
        drawing.figure.canvas.draw()
    assert "_$\\frac0$ <b>?" in ANALYSIS.draw(found)[0].alt


def write(path, rng, rate, seed, rows=300):
    d, _ = learning_loop(rng, 0.2, rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    recipe = {"optimizer": {"learning_rate": rate}}
    with TraceWriter(path, epsilon=0.01, recipe=recipe, seed=seed, flush_rows=1000) as writer:
        for step, value in enumerate(d, 1):
            writer.append({"step": step, "d_s_t": float(value), "r_t": 20 + float(rng.standard_normal())})
    return str(path)


@pytest.fixture
def written(tmp_path):
    rng = np.random.default_rng(19)
    return [write(tmp_path / f"run{k}.parquet", rng, 0.1 + 0.1 * (k > 1), k) for k in range(4)]


def test_the_command(written, capsys, tmp_path):
    assert call(["compare", *written, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["result"]["settings"]["recipes"] == ["learning_rate 0.1", "learning_rate 0.2"]
    assert call(["compare", *written, "-o", str(tmp_path / "c.png")]) == 0
    assert (tmp_path / "c-differences.png").stat().st_size > 1000
    assert "against learning_rate 0.1" in capsys.readouterr().out
    ended = write(tmp_path / "ended.parquet", np.random.default_rng(5), 0.1, 9, rows=50)
    assert call(["compare", *written, ended, "--from", "100", "--json"]) == 0
    assert any(
        "ended has no row in these steps" in note for note in json.loads(capsys.readouterr().out)["result"]["notes"]
    )
    assert call(["compare", *written, "--until", "200", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["result"]["settings"]["settled_until"] == 200


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["{0}"], 2, "at least two traces"),
        (["{0}", "{0}"], 2, "is given twice"),
        (["{0}", "nothere.parquet"], 3, "no such trace"),
        (["{0}", "{folder}"], 3, "holds traces, so name one of them"),
        (["{0}", "{1}", "--column", "d_st"], 2, "did you mean 'd_s_t'"),
        (["{0}", "{1}", "--level", "2"], 2, "level must lie between"),
        ([], 2, "Missing argument"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(written, capsys, arguments, code, said):
    folder = Path(written[0]).parent
    assert call(["compare", *(argument.format(*written, folder=folder) for argument in arguments)]) == code
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
