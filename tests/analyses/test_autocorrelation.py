"""The analysis ``acf``: what it chooses by itself, what it says, and when it warns."""

import numpy as np
import pytest
from series import GOLDEN, autoregression, learning_loop, memory_trace
from statsmodels.stats.diagnostic import acorr_ljungbox
from statsmodels.tsa.stattools import acf

from ebmdiag.errors import UsageError
from ebmdiag_analyses.autocorrelation import ANALYSIS, Limits, Options, analyse, draw, judge, text

RNG = np.random.default_rng(51)


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as file:
        return dict(file)


def noise_trace(rows, **facts):
    return memory_trace({"d_s_t": RNG.standard_normal(rows), "r_t": RNG.standard_normal(rows)}, **facts)


@pytest.mark.parametrize("run", ["rings", "flowers", "flowers_beta0"])
def test_golden(golden, run):
    trace = memory_trace({"d_s_t": golden[f"{run}/d_s_t"], "r_t": golden[f"{run}/r_s_t"]})
    result = analyse(trace, Options(convention="nijkamp"))
    for column, key in (("d_s_t", "d_acf"), ("r_t", "r_acf")):
        found = result.tables[column].columns
        assert found["lag"].tolist() == list(range(16))
        assert found["correlation"] == pytest.approx(golden[f"{run}/{key}"], abs=1e-6)


def test_standard_table_and_estimates_equal_statsmodels():
    d = autoregression(np.random.default_rng(52), 0.4, (600,)) + 2
    result = analyse(memory_trace({"d_s_t": d}), Options(columns=("d_s_t",), max_lag=20))
    expected = acf(d, nlags=20, adjusted=False, fft=True, alpha=0.05, result_object=True)
    table = result.tables["d_s_t"].columns
    assert table["correlation"] == pytest.approx(expected.acf, abs=1e-12)
    assert table["band_high"][1:] == pytest.approx(expected.confint[1:, 1] - expected.acf[1:], rel=1e-9)
    first = result.estimates["d_s_t:lag1"]
    assert (first.low, first.high) == pytest.approx(tuple(expected.confint[1]), rel=1e-9)
    tested = acorr_ljungbox(d, lags=[15]).iloc[0]
    assert result.estimates["d_s_t:ljung_box"].value == pytest.approx(tested["lb_stat"], rel=1e-9)
    assert result.estimates["d_s_t:ljung_box_p"].value == pytest.approx(tested["lb_pvalue"], rel=1e-7)
    assert result.estimates["d_s_t:minimum"].value == pytest.approx(expected.acf[1:].min(), abs=1e-12)
    assert result.estimates["d_s_t:minimum_lag"].value == 1 + int(np.argmin(expected.acf[1:]))
    assert result.estimates["d_s_t:sum"].value == pytest.approx(expected.acf[1:].sum(), abs=1e-11)


def test_ljung_box_is_centred_in_both_conventions():
    trace = memory_trace({"d_s_t": np.random.default_rng(53).standard_normal(1000) + 3})
    standard, nijkamp = (
        analyse(trace, Options(columns=("d_s_t",), convention=name)) for name in ("standard", "nijkamp")
    )
    assert nijkamp.estimates["d_s_t:lag1"].value > 0.8
    p = standard.estimates["d_s_t:ljung_box_p"].value
    assert p > 0.001
    assert nijkamp.estimates["d_s_t:ljung_box_p"].value == pytest.approx(p, rel=1e-12)
    assert any("lifts its uncentred correlation by about 0.9" in note for note in nijkamp.notes)
    assert not standard.notes


@pytest.mark.parametrize(
    ("rows", "options", "max_lag", "used"),
    [
        (1000, Options(), 40, 1000),
        (100, Options(), 25, 100),
        (5000, Options(convention="nijkamp"), 15, 2000),
        (5000, Options(convention="nijkamp", window=300), 15, 300),
        (300, Options(convention="nijkamp"), 15, 300),
        (300, Options(window=80), 20, 80),
        (300, Options(max_lag=7), 7, 300),
    ],
)
def test_automatic_lag_and_window(rows, options, max_lag, used):
    result = analyse(noise_trace(rows), options)
    assert (result.settings["max_lag"], result.rows) == (max_lag, used)
    assert result.settings["last_step"] == rows
    assert result.settings["first_step"] == rows - used + 1


def test_default_columns_are_those_that_are_there():
    assert analyse(noise_trace(100), Options()).settings["columns"] == ["d_s_t", "r_t"]
    assert analyse(memory_trace({"d_s_t": np.arange(60.0)}), Options()).settings["columns"] == ["d_s_t"]
    assert ANALYSIS.columns(Options(columns=("v_t",))) == ["v_t"]


