"""The numbers behind ``convergence`` against closed forms and independent arithmetic."""

import dataclasses
import math

import numpy as np
import pytest
import statsmodels.api as sm
from chain_tables import THIN, Course, L, autoregressive, settled, with_measure, written
from scipy import stats

from ebmdiag.chains import read_chains
from ebmdiag.numerics.nested import nested_variances
from ebmdiag.numerics.ranks import ranked
from ebmdiag_analyses.convergence.agreement import agreement
from ebmdiag_analyses.convergence.energy import drift, energy, log_places
from ebmdiag_analyses.convergence.forgotten import shared_starts
from ebmdiag_analyses.convergence.held import held_against
from ebmdiag_analyses.convergence.judge import judge
from ebmdiag_analyses.convergence.limits import Limits
from ebmdiag_analyses.convergence.means import StartMean, by_start, difference, over_starts
from ebmdiag_analyses.convergence.mixing import mixing, nested
from ebmdiag_analyses.convergence.samples import thinned
from ebmdiag_analyses.convergence.select import second_half


@pytest.fixture
def rng():
    return np.random.default_rng(21)


def table(tmp_path, courses, **facts):
    return read_chains(written(tmp_path / "x.parquet", "long", courses, **facts).table)


def test_a_mean_over_starts_is_the_mean_of_independent_means(rng):
    values = rng.standard_normal(30)
    mean = over_starts(values, np.arange(30))
    known = stats.ttest_1samp(values, 0.0)
    assert mean.value == pytest.approx(values.mean())
    assert mean.errors == pytest.approx(known.statistic)
    interval = known.confidence_interval(0.95)
    estimate = mean.estimate(0.95)
    assert (estimate.low, estimate.high) == pytest.approx((interval.low, interval.high))
    grouped = over_starts(values, np.arange(30) // 3)
    assert grouped.value == pytest.approx(values.mean())
    assert grouped.error == pytest.approx(stats.sem(values.reshape(10, 3).mean(1)))
    assert grouped.freedom == 9


def test_chains_of_one_start_do_not_count_as_independent(rng):
    """With a part that a start's chains share, the error over chains is too small by √copies; over starts it is not."""
    shared = np.repeat(rng.standard_normal(400), 25)
    honest = over_starts(shared, np.repeat(np.arange(400), 25)).error
    naive = over_starts(shared, np.arange(10_000)).error
    assert honest == pytest.approx(1 / 20, rel=0.2)
    assert naive == pytest.approx(honest / 5, rel=0.01)


def test_differences_are_welchs(rng):
    first, second = rng.normal(0, 1, 20), rng.normal(1, 3, 12)
    gap = difference(*(over_starts(x, np.arange(len(x))) for x in (first, second)))
    known = stats.ttest_ind(first, second, equal_var=False)
    assert gap.errors == pytest.approx(known.statistic)
    assert gap.freedom == pytest.approx(known.df)


def test_starts_in_any_order(rng):
    values, starts = rng.standard_normal((6, 3)), np.array([4, 1, 4, 1, 9, 9])
    means = by_start(values, starts)
    assert means == pytest.approx(np.stack([values[starts == start].mean(0) for start in (1, 4, 9)]))


def test_the_drift_is_the_mean_of_least_squares_slopes(tmp_path, rng):
    phase = table(tmp_path, settled(rng, 12, 50, copies=2)).phases["long"]
    found, total = drift(phase, "energy")
    late = phase.draws >= 250
    design = sm.add_constant(phase.draws[late])
    slopes = np.array([sm.OLS(series[late], design).fit().params[1] for series in phase.values["energy"]])
    assert found.value == pytest.approx(slopes.mean())
    assert found.error == pytest.approx(stats.sem(slopes.reshape(6, 2).mean(1)))
    assert total.value == pytest.approx(250 * slopes.mean())
    assert total.errors == pytest.approx(found.errors)


def test_the_second_half_is_evenly_spaced(tmp_path, rng):
    draws = np.array([0, 1, 2, 4, 8, 16, 32, 50, 60, 64, 70, 80, 90, 100])
    phase = table(tmp_path, {"long": Course(rng.standard_normal((4, len(draws), 2)), draws)}).phases["long"]
    assert phase.draws[second_half(phase)].tolist() == [50, 60, 70, 80, 90, 100]


def test_log_spaced_draws():
    draws = THIN * np.arange(10_001)
    places = log_places(draws)
    assert places[0] == 0
    assert draws[places[-1]] == draws[-1]
    assert 25 <= len(places) <= 42
    assert log_places(np.array([0])).tolist() == [0]


@pytest.mark.parametrize(("copies", "draws"), [(2, 1), (8, 1), (4, 30)])
def test_nested_rhat_of_forgotten_starts(rng, copies, draws):
    """Its expected value, and a p-value that is uniform; for one draw the expected value is √(1 + 1/M)."""
    x = rng.standard_normal((500, 12, copies, 1)) + np.zeros((1, 1, 1, draws))
    if draws > 1:
        x = autoregressive(rng, rng.standard_normal((500 * 12 * copies, 1)), draws - 1, 0.5)[:, :, 0]
        x = x.reshape(500, 12, copies, draws)
    found = [nested(group, 0.95) for group in x]
    assert stats.kstest([test.p for test in found], "uniform").pvalue > 0.001
    above = sum(test.value > test.allowed for test in found)
    assert stats.binomtest(above, 500, 0.05).pvalue > 0.001
    if draws == 1:
        assert found[0].expected == pytest.approx(math.sqrt(1 + 1 / copies))
    ratio = np.median([(test.value**2 - 1) / (test.expected**2 - 1) for test in found])
    assert ratio == pytest.approx(stats.f.median(11, 12 * (copies - 1)), abs=0.12)


def test_nested_rhat_of_remembered_starts(rng):
    found = nested(rng.standard_normal((12, 4, 10)) + 2 * rng.standard_normal((12, 1, 1)), 0.95)
    assert found.p < 1e-6
    assert found.value == pytest.approx(math.sqrt(1 + 4), rel=0.5)
    assert found.value > found.allowed > found.expected > 1


def test_nested_rhat_of_superchains_that_agree_to_the_last_bit():
    """B/W below 1e-16: R is 1, and nothing is divided by R² - 1."""
    draws = np.array([[-1.0, 1.0], [-1.0, 1.0 + 1e-9], [-1.0, 1.0]])[:, :, None]
    found = nested(draws, 0.95)
    assert found.value == 1.0
    assert found.expected == pytest.approx(math.sqrt(1.5))
    assert found.p == pytest.approx(1.0)
    assert nested_variances(draws) == pytest.approx((0.25e-18 / 3, 2.0), rel=1e-5)


def test_rhat_of_chains_that_have_mixed_but_are_short(rng):
    """1 + τ/(2 D): 1.02 for the 25 τ that each half of the second half of a run of steps_needed has, 1.01 for 50."""
    tau = 1.9 / 0.1  # of f = 0.9
    for times, exact in ((25, 1.02), (50, 1.01)):
        states = autoregressive(rng, rng.standard_normal((400, 1)), int(2 * times * tau) - 1, 0.9)
        assert ranked(states[:, :, 0]).rhat.value == pytest.approx(exact, abs=0.003)


def test_tau_in_sampler_steps(tmp_path, rng):
    """τ = (1 + f) / (1 - f) draws of a coordinate of an AR(1) chain, (1 + f²) / (1 - f²) of its energy."""
    estimates, tables = mixing(table(tmp_path, settled(rng, 64, 800, f=0.6)), 0.95)
    columns = tables["mixing"].columns
    exact = {"projection_0": 4.0, "projection_1": 4.0, "energy": 1.36 / 0.64}
    for name, tau in zip(columns["measure"], columns["tau"], strict=True):
        assert tau == pytest.approx(THIN * exact[name], rel=0.1)
    assert estimates["steps_needed"].value == pytest.approx(2 * 50 * 40, rel=0.1)
    assert estimates["tau"].reliable


def test_crossing_of_a_straight_line(tmp_path, rng):
    draws = np.arange(0, 400, 7)
    noise = 0.01 * rng.standard_normal((50, len(draws)))
    courses = settled(rng, 50)
    courses["long"] = Course(np.zeros((50, len(draws), 2)), draws, "noise", more={"energy": 5 - draws / 40 + noise})
    courses = with_measure(courses, "energy", {"data": 1 + 0.01 * rng.standard_normal((50, 1))})
    found = energy(table(tmp_path, courses), 0.99).estimates
    assert found["depth:crossing"].low < 160 < found["depth:crossing"].high
    assert found["depth:crossing"].value == pytest.approx(160, abs=0.5)
    assert found["depth:crossing_per_L"].value == pytest.approx(160 / L, abs=0.005)


def test_margins_are_held_against_intervals():
    """TOST: within the margin with certainty; beyond it with certainty; or neither, with the starts it would take."""
    import ebmdiag_analyses.convergence.held as module

    rows = [(0.1, 0.1), (1.5, 0.1), (0.3, 0.3), (0.6, 0.3)]
    held = [module._held(("long-data", "energy", d, e, 1e6, 50, "data"), 0.95, 4, 0.5) for d, e in rows]
    assert [item.agrees for item in held] == [True, False, False, False]
    assert [item.differs for item in held] == [False, True, False, False]
    assert held[2].needed == math.ceil(50 * (1.6449 * 0.3 / 0.2) ** 2)
    assert held[3].needed is None


def test_agreement_is_in_units_of_the_data(tmp_path, rng):
    courses = settled(rng, 200)
    courses["data"] = dataclasses.replace(courses["data"], states=3 * courses["data"].states)
    chains = table(tmp_path, courses)
    rows = agreement(chains, StartMean(2.0, 1.0, 9)).pop("agreement").rows()
    found = {(pair, measure): value for pair, measure, value, *_ in rows}
    data = chains.phases["data"].values["energy"][:, 0]
    assert found["drift", "energy"] == pytest.approx(2 / data.std(ddof=1))
    assert found["short-data", "energy"] == pytest.approx((1 - 9) / 9, abs=0.3)
    assert ("long-short", "projection_1") in found


def test_one_of_each_start():
    assert thinned(10, 500).tolist() == list(range(10))
    assert len(thinned(5000, 500)) == 500


def test_chains_whose_ends_are_compared():
    """All chains of the starts that have several, up to 10 of a start and 500 in all."""
    assert shared_starts(np.array([4, 2, 2, 9, 4, 1])).tolist() == [1, 2, 0, 4]
    assert shared_starts(np.array([0, 0, 1])).tolist() == []
    assert shared_starts(np.arange(6)).tolist() == []
    many = np.arange(4000) // 20
    kept = shared_starts(many)
    assert len(kept) == 500
    assert np.unique(many[kept], return_counts=True)[1].tolist() == [10] * 50
    assert np.unique(many[kept])[[0, -1]].tolist() == [0, 199]


def test_limits_are_used(tmp_path, rng):
    """Negative control: with a margin of nothing, chains of one law are never shown to agree."""
    from ebmdiag.runfolder import RunFolder
    from ebmdiag_analyses.convergence import Options, analyse

    written(tmp_path / "x.parquet", "long", settled(rng, 256, copies=2))
    result = analyse(RunFolder.of(tmp_path / "x.parquet"), Options(permutations=600))
    assert judge(result)[0].code == "short-run-is-model"
    strict = judge(result, Limits(margin=1e-6))
    assert strict[0].code in ("short-run-undetermined", "short-run-is-not-model")
    assert not any(item.agrees for item in held_against(result, Limits(margin=1e-6)))
    sure = judge(result, Limits(forgotten=2.0))[0]
    assert (sure.code, "more starts would decide" in sure.statement) == ("short-run-undetermined", True)
    assert (
        "have not forgotten it"
        in {f.code: f for f in judge(result, Limits(p=1.1))}["starts-forgotten-states"].statement
    )
