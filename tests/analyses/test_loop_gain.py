"""The analysis ``loop_gain``: what it finds in planted loops, in the recorded runs, and where it says nothing."""

import json

import numpy as np
import pytest
from series import GOLDEN, autoregression, learning_loop, memory_trace

from ebmdiag.errors import TraceError, UsageError
from ebmdiag_analyses.loop_gain import ANALYSIS, Options, analyse, draw, judge, text

QUICK = Options(resamples=200)


@pytest.fixture(scope="module")
def recorded():
    """The last two thirds of each recorded run."""
    with np.load(GOLDEN) as file:
        runs = {run: (file[f"{run}/d_s_t"], file[f"{run}/r_s_t"]) for run in ("rings", "flowers", "flowers_beta0")}
    return {run: tuple(x[len(x) // 3 :] for x in pair) for run, pair in runs.items()}


def asked(d, r=None, optimizer=None, options=QUICK, **columns):
    columns = {"d_s_t": d, **({} if r is None else {"r_t": r}), **columns}
    return analyse(memory_trace(columns, recipe={"optimizer": optimizer} if optimizer else {}), options)


def spoken(result):
    return {finding.code: finding for finding in judge(result)}


@pytest.fixture(scope="module")
def calm():
    d, r = learning_loop(np.random.default_rng(151), 0.5, 2000)
    return asked(d, r, z_t=d)


@pytest.fixture(scope="module")
def flowers(recorded):
    return asked(*recorded["flowers"], optimizer={"name": "adam", "beta1": 0.9})


def test_one_memoryless_mode(calm):
    for name in ("difference", "state", "meeting", "lead", "variance"):
        estimate = calm.estimates[f"gain:{name}"]
        assert estimate.reliable, name
        assert estimate.value == pytest.approx(0.5, abs=0.15)
        assert estimate.low < estimate.value < estimate.high
    fitted = calm.estimates["fit:gain"]
    assert calm.settings["preferred"] == "first"
    assert abs(fitted.value - 0.5) < 2 * (fitted.high - fitted.low)
    assert calm.estimates["sum"].value == pytest.approx(-0.5, abs=0.1)
    assert abs(calm.estimates["relation"].value) < 0.05
    assert calm.estimates["increment"].value == pytest.approx(-1)
    assert calm.estimates["cross:first"].value < 0.06
    said = spoken(calm)
    assert [finding.severity for finding in said.values()] == ["info"] * 3
    assert "without overshoot" in said["loop-gain"].statement
    assert "cannot be told apart" in said["loop-agreement"].statement


def test_high_gain_is_warned_of():
    d, r = learning_loop(np.random.default_rng(152), 1.4, 1500)
    found = spoken(asked(d, r))["loop-gain"]
    assert (found.severity, found.limit) == ("warning", 1.0)
    assert "overshoots" in found.statement
    assert "learning rate" in found.advice


def test_momentum_is_blamed_on_the_optimizer_that_has_it(flowers, recorded):
    """The recorded flowers run: Adam with beta1 = 0.9."""
    found = spoken(flowers)["loop-ringing"]
    assert found.severity == "warning"
    assert "beta1" in found.advice
    assert "near √beta = 0.949" in found.statement
    unknown = spoken(asked(*recorded["flowers"]))["loop-ringing"]
    assert "If the optimizer has momentum near" in unknown.advice
    other = spoken(asked(*recorded["flowers"], optimizer={"name": "adam", "beta1": 0.0}))["loop-ringing"]
    assert "√beta" not in other.statement
    assert "learning rate" in other.advice


def test_recorded_flowers(flowers):
    """The wave of Adam's momentum; fitted to d alone, it foretells the cross-correlation with r."""
    assert flowers.settings["preferred"] == "momentum"
    memory, floor = flowers.estimates["fit:memory"], flowers.estimates["fit:floor"]
    assert memory.low < 0.9 < memory.high
    assert floor.value == pytest.approx(0.15, abs=0.03)
    assert flowers.estimates["fit:period"].value == pytest.approx(9.0, abs=0.3)
    assert flowers.estimates["cross:momentum"].value < 0.1
    assert min(flowers.estimates[f"cross:{name}"].value for name in ("first", "persistent")) > 0.25


def test_recorded_flowers_without_momentum(recorded):
    result = asked(*recorded["flowers_beta0"], optimizer={"name": "adam", "beta1": 0.0})
    assert result.settings["preferred"] == "first"
    assert result.estimates["fit:gain"].value == pytest.approx(1.6, abs=0.05)
    assert result.estimates["gain:difference"].value == pytest.approx(1.30, abs=0.01)
    assert result.estimates["gain:state"].value == pytest.approx(1.50, abs=0.01)
    assert result.estimates["gain:meeting"].value == pytest.approx(1.57, abs=0.02)
    assert spoken(result)["loop-gain"].severity == "warning"
    assert "they disagree" in spoken(result)["loop-agreement"].statement


def test_recorded_rings(recorded):
    result = asked(*recorded["rings"])
    assert result.settings["preferred"] == "first"
    assert result.estimates["gain:difference"].value == pytest.approx(0.262, abs=0.005)
    assert result.estimates["fit:gain"].value == pytest.approx(0.24, abs=0.02)
    assert not result.estimates["gain:state"].reliable  # r still drifts
    assert all(finding.severity == "info" for finding in judge(result))


def test_white_noise_shows_nothing():
    """Negative control."""
    rng = np.random.default_rng(153)
    result = asked(rng.standard_normal(1500), rng.standard_normal(1500))
    assert result.settings["preferred"] == "white"
    assert result.estimates["fit:gain"].value is None
    said = spoken(result)
    assert "no loop is to be seen" in said["loop-model"].statement
    assert not {"loop-gain", "loop-ringing"} & set(said)


def test_memory_without_feedback_is_not_judged():
    """Negative control: a d that is merely autocorrelated."""
    d = autoregression(np.random.default_rng(154), 0.7, (1500,))
    found = spoken(asked(d))["loop-gain"]
    assert found.severity == "info"
    assert "memory without feedback" in found.statement


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"rows": 45}, "few"),
        ({"steps": np.arange(0, 6000, 4)}, "4 iterations"),
        ({"steps": np.cumsum(np.tile([1, 3], 750))}, "irregularly"),
        ({"drift": 3.0}, "not stationary: the means"),
        ({"spread": 2.0}, "not stationary: the spreads"),
    ],
)
def test_doubts(change, reason):
    rows = change.get("rows", 1500)
    d, r = learning_loop(np.random.default_rng(155), 0.5, rows)
    d = (d + np.linspace(0, change.get("drift", 0), rows)) * np.where(
        np.arange(rows) * 2 < rows, 1, change.get("spread", 1)
    )
    result = analyse(memory_trace({"d_s_t": d, "r_t": r}, steps=change.get("steps")), QUICK)
    for name in ("gain:difference", "gain:state", "sum", "fit:lead"):
        assert not result.estimates[name].reliable, name
        assert reason in result.estimates[name].reason, name
    assert all(finding.severity == "info" for finding in judge(result))


