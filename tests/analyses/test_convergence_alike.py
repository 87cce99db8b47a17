"""Short and long runs that agree for another reason than the model: what agreement must not be taken for."""

import dataclasses
import math

import numpy as np
import pytest
from chain_tables import THIN, Course, autoregressive, moved, settled, with_measure, written
from scipy.stats import binom

from ebmdiag.chains import read_chains
from ebmdiag.runfolder import RunFolder
from ebmdiag_analyses.convergence import Options, analyse, judge
from ebmdiag_analyses.convergence.limits import Limits
from ebmdiag_analyses.convergence.persistence import kept, persistence

QUICK = Options(permutations=600)
CHAINS = 256


@pytest.fixture
def rng():
    return np.random.default_rng(31)


def overall(tmp_path, courses, **facts):
    written(tmp_path / "x.parquet", "long", courses, **facts)
    result = analyse(RunFolder.of(tmp_path / "x.parquet"), dataclasses.replace(QUICK, table="long"))
    return result, judge(result)[0]


@pytest.mark.parametrize(("shift", "code"), [(3.0, "undetermined"), (0.0, "is-model")])
def test_a_mode_that_only_chains_from_elsewhere_find(tmp_path, rng, shift, code):
    """Data, short runs and long chains from data agree in one mode; chains from noise are in another, or are not."""
    noise = settled(rng, CHAINS, copies=2)
    noise["long"] = dataclasses.replace(moved(noise["long"], shift), init="noise")
    written(tmp_path / "x.parquet", "noise", noise)
    _, said = overall(tmp_path, settled(rng, CHAINS, copies=2))
    assert said.code == f"short-run-{code}"
    assert ("from other kinds of start" in said.statement) is bool(shift)


def chains_of(rng, chains, draws, f=0.5, spread=0.0):
    """AR(1) of variance 1 about means of their own, of this deviation: (chains, draws)."""
    begin = rng.standard_normal((chains, 1))
    return autoregressive(rng, begin, draws - 1, f)[:, :, 0] + spread * rng.standard_normal((chains, 1))


def test_p_of_chains_that_forget_is_uniform(rng):
    found = [kept(chains_of(rng, 30, 90))[1] for _ in range(1000)]
    for level in (0.01, 0.05, 0.5):
        low, high = binom.ppf((0.0005, 0.9995), len(found), level)
        assert low <= sum(p < level for p in found) <= high, level


@pytest.mark.parametrize("spread", [0.1, 0.3])
def test_the_correlation_is_the_share_that_lies_between_chains(rng, spread):
    """q / (q + v), v the variance of the mean of D draws of an AR(1); Spearman's is 6/π asin(ρ/2) for normal means."""
    chains, third, f = 6000, 40, 0.5
    lags = np.arange(1, third)
    v = (1 + 2 * ((1 - lags / third) * f**lags).sum()) / third
    correlation, p = kept(chains_of(rng, chains, 3 * third, f, spread))
    exact = 6 / math.pi * math.asin(spread**2 / (spread**2 + v) / 2)
    assert correlation == pytest.approx(exact, abs=4 / math.sqrt(chains))
    assert p < 1e-6


def test_chains_that_shun_their_place_do_not_count(rng):
    values = chains_of(rng, 50, 90)
    values[:, :30] -= 5 * values[:, -30:].mean(1, keepdims=True)
    correlation, p = kept(values)
    assert correlation < -0.5
    assert p > 0.99


def test_without_enough_chains_or_draws_nothing_is_said(tmp_path, rng):
    for courses, reason in ((settled(rng, 8), "8 chains"), (settled(rng, 24, 12), "7 draws")):
        found = persistence(read_chains(written(tmp_path / "x.parquet", reason, courses).table))
        assert reason in found["persistence"].reason
        assert "persistence:p" not in found
    assert all(math.isnan(number) for number in kept(np.zeros((20, 30))))
    assert kept(np.repeat(np.arange(20.0)[:, None], 30, axis=1)) == (pytest.approx(1.0), pytest.approx(0.0))


def modes(rng, *, crossed):
    """One law of data, short and long runs, with two modes 0.35 sd from their middle along projection_2."""
    courses = settled(rng, CHAINS, copies=2)
    values = {}
    for kind, course in courses.items():
        shape = (len(course.states), len(course.draws))
        side = rng.choice([-1, 1], shape if crossed else (shape[0], 1))
        values[kind] = 0.35 * side + rng.standard_normal(shape)
    return with_measure(courses, "projection_2", values)


