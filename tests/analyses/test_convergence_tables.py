"""Which tables of chains ``convergence`` looks at, and what it says of several."""

import dataclasses
import gc
import weakref

import numpy as np
import pytest
from chain_tables import moved, settled, written

from ebmdiag.chains import read_chains
from ebmdiag.errors import TraceError, UsageError
from ebmdiag.runfolder import RunFolder
from ebmdiag_analyses.convergence import Options, analyse, judge

QUICK = Options(permutations=600)


def spoken(result):
    return {finding.code: finding for finding in judge(result)}


@pytest.fixture
def rng():
    return np.random.default_rng(24)


def test_chains_from_data_and_noise_meet_or_not(tmp_path, rng):
    run = tmp_path / "x.parquet"
    for shift, place in ((0.0, "together"), (2.0, "apart")):
        run = tmp_path / place / "x.parquet"
        written(run, "a-data", settled(rng, 64))
        courses = settled(rng, 64)
        courses["long"] = dataclasses.replace(moved(courses["long"], shift), init="noise")
        written(run, "b-noise", courses)
        result = analyse(RunFolder.of(run), QUICK)
        found = spoken(result)["chains-meet"]
        assert found.severity == ("warning" if shift else "info")
        assert result.estimates["meet"].value == pytest.approx(1.73 if shift else 1.0, abs=0.2)  # √(1 + shift²/2)


def test_which_table_is_looked_at(tmp_path, rng):
    run = tmp_path / "x.parquet"
    courses = settled(rng, 16, 60)
    written(run, "step_100-long", settled(rng, 16, 200), training_step=100)
    written(run, "step_200-probe", settled(rng, 16, 20), training_step=200)
    written(run, "step_200-long", courses, training_step=200)
    written(run, "step_200-hot", settled(rng, 16, 90), training_step=200, temperature=2.0)

    def table(**options):
        return analyse(RunFolder.of(run), Options(permutations=600, **options)).settings["table"]

    assert table() == "step_200-long"
    assert table(step=100) == "step_100-long"
    assert table(table="step_200-probe") == "step_200-probe"
    result = analyse(RunFolder.of(run), QUICK)
    assert result.tables["training"].columns["step"].tolist() == [100, 200, 200, 200]
    assert any("step 100 has a longer run" in note for note in result.notes)
    assert "of 2 iterations" in spoken(result)["long-runs-over-training"].statement
    with pytest.raises(UsageError, match="Known: 100, 200"):
        table(step=150)
    with pytest.raises(UsageError, match="did you mean 'step_200-long'"):
        table(table="step_200-lang")
    with pytest.raises(UsageError, match="is of step 200, not 100"):
        table(step=100, table="step_200-long")


def test_chains_that_have_mixed_come_before_longer_ones_that_have_not(tmp_path, rng):
    run, good = tmp_path / "x.parquet", settled(rng, 32, 60)
    longer = settled(rng, 32, 120)
    states = longer["long"].states.copy()
    states[::2, :, 0] += 9.0  # every other chain is far from the rest
    apart = {**longer, "long": dataclasses.replace(longer["long"], states=states)}
    written(run, "long", apart)
    assert analyse(RunFolder.of(run), QUICK).settings["table"] == "long"
    written(run, "short", good)
    assert analyse(RunFolder.of(run), QUICK).settings["table"] == "short"
    written(run, "longest", settled(rng, 32, 90))  # of those that have mixed the longest
    assert analyse(RunFolder.of(run), QUICK).settings["table"] == "longest"


def test_iterations_that_do_not_count_over_training(tmp_path, rng):
    """Hot runs sample another density, and without data there is no gap: neither leaves the data."""
    run, good = tmp_path / "x.parquet", settled(rng, 64, 60)
    off = {**good, "long": moved(good["long"], 3.0)}
    for step in (100, 200):
        written(run, f"{step}-long", good, training_step=step)
    written(run, "200-hot", off, training_step=200, temperature=2.0)
    written(run, "300-alone", {kind: course for kind, course in good.items() if kind != "data"}, training_step=300)

    def said():
        return spoken(analyse(RunFolder.of(run), QUICK))["long-runs-over-training"].statement

    assert "of 2 iterations with long runs, 2 keep the data's energy" in said()
    assert "last 200" in said()
    written(run, "200-off", off, training_step=200)  # negative control
    assert "of 2 iterations with long runs, 1 keep" in said()


def test_a_table_of_chains_that_lies_elsewhere(tmp_path, rng):
    """It is looked at alone, finished or not, whatever else the folder holds."""
    inside = written(tmp_path / "x.parquet", "long", settled(rng, 16, 60))
    written(tmp_path / "x.parquet", "other", settled(rng, 16, 90))
    elsewhere = tmp_path / "some" / "where" / "a.parquet"
    elsewhere.parent.mkdir(parents=True)
    for path in (inside.table, inside.samples):
        (elsewhere.parent / f"a{path.suffix}").write_bytes(path.read_bytes())
    for place in (elsewhere, elsewhere.with_suffix(""), inside.table):
        result = analyse(RunFolder.of(place), QUICK)
        assert result.settings["steps"] == 600
        assert len(result.tables["training"]) == 1
        assert result.estimates["two_sample:long-data"].value is not None
    assert result.trace == "long.parquet"
    with pytest.raises(UsageError, match=r"a\.parquet: no table 'other'"):
        analyse(RunFolder.of(elsewhere), dataclasses.replace(QUICK, table="other"))
    broken = written(tmp_path / "y.parquet", "part", settled(rng, 16, 60), finished=False, samples=False)
    assert analyse(RunFolder.of(broken.table), QUICK).settings["steps"] == 600
    elsewhere.write_bytes(elsewhere.read_bytes()[:1000])
    with pytest.raises(TraceError, match="truncated"):
        analyse(RunFolder.of(elsewhere), QUICK)


def test_tables_are_read_one_at_a_time(tmp_path, rng, monkeypatch):
    """Of many tables over a training, one at a time is in memory."""
    run, alive, most = tmp_path / "x.parquet", [], []
    for step in range(4):
        written(run, f"{step}-data", settled(rng, 16, 60), training_step=step)

    def counted(path):
        gc.collect()
        most.append(sum(reference() is not None for reference in alive))
        chains = read_chains(path)
        alive.append(weakref.ref(chains))
        return chains

    monkeypatch.setattr("ebmdiag.chains.read_chains", counted)
    assert len(analyse(RunFolder.of(run), QUICK).tables["training"]) == 4
    assert most == [0, 0, 0, 0, 0]
