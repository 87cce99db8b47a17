"""Places that were given too soon: late steps, young runs, slow waves, late swings, fixed orders, d off balance."""

from importlib import import_module

import numpy as np
import pytest
from calibration_cases import Case, simulate, verdict_of
from calibration_page import golden
from series import memory_trace

from ebmdiag.metadata import TraceMetadata
from ebmdiag.numerics.loop import first_order, momentum
from ebmdiag.result import Estimate, Finding, Result, Table
from ebmdiag_analyses.verdict import LIMITS, rules
from ebmdiag_analyses.verdict.advice import against_collapse
from ebmdiag_analyses.verdict.doubts import fixed_period
from ebmdiag_analyses.verdict.runaway import growth

MODULES = {"acf": "autocorrelation", "pacf": "partial_autocorrelation"}
META = TraceMetadata.create(epsilon=0.1, producer="test", state="finished")


def diagnosed(columns, *names, **facts):
    """The verdict's first axis with further analyses beside acf and summary."""
    trace = memory_trace(columns, **facts)
    analyses = {
        name: import_module(f"ebmdiag_analyses.{MODULES.get(name, name)}").ANALYSIS
        for name in ("acf", "summary", *names)
    }
    results = {name: one.analyse(trace, one.options()) for name, one in analyses.items()}
    findings = {name: tuple(analyses[name].judge(found)) for name, found in results.items()}
    return rules(results, findings, trace.metadata).stability


def settled(rng, rows=3000, noise=0.01):
    return 0.1 * (1 + noise * rng.standard_normal(rows))


@pytest.mark.parametrize("factor", [0.8, 1.2, 3.0])
@pytest.mark.parametrize("share", [0.03, 0.07, 0.1])
def test_a_late_step_of_r_is_no_divergence(factor, share):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        r = settled(rng)
        r[-int(share * len(r)) :] *= factor
        assert diagnosed({"d_s_t": simulate(rng, first_order(0.05), len(r)), "r_t": r}).place != "diverging"


def test_a_late_rise_of_the_gain_is_no_divergence():
    for seed in range(5):
        rng = np.random.default_rng(seed)
        d = np.concatenate([simulate(rng, first_order(gain), rows) for gain, rows in ((0.05, 2910), (1.5, 90))])
        r = settled(rng)
        r[-90:] *= 1.3
        assert diagnosed({"d_s_t": d, "r_t": r}).place != "diverging"


def test_r_that_grows_without_end_is_divergence_alone():
    rng = np.random.default_rng(0)
    rows = np.arange(3000)
    d = rng.standard_normal(len(rows))
    found = diagnosed({"d_s_t": d, "r_t": settled(rng) * (1 + np.exp((rows - 2800) / 60))})
    assert found.place == "diverging"
    assert "r_t is" in found.sentence
    assert diagnosed({"d_s_t": d, "r_t": settled(rng) * np.linspace(1, 3, 3000)}).place != "diverging"


@pytest.mark.parametrize("rate", [0.02, 0.05])
def test_growth_within_the_end_is_that_of_the_law(rate):
    rows = np.arange(2400)
    bins = {"low": np.exp(rate * rows[5::10]), "mean": np.exp(rate * rows[5::10]), "high": np.exp(rate * rows[5::10])}
    results = {"summary": Result("summary", "t", 2400, {}, {}, {"series:r_t": Table("r", bins)})}
    found = growth(results, "r_t")
    assert found.within == pytest.approx(np.exp(rate * 160))  # thirds of 24 bins of 10 rows
    assert found.usual == pytest.approx(np.exp(rate * 10 * (239 - 5.5 - 119.5)), rel=0.2)


