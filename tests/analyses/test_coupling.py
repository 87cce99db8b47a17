"""The analysis ``coupling``: the loop in both directions, one way, none; size, differences, sign, degenerate input."""

import numpy as np
import pytest
from click.testing import CliRunner
from series import GOLDEN, autoregression, learning_loop, memory_trace, written_trace

from ebmdiag.cli.analyses import analysis_command
from ebmdiag.errors import TraceError, UsageError
from ebmdiag_analyses.coupling import ANALYSIS, Limits, Options, analyse, draw, judge, text


def of(d, r, **options):
    return analyse(memory_trace({"d_s_t": d, "r_t": r}), Options(**options))


def noisy_loop(seed, gain, rows, noise=0.5):
    rng = np.random.default_rng(seed)
    d, state = learning_loop(rng, gain, rows)
    return d, state + noise * rng.standard_normal(rows)


def statements(result):
    return " ".join(finding.statement for finding in judge(result))


def test_the_closed_loop():
    result = of(*noisy_loop(1, 0.4, 4000))
    found = result.estimates
    assert found["x_to_y:p"].value < 1e-50
    assert found["y_to_x:p"].value < 1e-4
    assert found["x_to_y:response"].high < 0  # d > 0, contraction: r falls
    assert found["x_to_y:response_lag"].value == 1
    assert "contraction lowers r" in statements(result)
    assert "the loop is closed" in statements(result)


def test_the_other_sign_is_said():
    d, r = noisy_loop(2, 0.4, 4000)
    assert "against the paper, contraction raises r" in statements(of(-d, r))


def test_the_answer_is_the_planted_one():
    """r' = 0.8 r - 0.5 d + noise, d white: the answer of r after h rows is -0.5 · 0.8^(h-1), in deviations of r."""
    rng = np.random.default_rng(3)
    d, e = rng.standard_normal((2, 20_000))
    r = np.zeros(20_000)
    for t in range(1, 20_000):
        r[t] = 0.8 * r[t - 1] - 0.5 * d[t - 1] + e[t]
    table = of(d, r).tables["response"].columns
    truth = np.concatenate(([0.0], -0.5 * 0.8 ** np.arange(15))) / r.std()
    error = (table["x_to_y_high"] - table["x_to_y_low"]) / 2 / 1.96
    assert np.abs(table["x_to_y"] - truth)[1:].max() < 4 * error[1:].max()
    assert of(d, r).estimates["x_to_y:share"].value == pytest.approx(0.2, abs=0.02)
    assert np.abs(table["y_to_x"]).max() < 0.05


def test_independent_columns_are_not_coupled():
    """Sizes at 5% in both directions, memory in both; none is judged coupled at the limits."""
    rng = np.random.default_rng(4)
    results = [
        of(autoregression(rng, -0.5, (500,)), autoregression(rng, 0.8, (500,)), differences="never") for _ in range(200)
    ]
    for way in ("x_to_y", "y_to_x"):
        rate = np.mean([result.estimates[f"{way}:p"].value < 0.05 for result in results])
        assert abs(rate - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 200)
    coupled = sum("foretells" in finding.statement.split("(")[0] for item in results for finding in judge(item)[:-1])
    assert coupled <= 2


def test_a_drifting_r_is_differenced_and_levels_would_deceive():
    """Independent: a random walk for r. Its differences give the right size; auto takes them."""
    rng = np.random.default_rng(5)
    pairs = [(autoregression(rng, 0.5, (400,)), np.cumsum(rng.standard_normal(400))) for _ in range(150)]
    results = [of(d, r) for d, r in pairs]
    assert np.mean([result.settings["differenced"] == ["r_t"] for result in results]) > 0.95
    rate = np.mean([result.estimates["y_to_x:p"].value < 0.05 for result in results])
    assert abs(rate - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 150)
    assert "it has not settled" in " ".join(results[0].notes)


@pytest.mark.parametrize(("choice", "expected"), [("never", []), ("always", ["r_t"]), ("auto", [])])
def test_the_choice_of_differences(choice, expected):
    d, r = noisy_loop(6, 0.5, 3000)
    assert of(d, r, differences=choice).settings["differenced"] == expected


def test_differences_keep_the_rows_together():
    """The increment r[t] - r[t-1] answers d[t-1]: one row later, with or without noise."""
    d, r = noisy_loop(7, 0.4, 3000, noise=0.1)
    found = of(d, r, differences="always").estimates
    assert (found["x_to_y:response_lag"].value, found["x_to_y:response"].value < 0) == (1, True)
    assert "the increments of r_t" in statements(of(d, r, differences="always"))


