"""A falling d is a collapse only if the gradient has come to its balance: planted expansions and planted collapses."""

import numpy as np
import pytest
from calibration_cases import PLANTED_SEEDS, planted
from series import memory_trace

from ebmdiag_analyses import autocorrelation, balance, summary
from ebmdiag_analyses.verdict import rules
from ebmdiag_analyses.verdict.expansion import _until, expansion

ROWS, EPSILON, N, NOISE, L = 1500, 0.01, 3072, 0.03, 60
CEILING = EPSILON**2 / 2 * N**0.5 / NOISE
GUIDES = EPSILON * (N / L) ** 0.5  # r whose drift carries a chain as far as its noise
RECIPE = {"data": {"source": "flowers", "noise": NOISE}, "langevin": {"steps": L, "start": "uniform"}}
SHARE = np.linspace(0, 1, ROWS)
ANALYSES = {"acf": autocorrelation.ANALYSIS, "summary": summary.ANALYSIS, "balance": balance.ANALYSIS}


def diagnosed(columns, **facts):
    trace = memory_trace(columns, **({"epsilon": EPSILON, "recipe": RECIPE} | facts))
    results = {name: one.analyse(trace, one.options()) for name, one in ANALYSES.items()}
    findings = {name: tuple(one.judge(results[name])) for name, one in ANALYSES.items()}
    return rules(results, findings, trace.metadata).stability


def toward(r, steps=None):
    trace = memory_trace({"r_t": r}, steps=steps, epsilon=EPSILON, recipe=RECIPE)
    return expansion({"balance": balance.analyse(trace, balance.Options())}, trace.metadata)


def placed(d, r, seed=0, recipe=RECIPE, **facts):
    """Axis 1 with the balance beside acf and summary."""
    rng = np.random.default_rng(seed)
    r = np.asarray(r) * (1 + 0.005 * rng.standard_normal(len(r)))
    columns = {"d_s_t": d + rng.standard_normal(len(d)), "r_t": r}
    return diagnosed(columns, recipe=recipe, **facts)


def rising(begin, end, power=1.0):
    return begin + (end - begin) * SHARE**power


FALL = -60 * SHARE**2
HELD = np.minimum(rising(0.3, 1.8), 0.95)  # grows to its ceiling within the first half, and stays there


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("end", "power"), [(0.25, 3.0), (0.5, 1.0), (0.7, 1.0), (0.75, 3.0)])
def test_a_first_expansion_is_no_collapse(seed, end, power):
    found = placed(FALL, CEILING * rising(0.15, end, power), seed)
    assert found.place == "undetermined"
    assert "in its first expansion" in found.sentence
    assert "Train on" in found.advice
    assert found.more_iterations > 0
    assert f"{found.more_iterations:,} iterations" in found.sentence
    numbers = {item.name: item for item in found.evidence}
    assert numbers["balance: r_t over its ceiling, last tenth"].estimate.value == pytest.approx(
        rising(0.15, end, power)[-150:].mean(), rel=0.01
    )
    assert numbers["balance: r_t over its ceiling, last tenth"].limit == 0.9
    assert numbers["balance: growth of r_t"].estimate.low > 0
    assert numbers["summary: fall of d_s_t"].says == "collapsing"


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("share", "at"),
    [(HELD, "at its ceiling"), (rising(0.6, 1.5), "at its ceiling"), (np.full(ROWS, 0.8), "no longer on its way")],
    ids=["held at the ceiling", "through the ceiling", "resting below it"],
)
def test_a_collapse_at_the_balance_is_found(seed, share, at):
    found = placed(FALL, CEILING * share, seed)
    assert found.place == "collapsing"
    assert at in found.sentence
    assert ("go on from a checkpoint before" in found.advice) == (at == "at its ceiling")


@pytest.mark.parametrize("seed", range(4))
def test_r_that_stopped_growing_halfway_is_in_no_expansion(seed):
    share = np.minimum(rising(0.3, 1.5), 0.85)
    assert placed(FALL, CEILING * share, seed).place == "collapsing"


