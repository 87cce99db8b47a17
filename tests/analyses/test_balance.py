"""The analysis ``balance``: planted settling, growth, ceilings, drift and bursts; what it says of noise."""

import math
import re

import numpy as np
import pytest
from click.testing import CliRunner
from series import GOLDEN, autoregression, memory_trace, written_trace

from ebmdiag.cli.analyses import analysis_command
from ebmdiag.errors import TraceError, UsageError
from ebmdiag.report import style
from ebmdiag_analyses import balance
from ebmdiag_analyses.balance import ANALYSIS, Limits, Options, analyse, draw, judge, text

ROWS = 10_000
FLOWERS = {"data": {"source": "flowers", "noise": 0.03}, "langevin": {"steps": 150}}


def noise(seed, coefficient=0.9, rows=ROWS):
    """Of variance 1."""
    rng = np.random.default_rng(seed)
    return autoregression(rng, coefficient, (rows,)) * math.sqrt(1 - coefficient**2)


def asked(r, steps=None, options=None, recipe=None, epsilon=0.01, **columns):
    trace = memory_trace({"r_t": r, **columns}, steps=steps, epsilon=epsilon, recipe=recipe or {})
    return analyse(trace, options or Options())


def spoken(result):
    return {finding.code: finding for finding in judge(result)}


def warned(result):
    return {code for code, finding in spoken(result).items() if finding.severity != "info"}


def test_planted_relaxation():
    """r = 0.06 (1 - 0.8 e^{-t/800}) + noise, a row every 5 iterations: T = 4,000, settled at 4,000 ln 16."""
    rows = np.arange(ROWS)
    result = asked(0.06 * (1 - 0.8 * np.exp(-rows / 800)) + 0.002 * noise(501), steps=5 * rows + 5)
    found = result.estimates
    assert found["r:late"].low < 0.06 < found["r:late"].high
    assert found["r:relaxation"].low < 4000 < found["r:relaxation"].high
    assert found["r:relaxation"].value == pytest.approx(4000, rel=0.1)
    assert found["r:settled"].low <= 4000 * math.log(16) <= found["r:settled"].high
    assert found["r:asymptote"].value == pytest.approx(0.06, rel=0.01)
    assert found["r:amplitude"].value == pytest.approx(-0.048, rel=0.05)
    assert "settled (within 5%)" in spoken(result)["r-growth"].statement
    assert warned(result) == set()


def test_growth_in_its_unit():
    """1e-6 an iteration is 0.01 per 10,000 iterations; a row every 5 iterations."""
    steps = 5 * np.arange(ROWS) + 5
    result = asked(0.05 + 1e-6 * steps + 0.002 * noise(502), steps=steps)
    growth = result.estimates["r:growth"]
    assert growth.low < 0.01 < growth.high
    assert growth.value == pytest.approx(0.01, rel=0.05)
    assert result.estimates["r:growth_share"].value == pytest.approx(1e-6 * 25_000 / 0.09375, rel=0.05)
    assert "still grows" in spoken(result)["r-growth"].statement
    assert warned(result) == {"r-growth"}
    falling = spoken(asked(0.2 - 1e-6 * steps + 0.002 * noise(502), steps=steps))["r-growth"]
    assert "still falls" in falling.statement


@pytest.mark.parametrize("coefficient", [0.0, 0.9, 0.98])
def test_noise_raises_nothing(coefficient):
    """40 records: no warning, settled from the first row; the late mean's interval holds the truth."""
    inside = 0
    for seed in range(40):
        result = asked(1 + 0.02 * noise(510 + seed, coefficient))
        assert warned(result) == set()
        assert result.estimates["r:settled"].value == 1
        assert result.estimates["burst:count"].value == 0
        late = result.estimates["r:late"]
        inside += late.low <= 1 <= late.high
    assert inside >= 34