def test_levels_that_have_not_settled_are_doubtful():
    walk = np.cumsum(np.random.default_rng(8).standard_normal(500))
    result = of(np.random.default_rng(9).standard_normal(500), walk, differences="never")
    assert not result.estimates["order"].reliable
    assert "not judged: r_t has not settled" in statements(result)


def test_prewhitened_table():
    d, r = noisy_loop(10, 0.4, 2000)
    table = of(d, r, horizon=8, differences="always").tables["ccf"].columns
    assert table["lag"].tolist() == list(range(-8, 9))
    assert table["band_high"][0] == pytest.approx(1.959964 / np.sqrt(2000), rel=0.01)
    assert table["correlation"][7] == table["correlation"].min() < -0.3  # d leads by one, with minus
    assert np.abs(np.delete(table["correlation"], [7, 8])).max() < 0.15


def test_within_one_row_there_is_no_direction():
    rng = np.random.default_rng(11)
    shared = rng.standard_normal(3000)
    result = of(shared + rng.standard_normal(3000), shared + rng.standard_normal(3000))
    instant = result.estimates["instant"]
    assert instant.low < 0.5 < instant.high
    assert "neither" in statements(result)


def test_the_exact_loop():
    d, state = learning_loop(np.random.default_rng(12), 0.3, 3000)
    result = of(d, state)
    assert result.estimates["x_to_y:share"].value == 1
    assert result.estimates["x_to_y:f"].value is None
    assert result.estimates["instant"].value is None
    assert any("follows exactly" in note for note in result.notes)
    assert "p < 1e-300" in statements(result)


@pytest.mark.parametrize(
    ("rows", "differenced", "shares"),
    [("rings", ["r_t"], (0.19, 0.02)), ("flowers", ["r_t"], (0.46, 0.09)), ("flowers_beta0", ["r_t"], (0.58, 0.03))],
)
def test_recorded_runs(rows, differenced, shares):
    with np.load(GOLDEN) as file:
        result = of(file[f"{rows}/d_s_t"], file[f"{rows}/r_s_t"])
    assert result.settings["differenced"] == differenced
    found = [result.estimates[f"{way}:share"].value for way in ("x_to_y", "y_to_x")]
    assert found == pytest.approx(shares, abs=0.03)
    assert "contraction lowers r" in statements(result)


def test_limits_are_arguments():
    result = of(*noisy_loop(13, 0.4, 3000))
    assert "neither" in judge(result, Limits(share=0.99))[-1].statement


@pytest.mark.parametrize(
    ("d", "reason"),
    [([], "0 rows"), ([1.0, 2.0, 4.0], "3 rows"), (np.ones(100), "constant"), (np.arange(14.0) % 3, "too few for 1")],
    ids=["none", "three", "constant", "fourteen"],
)
def test_undefined(d, reason):
    result = of(d, np.random.default_rng(14).standard_normal(len(d)))
    assert all(item.value is None and reason in item.reason for item in result.estimates.values())
    assert judge(result)[0].code == "coupling-undefined"
    assert text(result)
    for drawing in draw(result):
        drawing.figure.savefig("/dev/null", format="svg")


def test_doubtful():
    d, r = noisy_loop(15, 0.4, 40)
    assert "40 rows are few" in of(d, r, differences="never").estimates["order"].reason
    d, r = noisy_loop(15, 0.4, 400)
    irregular = analyse(memory_trace({"d_s_t": d, "r_t": r}, steps=np.arange(1, 401) ** 2), Options())
    assert "irregularly" in irregular.estimates["order"].reason
    spaced = analyse(memory_trace({"d_s_t": d, "r_t": r}, steps=np.arange(10, 4001, 10)), Options())
    assert any("has no direction" in note for note in spaced.notes)


def test_errors():
    with pytest.raises(TraceError, match="at step 4"):
        of(np.array([1.0, 2, 3, np.nan] * 20), np.arange(80.0))
    with pytest.raises(UsageError, match="'d_s_t' is given twice"):
        Options(y="d_s_t")
    with pytest.raises(UsageError, match="did you mean 'auto'"):
        Options(differences="autp")
    with pytest.raises(UsageError, match="horizon"):
        Options(horizon=0)
    assert ANALYSIS.columns(Options(y="v_t")) == ["d_s_t", "v_t"]


def test_text_drawing_and_command(tmp_path):
    d, r = noisy_loop(16, 0.4, 800)
    result = of(d, r)
    assert max(map(len, text(result))) <= 110
    (drawing,) = draw(result)
    assert len(drawing.figure.axes) == 3
    assert "explains" in drawing.alt
    path = written_trace(tmp_path / "a.parquet", {"d_s_t": d, "r_t": r})
    answer = CliRunner().invoke(analysis_command(ANALYSIS), [str(path), "--json"])
    assert answer.exit_code == 0
    assert '"x_to_y:share"' in answer.output
