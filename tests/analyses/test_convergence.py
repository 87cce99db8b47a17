"""The analysis ``convergence``: each planted behaviour of long chains is found, and nothing in chains without any."""

import dataclasses
import re

import numpy as np
import pytest
from chain_tables import THIN, Course, L, autoregressive, moved, settled, with_measure, written
from scipy.stats import binom

from ebmdiag.errors import UsageError
from ebmdiag.result import Estimate
from ebmdiag.runfolder import RunFolder
from ebmdiag_analyses.convergence import Options, analyse, judge
from ebmdiag_analyses.convergence.limits import Limits
from ebmdiag_analyses.convergence.samples import tests as two_tests

QUICK = Options(permutations=600)
CHAINS = 256


def looked_at(tmp_path, courses, options=QUICK, **facts):
    written(tmp_path / "x.parquet", "long", courses, **facts)
    return analyse(RunFolder.of(tmp_path / "x.parquet"), options)


def spoken(result):
    return {finding.code: finding for finding in judge(result)}


def warned(result):
    return {finding.code for finding in judge(result) if finding.severity != "info"}


@pytest.fixture
def rng():
    return np.random.default_rng(20)


def test_chains_of_one_law_are_the_model(tmp_path, rng):
    """Negative control of everything below."""
    nearest = {kind: np.abs(rng.standard_normal(CHAINS)) for kind in ("data", "short", "long")}
    result = looked_at(tmp_path, settled(rng, CHAINS, copies=2), nearest=nearest)
    assert warned(result) == set()
    said = spoken(result)
    assert "agrees with short runs and data within 0.5 sd" in said["short-run-is-model"].statement
    assert set(said) >= {"energy-drift", "energy-gap", "mixing", "displacement", "copies"}
    assert set(said) >= {"starts-forgotten", "starts-forgotten-states"}
    assert "as far as energy, projections and end states see" in said["short-run-is-model"].statement
    assert "no trace of the start" in said["starts-forgotten-states"].statement
    assert "no trace of the start" in said["starts-forgotten"].statement


@pytest.mark.parametrize(
    ("rhat", "draws", "word"),
    [(1.005, 900.0, "mixed"), (1.005, 100.0, "nearly mixed"), (1.05, 900.0, "nearly mixed"), (1.2, 900.0, "not mixed")],
)
def test_every_sentence_has_the_same_word_for_mixing(tmp_path, rng, rhat, draws, word):
    nearest = {kind: np.abs(rng.standard_normal(CHAINS)) for kind in ("data", "short", "long")}
    result = looked_at(tmp_path, settled(rng, CHAINS, copies=2), nearest=nearest)
    numbers = {"rhat": rhat, "ess:bulk": draws, "ess:tail": draws}
    planted = {name: Estimate(value) for name, value in numbers.items()}
    result = dataclasses.replace(result, estimates={**result.estimates, **planted})
    said = spoken(result)
    assert f"the long chains have {word}:" in said["mixing"].statement
    code = "short-run-undetermined" if word == "not mixed" else "short-run-is-model"
    assert re.search(rf"the long (run has|chains have) {word}\b", said[code].statement)
    others = {"nearly mixed", "not mixed"} - {word}
    assert not any(other in finding.statement for finding in said.values() for other in others)
    assert not any("mixed" in one.reason for one in result.estimates.values())  # R-hats from 1.01 on are doubted there


def test_chains_that_mix_but_remember_their_starts_are_not_called_unmixed(tmp_path, rng):
    result = looked_at(tmp_path, settled(rng, CHAINS, copies=2))
    planted = {"rhat": 1.05, "nested": 1.5, "nested:p": 1e-9}
    planted = {name: Estimate(value) for name, value in planted.items()}
    said = spoken(dataclasses.replace(result, estimates={**result.estimates, **planted}))
    statement = said["short-run-undetermined"].statement
    assert "have nearly mixed (R-hat 1.05), but those of one start still know it (nested R-hat 1.5)" in statement
    assert "have nearly mixed" in said["mixing"].statement


