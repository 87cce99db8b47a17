"""The analysis ``spectrum``: what it finds of what was planted, says and draws."""

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.signal import lfilter
from series import GOLDEN, autoregression, learning_loop, memory_trace, written_trace

from ebmdiag.cli.analyses import analysis_command
from ebmdiag.errors import TraceError, UsageError
from ebmdiag.numerics.loop import first_order
from ebmdiag.numerics.loop import spectrum as loop_spectrum
from ebmdiag_analyses.spectrum import ANALYSIS
from ebmdiag_analyses.spectrum.analysis import KEYS, Options, analyse
from ebmdiag_analyses.spectrum.judge import Limits, judge
from ebmdiag_analyses.spectrum.view import draw, text


def spectrum(d, r=None, **options):
    columns = {"d_s_t": d} if r is None else {"d_s_t": d, "r_t": r}
    return analyse(memory_trace(columns), Options(**options))


def codes(result):
    return [finding.code for finding in judge(result)]


def test_a_wave_in_noise():
    rng = np.random.default_rng(1)
    d = rng.standard_normal(3000) + 0.5 * np.cos(2 * np.pi * np.arange(3000) / 12.3)
    result = spectrum(d)
    period = result.estimates["d_s_t:line_period"]
    assert period.reliable
    assert period.low - 0.005 < 12.3 < period.high + 0.005
    assert result.estimates["d_s_t:line_share"].value == pytest.approx(0.125 / 1.125, abs=0.04)
    finding = next(each for each in judge(result) if each.code == "spectrum-line")
    assert finding.severity == "warning"
    assert "d_s_t holds a pure wave of period 12." in finding.statement
    assert "spectrum-peak" not in codes(result)  # it is said once


def test_the_loop():
    d, u = learning_loop(np.random.default_rng(2), 0.5, 20_000)
    result = spectrum(d, u)
    table = result.tables["d_s_t"].columns
    truth = loop_spectrum(first_order(0.5), 2 * np.pi * table["frequency"]) * 0.75
    used = table["frequency"] > 0.02
    inside = ((table["band_low"] < truth) & (truth < table["band_high"]))[used]
    assert np.mean(inside) > 0.85
    assert table["loop"][used] == pytest.approx(truth[used], rel=0.06)
    low = result.estimates["d_s_t:low"]
    assert low.high < 0.02
    finding = next(each for each in judge(result) if each.code == "spectrum-slow")
    assert "integral action" in finding.statement
    assert result.estimates["r_t:low"].value > 2  # tau = 3
    assert "spectrum-peak" not in codes(result)


def test_a_line_over_a_background_that_is_hard_to_whiten_is_doubtful():
    """Momentum: in short records Fisher's test is too bold (docs/spectrum.md)."""
    noise = np.random.default_rng(12).standard_normal(2000)
    d = lfilter(np.convolve([1, -1], [1, -0.9]), [1, -1.7, 0.9], noise)[500:]
    result = spectrum(d + 1.5 * np.cos(2 * np.pi * np.arange(1500) / 4.7), loop=False)
    assert "times too small" in result.estimates["d_s_t:line_p"].reason
    finding = next(each for each in judge(result) if each.code == "spectrum-line")
    assert (finding.severity, "doubtful" in finding.statement) == ("info", True)


def test_alternation():
    result = spectrum(autoregression(np.random.default_rng(3), -0.9, (2000,)))
    assert result.estimates["d_s_t:peak_period"].value == pytest.approx(2, abs=1e-3)
    assert "spectrum-peak" in codes(result)


def test_slow_memory_is_told():
    result = spectrum(autoregression(np.random.default_rng(4), 0.9, (5000,)))
    finding = next(each for each in judge(result) if each.code == "spectrum-slow")
    assert "drift" in finding.statement


@pytest.mark.parametrize("coefficient", [0.0, 0.9])
def test_noise_raises_nothing(coefficient):
    """60 records of either kind: warnings by chance in at most 2 of them."""
    records = autoregression(np.random.default_rng(5), coefficient, (60, 800))
    warned = [any(each.severity == "warning" for each in judge(spectrum(x, loop=False))) for x in records]
    assert sum(warned) <= 2


