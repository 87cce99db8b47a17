"""The analysis ``ccf``: lags, band, antisymmetry and what it says of who leads."""

import numpy as np
import pytest
from click.testing import CliRunner
from series import GOLDEN, autoregression, learning_loop, memory_trace, written_trace
from statsmodels.tsa.stattools import ccf

from ebmdiag.cli.analyses import analysis_command
from ebmdiag.errors import UsageError
from ebmdiag.numerics.prewhitening import prewhitened_crosscorrelation
from ebmdiag_analyses.crosscorrelation import ANALYSIS, Options, analyse, antisymmetry, draw, judge, text


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as file:
        return dict(file)


def crossed(x, y, **options):
    return analyse(memory_trace({"d_s_t": x, "r_t": y}), Options(**options))


@pytest.mark.parametrize("run", ["rings", "flowers", "flowers_beta0"])
def test_golden(golden, run):
    result = crossed(golden[f"{run}/d_s_t"], golden[f"{run}/r_s_t"], convention="nijkamp")
    table = result.tables["ccf"].columns
    assert table["lag"].tolist() == list(range(-15, 16))
    assert table["correlation"] == pytest.approx(golden[f"{run}/cross_corr"], abs=1e-6)


def test_standard_equals_statsmodels_on_both_sides():
    x, y = np.random.default_rng(61).standard_normal((2, 500)) + 1
    values = crossed(x, y, max_lag=12).tables["ccf"].columns["correlation"]
    assert values[12:] == pytest.approx(ccf(x, y, adjusted=False)[:13], abs=1e-12)
    assert values[12::-1] == pytest.approx(ccf(y, x, adjusted=False)[:13], abs=1e-12)


def test_one_mode_of_the_learning_loop():
    """theory, section 0: antisymmetric about lag -1/2, and rho_1(d) = -(cross-correlation at lag 0)^2."""
    d, u = learning_loop(np.random.default_rng(62), 0.5, 20_000)
    found = crossed(d, u).estimates
    assert found["antisymmetry"].value > 0.98
    assert found["lag0"].value == pytest.approx(0.5, abs=0.03)
    assert (found["maximum_lag"].value, found["minimum_lag"].value) == (0, -1)
    assert found["minimum"].value == pytest.approx(-0.5, abs=0.03)
    swapped = crossed(u, d).estimates
    assert swapped["antisymmetry"].value < 0.98  # then the axis of antisymmetry is lag +1/2


@pytest.mark.parametrize(
    ("values", "share"),
    [([-1, -2, 3, -5, 2, 1, 7], None), ([-3, -2, -1, 1, 2, 3, 9], 1.0), ([3, 2, 1, 1, 2, 3, 9], 0.0)],
)
def test_antisymmetry(values, share):
    values = np.array(values, dtype=float)
    pairs = [(values[3 + j], values[3 - 1 - j]) for j in range(3)]
    odd = sum((after - before) ** 2 for after, before in pairs)
    even = sum((after + before) ** 2 for after, before in pairs)
    assert antisymmetry(values) == pytest.approx(odd / (odd + even))
    assert share is None or antisymmetry(values) == share


def test_antisymmetry_of_noise_is_a_half():
    shares = [antisymmetry(row) for row in np.random.default_rng(63).standard_normal((2000, 31))]
    assert np.mean(shares) == pytest.approx(0.5, abs=4 * np.std(shares) / np.sqrt(2000))


def test_band_scales_with_the_convention():
    """A series that is not centred is longer: its correlation and its band shrink alike."""
    rng = np.random.default_rng(64)
    d, r = rng.standard_normal(1500) + 2, autoregression(rng, 0.9, (1500,))
    standard, nijkamp = crossed(d, r), crossed(d, r, convention="nijkamp")
    ratio = nijkamp.estimates["band"].value / standard.estimates["band"].value
    assert ratio == pytest.approx(d.std() / np.sqrt((d**2).mean()), rel=1e-9)
    assert ratio == pytest.approx(1 / np.sqrt(5), rel=0.05)


def test_level_sets_the_band():
    x, y = np.random.default_rng(65).standard_normal((2, 500))
    wide, narrow = crossed(x, y, level=0.99), crossed(x, y, level=0.9)
    assert wide.estimates["band"].value / narrow.estimates["band"].value == pytest.approx(2.5758 / 1.6449, rel=1e-4)


def test_judge_sees_the_pattern():
    d, u = learning_loop(np.random.default_rng(66), 0.3, 5000)
    (finding,) = judge(crossed(d, u))
    assert finding.severity == "info"
    assert "d_s_t leads r_t with -0.3" in finding.statement
    assert "contraction lowers r" in finding.statement
    (other,) = judge(crossed(-d, u))
    assert "contraction lowers r" not in other.statement