def test_drifting_energy(tmp_path, rng):
    courses = settled(rng, CHAINS)
    drift = -0.002 * courses["long"].draws  # U per step; sd of U is 1
    energy = courses["long"].values()["energy"] + drift
    courses = with_measure(courses, "energy", {"long": energy})
    result = looked_at(tmp_path, courses)
    found = result.estimates["drift"]
    assert found.low < -2.0 < found.high
    assert found.high - found.low < 0.1
    assert result.estimates["drift:total"].value == pytest.approx(-4, abs=0.1)
    said = spoken(result)
    assert said["energy-drift"].severity == "warning"
    assert "still falling" in said["energy-drift"].statement
    assert {"energy-gap", "short-run-is-not-model"} <= warned(result)


def test_chains_that_never_leave_their_starts(tmp_path, rng):
    """Copies of data look like data: this proves nothing, and the analysis must not say that it does."""
    result = looked_at(tmp_path, settled(rng, CHAINS, f=0.99999))
    said = spoken(result)
    assert result.estimates["displacement:ratio"].high < 0.3
    assert "still near where they began" in said["displacement"].statement
    assert said["mixing"].severity == "warning"
    assert "more steps are needed" in said["short-run-undetermined"].statement
    assert "short-run-is-model" not in said


def test_chains_from_noise_that_have_not_arrived(tmp_path, rng):
    """Short and long runs agree far from the data, and do not move: nothing is shown of the density."""
    courses = settled(rng, CHAINS, shift=2.0, f=0.99999)
    courses["long"] = dataclasses.replace(courses["long"], init="noise", states=courses["long"].states + 2)
    said = spoken(looked_at(tmp_path, courses))
    assert "have not mixed" in said["short-run-undetermined"].statement
    assert said["energy-gap"].severity == "warning"


def arriving(rng):
    """Data and short runs of one law; long chains from far away that are on their way to it, and will get there."""
    courses = settled(rng, CHAINS)
    begin = 20 + rng.standard_normal((CHAINS, 2))
    states = autoregressive(rng, begin, 200, 0.99)
    return {**courses, "long": Course(states, THIN * np.arange(201), "noise")}


PLAIN = {"name": "langevin", "step_size": 0.1, "exact": False, "adjusted": False}


@pytest.mark.parametrize(
    ("init", "facts", "code"),
    [
        ("noise", {"short_start": "persistent"}, "undetermined"),
        ("noise", {"short_start": "data"}, "undetermined"),
        ("noise", {"short_start": "uniform"}, "undetermined"),  # by another sampler, which may be slower
        ("noise", {"short_start": "uniform", "sampler": {**PLAIN, "step_size": 0.01}}, "undetermined"),
        ("noise", {"short_start": "uniform", "sampler": {**PLAIN, "temperatures": [1, 2]}}, "undetermined"),
        ("noise", {"short_start": "uniform", "sampler": PLAIN, "short_steps": 2000}, "undetermined"),
        ("noise", {"short_start": "uniform", "sampler": PLAIN}, "is-not-model"),
        ("noise", {"short_start": "gaussian", "sampler": PLAIN}, "is-not-model"),
        ("bank", {"short_start": "uniform", "sampler": PLAIN}, "undetermined"),
        ("bank", {"short_start": "persistent"}, "is-not-model"),
        ("bank", {"short_start": "persistent", "sampler": {"name": "foreign"}}, "undetermined"),
    ],
)
def test_chains_that_are_still_arriving(tmp_path, rng, init, facts, code):
    """A perfect model is not warned of because long chains are slow; but what becomes of short runs is evidence."""
    courses = arriving(rng)
    courses["long"] = dataclasses.replace(courses["long"], init=init)
    result = looked_at(tmp_path, courses, **facts)
    assert result.estimates["rhat"].value > 1.1
    assert result.estimates["two_sample:short-long"].value < 0.01
    assert f"short-run-{code}" in spoken(result)
    assert spoken(result)["energy-drift"].severity == "warning"


def test_equal_means_do_not_hide_wider_data(tmp_path, rng):
    """Data three times as wide as short and long runs, with the same energies and centres."""
    courses = settled(rng, CHAINS)
    energy = courses["data"].values()["energy"]
    courses["data"] = dataclasses.replace(courses["data"], states=3 * courses["data"].states, more={"energy": energy})
    result = looked_at(tmp_path, courses)
    rows = {(pair, name): value for pair, name, value, *_ in result.tables["agreement"].rows()}
    assert max(abs(value) for (_, name), value in rows.items() if not name.startswith("spread")) < 0.3
    assert rows["long-data", "spread of projection_0"] == pytest.approx(-2 * 0.798 / (3 * 0.603), abs=0.15)
    found = spoken(result)["short-run-is-not-model"]
    assert re.search(r"the long run is -0\.\d+ sd off the data in spread of projection_[01]", found.statement)