def test_a_mode_that_each_chain_keeps_is_no_agreement(tmp_path, rng):
    """Drawn anew after the start, so that starts are forgotten: R-hat is only √(1 + 0.35²) = 1.06."""
    result, said = overall(tmp_path, modes(rng, crossed=False))
    assert 1.02 < result.estimates["rhat"].value < 1.1
    assert result.estimates["nested:p"].value > 0.01
    assert said.code == "short-run-undetermined"
    assert "keep places of their own" in said.statement
    known = {name: found for name, found in result.estimates.items() if name != "persistence:p"}
    assert judge(dataclasses.replace(result, estimates=known))[0].code == "short-run-is-model"  # rests on this alone
    result, said = overall(tmp_path / "crossed", modes(rng, crossed=True))
    assert said.code == "short-run-is-model"
    assert "none that matters" in {one.code: one for one in judge(result)}["chains-forget"].statement


@pytest.mark.parametrize(
    ("exact", "accepted", "code"),
    [
        (False, 0.8, "undetermined"),
        (False, 0.95, "is-model"),
        (False, None, "undetermined"),
        (True, 0.6, "is-model"),
        (None, 0.6, "is-model"),
    ],
)
def test_the_law_of_a_large_step_is_not_the_model(tmp_path, rng, exact, accepted, code):
    courses = settled(rng, CHAINS, copies=2)
    if accepted is not None:
        courses = with_measure(courses, "acceptance", {"long": np.full((CHAINS, 401), accepted)})
    sampler = {"name": "langevin", "step_size": 0.1} | ({} if exact is None else {"exact": exact})
    _, said = overall(tmp_path, courses, sampler=sampler)
    assert said.code == f"short-run-{code}"
    assert ("--sampler mala" in said.statement) is (code == "undetermined")


def test_the_least_acceptance_bounds_the_bias_of_the_energy(rng):
    """Of N normals under the unadjusted step: where 0.9 are accepted, the energy is at most 0.55 sd too high."""
    for coordinates in (1, 4, 100, 800):
        off = [
            (accepted(rng, coordinates, x), x / (1 - x) * math.sqrt(coordinates / 2))
            for x in np.geomspace(1e-3, 0.5, 25)
        ]
        assert max(shift for share, shift in off if share >= Limits().accepted_unbiased) < 0.6
        assert max(shift for share, shift in off if share >= 0.5) > 1 or coordinates == 1  # the laxer limit does not


def accepted(rng, coordinates, x, draws=4000):
    """Of stationary chains with h²λ/4 = x: E min(1, r), log r = λx/2 (x² - x'²)."""
    variance, f = 1 / (1 - x), 1 - 2 * x
    first, z = rng.standard_normal((2, draws, coordinates)) * math.sqrt(variance)
    later = f * first + math.sqrt(1 - f**2) * z
    return np.minimum(1, np.exp(x / 2 * (first**2 - later**2).sum(1))).mean()


@pytest.mark.parametrize(
    ("short_start", "copies", "code"),
    [
        ("gaussian", 1, "undetermined"),
        ("uniform", 1, "undetermined"),
        ("", 1, "undetermined"),
        ("persistent", 1, "undetermined"),
        ("data", 1, "undetermined"),
        ("persistent", 2, "is-model"),
        ("gaussian", 2, "is-model"),
    ],
)
def test_long_chains_from_noise_need_copies(tmp_path, rng, short_start, copies, code):
    """They may sit in the modes that noise leads to, as short runs do, or in shares that happen to be the data's."""
    courses = settled(rng, CHAINS, copies=2)
    begin = np.repeat(2 + rng.standard_normal((CHAINS // copies, 2)), copies, axis=0)
    starts = np.repeat(np.arange(CHAINS // copies), copies)
    states = autoregressive(rng, begin, 400, 0.5)
    courses["long"] = Course(states, THIN * np.arange(401), "noise", starts)
    _, said = overall(tmp_path, courses, short_start=short_start)
    assert said.code == f"short-run-{code}"
    assert ("--copies 2" in said.statement) is (code == "undetermined")