def test_too_short_for_the_gain():
    """theory, 2.2: rho_1(d) shows only after 16 / g² rows; the cross-correlation shows sooner."""
    rng, doubted = np.random.default_rng(156), 0
    for _ in range(4):
        found = asked(*learning_loop(rng, 0.1, 600), options=Options(resamples=100)).estimates
        difference, meeting = found["gain:difference"], found["gain:meeting"]
        short = difference.value <= 0 or 16 / difference.value**2 > 600
        assert difference.reliable is not short
        doubted += "16 / g²" in difference.reason
        assert meeting.value == pytest.approx(0.1, abs=0.06)
        assert "16 / g²" not in meeting.reason
    assert doubted
    few = asked(*learning_loop(np.random.default_rng(157), 0.1, 200)).estimates["gain:meeting"]
    assert "10 are needed" in few.reason


def test_wrong_sign():
    d, r = learning_loop(np.random.default_rng(158), 0.5, 1500)
    result = asked(d, -r)
    assert result.estimates["gain:meeting"].value == pytest.approx(-0.5, abs=0.15)
    assert "sign" in result.estimates["gain:meeting"].reason


@pytest.mark.parametrize(
    ("columns", "undefined"),
    [
        ({"d_s_t": []}, ("gain:difference", "gain:state", "sum", "fit:gain", "cross:first")),
        ({"d_s_t": np.ones(100), "r_t": np.ones(100)}, ("gain:difference", "gain:state", "fit:lead")),
        ({"d_s_t": np.arange(100) % 7, "r_t": np.ones(100)}, ("gain:state", "relation", "cross:first")),
        ({"d_s_t": np.arange(100) % 7}, ("gain:state", "gain:variance", "agreement_p")),
        ({"d_s_t": np.arange(100) % 7, "z_t": np.full(100, 2.0)}, ("gain:variance",)),
        ({"d_s_t": np.arange(100) % 7, "z_t": np.where(np.arange(100) == 7, np.nan, 1.0)}, ("gain:variance",)),
        ({"d_s_t": np.arange(100) % 7, "z_t": 1e200 * np.arange(100)}, ("gain:variance",)),
    ],
)
def test_undefined(columns, undefined):
    result = analyse(memory_trace(columns), QUICK)
    for name in undefined:
        assert result.estimates[name].value is None, name
        assert result.estimates[name].reason
    assert len(result.estimates) == 20
    json.dumps(result.to_json(), allow_nan=False)
    assert text(result)
    assert judge(result)
    assert draw(result)