def test_the_error_of_the_late_mean_knows_memory():
    """Negative control: without the autocorrelation time the interval would be four times too short."""
    late = [asked(1 + 0.05 * noise(560 + seed, 0.9)).estimates["r:late"] for seed in range(20)]
    plain = 0.05 / math.sqrt(ROWS / 4)
    errors = [(item.high - item.low) / (2 * 1.96) for item in late]
    assert np.mean(errors) == pytest.approx(plain * math.sqrt(19), rel=0.1)


def test_planted_burst():
    r = 0.06 * np.exp(0.05 * noise(504))
    r[8000:8004] *= 3
    result = asked(r)
    assert result.estimates["burst:count"].value == 1
    assert result.estimates["burst:first"].value == 8001
    assert result.estimates["burst:height"].value == pytest.approx(3, rel=0.2)
    assert warned(result) == {"r-burst"}
    assert "bursts once" in spoken(result)["r-burst"].statement
    hot = asked(r, configurational_temperature=np.full(ROWS, 2.1))
    assert "step is too large" in spoken(hot)["r-burst"].advice
    cool = asked(r, configurational_temperature=np.full(ROWS, 1.05))
    assert "learning rate" in spoken(cool)["r-burst"].advice


def test_scale_from_the_recipe():
    """Flowers: N = 3072, ε = 0.01, noise 0.03: ceiling 0.0924 (theory of r's scale); drift r² / (ε² N)."""
    result = asked(np.full(ROWS, 0.076) + 0.002 * noise(505), recipe=FLOWERS)
    found = result.estimates
    ceiling = 0.01**2 / 2 * math.sqrt(3072) / 0.03
    assert ceiling == pytest.approx(0.0924, abs=1e-4)
    assert found["r_over_ceiling"].value == pytest.approx(0.076 / ceiling, rel=0.01)
    assert found["drift_to_noise"].value == pytest.approx((0.076**2 + 0.002**2) / (0.01**2 * 3072), rel=0.01)
    assert found["sigma_eff"].value == pytest.approx(0.01**2 / 2 * math.sqrt(3072) / 0.076, rel=0.01)
    assert found["crossover"].value == pytest.approx(1 / found["drift_to_noise"].value)
    assert "mean square" in found["drift_to_noise"].reason
    said = spoken(result)["drift-diffusion"].statement
    assert "diffusion rules" in said
    assert "a chain takes 150" in said
    assert result.settings["coordinates"] == 3072


@pytest.mark.parametrize(
    ("data", "coordinates"),
    [
        ({"source": "rings"}, 2),
        ({"source": "mnist", "channels": 1}, 1024),
        ({"source": "images", "channels": 3}, 3072),
        ({"source": "gaussian", "precisions": [1.0, 2.0, 3.0]}, 3),
        ({"source": "gaussian", "precisions": [1.0], "coordinates": 20}, 20),
        ({"source": "own.module:data"}, None),
        ({"source": "images", "channels": "three"}, None),
        ("not a table", None),
        ({"source": "gaussian", "coordinates": -5}, None),
        ({"source": ["rings"], "noise": math.nan}, None),
    ],
)
def test_coordinates_of_a_strangers_recipe(data, coordinates):
    assert asked(np.ones(60), recipe={"data": data}).settings["coordinates"] == coordinates


def test_columns_come_first_and_options_before_the_recipe():
    r = 1 + 0.01 * noise(506)
    measured = asked(r, recipe=FLOWERS, r_over_ceiling=r / 2, drift_to_noise=3 * r)
    assert measured.estimates["r_over_ceiling"].value == pytest.approx(0.5, rel=0.01)
    assert measured.estimates["drift_to_noise"].value == pytest.approx(3, rel=0.01)
    assert measured.estimates["drift_to_noise"].reliable
    told = asked(r, recipe=FLOWERS, options=Options(coordinates=4, data_noise=1e-4))
    assert told.estimates["r_over_ceiling"].value == pytest.approx(1 / (0.01**2 / 2 * 2 / 1e-4), rel=0.01)