def test_equal_projections_do_not_hide_other_states(tmp_path, rng):
    """A shift of the data in coordinates that no measure looks at: nothing but whole states shows it."""
    courses = settled(rng, CHAINS, dimension=8, copies=2)
    plain = with_measure(courses, "energy", {"data": courses["data"].values()["energy"]})
    shift = np.array([0, 0, 0, 0, 1.0, 1.0, 1.0, 1.0])
    for place, size, code in (("not", 0.0, "short-run-is-model"), ("shifted", 1.0, "short-run-undetermined")):
        data = dataclasses.replace(plain["data"], states=plain["data"].states + size * shift)
        result = looked_at(tmp_path / place, {**plain, "data": data})
        assert code in spoken(result)
    assert "whole states of" in spoken(result)["short-run-undetermined"].statement
    shares = dict(zip(*(result.tables["two_sample"].columns[name][::2] for name in ("pair", "share")), strict=True))
    assert shares["long-data"] > Limits().share > shares["short-long"]


def test_the_share_that_matters_is_that_of_a_shift_by_the_margin(rng):
    x, y = rng.standard_normal((2, 400, 200))
    ((_, _, _, share), _) = two_tests("long-data", x, y + 0.5, 600, 0)
    ((_, _, _, same), _) = two_tests("long-data", x, y, 600, 0)
    assert share == pytest.approx(Limits().share, abs=0.005)
    assert same < 0.005


@pytest.mark.parametrize("permutations", [600, 999])
def test_as_few_permutations_as_are_allowed_can_reject(tmp_path, rng, permutations):
    """Negative control: one fewer is refused, and a stricter judge says that it cannot be met."""
    courses = settled(rng, 64)
    courses["long"] = moved(courses["long"], 2.0)
    result = looked_at(tmp_path, courses, Options(permutations=permutations))
    assert result.estimates["two_sample:long-data"].value < 0.01
    assert "cannot go below" not in spoken(result)["two-sample"].statement
    strict = {finding.code: finding for finding in judge(result, Limits(p=1e-3))}
    assert "so few permutations cannot go below 0.001" in strict["two-sample"].statement
    with pytest.raises(UsageError, match="at least 600"):
        Options(permutations=599)
    assert 6 / 600 >= Limits().p > 6 / 601


def test_modes_that_the_start_decides(tmp_path, rng):
    courses = settled(rng, CHAINS, copies=4)
    sides = {kind: np.sign(course.states[:, 0, 1]) for kind, course in courses.items()}
    sides["long"] = np.where(courses["long"].numbers() % 2, 1.0, -1.0)
    courses = {kind: moved(course, 4 * sides[kind][:, None]) for kind, course in courses.items()}
    result = looked_at(tmp_path, courses)
    said = spoken(result)
    assert result.estimates["nested"].value > 2
    assert "have not forgotten it" in said["starts-forgotten"].statement
    assert {"starts-forgotten", "mixing"} <= warned(result)
    assert "have not mixed" in said["short-run-undetermined"].statement


def hidden_modes(rng, copies, init="data"):
    """Two modes 6 sd apart along a coordinate that no measure looks at, of equal energy, that no long chain leaves."""
    courses = settled(rng, CHAINS, 60, dimension=400, copies=copies)
    energies = {kind: course.values()["energy"] for kind, course in courses.items()}
    for kind, course in courses.items():
        numbers = course.numbers()
        side = rng.choice([-3.0, 3.0], numbers.max() + 1)[numbers]
        course.states[:, :, -1] += side[:, None]
        courses[kind] = dataclasses.replace(course, more={"energy": energies[kind]})
    courses["long"] = dataclasses.replace(courses["long"], init=init)
    return courses


