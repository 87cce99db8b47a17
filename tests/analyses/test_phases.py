"""The analysis ``phases``: planted phases, rhythms, switches and effects; what it says of noise, of recorded runs."""

import math

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.signal import lfilter
from series import GOLDEN, autoregression, learning_loop, memory_trace, written_trace

from ebmdiag.cli.analyses import analysis_command
from ebmdiag.errors import TraceError, UsageError
from ebmdiag.numerics.sign_phases import sign_phases
from ebmdiag.report import style
from ebmdiag_analyses import phases
from ebmdiag_analyses.phases import ANALYSIS, Options, analyse, draw, effect, judge, signs, text


def asked(d, r=None, steps=None, **options):
    columns = {"d_s_t": d, "z_t": d, **({} if r is None else {"r_t": r})}
    return analyse(memory_trace(columns, steps=steps), Options(**options))


def spoken(result):
    return {finding.code: finding for finding in judge(result)}


def warned(result):
    return {code for code, finding in spoken(result).items() if finding.severity != "info"}


def ringing(rng, rows, gain=3.65, memory=0.9):
    """d of a loop with momentum, in sampling errors; its poles have period 10 (docs/loop_gain.md)."""
    poles = [1.0, -(1 + memory - gain * (1 - memory)), memory]
    noise = rng.standard_normal(rows + 500)
    return lfilter(np.convolve([1.0, -1.0], [1.0, -memory]), poles, noise)[500:]


