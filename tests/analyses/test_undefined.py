"""Each row of docs/undefined.md, by its name."""

import re
from pathlib import Path

import numpy as np
import pytest
from series import autoregression, memory_trace

from ebmdiag.errors import TraceError, UsageError
from ebmdiag_analyses import autocorrelation, crosscorrelation, summary

PAGE = Path(__file__).parents[2] / "docs" / "undefined.md"


def acf(x, **options):
    return autocorrelation.analyse(memory_trace({"d_s_t": x}), autocorrelation.Options(columns=("d_s_t",), **options))


def ccf(x, y, **options):
    return crosscorrelation.analyse(memory_trace({"d_s_t": x, "r_t": y}), crosscorrelation.Options(**options))


def mean(x):
    return summary.analyse(memory_trace({"d_s_t": x}), summary.Options(columns=("d_s_t",))).estimates


def noise(rows, seed=0):
    return np.random.default_rng(seed).standard_normal(rows)


def assert_all_undefined(result, reason):
    for name, estimate in result.estimates.items():
        assert estimate.value is None, name
        assert not estimate.reliable
        assert reason in estimate.reason


def say_and_draw(module, result):
    """An undefined result can still be judged, printed and drawn."""
    module.judge(result)
    assert all(isinstance(line, str) for line in module.text(result))
    for drawing in module.draw(result):
        drawing.figure.savefig("/dev/null", format="svg")


def test_page_and_tests_name_the_same_cases():
    cases = re.findall(r"^\| `(\w+)` \|", PAGE.read_text(), flags=re.MULTILINE)
    tests = [name.removeprefix("test_case_") for name in globals() if name.startswith("test_case_")]
    assert len(cases) > 10
    assert sorted(cases) == sorted(tests)


def test_case_no_rows():
    for result, module in ((acf([]), autocorrelation), (ccf([], []), crosscorrelation)):
        assert_all_undefined(result, "0 rows are too few")
        say_and_draw(module, result)
    assert all(estimate.value is None for estimate in mean([]).values())
    say_and_draw(summary, summary.analyse(memory_trace({"d_s_t": []}), summary.Options()))


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_case_fewer_than_four(rows):
    for result, module in (
        (acf(noise(rows)), autocorrelation),
        (ccf(noise(rows), noise(rows)), crosscorrelation),
    ):
        assert_all_undefined(result, "too few")
        say_and_draw(module, result)
    found = mean(noise(rows))
    assert found["d_s_t:mean"].value == pytest.approx(noise(rows).mean(), rel=1e-14)
    assert not found["d_s_t:mean"].reliable
    assert found["d_s_t:error"].value is None
    assert found["d_s_t:tau"].value is None
    say_and_draw(summary, summary.analyse(memory_trace({"d_s_t": noise(rows)}), summary.Options()))


@pytest.mark.parametrize("rows", [4, 49])
def test_case_fewer_than_fifty(rows):
    for found in (acf(noise(rows)).estimates, ccf(noise(rows), noise(rows, 1)).estimates, mean(noise(rows))):
        core = {name: each for name, each in found.items() if not name.endswith(("min", "max", "first", "last"))}
        assert all(each.value is not None and not each.reliable for each in core.values())
    assert acf(noise(50), max_lag=5).estimates["d_s_t:lag1"].reliable
    say_and_draw(autocorrelation, acf(noise(rows)))


@pytest.mark.parametrize("convention", ["standard", "nijkamp"])
def test_case_constant(convention):
    result = acf(np.full(100, 0.1), convention=convention)
    assert_all_undefined(result, "constant")
    assert np.isnan(result.tables["d_s_t"].columns["correlation"]).all()
    say_and_draw(autocorrelation, result)
    crossed = ccf(noise(100), np.full(100, 0.1), convention=convention)
    assert_all_undefined(crossed, "r_t: the series is constant")
    say_and_draw(crosscorrelation, crossed)
    found = mean(np.full(100, 0.1))
    assert (found["d_s_t:mean"].value, found["d_s_t:mean"].low) == (pytest.approx(0.1), pytest.approx(0.1))
    assert found["d_s_t:mean"].reliable
    assert found["d_s_t:error"].value == 0
    assert found["d_s_t:tau"].value is None


def test_case_constant_up_to_rounding():
    wobble = 0.1 * (1 + np.finfo(float).eps * np.sign(noise(100)))
    assert_all_undefined(acf(wobble), "rounding")
    assert mean(wobble)["d_s_t:error"].value == 0