@pytest.mark.parametrize(
    ("run", "period", "modulus"), [("flowers", 8.5, 0.89), ("flowers_beta0", 2.0, None), ("rings", None, None)]
)
def test_real_traces(run, period, modulus):
    """Adam's momentum rings (√.9 = .95), without it d alternates, SGD shows no wave."""
    with np.load(GOLDEN) as file:
        result = spectrum(file[f"{run}/d_s_t"], file[f"{run}/r_s_t"])
    peaks = [each for each in judge(result) if each.code == "spectrum-peak" and each.statement.startswith("d_s_t")]
    assert len(peaks) == (period is not None)
    assert "spectrum-line" not in codes(result)
    if period:
        assert result.estimates["d_s_t:peak_period"].value == pytest.approx(period, abs=0.8)
    if modulus:
        assert result.estimates["d_s_t:peak_modulus"].value == pytest.approx(modulus, abs=0.03)


@pytest.mark.parametrize(("rows", "said"), [(0, "0 rows"), (3, "3 rows"), (49, "50 are needed")])
def test_short(rows, said):
    result = spectrum(np.random.default_rng(6).standard_normal(rows))
    assert all(said in result.estimates[f"d_s_t:{key}"].reason for key in KEYS)
    assert codes(result) == ["spectrum-undefined"]
    assert text(result)
    assert draw(result)


def test_constant_gaps_and_missing():
    result = spectrum(np.ones(200), np.random.default_rng(7).standard_normal(200))
    assert "constant" in result.estimates["d_s_t:low"].reason
    assert result.estimates["r_t:low"].value is not None
    assert draw(result)
    bad = np.ones(100)
    bad[7] = np.nan
    with pytest.raises(TraceError, match="step 8"):
        spectrum(bad)
    with pytest.raises(UsageError, match="did you mean 'd_s_t'"):
        spectrum(np.ones(100), columns=("d_s_s",))


def test_huge_values_change_nothing():
    x = np.random.default_rng(8).standard_normal(500)
    plain, huge = (spectrum(x * size, loop=False).estimates for size in (1.0, 1e200))
    for name, expected in plain.items():
        same = expected.value if expected.value is None else pytest.approx(expected.value, rel=1e-6)
        assert huge[name].value == same


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"method": "burg"}, "unknown method 'burg'"),
        ({"tapers": 0}, "tapers must be at least 1"),
        ({"segment": 10}, "segment must be at least 50"),
        ({"level": 1.0}, "between 0 and 1"),
        ({"columns": ("a", "a")}, "given twice"),
    ],
)
def test_options_out_of_range(wrong, said):
    with pytest.raises(UsageError, match=said):
        Options(**wrong)


def test_limits_are_arguments():
    result = spectrum(autoregression(np.random.default_rng(9), -0.9, (2000,)))
    assert "spectrum-peak" not in [each.code for each in judge(result, Limits(quality=100))]


def test_text_and_picture():
    d, u = learning_loop(np.random.default_rng(10), 0.3, 2000)
    result = spectrum(d, u)
    lines = text(result)
    assert len(lines) <= 25
    assert max(len(line) for line in lines if not line.startswith("?")) <= 110
    (drawing,) = draw(result)
    first, second = drawing.figure.axes
    assert first.get_xscale() == "log"
    assert "slow power" in drawing.alt
    assert len(first.lines) >= 3
    assert second.get_title(loc="left").startswith("r_t")


def test_welch_and_command(tmp_path):
    d, u = learning_loop(np.random.default_rng(11), 0.5, 600)
    path = written_trace(tmp_path / "trace.parquet", {"d_s_t": d, "r_t": u})
    picture = tmp_path / "figure.png"
    run = CliRunner().invoke(
        analysis_command(ANALYSIS), [str(path), "--method", "welch", "--no-loop", "-o", str(picture)]
    )
    assert run.exit_code == 0, run.output
    assert "welch" in run.output
    assert picture.stat().st_size > 5000