@pytest.fixture(scope="module")
def recorded():
    with np.load(GOLDEN) as file:
        runs = {run: (file[f"{run}/d_s_t"], file[f"{run}/r_s_t"]) for run in ("rings", "flowers", "flowers_beta0")}
    return {
        run: analyse(memory_trace({"d_s_t": d[len(d) // 3 :], "r_t": r[len(r) // 3 :]}), Options())
        for run, (d, r) in runs.items()
    }


def test_planted_phases():
    """Phases of 40 and 60 rows, ±3 in noise: durations, share, period and their table."""
    rng = np.random.default_rng(401)
    level = np.tile(np.repeat([-3.0, 3.0], [40, 60]), 60)
    result = asked(level + 0.5 * rng.standard_normal(6000))
    found = result.estimates
    assert found["phase:count"].value == 120
    values = {name: found[f"phase:{name}"].value for name in ("expansion", "contraction", "share", "period")}
    assert values == pytest.approx({"expansion": 40, "contraction": 60, "share": 0.4, "period": 100}, rel=0.02)
    assert found["phase:period_spread"].value < 0.01
    table = result.tables["phases"]
    assert len(table) == 120
    assert table.rows()[0] == (1, 40, "expansion", 40)
    assert table.rows()[1] == (41, 100, "contraction", 60)
    assert result.tables["durations"].columns["expansion"].sum() == 59  # the first one is cut by the record's start
    assert "rhythm of 101" in spoken(result)["phases"].statement
    assert spoken(result)["phases"].severity == "warning"


def test_durations_in_irregular_rows_count_rows():
    level = np.tile(np.repeat([-3.0, 3.0], 20), 30)
    steps = np.cumsum(np.tile([1, 3], 600))
    result = asked(level + 0.1 * np.random.default_rng(402).standard_normal(1200), steps=steps)
    assert result.estimates["phase:duration"].value == pytest.approx(20, rel=0.05)
    assert any("count rows" in note for note in result.notes)
    assert result.tables["phases"].columns["last_step"][0] == steps[19]


@pytest.mark.parametrize("band", [0.0, 1.0])
def test_honest_intervals(band):
    """The mean duration of independent signs within its 95% interval in 95% of the records."""
    rng, truth, inside = np.random.default_rng(403), 2 / math.erfc(band / math.sqrt(2)), 0
    for _ in range(100):
        found = signs._durations(sign_phases(rng.standard_normal(800), band), 0.95)["phase:duration"]
        inside += found.low <= truth <= found.high
    assert 88 <= inside <= 100


def test_white_noise_shows_nothing():
    """40 records: no warning; the tests of chance at their size; durations by the geometric law."""
    rng, p_values = np.random.default_rng(404), []
    for seed in range(40):
        result = asked(rng.standard_normal(1000), 5 + autoregression(rng, 0.9, (1000,)) / 10, seed=seed)
        assert warned(result) == set()
        names = ("independent:p", "independent:rhythm_p", "memory:p", "effect:p")
        p_values.append([result.estimates[name].value for name in names])
    hits = (np.array(p_values) < 0.05).sum(0)
    assert (hits <= 40 * 0.05 + 3 * math.sqrt(40 * 0.05 * 0.95)).all(), hits
    table = result.tables["durations"].columns
    total = table["expansion"] + table["contraction"]
    assert total.sum() == pytest.approx(table["independent"].sum(), rel=0.02)
    first = slice(0, 8)
    assert (np.abs(total - table["independent"])[first] < 4 * np.sqrt(table["independent"][first] + 1)).all()


@pytest.mark.parametrize("tails", ["gaussian", "skewed"])
def test_a_linear_process_is_its_own_null(tails):
    """memory:p at its size for an autoregression of 0.6 with Gaussian or exponential innovations; runs test: not."""
    rng, hits = np.random.default_rng(405), 0
    for seed in range(40):
        noise = rng.standard_normal(1500) if tails == "gaussian" else rng.exponential(size=1500) - 1
        result = asked(lfilter([1.0], [1.0, -0.6], noise), seed=seed)
        hits += result.estimates["memory:p"].value < 0.05
        assert result.estimates["independent:p"].value < 1e-3
        assert "persist" in spoken(result)["phases"].statement
    assert hits <= 40 * 0.05 + 3 * math.sqrt(40 * 0.05 * 0.95)


def test_phases_that_no_linear_process_shows():
    """Negative control: switches of random length give long phases that correlations alone do not."""
    rng = np.random.default_rng(406)
    state = np.cumsum(rng.random(6000) < 0.02) % 2 * 2 - 1
    result = asked(1.5 * state * np.abs(1 + 0.1 * rng.standard_normal(6000)))
    assert result.estimates["memory:p"].value < 1e-6


@pytest.mark.parametrize("gain", [0.3, 1.0, 1.5])
def test_loop_of_known_gain(gain):
    """Sign changes ½ + arcsin(g/2)/π; slope of the increment of r exactly -g; alternation warned of above gain 1."""
    d, r = learning_loop(np.random.default_rng(407), gain, 5000)
    result = asked(d, r)
    truth, seen = 0.5 + math.asin(gain / 2) / math.pi, result.estimates["changes:observed"]
    assert seen.value == pytest.approx(truth, abs=0.03)
    assert result.estimates["changes:gaussian"].value == pytest.approx(truth, abs=0.03)
    assert result.estimates["effect:slope"].value == pytest.approx(-gain, rel=1e-9)
    assert ("sign-changes" in warned(result)) == (gain > 1)
    assert "phase-share" not in warned(result)


def test_noise_of_r_itself_moves_the_slope_as_foretold():
    """r = state + ν with Cov(d, ν) = -κ: slope -g + κ (2 - g) / 2, within 4 errors over 40 records."""
    rng, gain, kappa = np.random.default_rng(408), 0.4, 0.5
    truth, found = -gain + kappa * (2 - gain) / 2, []
    for _ in range(40):
        noise = rng.standard_normal(3000)
        d = lfilter([1.0, -1.0], [1.0, -(1.0 - gain)], noise)
        r = d - noise - kappa * noise + 0.3 * rng.standard_normal(3000)
        found.append(effect.effect(d[200:], r[200:], 2, 0.95, "")["effect:slope"])
    values = np.array([item.value for item in found])
    error = values.std(ddof=1) / math.sqrt(40)
    assert abs(values.mean() - truth) < 4 * error
    assert abs(values.mean() + gain) > 10 * error  # without that noise it would be -g
    assert np.mean([item.low <= truth <= item.high for item in found]) > 0.85


def test_effect_beside_earlier_values():
    """r answers d[t-1] only: d alone gets the share that its correlation lends, beside earlier values nothing."""
    rng = np.random.default_rng(409)
    d = autoregression(rng, 0.6, (4000,))
    step = -0.5 * np.concatenate(([0.0], d[:-1])) + rng.standard_normal(4000)
    result = asked(d, np.cumsum(np.concatenate(([0.0], step)))[:-1])
    alone, beside = (result.estimates[f"effect:{name}"] for name in ("slope", "beside_earlier"))
    assert alone.low < -0.5 * 0.6 < alone.high
    assert beside.low < 0 < beside.high
    assert "grows after expansion" in spoken(result)["phase-effect"].statement


@pytest.mark.parametrize(("sign", "said"), [(-1, "grows after expansion"), (1, "wrong way"), (0, "no answer")])
def test_words_for_the_effect(sign, said):
    rng = np.random.default_rng(410)
    d = rng.standard_normal(2000)
    r = np.concatenate(([0.0], np.cumsum(sign * 0.2 * d + rng.standard_normal(2000))))[:-1]
    found = spoken(asked(d, r))["phase-effect"]
    assert said in found.statement
    assert found.severity == "info"


def test_ringing_is_a_rhythm():
    """A loop with momentum: the rhythm is found in 10 of 10 records of 2,000 rows, with a period near the poles'."""
    rng = np.random.default_rng(411)
    for _ in range(10):
        result = asked(ringing(rng, 2000))
        assert "phases" in warned(result)
        assert result.estimates["phase:period"].value == pytest.approx(9, abs=0.8)
        assert "beta1" in spoken(result)["phases"].advice


def test_sinusoid_in_noise():
    x = 2 * np.sin(2 * np.pi * np.arange(3000) / 50) + 0.3 * np.random.default_rng(412).standard_normal(3000)
    result = asked(x)
    assert result.estimates["phase:period"].value == pytest.approx(50, rel=0.01)
    assert "rhythm" in spoken(result)["phases"].statement


def test_alternating_sign():
    x = (-1.0) ** np.arange(1000) * (2 + 0.1 * np.random.default_rng(413).standard_normal(1000))
    result = asked(x)
    assert result.estimates["phase:duration"].value == pytest.approx(1)
    assert result.estimates["changes:observed"].value == pytest.approx(1)
    assert "sign-changes" in warned(result)


def test_expansion_that_prevails():
    result = asked(autoregression(np.random.default_rng(414), 0.5, (3000,)) - 1)
    assert "expansion prevails" in spoken(result)["phase-share"].statement
    assert "phase-share" in warned(result)
    assert result.tables["regimes"].columns["kind"].tolist() == ["expansion"]


def test_a_skewed_balance_is_no_expansion():
    """Exponential noise of mean 0: 63% of the rows are negative, and that is no drift."""
    x = np.random.default_rng(425).exponential(size=4000) - 1
    result = asked(x)
    assert result.estimates["phase:negative"].value == pytest.approx(1 - math.exp(-1), abs=0.03)
    assert "phase-share" not in warned(result)


def test_regimes():
    """Balanced, then expansion, then a burst of spread: three regimes at their places, and a warning."""
    x = np.random.default_rng(415).standard_normal(6000)
    x[2000:4000] -= 1.5
    x[4000:] *= 4
    result = asked(x)
    table = result.tables["regimes"].columns
    assert table["first_step"] == pytest.approx([1, 2001, 4001], abs=15)
    assert table["kind"].tolist() == ["balanced", "expansion", "balanced"]
    assert table["spread"] == pytest.approx([1, 1, 4], rel=0.1)
    assert "regimes" in warned(result)
    calm = asked(np.concatenate([x[2000:4000], x[:2000]]))
    assert calm.estimates["regime:count"].value == 2
    assert "regimes" not in warned(calm)


def test_the_noise_of_steps_stands_in_for_z():
    rng = np.random.default_rng(416)
    x = rng.standard_normal(3000)
    known, guessed = asked(x), analyse(memory_trace({"d_s_t": 1e3 * x}), Options())
    assert known.settings["series"] == "z_t"
    assert guessed.settings["series"] == "d_s_t"
    assert guessed.settings["unit"] == pytest.approx(1e3, rel=0.05)
    assert any("no z_t" in note for note in guessed.notes)
    assert guessed.estimates["phase:duration"].value == pytest.approx(known.estimates["phase:duration"].value, rel=0.1)
    uneven = analyse(memory_trace({"d_s_t": x * np.where(np.arange(3000) < 1000, 5, 1)}), Options())
    assert "factor 2" in uneven.estimates["phase:duration"].reason


def test_z_with_gaps_is_not_used():
    z = np.random.default_rng(417).standard_normal(300)
    z[5] = np.nan
    result = analyse(memory_trace({"d_s_t": np.nan_to_num(z), "z_t": z}), Options())
    assert result.settings["series"] == "d_s_t"
    assert any("gaps" in note for note in result.notes)


def test_recorded_runs(recorded):
    """rings: expansion prevails; flowers: a wave of about 10, of too few phases; without momentum: overshoot."""
    rings, flowers, plain = recorded["rings"], recorded["flowers"], recorded["flowers_beta0"]
    assert warned(rings) == {"phase-share"}
    assert warned(flowers) == set()
    assert warned(plain) == {"sign-changes"}
    assert flowers.estimates["phase:period"].value == pytest.approx(10.9, abs=0.2)
    assert not flowers.estimates["phase:period"].reliable
    assert plain.estimates["changes:observed"].value == pytest.approx(0.715, abs=0.002)
    assert plain.estimates["changes:gaussian"].value == pytest.approx(0.725, abs=0.01)
    for result in (rings, flowers, plain):
        assert "grows after expansion" in spoken(result)["phase-effect"].statement
        assert result.estimates["regime:count"].value == 1


def say_and_draw(result, path):
    judge(result)
    assert all(isinstance(line, str) for line in text(result))
    for drawing in draw(result):
        assert drawing.caption
        assert drawing.alt
        drawing.figure.savefig(path / "any.svg", format="svg")


@pytest.mark.parametrize("rows", [0, 1, 3, 4, 10, 49])
def test_few_rows(rows, tmp_path):
    """Undefined below 4 rows, doubtful below 50; said and drawn all the same."""
    x = np.random.default_rng(418).standard_normal(rows)
    result = asked(x, x)
    for name, estimate in result.estimates.items():
        assert not estimate.reliable, name
        assert estimate.reason
    if rows < 4:
        assert all(estimate.value is None for estimate in result.estimates.values())
    say_and_draw(result, tmp_path)


@pytest.mark.parametrize("kind", ["constant", "mostly_constant", "within_band", "one_sign", "no_r", "constant_r"])
def test_degenerate(kind, tmp_path):
    rng = np.random.default_rng(419)
    noise = rng.standard_normal(300)
    d, r = {
        "constant": (np.full(300, 2.0), noise),
        "mostly_constant": (np.r_[np.zeros(290), noise[:10]], noise),
        "within_band": (0.1 * noise, noise),
        "one_sign": (5 + 0.1 * noise, noise),
        "no_r": (noise, None),
        "constant_r": (noise, np.ones(300)),
    }[kind]
    columns = {
        "d_s_t": d,
        **({} if r is None else {"r_t": r}),
        **({"z_t": d} if "band" in kind or "sign" in kind else {}),
    }
    result = analyse(memory_trace(columns), Options())
    found = result.estimates
    if kind in ("constant", "mostly_constant"):
        assert found["phase:count"].value is None
        assert ("constant" if kind == "constant" else "repeat") in found["phase:count"].reason
    if kind in ("within_band", "one_sign"):
        assert found["phase:count"].value == (0 if kind == "within_band" else 1)
        assert "no change of phase" in found["phase:duration"].reason
    if kind in ("no_r", "constant_r"):
        assert found["effect:slope"].value is None
        assert found["phase:count"].value > 2
    say_and_draw(result, tmp_path)


def test_errors():
    bad = np.r_[np.zeros(9), np.nan]
    with pytest.raises(TraceError, match="not finite"):
        analyse(memory_trace({"d_s_t": bad}), Options())
    with pytest.raises(TraceError, match="not finite"):
        analyse(memory_trace({"d_s_t": np.arange(10.0), "r_t": bad}), Options())
    for options in ({"band": -1.0}, {"band": math.nan}, {"lags": 0}, {"level": 1.0}, {"window": 0}, {"seed": -1}):
        with pytest.raises(UsageError):
            Options(**options)


def test_rows_that_are_not_iterations_make_the_effect_doubtful():
    d, r = np.random.default_rng(420).standard_normal((2, 300))
    result = asked(d, r, steps=np.arange(300) * 10 + 1)
    assert "one iteration apart" in result.estimates["effect:slope"].reason


def test_long_tables_are_cut():
    result = asked(np.random.default_rng(421).standard_normal(20_000))
    table = result.tables["phases"]
    assert len(table) == 500
    assert "the longest 500 of" in table.title
    assert (np.diff(table.columns["first_step"]) > 0).all()
    assert table.columns["rows"].min() >= 11


def test_same_seed_same_numbers():
    x = np.random.default_rng(422).standard_normal(500)
    assert asked(x, seed=3).to_json() == asked(x, seed=3).to_json()


def test_command(tmp_path):
    rng = np.random.default_rng(423)
    path = written_trace(tmp_path / "a.parquet", {"d_s_t": rng.standard_normal(300), "r_t": rng.random(300)})
    answer = CliRunner().invoke(analysis_command(ANALYSIS), [str(path), "-o", str(tmp_path / "p.png"), "--band", "0.5"])
    assert answer.exit_code == 0, answer.output
    assert "mean duration" in answer.output
    assert {item.name for item in tmp_path.glob("p-*.png")} == {"p-phases.png", "p-durations.png"}


def test_only_sentinel_colours(tmp_path):
    import re

    d, r = learning_loop(np.random.default_rng(424), 0.5, 400)
    for drawing in draw(asked(d, r)):
        drawing.figure.savefig(tmp_path / "inline.svg", format="svg")
        used = set(re.findall(r"#[0-9a-f]{6}\b", (tmp_path / "inline.svg").read_text()))
        assert used <= {style.INK, style.GRID, style.BAND, *style.SERIES}


def test_the_module_exports_what_an_analysis_has():
    assert phases.__doc__.splitlines()[0].endswith("?") or phases.__doc__.splitlines()[0].endswith(".")
    assert ANALYSIS.analyse is analyse
    assert ANALYSIS.columns(Options()) == ["d_s_t", "r_t", "z_t"]
