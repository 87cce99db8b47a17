"""The analysis ``windows``: the step at which a run changes its character, and silence where it does not."""

import numpy as np
import pytest
from click.testing import CliRunner
from series import GOLDEN, autoregression, learning_loop, memory_trace, written_trace

from ebmdiag.cli.analyses import analysis_command
from ebmdiag.errors import TraceError, UsageError
from ebmdiag_analyses.windows import ANALYSIS
from ebmdiag_analyses.windows.analysis import Options, analyse
from ebmdiag_analyses.windows.judge import Limits, judge
from ebmdiag_analyses.windows.view import draw, text


def windows(d, r=None, **options):
    columns = {"d_s_t": d} if r is None else {"d_s_t": d, "r_t": r}
    return analyse(memory_trace(columns), Options(**options))


@pytest.fixture(scope="module")
def switched():
    rng = np.random.default_rng(1)
    parts = [learning_loop(rng, gain, rows) for gain, rows in ((0.05, 6000), (0.8, 4000))]
    return windows(*(np.concatenate(both) for both in zip(*parts, strict=True)))


def test_the_switch(switched):
    change = switched.estimates["change:1"]
    assert switched.estimates["changes"].value == 1
    assert change.low <= 6000 <= change.high
    (finding,) = judge(switched)
    assert finding.severity == "warning"
    assert "from weak to strong" in finding.statement
    assert finding.advice
    assert judge(switched, Limits(lowest=-0.9))[0].severity == "info"
    table = switched.tables["stretches"].columns
    assert table["lowest"][1] == pytest.approx(-0.4, abs=0.05)
    assert table["first_step"].tolist()[1] == int(change.value)
    assert table["last_step"].tolist() == [int(change.value) - 1, 10_000]


def test_gains_over_time(switched):
    """Both gains follow from 0.05 to 0.8; intervals cover in the steady parts."""
    table = switched.tables["gains"].columns
    assert len(table["last_step"]) == switched.settings["windows"] == 40
    for part, gain in ((table["last_step"] <= 6000, 0.05), (table["first_step"] > 6000, 0.8)):
        for kind in ("difference", "state"):
            inside = (table[f"{kind}_low"] < gain) & (gain < table[f"{kind}_high"])
            assert np.mean(inside[part]) > 0.75
            assert np.mean(table[kind][part]) == pytest.approx(gain, abs=0.06)


def test_maps(switched):
    table = switched.tables["ccf"].columns
    late = table["last_step"] > 7000
    at_zero = table["correlation"][late & (table["lag"] == 0)]
    assert at_zero == pytest.approx(np.full(len(at_zero), np.sqrt(0.4)), abs=0.12)
    assert table["significant"][late & (table["lag"] == 0)].all()
    assert not table["significant"][late & (table["lag"] > 8)].mean() > 0.1
    assert set(switched.tables) == {"acf_x", "acf_y", "ccf", "gains", "stretches"}


@pytest.mark.parametrize("coefficient", [0.0, 0.9])
def test_noise_is_steady(coefficient):
    """50 records of either kind: a change by chance (limit 0.01) in at most 3."""
    records = autoregression(np.random.default_rng(2), coefficient, (50, 1200))
    found = [windows(x, seed=place).estimates["changes"].value for place, x in enumerate(records)]
    assert np.count_nonzero(found) <= 3
    assert [each.code for each in judge(windows(records[0]))] == ["windows-steady"]


@pytest.mark.parametrize(("run", "lowest"), [("rings", -0.1), ("flowers", -0.3), ("flowers_beta0", -0.65)])
def test_real_traces(run, lowest):
    with np.load(GOLDEN) as file:
        result = windows(file[f"{run}/d_s_t"], file[f"{run}/r_s_t"])
    assert result.tables["stretches"].columns["lowest"][-1] == pytest.approx(lowest, abs=0.06)
    assert len(judge(result)) == 1


def test_without_r():
    result = windows(np.random.default_rng(3).standard_normal(900))
    assert set(result.tables) == {"acf_x", "gains", "stretches"}
    assert result.settings["y"] is None
    assert len(draw(result)) == 2
    with pytest.raises(UsageError, match="v_t"):
        windows(np.ones(900), y="v_t")


@pytest.mark.parametrize(
    ("d", "said"), [(np.zeros(0), "0 rows"), (np.ones(59), "60 are needed"), (np.ones(800), "constant")]
)
def test_undefined(d, said):
    result = windows(d)
    assert said in result.estimates["changes"].reason
    (finding,) = judge(result)
    assert (finding.code, finding.severity) == ("windows-undefined", "warning")
    assert text(result)
    assert draw(result)


def test_short_record_has_maps_but_no_changes():
    result = windows(*np.random.default_rng(4).standard_normal((2, 300)))
    assert "600 are needed" in result.estimates["changes"].reason
    assert judge(result)[0].severity == "info"
    assert result.estimates["share:ccf"].value is not None
    assert len(draw(result)) == 2
    assert text(result)


def test_constant_stretch_and_constant_r():
    d = np.random.default_rng(5).standard_normal(1000)
    d[:300] = 1.5
    result = windows(d, np.ones(1000))
    assert not result.estimates["share:acf_y"].reliable
    assert np.isnan(result.tables["acf_x"].columns["correlation"][:15]).all()
    assert text(result)
    assert draw(result)


def test_gap_is_an_error():
    d = np.random.default_rng(6).standard_normal(700)
    d[10] = np.nan
    with pytest.raises(TraceError, match="step 11"):
        windows(d)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"width": 5000}, "trace has only 1000"),
        ({"width": 19}, "width must be at least 20"),
        ({"stride": 0}, "stride must be at least 1"),
        ({"false_rate": 0.0}, "false-rate"),
        ({"y": "d_s_t"}, "take two columns"),
    ],
)
def test_options_out_of_range(options, said):
    with pytest.raises(UsageError, match=said):
        windows(np.random.default_rng(7).standard_normal(1000), **options)


def test_too_many_windows():
    with pytest.raises(UsageError, match="at most 2000"):
        windows(np.random.default_rng(8).standard_normal(5000), width=50, stride=1)


def test_width_and_stride_are_kept():
    result = windows(np.random.default_rng(9).standard_normal(1000), width=200, stride=50, max_lag=90)
    assert (result.settings["windows"], result.settings["max_lag"]) == (17, 50)
    assert result.tables["gains"].columns["last_step"][-1] == 1000


def test_text_and_command(switched, tmp_path):
    lines = text(switched)
    assert len(lines) <= 32
    assert max(map(len, lines)) <= 100
    d, u = learning_loop(np.random.default_rng(10), 0.5, 700)
    path = written_trace(tmp_path / "trace.parquet", {"d_s_t": d, "r_t": u})
    run = CliRunner().invoke(analysis_command(ANALYSIS), [str(path), "-o", str(tmp_path / "w.png")])
    assert run.exit_code == 0, run.output
    assert "does not change" in run.output
    assert (tmp_path / "w-windows-maps.png").exists()
    assert (tmp_path / "w-windows-gains.png").exists()