def test_data_without_noise_set_no_ceiling():
    """The paper's own collapse: r grows without bound. Only while noise alone moves the chains is nothing known."""
    recipe = {**RECIPE, "data": {"source": "flowers", "noise": 0.0}}
    assert placed(FALL, rising(0.5, 5) * GUIDES, recipe=recipe).place == "collapsing"
    young = placed(FALL, rising(0.2, 0.6) * GUIDES, recipe=recipe)
    assert young.place == "undetermined"
    assert "the drift carries a chain only 0.58 times as far as its noise, and r_t still grows" in young.sentence
    resting = placed(FALL, np.full(ROWS, 0.3) * GUIDES, recipe=recipe)
    assert resting.place == "undetermined"
    assert resting.more_iterations is None
    assert "How long until r_t guides a chain its growth does not tell yet" in resting.sentence


def test_persistent_chains_add_up_the_steps_of_all_iterations():
    recipe = {"data": {"source": "flowers"}, "langevin": {"steps": L, "start": "persistent"}}
    assert placed(FALL, rising(0.2, 0.6) * GUIDES, recipe=recipe).place == "collapsing"
    assert placed(FALL, rising(0.2, 0.6) * GUIDES / ROWS**0.5, recipe=recipe).place == "undetermined"


def test_growth_of_r_far_below_its_ceiling_is_no_divergence():
    """r grows eightfold in its last fifth: excess of its usual size, but of no size that matters."""
    grown = CEILING * (0.02 + 0.3 * np.exp((SHARE - 1) * 14))
    found = placed(FALL, grown)
    assert found.place == "undetermined"
    assert "first expansion" in found.sentence
    assert placed(np.zeros(ROWS), grown).place == "diverging"
    assert placed(FALL, 8 * grown).place == "diverging"


def test_without_a_scale_it_is_a_collapse_that_says_so():
    found = placed(FALL, rising(0.1, 0.5), recipe={})
    assert found.place == "collapsing"
    assert "a first expansion is not excluded" in found.sentence
    assert "not excluded" not in placed(FALL, np.full(ROWS, 0.1), recipe={}).sentence


def test_a_run_recorded_as_diverged_is_in_no_expansion():
    assert placed(FALL, CEILING * rising(0.15, 0.5), state="diverged").place == "diverging"


def test_the_time_to_the_ceiling_is_that_of_the_law():
    """Along a straight line; by e in 1,000 iterations; without bound after 2,000, as a net whose layers all grow."""
    for r, needed in (
        (rising(0.2, 0.6), ROWS),
        (0.2 * np.exp(np.arange(ROWS) / 1000), 1000 * np.log(5) - ROWS),
        (100 / (2000 - np.arange(ROWS)), 400),
    ):
        assert toward(CEILING * r).more == pytest.approx(needed, rel=0.06)


def test_rows_that_skip_iterations_are_counted_as_rows():
    r, tenfold = CEILING * rising(0.15, 0.5), 10 * np.arange(1, ROWS + 1)
    assert toward(r, tenfold).more == pytest.approx(10 * toward(r).more, rel=0.06)
    trace = memory_trace({"d_s_t": FALL, "r_t": r}, steps=tenfold, epsilon=EPSILON, recipe=RECIPE)
    results = {name: one.analyse(trace, one.options()) for name, one in ANALYSES.items()}
    assert rules(results, {}, trace.metadata).stability.more_iterations == pytest.approx(toward(r).more, rel=0.06)


@pytest.mark.parametrize("recipe", [{}, {"data": {"source": "flowers", "noise": 0.0}}, RECIPE])
def test_every_planted_collapse_of_the_calibration_is_found_with_the_balance_too(recipe):
    """Their r, from 0.1 on, lies above the ceiling of the flowers' recipe."""
    cases = [case for case in planted("test") if case.family == "collapse"]
    assert len(cases) == PLANTED_SEEDS
    places = [diagnosed(dict(case.columns), recipe=recipe).place for case in cases]
    assert places == ["collapsing"] * PLANTED_SEEDS


def test_a_growth_that_a_logarithm_cannot_tell_gives_no_time():
    """r grows by its last digit: along log r and 1/r it stands still, and nothing may be divided by that."""
    last = np.arange(1.0, 11) * 100
    for scale in (1.0, 1e-17, 1e-34):
        r = np.array([1e17] * 9 + [1e17 + 16]) * scale
        assert r[-1] > r[-2]
        assert _until(r, last, 0.5) is None
    assert _until(np.linspace(0.1, 1.0, 10), last, 0.5) > 0