def test_judge_sees_nothing_in_noise():
    (finding,) = judge(crossed(*np.random.default_rng(67).standard_normal((2, 3000)), level=0.9999))
    assert "no correlation outside the 99.99% band" in finding.statement


def test_judge_of_a_constant():
    (finding,) = judge(crossed(np.ones(100), np.arange(100.0)))
    assert (finding.code, finding.severity) == ("ccf-undefined", "warning")


def test_a_lead_is_found():
    noise = np.random.default_rng(68).standard_normal(2003)
    found = crossed(noise[3:], noise[:-3]).estimates
    assert found["maximum_lag"].value == -3
    assert found["maximum"].value > 0.99


def test_options():
    assert ANALYSIS.columns(Options(y="v_t")) == ["d_s_t", "v_t"]
    with pytest.raises(UsageError, match="max-lag"):
        Options(max_lag=0)


def test_text_and_drawing():
    d, u = learning_loop(np.random.default_rng(69), 1.0, 3000)
    result = crossed(d, u)
    lines = text(result)
    assert len(lines) <= 41
    assert any("lowest -0.7" in line and "at lag -1" in line for line in lines)
    (drawing,) = draw(result)
    (axes,) = drawing.figure.axes
    assert axes.get_title(loc="left") == "d_s_t leads"
    assert axes.get_xlim() == (-15.5, 15.5)
    assert "highest 0.7" in drawing.alt


def test_prewhitening_equals_the_numerics_and_says_so():
    rng = np.random.default_rng(70)
    d, r = autoregression(rng, 0.9, (1500,)), autoregression(rng, 0.8, (1500,))
    result = crossed(d, r, prewhiten=True)
    table = result.tables["ccf"].columns
    assert table["correlation"] == pytest.approx(prewhitened_crosscorrelation(d, r, 15), rel=1e-12)
    assert result.settings["prewhitened_by"] == 1
    assert any("autoregression of d_s_t of order 1" in note for note in result.notes)
    assert "prewhitened, order 1" in text(result)[0]
    (drawing,) = draw(result)
    assert "one linear mode" not in drawing.caption
    assert crossed(d, r).settings["prewhitened_by"] is None


def test_a_walk_stays_a_walk_when_prewhitened_by_noise():
    rng = np.random.default_rng(76)
    walk = crossed(rng.standard_normal(1000), np.cumsum(rng.standard_normal(1000)), prewhiten=True)
    assert any("r_t has not settled even so" in note for note in walk.notes)
    assert len(crossed(*rng.standard_normal((2, 1000)), prewhiten=True).notes) == 1


def test_prewhitening_narrows_the_band_of_series_with_memory():
    rng = np.random.default_rng(71)
    d, r = autoregression(rng, 0.95, (2000,)), autoregression(rng, 0.95, (2000,))
    plain, white = crossed(d, r), crossed(d, r, prewhiten=True)
    assert white.estimates["band"].value == pytest.approx(1.96 / np.sqrt(2000), rel=0.15)
    assert plain.estimates["band"].value > 3 * white.estimates["band"].value


def test_prewhitening_shows_a_delay_that_memory_smears():
    rng = np.random.default_rng(72)
    d = autoregression(rng, 0.95, (3004,))
    r = d[:-4] + rng.standard_normal(3000)
    found = crossed(d[4:], r, prewhiten=True)
    assert found.estimates["maximum_lag"].value == -4
    assert int(np.sum(np.abs(found.tables["ccf"].columns["correlation"]) > 0.15)) == 1
    assert int(np.sum(np.abs(crossed(d[4:], r).tables["ccf"].columns["correlation"]) > 0.15)) > 20


def test_prewhitening_takes_the_mean_out_in_both_conventions():
    d, r = np.random.default_rng(73).standard_normal((2, 1000)) + 5
    standard, nijkamp = (crossed(d, r, prewhiten=True, convention=name) for name in ("standard", "nijkamp"))
    assert nijkamp.tables["ccf"].columns["correlation"] == pytest.approx(standard.tables["ccf"].columns["correlation"])


def test_prewhitening_of_what_has_no_noise():
    """A constant stays undefined; a sine is its own past, and little is left of it."""
    assert crossed(np.ones(100), np.arange(100.0), prewhiten=True).estimates["lag0"].value is None
    sine = crossed(np.sin(0.3 * np.arange(400)), np.random.default_rng(74).standard_normal(400), prewhiten=True)
    assert np.isfinite(sine.estimates["lag0"].value)
    judge(sine)


def test_prewhiten_is_an_option_of_the_command(tmp_path):
    d, r = np.random.default_rng(75).standard_normal((2, 200))
    path = written_trace(tmp_path / "a.parquet", {"d_s_t": d, "r_t": r})
    answer = CliRunner().invoke(analysis_command(ANALYSIS), [str(path), "--prewhiten"])
    assert answer.exit_code == 0
    assert "prewhitened, order" in answer.output