def test_the_same_keys_always(calm):
    assert set(calm.estimates) == set(analyse(memory_trace({"d_s_t": [1.0]}), QUICK).estimates)


def test_gap_in_r_is_an_error():
    with pytest.raises(TraceError, match="r_t"):
        asked(np.arange(60.0) % 7, np.where(np.arange(60) == 5, np.nan, 1.0))


@pytest.mark.parametrize("recipe", [{}, {"optimizer": "adam"}, {"optimizer": {"name": "adam", "beta1": "much"}}])
def test_a_recipe_that_tells_no_beta(recipe):
    d = np.random.default_rng(159).standard_normal(100)
    result = analyse(memory_trace({"d_s_t": d}, recipe=recipe), QUICK)
    assert result.settings["beta"] is None


def test_beta_of_the_optimizer():
    d = np.random.default_rng(160).standard_normal(100)
    for optimizer, beta in (
        ({"name": "adam", "beta1": 0.5, "momentum": 0.0}, 0.5),
        ({"name": "sgd", "beta1": 0.9, "momentum": 0}, 0.0),
        ({"name": "other", "beta1": 0.9}, None),
    ):
        assert asked(d, optimizer=optimizer).settings["beta"] == beta


def test_same_seed_same_result():
    d, r = learning_loop(np.random.default_rng(161), 0.5, 400)
    one, two, other = (asked(d, r, options=Options(resamples=100, seed=seed)) for seed in (1, 1, 2))
    assert one.to_json() == two.to_json()
    assert one.estimates["sum"].low != other.estimates["sum"].low


def test_window():
    d, r = learning_loop(np.random.default_rng(162), 0.5, 400)
    assert asked(d, r, options=Options(window=200, resamples=100)).rows == 200


@pytest.mark.parametrize("wrong", [{"max_lag": 0}, {"level": 1.0}, {"resamples": 99}, {"seed": -1}, {"window": 0}])
def test_wrong_options(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong)).replace("_", "-")):
        Options(**wrong)


def test_columns():
    assert ANALYSIS.columns(Options()) == ["d_s_t", "r_t", "z_t"]


def test_text(flowers):
    lines = text(flowers)
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 150
    assert any(line.strip().startswith("momentum + floor") for line in lines)
    assert any(line.split()[:4] == ["1", "-", "rho_1(r)", "0.373"] for line in lines)


def test_drawing(flowers):
    (drawing,) = draw(flowers)
    assert len(drawing.figure.axes) == 3
    first, _, cross = drawing.figure.axes
    assert [line.get_label() for line in first.get_lines()[1:]] == ["memoryless", "persistent", "momentum"]
    drawn = cross.get_lines()[-1]
    assert drawn.get_ydata() == pytest.approx(flowers.tables["ccf"].columns["momentum"])
    assert "momentum" in drawing.alt


def test_tables(flowers):
    table = flowers.tables["ccf"].columns
    assert table["lag"].tolist() == list(range(-15, 16))
    assert table["momentum"][15] == pytest.approx(table["correlation"][15], abs=0.1)
    models = flowers.tables["models"]
    assert len(models) == 7
    assert models.columns["delta_bic"][0] == 0
    assert np.all(np.diff(models.columns["delta_bic"]) >= 0)


def test_of_a_very_long_trace_the_end_is_used(monkeypatch):
    monkeypatch.setattr("ebmdiag_analyses.loop_gain.MOST_ROWS", 400)
    d = np.random.default_rng(0).standard_normal(1000)
    whole, end = (analyse(memory_trace({"d_s_t": x}), Options()) for x in (d, d[-400:]))
    assert whole.estimates == end.estimates
    assert any("the last 400 of 1,000 rows" in note for note in whole.notes)
    asked = analyse(memory_trace({"d_s_t": d}), Options(window=900))
    assert asked.rows == 900
    assert not any("were used" in note for note in (*asked.notes, *end.notes))