def test_the_first_rows_of_a_run_are_not_its_end():
    rows = int(LIMITS.fewest)
    for case in golden():
        if not case.family.endswith("whole"):
            continue
        for count in range(30, rows, 6):
            first = {name: values[:count] for name, values in case.columns.items()}
            young = verdict_of(Case("", "stability", "", first)).stability
            assert young.place not in ("collapsing", "diverging"), (case.family, count)
    grown = np.exp(np.arange(200) / 5)
    white = np.random.default_rng(1).standard_normal(200)
    for count, place in ((rows - 1, "undetermined"), (rows, "diverging")):
        assert diagnosed({"d_s_t": white[:count], "r_t": grown[:count]}).place == place
    assert diagnosed({"d_s_t": white[:40], "r_t": grown[:40]}, state="diverged").place == "diverging"
    falls = white - 60 * np.linspace(0, 1, 200) ** 2
    assert diagnosed({"d_s_t": falls}).place == "collapsing"
    assert diagnosed({"d_s_t": falls[:: 200 // 66]}).place == "undetermined"


WAVES = [
    ("pacf", "wave", "d_s_t is an autoregression of order 20 and rings."),
    ("spectrum", "spectrum-peak", "d_s_t oscillates with period 54 iterations."),
    ("spectrum", "spectrum-line", "d_s_t holds a pure wave of period 54 iterations."),
    ("loop_gain", "loop-ringing", "the loop rings: complex poles of modulus 0.990."),
]


@pytest.mark.parametrize(("analysis", "code", "statement"), WAVES)
@pytest.mark.parametrize("gain", [0.0, 0.3])
def test_a_slow_wave_takes_a_quiet_place_back(analysis, code, statement, gain):
    rng = np.random.default_rng(2)
    trace = memory_trace({"d_s_t": simulate(rng, first_order(gain), 4000) if gain else rng.standard_normal(4000)})
    results = computed(trace)
    plain = rules(results, {}, META).stability
    assert plain.place == ("weakly oscillating" if gain else "stable")
    wave = Finding(code, "warning", statement, 0.99, 0.8, "Lower the learning rate.")
    found = rules(results, {analysis: (wave,)}, META).stability
    assert found.place == "undetermined"
    assert statement in found.sentence
    assert plain.place in found.sentence
    assert found.advice == "Lower the learning rate."
    of_r = Finding(code, "warning", statement.replace("d_s_t", "r_t"), 0.99, 0.8)
    if analysis != "loop_gain":
        assert rules(results, {analysis: (of_r,)}, META).stability.place == plain.place
    quiet = Finding(code, "info", statement)
    assert rules(results, {analysis: (quiet,)}, META).stability.place == plain.place


def computed(trace):
    analyses = {name: import_module(f"ebmdiag_analyses.{MODULES.get(name, name)}").ANALYSIS for name in NEEDED}
    return {name: one.analyse(trace, one.options()) for name, one in analyses.items()}


NEEDED = ("acf", "summary")


@pytest.mark.parametrize("seed", range(3))
def test_slow_ringing_is_not_stable_and_told(seed):
    d = simulate(np.random.default_rng(seed), momentum(0.58, 0.98), 10_000)
    found = diagnosed({"d_s_t": d}, "pacf", "spectrum")
    assert found.place == "undetermined"
    assert "a wave slower than the short lags" in found.sentence


@pytest.mark.parametrize("seed", range(2))
def test_a_late_swing_is_not_stable_and_the_advice_says_from_where(seed):
    rng = np.random.default_rng(seed)
    d = np.concatenate([simulate(rng, first_order(gain), rows) for gain, rows in ((0.05, 19_000), (1.0, 1000))])
    found = diagnosed({"d_s_t": d}, "windows")
    assert found.place == "undetermined"
    step = int(found.advice.partition("--from ")[2].split(",")[0])
    assert 18_500 <= step <= 19_500
    assert diagnosed({"d_s_t": d[step:]}, "windows").place == "strongly oscillating"
    assert "stable" in diagnosed({"d_s_t": d[:18_000]}, "windows").place


def test_a_swing_that_has_passed_is_no_late_one():
    rng = np.random.default_rng(3)
    parts = [simulate(rng, first_order(gain), rows) for gain, rows in ((0.05, 9000), (1.0, 1000), (0.05, 10_000))]
    found = diagnosed({"d_s_t": np.concatenate(parts)}, "windows")
    assert "swings strongly since" not in found.sentence


@pytest.mark.parametrize("seed", [0, 3, 4, 5])
def test_a_fixed_order_of_batches_is_periodic_and_no_loop(seed):
    rng = np.random.default_rng(seed)
    offsets = 1.5 * rng.standard_normal(16)
    d = np.resize(offsets - offsets.mean(), 1600) + rng.standard_normal(1600)
    assert diagnosed({"d_s_t": d}).place == "strongly oscillating"
    found = diagnosed({"d_s_t": d}, "spectrum")
    assert found.place == "undetermined"
    assert "periodic with period 16" in found.sentence
    assert "learning rate" not in found.advice


def test_a_schedule_of_no_whole_period_is_periodic_too():
    rng, rows = np.random.default_rng(4), np.arange(2000)
    found = diagnosed({"d_s_t": 1.4 * np.sin(2 * np.pi * rows / 7.4) + rng.standard_normal(2000)}, "spectrum")
    assert found.place == "undetermined"
    assert "periodic with period 7.4" in found.sentence


@pytest.mark.parametrize("loop", [first_order(1.0), first_order(1.9), momentum(3.0, 0.9)])
def test_the_swing_of_a_loop_is_no_fixed_period(loop):
    d = simulate(np.random.default_rng(5), loop, 3000)
    assert diagnosed({"d_s_t": d}, "spectrum").place == "strongly oscillating"


def test_an_alternation_stays_the_loops():
    for seed in range(3):
        d = 0.8 * (-1.0) ** np.arange(1500) + np.random.default_rng(seed).standard_normal(1500)
        assert diagnosed({"d_s_t": d}, "spectrum").place == "strongly oscillating"


@pytest.mark.parametrize(("share", "expected"), [(0.02, "stable"), (0.2, "undetermined")])
def test_a_line_too_small_for_a_weak_swing_takes_nothing_back(share, expected):
    trace = memory_trace({"d_s_t": np.random.default_rng(2).standard_normal(4000)})
    line = Result("spectrum", "t", 4000, {}, {"d_s_t:line_share": Estimate(share)})
    finding = Finding("spectrum-line", "warning", "d_s_t holds a pure wave of period 5 iterations.", 1e-4, 1e-3)
    found = rules({**computed(trace), "spectrum": line}, {"spectrum": (finding,)}, META).stability
    assert found.place == expected


def test_a_damped_wave_beside_a_line_is_not_explained_by_it():
    """rho_k = m^k cos(w k): what does not repeat with its period has the same correlations."""
    lags = np.arange(41)
    wave = 0.93**lags * np.cos(2 * np.pi * lags / 8)
    pure = np.where(lags == 0, 1.0, 0.6 * np.cos(2 * np.pi * lags / 8))
    found = {}
    for name, rho in (("wave", wave), ("pure", pure)):
        table = Table("acf", {"lag": lags, "correlation": rho})
        line = {"d_s_t:line_period": Estimate(8.0), "d_s_t:line_p": Estimate(1e-12), "d_s_t:line_share": Estimate(0.5)}
        results = {
            "acf": Result("acf", "t", 2000, {}, {}, {"d_s_t": table}),
            "spectrum": Result("spectrum", "t", 2000, {}, line),
        }
        found[name] = fixed_period(results, LIMITS)
    assert found == {"wave": None, "pure": 8}


@pytest.mark.parametrize("sign", [-1, 1])
def test_stable_needs_the_balance_that_stationarity_needs(sign):
    rng = np.random.default_rng(7)
    d = rng.standard_normal(4000)
    found = diagnosed({"d_s_t": d + 0.4 * sign})
    assert found.place == "undetermined"
    assert ("contraction" if sign > 0 else "expansion") in found.sentence
    assert diagnosed({"d_s_t": d + 0.05 * sign}).place == "stable"
    weak = diagnosed({"d_s_t": simulate(rng, first_order(0.25), 4000) + 0.4 * sign})
    assert weak.place == "weakly oscillating"
    assert "prevails" in weak.sentence


def test_r_that_grows_threefold_is_not_stable():
    rng = np.random.default_rng(8)
    d = rng.standard_normal(4000)
    r = settled(rng, 4000)
    assert diagnosed({"d_s_t": d, "r_t": r}, "balance").place == "stable"
    found = diagnosed({"d_s_t": d, "r_t": r * np.linspace(1, 3, 4000)}, "balance")
    assert found.place == "undetermined"
    assert "r_t still grows" in found.sentence


def test_after_a_burst_at_the_start_the_advice_is_where_it_ends():
    """Followed, it leads to a verdict."""
    rng = np.random.default_rng(0)
    d = simulate(rng, first_order(0.3), 4000)
    d[:16] += 40 * np.exp(-np.arange(16) / 6)
    found = diagnosed({"d_s_t": d, "r_t": settled(rng, 4000)}, "phases", "windows")
    assert found.place == "undetermined"
    first = int(found.advice.partition("--from ")[2].partition(";")[0])
    assert 5 < first <= 40
    assert diagnosed({"d_s_t": d[first:], "r_t": settled(rng, 4000)[first:]}).place == "weakly oscillating"


@pytest.mark.parametrize("others", [(), ("stationarity",), ("balance",)])
def test_the_advice_to_leave_out_the_beginning_names_a_step_where_one_is_known(others):
    """By a jump of d, or by where r settled; followed, it leads to a verdict."""
    rng, rows = np.random.default_rng(1), np.arange(4000)
    d = simulate(rng, first_order(0.3), 4000) - 3.0 * (rows < 1000)
    r = settled(rng, 4000) * (1 - 0.8 * np.exp(-rows / 250))
    found = diagnosed({"d_s_t": d, "r_t": r}, *others)
    assert found.place == "undetermined"
    if not others:
        assert "with --from;" in found.advice
        return
    first = int(found.advice.partition("--from ")[2].partition(";")[0])
    assert first == pytest.approx(1000, abs=10 if others == ("stationarity",) else 400)
    later = {"d_s_t": d[max(first, 1000) :], "r_t": r[max(first, 1000) :]}
    assert diagnosed(later, *others).place == "weakly oscillating"


def test_at_a_limit_no_number_of_rows_is_promised():
    """An estimate that stands at the limit by chance: what is missing is not rows."""
    rng = np.random.default_rng(0)
    found = [diagnosed({"d_s_t": rng.standard_normal(300), "r_t": settled(rng, 300)}) for _ in range(60)]
    numbers = [one.more_iterations for one in found if one.more_iterations is not None]
    assert numbers
    assert max(numbers) <= 300_000


@pytest.mark.parametrize("producer", ["ebmdiag.TraceWriter", "ebmdiag import"])
def test_who_has_no_checkpoint_is_not_sent_to_sample_it(producer):
    metadata = TraceMetadata.create(epsilon=0.1, producer=producer, state="finished")
    found = rules({}, {}, metadata).convergence
    assert "ebmdiag sample" not in found.advice
    assert "own loop" in found.advice


def test_evidence_of_several_columns_is_told_apart():
    warnings = tuple(
        Finding("settled", "warning", f"{name} has not settled.", 1.0, 0.5) for name in ("r_t", "virial", "d_s_t")
    )
    rng = np.random.default_rng(0)
    trace = memory_trace({"d_s_t": rng.standard_normal(500)})
    summary = import_module("ebmdiag_analyses.summary").ANALYSIS
    results = {"summary": summary.analyse(trace, summary.options())}
    names = [one.name for one in rules(results, {"stationarity": warnings}, META).stability.evidence]
    assert {"stationarity: settled (r_t)", "stationarity: settled (virial)", "stationarity: settled"} <= set(names)


@pytest.mark.parametrize(
    ("noise", "words"),
    [
        (None, "does not say whether they have some"),
        (0.0, "there is none now"),
        (0.1, "raise it from 0.1"),
        (0.3, "train on"),
    ],
)
def test_a_falling_d_with_noisy_data_may_be_learning_that_has_just_begun(noise, words):
    metadata = TraceMetadata.create(
        epsilon=0.1, producer="test", recipe={} if noise is None else {"data": {"noise": noise}}
    )
    assert words in against_collapse(metadata)