def test_a_column_now_and_then():
    """drift_to_noise in every 100th row: its late mean is that of the rows that hold it."""
    r, drift = 1 + 0.01 * noise(507), np.full(ROWS, np.nan)
    drift[::100] = np.where(np.arange(ROWS)[::100] < 7500, 1.0, 2.0) + 0.01 * noise(508, 0.0, 100)
    steps = np.arange(1, ROWS + 1)
    import pyarrow as pa

    trace = memory_trace({"r_t": r})
    table = trace.table.append_column("drift_to_noise", pa.array(drift, from_pandas=True))
    result = analyse(type(trace)(trace.path, table, trace.metadata), Options())
    assert result.estimates["drift_to_noise"].value == pytest.approx(2, rel=0.01)
    tenths = result.tables["tenths"].columns
    assert tenths["drift_to_noise"][[0, 9]] == pytest.approx([1, 2], rel=0.01)
    assert len(steps) == result.rows


@pytest.mark.parametrize(
    ("level", "said", "severity"),
    [(0.5, "below", "info"), (0.95, "near", "info"), (1.3, "above", "warning")],
)
def test_ceiling(level, said, severity):
    found = spoken(asked(np.ones(ROWS), r_over_ceiling=level + 0.01 * noise(509)))["r-ceiling"]
    assert f"{said} its ceiling" in found.statement
    assert found.severity == severity


@pytest.mark.parametrize(("level", "said"), [(0.2, "diffusion rules"), (1.0, "not certain"), (5.0, "drift rules")])
def test_which_rules(level, said):
    x = level * (1 + 0.01 * (noise(510) - noise(510)[-2500:].mean()))
    found = spoken(asked(np.ones(ROWS), drift_to_noise=x))["drift-diffusion"]
    assert said in found.statement


def test_tenths():
    r = np.repeat(np.arange(1.0, 11.0), 100) + 0.01 * noise(511, 0.0, 1000)
    table = asked(r).tables["tenths"].columns
    assert table["first_step"].tolist() == list(range(1, 1001, 100))
    assert table["last_step"].tolist() == list(range(100, 1001, 100))
    assert table["r_t"] == pytest.approx(np.arange(1, 11), abs=0.01)
    assert table["r_t_error"] == pytest.approx(np.full(10, 0.001), rel=0.5)


def test_recorded_runs():
    """rings (3,000 iterations) still grows; both flowers runs settle near iteration 250."""
    with np.load(GOLDEN) as file:
        r = {run: file[f"{run}/r_s_t"] for run in ("rings", "flowers", "flowers_beta0")}
    rings = asked(r["rings"])
    assert warned(rings) == {"r-growth"}
    assert rings.estimates["r:growth"].value == pytest.approx(0.0171, rel=0.02)
    for run in ("flowers", "flowers_beta0"):
        settled = asked(r[run]).estimates["r:settled"]
        assert 200 < settled.value < 300
        assert warned(asked(r[run])) == set()


def say_and_draw(result, path):
    judge(result)
    assert all(isinstance(line, str) for line in text(result))
    for drawing in draw(result):
        assert drawing.caption
        assert drawing.alt
        drawing.figure.savefig(path / "any.svg", format="svg")


@pytest.mark.parametrize("rows", [0, 1, 3, 4, 10, 49, 60])
def test_few_rows(rows, tmp_path):
    result = asked(1 + 0.1 * noise(512, 0.0, rows) if rows else np.zeros(0))
    for name, estimate in result.estimates.items():
        assert estimate.reason or estimate.reliable, name
    if rows == 0:
        assert all(estimate.value is None for estimate in result.estimates.values())
    elif rows < 50:
        assert not result.estimates["r:late"].reliable
        assert result.estimates["r:settled"].value is None
        assert "rows are" in result.estimates["r:settled"].reason
    assert (result.estimates["burst:count"].value is None) == (rows < 80)
    say_and_draw(result, tmp_path)


