"""Runs as the unit: against scipy and statsmodels, and rates on simulated seeds."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.meta_analysis import combine_effects
from statsmodels.stats.oneway import anova_oneway

from ebmdiag.numerics.contrast import Contrast
from ebmdiag.numerics.pooling import difference, difference_of_two, disagreement, pool, runs_needed

RNG = np.random.default_rng


def test_the_mean_of_runs_is_scipys_t_interval():
    x = RNG(1).normal(3, 2, 7)
    found, own = pool(x, 0.9), stats.ttest_1samp(x, 0).confidence_interval(0.9)
    assert (found.runs, found.mean, found.spread) == (7, pytest.approx(x.mean()), pytest.approx(x.std(ddof=1)))
    assert (found.low, found.high) == pytest.approx((own.low, own.high), rel=1e-12)


def test_a_single_run_has_no_interval():
    found = pool([2.0], 0.95)
    assert (found.runs, found.mean) == (1, 2.0)
    assert np.isnan([found.low, found.high, found.spread, found.new_low, found.new_high]).all()


@pytest.mark.parametrize("runs", [2, 3, 8])
def test_intervals_hold_the_mean_and_a_new_run_as_often_as_they_say(runs):
    trials = 4000
    x = RNG(runs).normal(0.0, 1.0, (trials, runs + 1))
    held, new = 0, 0
    for row in x:
        found = pool(row[:-1], 0.9)
        held += found.low <= 0 <= found.high
        new += found.new_low <= row[-1] <= found.new_high
    error = np.sqrt(0.9 * 0.1 / trials)
    assert abs(held / trials - 0.9) < 4 * error
    assert abs(new / trials - 0.9) < 4 * error


def test_welch_is_scipys():
    rng = RNG(2)
    a, b = rng.normal(0, 1, 4), rng.normal(1, 3, 6)
    found, own = difference(a, b), stats.ttest_ind(b, a, equal_var=False)
    assert found.value == pytest.approx(b.mean() - a.mean())
    assert found.freedom == pytest.approx(own.df, rel=1e-12)
    assert found.p_value == pytest.approx(own.pvalue, rel=1e-10)
    interval = own.confidence_interval(0.95)
    assert found.bounds(0.95) == pytest.approx((interval.low, interval.high), rel=1e-10)


def test_one_run_against_several_is_students_test_of_one_value():
    """Of equal variance with one run on one side: its own spread adds nothing to the pooled one."""
    a, b = RNG(3).normal(0, 1, 5), [2.5]
    found, own = difference(a, b), stats.ttest_ind(b, a, equal_var=True)
    assert (found.freedom, found.p_value) == (4, pytest.approx(own.pvalue, rel=1e-10))
    assert difference(b, a).value == -found.value


@pytest.mark.parametrize(
    ("first", "second", "spread"), [(2, 2, 1), (2, 2, 3), (3, 3, 1), (3, 3, 3), (3, 8, 1), (3, 8, 3), (1, 4, 1)]
)
def test_differences_of_nothing_are_as_rare_as_they_say(first, second, spread):
    """At most at the level, also for unequal spreads; a single run is only held against an equal spread."""
    trials, rng = 3000, RNG(first * 10 + second)
    hits = sum(
        difference(rng.normal(0, 1, first), rng.normal(0, spread, second)).p_value <= 0.05 for _ in range(trials)
    )
    assert hits / trials < 0.05 + 4 * np.sqrt(0.05 * 0.95 / trials)
    assert hits > 0


def test_rows_are_no_runs():
    """Negative control: two recipes alike, seeds of which differ; errors from within a run find differences."""
    trials, rng, hits, naive = 1000, RNG(5), 0, 0
    for _ in range(trials):
        a, b = rng.normal(0, 1, 3), rng.normal(0, 1, 3)
        hits += difference(a, b).p_value <= 0.05
        naive += difference_of_two((a.mean(), b.mean()), (0.1 / 3**0.5, 0.1 / 3**0.5), (99, 99)).p_value <= 0.05
    assert hits / trials < 0.08
    assert naive / trials > 0.5


def test_two_runs_alone_are_held_against_their_own_errors():
    found = difference_of_two((1.0, 2.0), (0.3, 0.4), (np.inf, np.inf))
    assert (found.value, found.error) == (1.0, 0.5)
    assert found.p_value == pytest.approx(2 * stats.norm.sf(2.0))
    rng = RNG(11)
    a, b = rng.normal(0, 1, 9), rng.normal(1, 2, 14)
    errors = a.std(ddof=1) / 3, b.std(ddof=1) / np.sqrt(14)
    own = stats.ttest_ind(b, a, equal_var=False)
    estimated = difference_of_two((a.mean(), b.mean()), errors, (8, 13))
    assert estimated.p_value == pytest.approx(own.pvalue, rel=1e-10)
    with pytest.raises(ValueError, match="no spread"):
        difference([1.0], [2.0])


def test_disagreement_of_known_errors_is_cochrans_q():
    rng = RNG(4)
    e = rng.uniform(0.5, 2, 6)
    x = rng.normal(0, 2, 6)
    found, own = disagreement(x, e, np.full(6, np.inf)), combine_effects(x, e**2, method_re="dl")
    assert found.statistic == pytest.approx(own.q / 5, rel=1e-12)
    assert found.p_value == pytest.approx(own.test_homogeneity().pvalue, rel=1e-10)
    assert found.between == pytest.approx(np.sqrt(own.tau2), rel=1e-10)


def test_disagreement_of_estimated_errors_is_welchs_analysis_of_variance():
    rng, counts = RNG(12), (5, 9, 20, 7)
    groups = [rng.normal(place, place + 1, count) for place, count in enumerate(counts)]
    own = anova_oneway(groups, use_var="unequal", welch_correction=True)
    errors = [group.std(ddof=1) / np.sqrt(len(group)) for group in groups]
    found = disagreement([group.mean() for group in groups], errors, [count - 1 for count in counts])
    assert found.statistic == pytest.approx(own.statistic, rel=1e-10)
    assert found.p_value == pytest.approx(own.pvalue, rel=1e-10)


def test_disagreement_has_its_size_and_finds_seeds_that_differ():
    """Also where the errors are estimates of 6 degrees of freedom, which chi-squared would not forgive."""
    trials, rng = 4000, RNG(6)
    e, freedom = np.array([0.5, 1.0, 1.5, 1.0]), np.full(4, 6.0)
    hits, naive, power = 0, 0, 0
    for _ in range(trials):
        seen = e * np.sqrt(rng.chisquare(6, 4) / 6)
        hits += disagreement(rng.normal(0, e), seen, freedom).p_value <= 0.05
        naive += disagreement(rng.normal(0, e), seen, np.full(4, np.inf)).p_value <= 0.05
        power += disagreement(rng.normal(0, np.hypot(e, 3)), seen, freedom).p_value <= 0.05
    assert abs(hits / trials - 0.05) < 4 * np.sqrt(0.05 * 0.95 / trials)
    assert naive / trials > 0.08
    assert power / trials > 0.8


@pytest.mark.parametrize("errors", [[1.0, 0.0], [1.0, np.nan]])
def test_without_an_error_there_is_no_disagreement(errors):
    assert np.isnan(disagreement([1.0, 2.0], errors, [9, 9]).p_value)


def test_tiny_and_huge_numbers_do_not_overflow():
    for scale in (1e-180, 1e180):
        found = disagreement(np.array([1.0, 2.0, 4.0]) * scale, np.ones(3) * scale, [5, 5, 5])
        assert found.statistic == pytest.approx(disagreement([1.0, 2.0, 4.0], np.ones(3), [5, 5, 5]).statistic)
        a, b = np.array([1.0, 2.0]) * scale, np.array([5.0, 7.0, 9.0]) * scale
        assert difference(a, b).p_value == pytest.approx(difference(a / scale, b / scale).p_value)


def with_spread(count, spread, mean):
    """So many runs of exactly this mean and standard deviation."""
    x = np.linspace(-1, 1, count)
    return mean + spread * x / x.std(ddof=1)


@pytest.mark.parametrize(
    ("value", "margin"), [(0.9, 1.0), (1.0, 1.0), (1.05, 1.0), (2.0, 1.0), (0.1, 1.0), (0.0, 1.0), (0.7, None)]
)
def test_so_many_runs_as_are_said_to_be_needed_do_tell_and_one_fewer_do_not(value, margin):
    spreads, level = (1.0, 1.0), 0.05

    def tells(runs):
        found = difference(with_spread(runs, spreads[0], 0.0), with_spread(runs, spreads[1], value))
        return found.p_value <= level or (margin is not None and found.equivalence_p(margin) <= level)

    needed = runs_needed(spreads, value, margin, level)
    assert tells(needed)
    assert not tells(needed - 1)


def test_more_runs_than_there_are_or_none_at_all():
    assert runs_needed((1.0, 1.0), 3.0, None, 0.05, more_than=7) == 8
    assert runs_needed((1.0, 2.0), 1e-6, None, 0.05) is None
    assert runs_needed((1.0, 2.0), 0.0, None, 0.05) is None


@pytest.mark.parametrize("values", [[], [1.0, np.nan]])
def test_a_number_that_is_none_is_refused(values):
    with pytest.raises(ValueError, match="finite number"):
        pool(values, 0.95)


def test_identical_runs_differ_without_doubt_or_not_at_all():
    assert difference([1.0, 1.0], [1.0, 1.0]).p_value == 1
    assert difference([1.0, 1.0], [2.0, 2.0]).p_value == 0


def test_equivalence_is_two_one_sided_tests():
    found = Contrast.of(0.1, 0.05, 8)
    own = max(stats.t.sf((0.1 + 0.3) / 0.05, 8), stats.t.cdf((0.1 - 0.3) / 0.05, 8))
    assert found.equivalence_p(0.3) == pytest.approx(own, rel=1e-10)