@pytest.mark.parametrize("init", ["data", "bank"])
def test_modes_that_no_measure_sees_and_no_chain_leaves(tmp_path, rng, init):
    """Only whole ends show it, and only with copies; without, it is not known."""
    result = looked_at(tmp_path / "two", hidden_modes(rng, 2, init))
    said = spoken(result)
    assert result.estimates["rhat"].value < 1.1
    assert "no trace" in said["starts-forgotten"].statement
    assert warned(result) == {"starts-forgotten-states"}
    assert result.estimates["states:forgotten"].value == pytest.approx(1 - 36 / (8 * 400), abs=0.008)
    assert result.estimates["states:forgotten_axis"].value < 0.5
    assert "tell which chains began together" in said["short-run-undetermined"].statement
    alone = looked_at(tmp_path / "one", hidden_modes(rng, 1, init))
    assert warned(alone) == set()
    assert "--copies 2" in spoken(alone)["short-run-undetermined"].statement


def test_short_runs_that_differ_from_long_ones(tmp_path, rng):
    result = looked_at(tmp_path, settled(rng, CHAINS, shift=1.5))
    said = spoken(result)
    assert result.estimates["two_sample:short-long"].value <= 0.01
    assert result.estimates["two_sample:long-data"].value > 0.01
    assert "off the short runs" in said["short-run-is-not-model"].statement
    assert "short and long" in said["two-sample"].statement.partition(":")[0]


def test_long_chains_that_leave_the_data(tmp_path, rng):
    courses = settled(rng, CHAINS)
    courses["long"] = moved(courses["long"], 3.0, slice(40, None))
    result = looked_at(tmp_path, courses)
    said = spoken(result)
    assert "off the data" in said["short-run-is-not-model"].statement
    assert "higher energies" in said["energy-gap"].statement
    exact = 4.5  # the mean of ((x + 3)² - x²) / 2
    gap = result.estimates["energy:long-data"]
    assert gap.low < exact < gap.high


def test_a_memory_of_short_runs(tmp_path, rng):
    """Chains from noise pass the data's energy after L steps and go on."""
    draws = np.arange(0, 401 * THIN, THIN)
    shift = np.maximum(5 - 5 * draws / L, -5)  # of the mean of U from that of data
    noise = rng.standard_normal((CHAINS, len(draws), 2))
    energy = (noise**2).sum(2) / 2 + shift
    courses = settled(rng, CHAINS)
    courses["long"] = Course(noise, draws, "noise", more={"energy": energy})
    result = looked_at(tmp_path, courses, Options(permutations=600, level=0.99))
    crossing = result.estimates["depth:crossing_per_L"]
    assert crossing.low <= 1.0 <= crossing.high
    found = spoken(result)["depth-scan"]
    assert (found.severity, "only where training looks" in found.statement) == ("warning", True)
    assert "displacement:ratio" not in result.estimates