@pytest.mark.parametrize("kind", ["constant", "zero", "ends_at_zero", "no_noise"])
def test_degenerate(kind, tmp_path):
    r = {"constant": np.full(300, 0.5), "zero": np.zeros(300), "ends_at_zero": np.r_[np.ones(150), np.zeros(150)]}
    result = asked(
        r.get(kind, 1 + 0.1 * noise(513, 0.0, 300)), recipe=FLOWERS, epsilon=0.0 if kind == "no_noise" else 0.01
    )
    found = result.estimates
    if kind == "constant":
        assert (found["r:late"].value, found["r:late"].low, found["r:late"].reliable) == (0.5, 0.5, True)
        assert "constant" in found["r:settled"].reason
    if kind == "zero":
        assert found["sigma_eff"].value is None
        assert found["crossover"].value is None
        assert "0 in places" in found["burst:count"].reason
    if kind == "no_noise":
        assert "ε is 0" in found["drift_to_noise"].reason
    say_and_draw(result, tmp_path)


def test_huge_values():
    x = 1 + 0.05 * noise(514)
    plain, huge = asked(x), asked(1e200 * x)
    assert huge.estimates["r:settled"].value == plain.estimates["r:settled"].value
    assert huge.estimates["r:growth_share"].value == pytest.approx(plain.estimates["r:growth_share"].value, rel=1e-6)


@pytest.mark.parametrize(("size", "epsilon"), [(1e200, 0.01), (1e3, 1e-153)])
def test_sizes_beyond_float64(size, epsilon):
    result = asked(size * (1 + 0.01 * noise(518, 0.0, 300)), recipe=FLOWERS, epsilon=epsilon)
    assert "float64" in result.estimates["drift_to_noise"].reason
    judge(result)


def test_errors():
    with pytest.raises(TraceError, match="not finite"):
        asked(np.r_[np.ones(9), np.nan])
    with pytest.raises(UsageError, match="no column 'r_t'"):
        analyse(memory_trace({"d_s_t": np.ones(9)}), Options())
    bad = {"late": 0.6, "tolerance": -1.0, "coordinates": 0, "data_noise": -1.0, "level": 2.0, "window": 0}
    for options in (*({name: value} for name, value in bad.items()), {"late": 0.0}, {"data_noise": math.nan}):
        with pytest.raises(UsageError):
            Options(**options)


def test_limits_are_settable():
    result = asked(0.05 + 1e-6 * np.arange(ROWS) + 0.002 * noise(515))
    assert warned(result) == {"r-growth"}
    assert {finding.code for finding in judge(result, Limits(growth=0.5)) if finding.severity != "info"} == set()


def test_command(tmp_path):
    rng = np.random.default_rng(516)
    path = written_trace(tmp_path / "a.parquet", {"d_s_t": rng.standard_normal(300), "r_t": 1 + 0.1 * rng.random(300)})
    answer = CliRunner().invoke(
        analysis_command(ANALYSIS), [str(path), "-o", str(tmp_path / "b.png"), "--coordinates", "2"]
    )
    assert answer.exit_code == 0, answer.output
    assert "drift²/noise²" in answer.output
    assert (tmp_path / "b.png").exists()


def test_only_sentinel_colours(tmp_path):
    r = 1 - 0.5 * np.exp(-np.arange(2000) / 100) + 0.01 * noise(517, 0.5, 2000)
    r[1500] = 5
    for drawing in draw(asked(r, recipe=FLOWERS)):
        drawing.figure.savefig(tmp_path / "inline.svg", format="svg")
        used = set(re.findall(r"#[0-9a-f]{6}\b", (tmp_path / "inline.svg").read_text()))
        assert used <= {style.INK, style.GRID, style.BAND, *style.SERIES}


def test_the_module_exports_what_an_analysis_has():
    assert balance.__doc__.splitlines()[0].endswith(".")
    assert ANALYSIS.analyse is analyse
    assert ANALYSIS.columns(Options())[0] == "r_t"