@pytest.mark.parametrize(
    ("steps", "state", "expected"),
    [
        (np.arange(1, 101), "finished", None),
        (np.arange(1, 1001, 10), "finished", "one lag is 10 iterations"),
        (np.arange(1, 101) ** 2, "finished", "from 3 to 199 iterations apart"),
        (None, "running", "still going on"),
        (None, "interrupted", "was interrupted"),
        (None, "diverged", "diverged"),
    ],
)
def test_notes(steps, state, expected):
    notes = analyse(noise_trace(100, steps=steps, state=state), Options()).notes
    assert (expected in " ".join(notes)) if expected else not notes


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"max_lag": 0}, "max-lag must be at least 1, but is 0"),
        ({"window": 0}, "window must be at least 1"),
        ({"level": 1.0}, "between 0 and 1, but is 1"),
        ({"level": float("nan")}, "between 0 and 1"),
        ({"convention": "standart"}, "did you mean 'standard'"),
        ({"columns": ("r_t", "r_t")}, "'r_t' is given twice"),
    ],
)
def test_options_out_of_range(wrong, said):
    with pytest.raises(UsageError, match=said):
        Options(**wrong)


def only_finding(d, **options):
    findings = judge(analyse(memory_trace({"d_s_t": d}), Options(columns=("d_s_t",), **options)))
    assert len(findings) == 1
    return findings[0]


def test_strong_oscillation_is_a_warning():
    finding = only_finding(learning_loop(np.random.default_rng(54), 1.0, 3000)[0])
    assert (finding.code, finding.severity) == ("oscillation", "warning")
    assert finding.value == pytest.approx(-0.5, abs=0.08)
    assert f"{finding.value:.3f}, at lag 1" in finding.statement
    assert finding.advice
    assert finding.source


def test_weak_oscillation_and_white_noise_are_not():
    for d in (learning_loop(np.random.default_rng(55), 0.05, 3000)[0], RNG.standard_normal(3000)):
        assert only_finding(d).severity == "info"


def test_real_traces(golden):
    """Adam rings, with and without momentum; the SGD run of the toy does not."""
    warned = {run: only_finding(golden[f"{run}/d_s_t"]).severity for run in ("flowers", "flowers_beta0")}
    assert set(warned.values()) == {"warning"}
    assert "at lag 4" in only_finding(golden["flowers/d_s_t"]).statement


def test_few_rows_cannot_raise_the_warning():
    d = learning_loop(np.random.default_rng(56), 1.0, 40)[0]
    finding = only_finding(d)
    assert finding.severity == "info"
    assert "40 rows are few" in finding.statement


def test_limits_are_arguments():
    result = analyse(memory_trace({"d_s_t": learning_loop(np.random.default_rng(57), 1.0, 3000)[0]}), Options())
    assert judge(result, Limits(lowest=-0.9))[0].severity == "info"


def test_constant_column_is_a_finding():
    result = analyse(memory_trace({"d_s_t": np.ones(100), "r_t": RNG.standard_normal(100)}), Options())
    assert [finding.code for finding in judge(result)] == ["acf-undefined"]


def test_text_is_short_aligned_and_starred():
    d, u = learning_loop(np.random.default_rng(58), 1.0, 3000)
    lines = text(analyse(memory_trace({"d_s_t": d, "r_t": u}), Options()))
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 100
    first = next(line for line in lines if line.startswith("   1 "))
    assert "-0.499*" in first
    rows = lines[3:24]
    assert len({line.index("│") for line in rows}) == 1
    assert any("19 further lags, up to 40" in line for line in lines)


def test_text_of_many_columns_stays_readable():
    columns = {name: RNG.standard_normal(400) for name in ("d_s_t", "r_t", "v_t", "z_t", "energy_pos_mean")}
    lines = text(analyse(memory_trace(columns), Options(columns=tuple(columns))))
    assert len(lines) <= 50


@pytest.mark.parametrize("names", [("d_s_t",), ("d_s_t", "r_t"), ("d_s_t", "r_t", "v_t")])
def test_one_drawing_with_a_panel_for_each_column(names):
    trace = memory_trace({name: RNG.standard_normal(100) for name in names})
    (drawing,) = draw(analyse(trace, Options(columns=names)))
    titles = [axes.get_title(loc="left") for axes in drawing.figure.axes if axes.axison]
    assert [title.split(":")[0] for title in titles] == list(names)
    assert drawing.figure.get_figwidth() == 7.5
    assert drawing.caption
    assert all(name in drawing.alt for name in names)
