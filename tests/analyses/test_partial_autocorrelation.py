"""The analysis ``pacf``: against statsmodels, planted waves, the optimizer's resonance, and nothing in noise."""

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.signal import lfilter
from series import GOLDEN, autoregression, learning_loop, memory_trace, written_trace
from statsmodels.tsa.stattools import pacf

from ebmdiag.cli.analyses import analysis_command
from ebmdiag.errors import UsageError
from ebmdiag_analyses.partial_autocorrelation import ANALYSIS, Limits, Options, analyse, draw, judge, text

ADAM = {"optimizer": {"name": "adam", "beta1": 0.9}}


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as file:
        return dict(file)


def of(d, options=None, **facts):
    return analyse(memory_trace({"d_s_t": d}, **facts), options or Options(columns=("d_s_t",)))


def wave(rng, modulus, period, rows):
    polynomial = [1.0, -2 * modulus * np.cos(2 * np.pi / period), modulus**2]
    return lfilter([1.0], polynomial, rng.standard_normal(rows + 500))[500:]


@pytest.mark.parametrize("run", ["rings", "flowers", "flowers_beta0"])
def test_equals_statsmodels_on_recorded_runs(golden, run):
    d = golden[f"{run}/d_s_t"]
    table = of(d).tables["d_s_t"].columns
    assert table["correlation"] == pytest.approx(pacf(d, nlags=40, method="ldb"), abs=1e-10)
    assert table["band_high"] == pytest.approx(np.full(41, 1.959964 / np.sqrt(len(d))), rel=1e-6)


def test_order_and_left_of_a_known_autoregression():
    found = of(autoregression(np.random.default_rng(1), 0.8, (5000,))).estimates
    assert found["d_s_t:order"].value == 1
    assert found["d_s_t:left"].value == pytest.approx(1 - 0.64, abs=0.03)
    assert found["d_s_t:period"].value is None
    assert "real and positive" in found["d_s_t:period"].reason


def test_white_noise_has_no_memory():
    found = of(np.random.default_rng(2).standard_normal(2000)).estimates
    assert (found["d_s_t:order"].value, found["d_s_t:left"].value) == (0, 1)
    assert "no memory" in found["d_s_t:modulus"].reason


def test_a_wave_is_found_with_its_interval():
    rng = np.random.default_rng(3)
    inside = []
    for _ in range(60):
        found = of(wave(rng, 0.9, 8, 3000)).estimates
        inside.append([found[f"d_s_t:{key}"] for key in ("period", "modulus")])
    cover = [np.mean([pair[i].low < truth < pair[i].high for pair in inside]) for i, truth in enumerate((8, 0.9))]
    assert min(cover) > 0.95 - 4 * np.sqrt(0.05 * 0.95 / 60)


def only(d, **facts):
    (finding,) = judge(of(d, **facts))
    return finding


def test_resonance_of_the_optimizer(golden):
    found = only(golden["flowers/d_s_t"], recipe=ADAM)
    assert found.severity == "warning"
    assert "near √beta = 0.949 of the optimizer (adam, 0.9)" in found.statement
    assert "beta1" in found.advice


def test_without_momentum_the_wave_is_gone(golden):
    found = only(golden["flowers_beta0/d_s_t"], recipe={"optimizer": {"name": "adam", "beta1": 0.0}})
    assert found.severity == "info"
    assert "a wave of 2 iterations" in found.statement
    assert only(golden["rings/d_s_t"]).severity == "info"


def test_a_wave_away_from_the_momentum_is_not_blamed_on_it():
    d = wave(np.random.default_rng(4), 0.85, 7, 4000)
    sgd = only(d, recipe={"optimizer": {"name": "sgd", "momentum": 0.3}})
    assert sgd.severity == "warning"
    assert "away from √beta" in sgd.statement
    assert "√" not in only(d).statement


