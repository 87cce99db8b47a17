"""The analysis ``stationarity``: settled, moving, undetermined; balance by equivalence; planted truths and controls."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from series import GOLDEN, autoregression, learning_loop, memory_trace, written_trace
from statsmodels.tsa.stattools import adfuller, kpss

from ebmdiag.cli.analyses import analysis_command
from ebmdiag.errors import TraceError, UsageError
from ebmdiag.numerics.low_frequency import contrast, ramp, slow
from ebmdiag_analyses.stationarity import ANALYSIS, Limits, Options, analyse, draw, judge, text, verdicts

RNG = np.random.default_rng(101)


def noise(rows, seed=0):
    return np.random.default_rng(seed).standard_normal(rows)


def of(x, name="r_t", **options):
    return analyse(memory_trace({name: x}), Options(columns=(name,), **options))


def kind(x, name="r_t"):
    return verdicts(of(x, name))[name].kind


def balance(x, name="d_s_t"):
    return verdicts(of(x, name))[f"mean:{name}"]


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (noise(1000), "settled"),
        (autoregression(np.random.default_rng(1), 0.9, (20_000,)), "settled"),
        (learning_loop(np.random.default_rng(2), 0.3, 2000)[0], "settled"),
        (noise(2000) + np.linspace(0, 2, 2000), "moving"),
        (noise(2000) + 1.5 * (np.arange(2000) > 700), "moving"),
        (noise(2000) + 1.5 * ((np.arange(2000) // 400) % 2), "moving"),
        (noise(2000) + 5 * np.exp(-np.arange(2000) / 300), "moving"),
        (np.cumsum(noise(1000)), "undetermined"),
        (autoregression(np.random.default_rng(3), 0.99, (1000,)), "undetermined"),
        (noise(30), "undetermined"),
        (np.arange(100.0), "moving"),
        (np.full(100, 0.1), "settled"),
    ],
    ids=[
        "white", "memory", "loop", "drift", "jump", "regimes", "relaxation", "walk", "slow", "short", "line", "constant"
    ],
)  # fmt: skip
def test_planted_truths(x, expected):
    assert kind(x) == expected


@pytest.mark.slow
def test_rates_of_the_verdicts():
    """Stationary, AR(.9), 100 autocorrelation times: hardly ever called moving; a planted drift nearly always."""
    x = autoregression(np.random.default_rng(4), 0.9, (60, 2000))
    still = [kind(row) for row in x]
    sd = x.std()
    moving = [kind(row + np.linspace(0, 3 * sd, 2000)) for row in x]
    assert still.count("moving") <= 4  # 2% allowed: 1.2 expected
    assert moving.count("moving") > 48
    assert moving.count("settled") == 0


def test_a_drift_that_does_not_matter_is_settled_though_significant():
    result = of(noise(100_000) + np.linspace(0, 0.1, 100_000))
    assert result.estimates["r_t:change_p"].value < 0.001
    assert verdicts(result)["r_t"].kind == "settled"


def test_not_to_reject_is_not_to_settle():
    """The trap that equivalence avoids: a short record in which nothing is seen."""
    result = of(noise(80, 3))
    assert result.estimates["r_t:change_p"].value > 0.05
    found = verdicts(result)["r_t"]
    assert found.kind == "undetermined"
    assert found.more_iterations > 20
    assert "further iterations would tell" in judge(result)[0].statement


def test_the_number_of_further_iterations_is_that_of_50_times():
    x = autoregression(np.random.default_rng(5), 0.98, (1500,))
    result = of(x)
    found = verdicts(result)["r_t"]
    assert found.kind == "undetermined"
    needed = result.estimates["r_t:needed_rows"].value
    assert needed == pytest.approx(50 * result.estimates["r_t:time"].value, abs=1)
    assert found.more_iterations == needed - 1500
    spaced = analyse(memory_trace({"r_t": x}, steps=np.arange(10, 15_001, 10)), Options(columns=("r_t",)))
    assert verdicts(spaced)["r_t"].more_iterations == 10 * (needed - 1500)


def test_jumps_are_listed_with_their_steps():
    x = noise(2000) + 2 * (np.arange(2000) >= 900)
    result = analyse(memory_trace({"r_t": x}, steps=np.arange(10, 20_001, 10)), Options(columns=("r_t",)))
    (row,) = result.tables["jumps:r_t"].rows()
    assert row[0] == pytest.approx(9010, abs=40)
    assert row[1] == pytest.approx(2, abs=0.2)
    assert f"changes at step {row[0]}" in judge(result)[0].statement
    assert any(f"step {row[0]} (+" in line for line in text(result))


@pytest.mark.parametrize("name", ["r_t", "d_s_t"])
def test_the_advice_names_the_step_of_the_last_jump_and_leads_to_a_settled_run(name):
    x = noise(2000) - 2 * (np.arange(2000) < 900)
    advised = [finding.advice for finding in judge(of(x, name)) if finding.severity == "warning"]
    steps = {int(advice.partition("--from ")[2].partition(";")[0]) for advice in advised}
    assert len(advised) == (2 if name == "d_s_t" else 1)
    assert len(steps) == 1
    (step,) = steps
    assert step == pytest.approx(901, abs=4)
    assert not [one for one in judge(of(x[step - 1 :], name)) if one.severity == "warning"]


def test_where_nobody_knows_a_step_none_is_named():
    drift = noise(2000) + 5 * np.exp(-np.arange(2000) / 2000)
    for x in (noise(2000) + 0.8, noise(2000) + 2 * (np.arange(2000) > 1850)):  # never 0; a jump near the end
        (advice,) = {one.advice for one in judge(of(x, "d_s_t")) if one.severity == "warning"} or {""}
        assert "with --from;" in advice or "with --from," in advice
    assert all("--from" in one.advice for one in judge(of(drift, "r_t")) if one.severity == "warning")


def test_estimates_are_those_of_the_numerics():
    x = autoregression(np.random.default_rng(6), 0.5, (1000,)) + 3
    found = of(x, level=0.9).estimates
    line = contrast(slow(x), ramp(1000))
    assert (found["r_t:change"].low, found["r_t:change"].high) == pytest.approx(line.bounds(0.9))
    assert found["r_t:mean"].value == pytest.approx(x.mean())
    assert found["r_t:sd"].value == pytest.approx(x.std(), rel=0.02)
    d = of(x, "d_s_t").estimates
    assert d["d_s_t:newey_west"].value == pytest.approx(d["d_s_t:error"].value, rel=0.4)
    assert "r_t:newey_west" not in found


def test_balance():
    d = learning_loop(np.random.default_rng(7), 0.3, 1000)[0]
    assert balance(d).kind == "balanced"
    assert balance(d + 0.5).kind == "unbalanced"
    assert balance(noise(60)).kind == "undetermined"
    assert balance(np.zeros(100)).kind == "balanced"
    assert balance(np.ones(100)).kind == "unbalanced"
    severities = {finding.code: finding.severity for finding in judge(of(d - 0.5, "d_s_t"))}
    assert severities["balance"] == "warning"
    assert "expansion prevails" in judge(of(d - 0.5, "d_s_t"))[1].statement


def test_balance_in_sampling_errors():
    """z_t is in units of the sampling error of one iteration: its margin is not a share of its own spread."""
    z = 5 * noise(20_000)
    assert balance(z + 0.5, "z_t").kind == "unbalanced"
    assert balance(z + 0.5, "d_s_t").kind == "balanced"
    assert "sampling errors" in judge(of(z + 0.5, "z_t"))[1].statement


@pytest.mark.slow
def test_size_of_the_balance_at_its_margin():
    """A mean of exactly 0.2 sd is called balanced in 5% of records at most."""
    x = autoregression(np.random.default_rng(8), 0.5, (200, 800))
    rate = np.mean([balance(row + 0.2 / np.sqrt(0.75)).kind == "balanced" for row in x])
    assert rate < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 200)


def test_limits_are_arguments():
    result = of(noise(2000) + 1.5 * (np.arange(2000) > 700))
    assert verdicts(result, Limits(change=5.0))["r_t"].kind == "settled"


def test_default_columns_and_gaps():
    rows = 400
    columns = {name: RNG.standard_normal(rows) for name in ("d_s_t", "r_t", "virial", "learning_rate")}
    assert analyse(memory_trace(columns), Options()).settings["columns"] == ["d_s_t", "r_t", "virial"]
    broken = {**columns, "virial": np.where(np.arange(rows) == 7, np.nan, columns["virial"])}
    result = analyse(memory_trace(broken), Options())
    assert result.settings["columns"] == ["d_s_t", "r_t"]
    assert any("virial" in note for note in result.notes)
    with pytest.raises(TraceError, match="virial"):
        analyse(memory_trace(broken), Options(columns=("virial",)))
    with pytest.raises(TraceError, match="d_s_t"):
        analyse(memory_trace({"d_s_t": broken["virial"]}), Options())


def test_a_column_of_every_third_iteration():
    trace = memory_trace({"d_s_t": noise(600)})
    some = [float(value) if i % 3 == 2 else None for i, value in enumerate(noise(600, 1))]
    trace = replace(trace, rows=trace.table.append_column("virial", pa.array(some)))
    result = analyse(trace, Options())
    assert result.settings["measured"] == {"d_s_t": 600, "virial": 200}
    assert result.settings["iterations_apart"]["virial"] == 3
    assert any("virial (200)" in note for note in result.notes)


def test_side_numbers_equal_statsmodels_and_are_marked():
    x = autoregression(np.random.default_rng(9), 0.5, (600,))
    found = of(x, unit_root=True).estimates
    expected = adfuller(x, maxlag=12, autolag="AIC", result_object=True).pvalue
    assert found["r_t:adf_p"].value == pytest.approx(expected, rel=1e-6)
    with pytest.warns(match="p-value"):
        assert found["r_t:kpss_p"].value == pytest.approx(kpss(x, nlags="auto", result_object=True).pvalue)
    assert not found["r_t:kpss_p"].reliable
    assert "too often" in found["r_t:kpss_p"].reason
    assert any("side numbers of r_t: KPSS" in line for line in text(of(x, unit_root=True)))


def test_kpss_is_oversized_where_this_is_not():
    """Why no verdict rests on it: stationary AR(.95), 2,000 rows."""
    x = autoregression(np.random.default_rng(10), 0.95, (40, 2000))
    found = [of(row, unit_root=True) for row in x]
    kpss_rate = np.mean([item.estimates["r_t:kpss_p"].value < 0.05 for item in found])
    ours = np.mean([item.estimates["r_t:change_p"].value < 0.05 for item in found])
    assert kpss_rate > 0.1
    assert ours < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 40)
    assert sum(verdicts(item)["r_t"].kind == "moving" for item in found) <= 4  # 0.8 expected


@pytest.mark.parametrize(
    ("run", "d", "r", "mean"),
    [
        ("rings", "settled", "moving", "unbalanced"),
        ("flowers", "settled", "undetermined", "balanced"),
        ("flowers_beta0", "settled", "moving", "balanced"),
    ],
)
def test_recorded_runs(run, d, r, mean):
    with np.load(GOLDEN) as file:
        trace = memory_trace({"d_s_t": file[f"{run}/d_s_t"], "r_t": file[f"{run}/r_s_t"]})
    found = verdicts(analyse(trace, Options()))
    assert (found["d_s_t"].kind, found["r_t"].kind, found["mean:d_s_t"].kind) == (d, r, mean)


@pytest.mark.parametrize("rows", [0, 3, 12])
def test_too_few_rows(rows):
    result = of(noise(rows), "d_s_t")
    assert all(found.kind == "undetermined" for found in verdicts(result).values())
    assert result.estimates["d_s_t:change"].value is None
    assert (result.estimates["d_s_t:mean"].value is None) == (rows == 0)
    judge(result)
    assert text(result)
    for drawing in draw(result):
        drawing.figure.savefig("/dev/null", format="svg")


@pytest.mark.parametrize("scale", [1e200, 1e-200])
def test_scale(scale):
    x = noise(1000) + np.linspace(0, 1, 1000)
    plain, scaled = of(x), of(x * scale)
    for key in ("change_p", "difference_p", "cusum_p", "time"):
        assert scaled.estimates[f"r_t:{key}"].value == pytest.approx(plain.estimates[f"r_t:{key}"].value, rel=1e-6)
    assert verdicts(scaled)["r_t"].kind == verdicts(plain)["r_t"].kind


def test_offset():
    x = 1e-3 * noise(1000)
    plain, moved = of(x), of(x + 1e9)
    assert moved.estimates["r_t:change"].value == pytest.approx(plain.estimates["r_t:change"].value, abs=1e-6)


def test_text_and_drawing():
    columns = {name: RNG.standard_normal(500) for name in ("d_s_t", "z_t", "r_t", "virial")}
    result = analyse(memory_trace(columns), Options())
    assert max(map(len, text(result))) <= 110
    (drawing,) = draw(result)
    assert [axes.get_title(loc="left") for axes in drawing.figure.axes] == ["d_s_t", "z_t", "r_t", "virial"]
    assert "virial: mean" in drawing.alt


def test_command(tmp_path):
    path = written_trace(tmp_path / "a.parquet", {"d_s_t": noise(300), "r_t": noise(300, 1) + 5})
    answer = CliRunner().invoke(analysis_command(ANALYSIS), [str(path), "--column", "r_t", "--no-unit-root"])
    assert answer.exit_code == 0
    assert "r_t has settled" in answer.output
    strict = CliRunner().invoke(analysis_command(ANALYSIS), [str(path), "--until", "20", "--strict"])
    assert strict.exit_code in (0, 4)
    with pytest.raises(UsageError, match="given twice"):
        Options(columns=("r_t", "r_t"))
    with pytest.raises(UsageError, match="level"):
        Options(level=1)