def test_a_scan_that_reaches_0_and_stays_is_no_fault(tmp_path, rng):
    courses = settled(rng, CHAINS)
    begin = 6 + np.repeat(rng.standard_normal((CHAINS // 2, 2)), 2, axis=0)
    states = autoregressive(rng, begin, 400, 0.7)
    courses["long"] = Course(states, THIN * np.arange(401), "noise", np.arange(CHAINS) // 2)
    result = looked_at(tmp_path, courses)
    assert result.estimates["depth:crossing"].value is not None
    assert warned(result) == set()
    assert "short-run-is-model" in spoken(result)


@pytest.mark.parametrize(
    ("sampler", "share", "severity", "words"),
    [
        ("langevin", 0.2, "warning", "bias of the step"),
        ("langevin", 0.95, "info", "Metropolis would accept"),
        ("mala", 0.02, "warning", "accepts"),
        ("mala", 0.6, "info", "accepts"),
    ],
)
def test_acceptance(tmp_path, rng, sampler, share, severity, words):
    courses = settled(rng, 32, 60)
    values = np.full((32, 61), share) + 0.01 * rng.standard_normal((32, 61))
    values[:, 0] = np.nan
    courses = with_measure(with_measure(courses, "acceptance", {"long": values}), "swaps", {"long": values / 2})
    result = looked_at(tmp_path, courses, sampler={"name": sampler, "exact": sampler == "mala"})
    estimate, found = result.estimates["acceptance"], spoken(result)["acceptance"]
    assert estimate.low < share < estimate.high
    assert result.estimates["swaps"].value == pytest.approx(estimate.value / 2)
    assert found.severity == severity
    assert words in found.statement
    assert result.settings["exact"] is (sampler == "mala")


def test_oversaturated_images(tmp_path, rng):
    courses = settled(rng, 64, 60)
    looks = {kind: 0.3 + 0.1 * rng.standard_normal(course.states.shape[:2]) for kind, course in courses.items()}
    plain = with_measure(courses, "saturation", looks)
    assert spoken(looked_at(tmp_path / "plain", plain))["images"].severity == "info"
    vivid = with_measure(courses, "saturation", {**looks, "long": looks["long"] + 0.3})
    result = looked_at(tmp_path / "vivid", vivid)
    found = spoken(result)["images"]
    assert found.severity == "warning"
    assert "long runs are more saturated" in found.statement
    assert "short runs" not in found.statement
    assert result.estimates["saturation:long-data"].value == pytest.approx(0.3, abs=0.06)
    assert {"data", "short", "long-data"} <= set(result.tables["images"].columns)


def test_copies_of_training_items(tmp_path, rng):
    far = {kind: 1 + np.abs(rng.standard_normal(64)) for kind in ("data", "short", "long")}
    fresh = looked_at(tmp_path / "fresh", settled(rng, 64, 60), nearest=far)
    assert spoken(fresh)["copies"].severity == "info"
    copied = looked_at(tmp_path / "copied", settled(rng, 64, 60), nearest={**far, "long": far["long"] - 0.9})
    assert spoken(copied)["copies"].severity == "warning"
    assert copied.estimates["copies:long"].value < 0.01 < copied.estimates["copies:short"].value
    trained = looked_at(tmp_path / "trained", settled(rng, 64, 60), nearest=far, held_out=False)
    assert not trained.estimates["copies:long"].reliable
    assert "not judged" in spoken(trained)["copies"].statement


def test_a_hot_run_decides_nothing(tmp_path, rng):
    result = looked_at(tmp_path, settled(rng, CHAINS), temperature=2.0)
    assert "temperature 2, not 1" in spoken(result)["short-run-undetermined"].statement
    assert any("temperature 2" in note for note in result.notes)


def test_few_chains_ask_for_more(tmp_path, rng):
    said = spoken(looked_at(tmp_path, settled(rng, 16)))["short-run-undetermined"].statement
    assert "independent starts (now 16) would decide" in said


def test_the_same_seed_gives_the_same_result(tmp_path, rng):
    written(tmp_path / "x.parquet", "long", settled(rng, 32, 60))
    run = RunFolder.of(tmp_path / "x.parquet")
    first, second = (analyse(run, QUICK).to_json() for _ in range(2))
    assert first == second
    other = analyse(run, Options(permutations=600, seed=1)).to_json()
    assert other["tables"]["two_sample"] != first["tables"]["two_sample"]


@pytest.mark.parametrize("wrong", [{"level": 1.0}, {"permutations": 599}, {"seed": -1}, {"step": -1}])
def test_options_out_of_range(wrong):
    with pytest.raises(UsageError):
        Options(**wrong)


SEEDS = 40


@pytest.mark.slow
def test_false_alarms_and_coverage_over_many_runs(tmp_path):
    """Chains of one law: intervals hold the truth at their level, and almost nothing is warned of."""
    covered = dict.fromkeys(("drift", "energy:long-data", "energy:short-data"), 0)
    alarms = nested = states = small = verdicts = shown = 0
    for seed in range(SEEDS):
        courses = settled(np.random.default_rng([7, seed]), 128, 200, copies=2)
        result = looked_at(tmp_path / str(seed), courses, Options(permutations=600))
        for name in covered:
            covered[name] += result.estimates[name].low <= 0 <= result.estimates[name].high
        nested += result.estimates["nested:p"].value < 0.05
        states += result.estimates["states:forgotten_p"].value < 0.05
        small += (result.tables["two_sample"].columns["adjusted_p"] < 0.05).any()
        alarms += bool(warned(result))
        verdicts += "short-run-is-not-model" in spoken(result)
        shown += "short-run-is-model" in spoken(result)
    low = binom.ppf(0.0005, SEEDS, 0.95)
    assert all(count >= low for count in covered.values()), covered
    highest = binom.ppf(0.9995, SEEDS, 0.05)
    assert nested <= highest
    assert states <= highest
    assert small <= highest
    assert alarms <= binom.ppf(0.9995, SEEDS, 0.02)
    assert verdicts <= 1
    assert shown > SEEDS / 2
