"""The table of docs/convergence.md: when a number of ``convergence`` is undefined, doubtful or an error."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
from chain_tables import settled, with_measure, written

from ebmdiag.errors import DataError, NothingToAnalyse, TraceError, UsageError
from ebmdiag.locks import acquire
from ebmdiag.runfolder import RunFolder
from ebmdiag_analyses.convergence import ANALYSIS, Options, analyse, draw, judge, text

PAGE = Path(__file__).parents[2] / "docs" / "convergence.md"


@pytest.fixture
def rng():
    return np.random.default_rng(22)


@pytest.fixture
def small(rng):
    return settled(rng, 24, 60, copies=2)


@pytest.fixture
def look(tmp_path):
    """Write a table and analyse it; all that is made of a result must work, whatever is missing."""

    def written_and_seen(courses, **facts):
        written(tmp_path / "x.parquet", "long", courses, **facts)
        return seen(tmp_path)

    return written_and_seen


def seen(tmp_path, **options):
    result = analyse(RunFolder.of(tmp_path / "x.parquet"), Options(permutations=600, **options))
    assert all(line == line.rstrip() or line for line in text(result))
    assert json.loads(json.dumps([finding.to_json() for finding in judge(result)], allow_nan=False))
    assert json.dumps(result.to_json(), allow_nan=False)
    for drawing in draw(result):
        assert drawing.alt
        drawing.figure.canvas.draw()
    return result


def undefined(result, name):
    estimate = result.estimates[name]
    return estimate.value is None and estimate.reason


def overall(result):
    return judge(result)[0]


def without(courses, kind):
    return {name: course for name, course in courses.items() if name != kind}


def test_no_chains(tmp_path):
    with pytest.raises(NothingToAnalyse, match="ebmdiag sample"):
        seen(tmp_path)


def test_unknown_step_or_table(tmp_path, small):
    written(tmp_path / "x.parquet", "long", small)
    with pytest.raises(UsageError, match="Known: 1000"):
        seen(tmp_path, step=7)
    with pytest.raises(UsageError, match="Known: long"):
        seen(tmp_path, table="other")


def test_truncated_table(tmp_path, small):
    files = written(tmp_path / "x.parquet", "long", small)
    whole = files.table.read_bytes()
    files.table.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(TraceError, match="truncated") as error:
        seen(tmp_path)
    assert "\n" not in str(error.value)
    written(tmp_path / "x.parquet", "other", small)
    assert any("truncated" in note for note in seen(tmp_path).notes)
    with pytest.raises(TraceError, match="truncated"):
        seen(tmp_path, table="long")


def test_half_written_draw(tmp_path, small):
    """Rows of some chains only, as no writer of ours leaves them."""
    import pyarrow.parquet as pq

    files = written(tmp_path / "x.parquet", "long", small)
    table = pq.read_table(files.table)
    pq.write_table(table.slice(1), files.table)  # without chain 0 of the data
    with pytest.raises(TraceError, match="no whole draws of 24 chains"):
        seen(tmp_path)
    pq.write_table(table.slice(0, len(table) - 1), files.table)
    with pytest.raises(TraceError, match="no whole draws of 24 chains"):
        seen(tmp_path)


def test_half_a_draw_of_what_still_runs(tmp_path, small):
    """The last rows may not have been written yet: that draw is left out."""
    import pyarrow.parquet as pq

    files = written(tmp_path / "x.parquet", "long", small, finished=False, samples=False)
    whole = seen(tmp_path).settings["steps"]
    (part,) = files.part_paths()
    table = pq.read_table(part)
    pq.write_table(table.slice(0, len(table) - 1), part)
    assert seen(tmp_path).settings["steps"] == whole - 10


def test_no_rows(look):
    result = look({}, samples=False)
    assert undefined(result, "drift")
    assert overall(result).code == "short-run-undetermined"


def test_no_samples(look, small):
    result = look(small, samples=False)
    for name in ("two_sample:long-data", "copies:long", "displacement:ratio", "states:forgotten"):
        assert "there is no long.npz" in undefined(result, name)
    assert result.estimates["drift"].value is not None
    assert "two-sample" in {finding.code for finding in judge(result)}
    assert "there is no long.npz" in overall(result).statement


def test_damaged_samples(tmp_path, small):
    files = written(tmp_path / "x.parquet", "long", small)
    files.samples.write_bytes(files.samples.read_bytes()[:200])
    with pytest.raises(DataError, match="cannot be read as samples"):
        seen(tmp_path)


def test_foreign_samples(tmp_path, rng, small):
    files = written(tmp_path / "x.parquet", "long", small)
    other = written(tmp_path / "y.parquet", "long", settled(rng, 10, 60))
    files.samples.write_bytes(other.samples.read_bytes())
    with pytest.raises(DataError, match="do not belong together"):
        seen(tmp_path)


def test_damaged_samples_of_another_table(tmp_path, small):
    files = written(tmp_path / "x.parquet", "early", small, training_step=10)
    files.samples.write_bytes(b"nothing")
    written(tmp_path / "x.parquet", "long", small)
    result = seen(tmp_path)
    assert any("cannot be read as samples" in note for note in result.notes)
    assert np.isnan(result.tables["training"].columns["p"]).tolist() == [True, False]


def test_no_long(look, small):
    result = look(without(small, "long"))
    for name in ("drift", "drift:total", "rhat", "nested", "tau", "displacement", "energy:long-data"):
        assert undefined(result, name)
    assert result.estimates["energy:short-data"].value is not None
    assert "phase long" in overall(result).statement


def test_no_short(look, small):
    result = look(without(small, "short"))
    assert "phase short" in undefined(result, "energy:long-short")
    assert undefined(result, "two_sample:short-long")
    assert "phase short" in overall(result).statement


def test_no_data(look, small):
    result = look(without(small, "data"))
    assert undefined(result, "energy:long-data")
    assert undefined(result, "energy:sd")
    assert undefined(result, "displacement:ratio")
    assert "phase data" in overall(result).statement


def test_one_start(look, rng):
    courses = settled(rng, 8, 60)
    courses["long"] = dataclasses.replace(courses["long"], starts=np.zeros(8, dtype=int))
    result = look(courses)
    assert "one start" in result.estimates["drift"].reason
    assert result.estimates["drift"].value is not None
    assert result.estimates["drift"].low is None
    assert undefined(result, "drift:errors")
    assert undefined(result, "nested")
    assert overall(result).code == "short-run-undetermined"
    assert "all chains share one start" in overall(result).statement
    assert "at the margin" not in overall(result).statement


def test_one_start_from_noise(look, rng):
    courses = settled(rng, 8, 60)
    courses["long"] = dataclasses.replace(courses["long"], starts=np.zeros(8, dtype=int))
    courses["long"] = dataclasses.replace(courses["long"], init="noise", states=courses["long"].states + 9)
    assert "all chains share one start" in undefined(look(courses), "depth:crossing")


def test_few_starts(look, rng):
    result = look(settled(rng, 6, 60, copies=2))
    assert result.estimates["drift"].reason == "only 3 independent starts"
    assert result.estimates["drift"].low is not None


def test_one_copy(look, rng):
    result = look(settled(rng, 8, 60))
    assert "no two starts" in undefined(result, "nested")
    assert "no two starts" in undefined(result, "states:forgotten")
    assert "starts-forgotten-states" not in {finding.code for finding in judge(result)}
    assert "one copy of each start: whether starts are forgotten is unknown; --copies 2" in overall(result).statement


def test_some_starts_with_one_copy(look, rng):
    """Nested R-hat needs as many chains of each start; whole states compare those that have several."""
    courses = settled(rng, 24, 60, copies=2)
    starts = courses["long"].starts.copy()
    starts[0] = 99
    courses["long"] = dataclasses.replace(courses["long"], starts=starts)
    result = look(courses)
    assert undefined(result, "nested")
    assert result.estimates["states:forgotten"].value == pytest.approx(1, abs=0.5)


@pytest.mark.parametrize(("chains", "draws", "reason"), [(8, 60, "8 chains"), (24, 12, "7 draws")])
def test_few_chains_or_draws_to_keep_anything(look, rng, chains, draws, reason):
    result = look(settled(rng, chains, draws, copies=2))
    assert reason in undefined(result, "persistence")
    assert "chains-forget" not in {finding.code for finding in judge(result)}


def test_unadjusted_without_acceptance(look, small):
    said = overall(look(small, sampler={"name": "langevin", "exact": False}))
    assert said.code == "short-run-undetermined"
    assert "what Metropolis would accept of its steps was not recorded" in said.statement


def test_equal_ends(look, small):
    """All long chains end in one point."""
    small["long"].states[:, -1] = 1.0
    assert "all end states are equal" in undefined(look(small), "states:forgotten")


def test_ends_that_are_not_finite(look, small):
    energy = small["long"].values()["energy"]
    small["long"].states[3, -1] = np.inf
    result = look(with_measure(small, "energy", {"long": energy}))
    assert "not finite" in undefined(result, "states:forgotten")


def test_few_draws(look, small):
    long = small["long"]
    small["long"] = dataclasses.replace(long, states=long.states[:, :3], draws=long.draws[:3])
    result = look(small)
    assert "at least 3 are needed" in undefined(result, "drift")
    assert "at least 4 are needed" in undefined(result, "rhat")
    assert "mixing is unknown" in overall(result).statement


def test_fewer_than_fifty_times(look, rng):
    result = look(settled(rng, 24, 400, f=0.95))
    tau, needed = result.estimates["tau"], result.estimates["steps_needed"]
    assert "are needed" in tau.reason
    assert needed.value > result.settings["steps"]
    said = {finding.code: finding.statement for finding in judge(result)}
    assert "steps in all" in said["mixing"]


def test_not_finite(look, small):
    energy = small["long"].values()["energy"]
    energy[3, 40:] = np.inf
    result = look(with_measure(small, "energy", {"long": energy}))
    assert "1 of 24 chains hold no finite value" in result.estimates["drift"].reason
    assert np.isfinite(result.estimates["drift"].value)
    assert not result.estimates["rhat:energy"].reliable


def test_constant_measure(look, small):
    flat = {kind: np.zeros(course.states.shape[:2]) for kind, course in small.items()}
    result = look(with_measure(small, "outside", flat))
    assert result.estimates["outside:long-data"].value == 0
    rows = {(pair, name): value for pair, name, value, *_ in result.tables["agreement"].rows()}
    assert rows["long-data", "outside"] == 0


def test_from_noise(look, small):
    small["long"] = dataclasses.replace(small["long"], init="noise")
    result = look(small)
    assert "displacement:ratio" not in result.estimates
    assert "begins within 3 errors" in undefined(result, "depth:crossing")


def test_from_data(look, small):
    assert "depth:crossing" not in look(small).estimates


def test_no_crossing(look, small):
    long = small["long"]
    small["long"] = dataclasses.replace(long, init="noise", states=long.states + 9)
    assert "keeps its sign" in undefined(look(small), "depth:crossing")


def test_unknown_length(look, rng, small):
    energy = 9 - 0.05 * small["long"].draws + rng.standard_normal((24, 61))
    small["long"] = dataclasses.replace(small["long"], init="noise", more={"energy": energy})
    result = look(small, short_steps=0)
    assert result.estimates["depth:crossing"].value is not None
    assert "not known" in undefined(result, "depth:crossing_per_L")


def test_not_held_out(look, small):
    near = {kind: np.ones(24) for kind in small}
    result = look(small, nearest=near, held_out=False)
    assert "trained on" in result.estimates["copies:long"].reason
    assert result.estimates["copies:long"].value is not None


def test_a_density(look, small):
    assert not any(name.startswith("copies") for name in look(small).estimates)


def test_images_are_flattened(tmp_path, rng):
    """The shape of a state changes nothing but how it lies in the file."""
    from ebmdiag.chains import Samples, read_samples, write_samples

    files = written(tmp_path / "x.parquet", "long", settled(rng, 24, 60, dimension=12))
    flat = seen(tmp_path).tables["two_sample"].to_json()
    states = read_samples(files.samples)
    kinds = ("data", "short", "long")
    write_samples(files.samples, Samples(**{kind: getattr(states, kind).reshape(-1, 3, 2, 2) for kind in kinds}))
    assert seen(tmp_path).tables["two_sample"].to_json() == flat


def test_hot(look, small):
    result = look(small, temperature=1.5)
    assert any("temperature 1.5" in note for note in result.notes)
    assert overall(result).code == "short-run-undetermined"


def test_running(tmp_path, small):
    files = written(tmp_path / "x.parquet", "long", small, finished=False, samples=False)
    lock = acquire(files.lock, files.table)
    try:
        result = seen(tmp_path)
    finally:
        lock.release()
    assert any("still running" in note for note in result.notes)
    assert "yet" in undefined(result, "two_sample:long-data")
    assert result.estimates["drift"].value is not None


def test_interrupted(look, small):
    result = look(small, finished=False, samples=False)
    assert any("broken off" in note and "ebmdiag sample ... --resume" in note for note in result.notes)
    assert not any("still running" in note for note in result.notes)
    assert result.settings["state"] == "interrupted"
    assert result.estimates["drift"].value is not None


def test_unknown_exactness(look, small):
    small = with_measure(small, "acceptance", {"long": np.full((24, 61), 0.01)})
    result = look(small, sampler={"name": "mala"})  # the name alone proves nothing
    assert result.settings["exact"] is None
    found = {finding.code: finding for finding in judge(result)}["acceptance"]
    assert (found.severity, "not judged" in found.statement) == ("info", True)


def test_data_that_do_not_vary(look, small):
    """Differences are then told in the deviation of the short or long runs, and say so."""
    flat = {"data": np.zeros((24, 1)), "short": np.zeros((24, 6)), "long": np.full((24, 61), 3.0)}
    flat["long"][:12] += 1.0
    result = look(with_measure(small, "outside", flat))
    units = {(pair, name): unit for pair, name, *_, unit in result.tables["agreement"].rows()}
    assert units["long-data", "energy"] == "data"
    assert units["long-data", "outside"] == units["long-short", "outside"] == "long"
    assert units["short-data", "outside"] == "none"
    found = {finding.code: finding for finding in judge(result)}["images"].statement
    assert "sd of the long runs (the data's do not vary)" in found


def test_diverged(look, small):
    result = look(small, samples=False, end={"state": "diverged", "message": "energy is NaN"})
    assert "these chains diverged (energy is NaN): the draws before are used." in result.notes


def test_every_row_of_the_page_has_a_test():
    rows = re.findall(r"^\| `(\w+)` \|", PAGE.read_text(encoding="utf-8").partition("## When a number")[2], re.M)
    tests = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert len(rows) >= 20
    assert set(rows) <= tests


def test_the_analysis_is_of_a_run():
    assert ANALYSIS.subject == "run"
    assert set(ANALYSIS.options.__dataclass_fields__) == {"step", "table", "level", "permutations", "seed"}