def test_rows_that_are_no_iterations_are_not_held_against_the_momentum():
    d = wave(np.random.default_rng(5), 0.95, 9, 4000)
    found = only(d, steps=np.arange(1, 40_001, 10), recipe=ADAM)
    assert found.severity == "warning"
    assert "√" not in found.statement
    assert "9" in found.statement
    assert "rows" in found.statement


def test_memoryless_loops_and_noise_do_not_ring():
    """A loop's autoregression has no end: pairs of modulus above 0.8 without a peak."""
    rng = np.random.default_rng(6)
    series = [learning_loop(rng, gain, 4000)[0] for gain in (0.05, 0.3, 1.0, 1.5)]
    series += [rng.standard_normal(4000), autoregression(rng, 0.9, (4000,))]
    assert {only(d).severity for d in series} == {"info"}
    strict = judge(of(series[1]), Limits(height=0.0))
    assert strict[0].severity == "warning"  # without the height, they would


def test_the_bound_of_the_order_is_noted():
    loop = learning_loop(np.random.default_rng(7), 1.0, 5000)[0]
    cut = of(loop, Options(columns=("d_s_t",), max_order=5))
    assert any("highest order allowed, 5" in note for note in cut.notes)
    assert not of(np.random.default_rng(8).standard_normal(500)).notes


def test_nijkamp_convention_is_uncentred_but_the_autoregression_is_not():
    d = np.random.default_rng(9).standard_normal(3000) + 2
    standard, nijkamp = (of(d, Options(columns=("d_s_t",), convention=name)) for name in ("standard", "nijkamp"))
    assert nijkamp.rows == 2000
    assert len(nijkamp.tables["d_s_t"]) == 16
    assert nijkamp.tables["d_s_t"].columns["correlation"][1] > 0.7
    assert abs(standard.tables["d_s_t"].columns["correlation"][1]) < 0.1
    assert nijkamp.estimates["d_s_t:order"].value == 0


@pytest.mark.parametrize(
    ("d", "reason"), [([], "0 rows"), ([1.0, 2, 4], "3 rows"), (np.ones(100), "constant")], ids=str
)
def test_undefined(d, reason):
    result = of(d)
    assert all(item.value is None and reason in item.reason for item in result.estimates.values())
    (finding,) = judge(result)
    assert finding.code == "pacf-undefined"
    assert text(result)
    for drawing in draw(result):
        drawing.figure.savefig("/dev/null", format="svg")


def test_few_rows_are_doubtful_and_not_judged():
    result = of(wave(np.random.default_rng(10), 0.95, 8, 45))
    assert not result.estimates["d_s_t:order"].reliable
    assert only(wave(np.random.default_rng(10), 0.95, 8, 45)).severity == "info"


def test_two_roots_that_meet_are_doubtful():
    double = lfilter([1.0], [1.0, 1.0, 0.25], np.random.default_rng(11).standard_normal(3000))  # -1/2 twice
    found = of(double).estimates["d_s_t:modulus"]
    assert found.reliable or "nearly meet" in found.reason
    assert found.value == pytest.approx(0.5, abs=0.15)


def test_text_and_drawing(golden):
    trace = memory_trace({"d_s_t": golden["flowers/d_s_t"], "r_t": golden["flowers/r_s_t"]})
    result = analyse(trace, Options())
    lines = text(result)
    assert max(map(len, lines)) <= 100
    assert any(line.split() == ["d_s_t", "6", "0.7", "8.1", "0.893", "5.7"] for line in lines)
    (drawing,) = draw(result)
    assert len(drawing.figure.axes) == 2
    assert "a wave of period 8.1, modulus 0.893" in drawing.alt


def test_command(tmp_path):
    path = written_trace(tmp_path / "a.parquet", {"d_s_t": wave(np.random.default_rng(12), 0.9, 8, 500)})
    answer = CliRunner().invoke(analysis_command(ANALYSIS), [str(path), "--max-order", "4", "--column", "d_s_t"])
    assert answer.exit_code == 0
    assert "! d_s_t is an autoregression of order" in answer.output
    with pytest.raises(UsageError, match="max-order must be at least 1"):
        Options(max_order=0)