def test_case_lags_beyond_rows():
    table = acf(noise(60), max_lag=70).tables["d_s_t"]
    assert np.isfinite(table.columns["correlation"][:60]).all()
    assert np.isnan(table.columns["correlation"][60:]).all()
    values = ccf(noise(60), noise(60, 1), max_lag=70).tables["ccf"].columns["correlation"]
    assert np.isnan(values[:11]).all()
    assert np.isnan(values[-11:]).all()
    assert np.isfinite(values[11:-11]).all()
    say_and_draw(autocorrelation, acf(noise(60), max_lag=70))
    say_and_draw(crosscorrelation, ccf(noise(60), noise(60, 1), max_lag=70))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_case_not_finite(bad):
    x = noise(100)
    x[7] = bad
    for compute in (acf, lambda x: ccf(x, noise(100)), lambda x: ccf(noise(100), x), mean):
        with pytest.raises(TraceError, match="at step 8"):
            compute(x)


def test_case_gap_in_unasked_column():
    gap = noise(100)
    gap[3] = np.nan
    trace = memory_trace({"d_s_t": noise(100), "virial": gap})
    result = summary.analyse(trace, summary.Options())
    assert result.settings["columns"] == ["d_s_t"]
    assert any("virial" in note for note in result.notes)
    with pytest.raises(TraceError, match="virial"):
        summary.analyse(trace, summary.Options(columns=("virial",)))


def test_case_missing_column():
    trace = memory_trace({"d_s_t": noise(100)})
    for module, options in (
        (autocorrelation, autocorrelation.Options(columns=("d_s_s",))),
        (crosscorrelation, crosscorrelation.Options(y="d_s_s")),
        (summary, summary.Options(columns=("d_s_s",))),
    ):
        with pytest.raises(UsageError, match="did you mean 'd_s_t'"):
            module.analyse(trace, options)


def values_of(estimates):
    return [each.value for name, each in estimates.items() if not name.endswith(("min", "max", "first", "last"))]


def test_case_huge_values():
    x = noise(200)
    assert values_of(acf(x * 1e200).estimates) == pytest.approx(values_of(acf(x).estimates), rel=1e-9)
    y = noise(200, 1)
    assert values_of(ccf(x * 1e200, y).estimates) == pytest.approx(values_of(ccf(x, y).estimates), rel=1e-9)
    assert mean(x * 1e200)["d_s_t:mean"].high == pytest.approx(mean(x)["d_s_t:mean"].high * 1e200, rel=1e-9)


def test_case_huge_offset():
    x = 1e9 + 1e-3 * noise(5000)
    kept = x - 1e9  # exact: what float64 kept of the noise
    assert values_of(acf(x).estimates) == pytest.approx(values_of(acf(kept).estimates), rel=1e-8, abs=1e-12)
    found, plain = mean(x), mean(kept)
    assert found["d_s_t:error"].value == pytest.approx(plain["d_s_t:error"].value, rel=1e-8)
    assert found["d_s_t:mean"].value - 1e9 == pytest.approx(plain["d_s_t:mean"].value, abs=2e-7)


def test_case_shorter_than_fifty_times():
    short = mean(autoregression(np.random.default_rng(1), 0.95, (500,)))["d_s_t:mean"]
    assert short.value is not None
    assert not short.reliable
    assert re.search(r"about \d+ rows are needed", short.reason)
    assert mean(autoregression(np.random.default_rng(1), 0.95, (20_000,)))["d_s_t:mean"].reliable


def test_case_memory_without_end():
    trend = np.linspace(0, 1, 200)
    result = ccf(trend, trend**2)
    assert not result.estimates["lag0"].reliable
    assert "remember" in result.estimates["band"].reason
    assert not mean(trend)["d_s_t:mean"].reliable


def test_case_sum_over_too_many_lags():
    assert not acf(noise(200), max_lag=40).estimates["d_s_t:sum"].reliable
    assert acf(noise(200), max_lag=20).estimates["d_s_t:sum"].reliable
    whole = acf(noise(200), max_lag=199).estimates["d_s_t:sum"]
    assert whole.value == pytest.approx(-0.5, abs=1e-12)  # the arithmetic that the reason warns of


def test_case_nothing_outside_the_band():
    quiet = ccf(noise(5000, 3), noise(5000, 4), max_lag=2).estimates["antisymmetry"]
    assert not quiet.reliable
    assert "noise" in quiet.reason
    assert ccf(noise(5000, 3), noise(5000, 3)).estimates["antisymmetry"].reliable
