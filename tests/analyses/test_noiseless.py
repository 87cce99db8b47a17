"""Series without any noise: each analysis says what it can, without a traceback and without a warning."""

from importlib.metadata import entry_points

import numpy as np
import pytest
from series import autoregression, memory_trace

from ebmdiag.errors import EbmdiagError
from ebmdiag_analyses.phases import ANALYSIS as PHASES
from ebmdiag_analyses.stationarity import ANALYSIS as STATIONARITY

ROWS = 200
TIME = np.arange(ROWS)
SERIES = {
    "alternation": (-1.0) ** TIME,
    "sine": np.sin(2 * np.pi * TIME / 8 + 0.3),
    "sine between": np.sin(2 * np.pi * TIME / 7.3),
    "slow sine": np.sin(2 * np.pi * TIME / ROWS),
    "square": np.where(TIME % 10 < 5, 1.0, -1.0),
    "sawtooth": (TIME % 25) / 25 - 0.5,
    "blocks": (TIME // 50) % 3 - 1.0,
    "step": np.where(TIME < 70, 0.0, 1.0),
    "spike": np.where(TIME == 90, 1.0, 0.0),
    "ramp": TIME.astype(float),
    "constant": np.ones(ROWS),
    "small": 1e-200 * np.sin(2 * np.pi * TIME / 8),
    "large": 1e200 * np.sin(2 * np.pi * TIME / 8),
}
NAMES = ("acf", "balance", "ccf", "coupling", "loop_gain", "pacf", "phases", "spectrum", "stationarity", "summary")


@pytest.mark.parametrize("name", [*NAMES, "windows"])
@pytest.mark.parametrize("kind", SERIES)
def test_no_traceback_and_no_warning(name, kind):
    analysis = entry_points(group="ebmdiag.analyses")[name].load()
    d = SERIES[kind]
    for r in (np.cumsum(d), d):
        try:
            result = analysis.analyse(memory_trace({"d_s_t": d, "r_t": r}), analysis.options())
        except EbmdiagError:
            continue
        numbers = [estimate.value for estimate in result.estimates.values() if estimate.value is not None]
        assert not np.isnan(numbers).any()
        analysis.judge(result)
        assert all(isinstance(line, str) for line in analysis.text(result))


def test_alternation_is_a_line_in_the_spectrum():
    spectrum = entry_points(group="ebmdiag.analyses")["spectrum"].load()
    result = spectrum.analyse(memory_trace({"d_s_t": (-1.0) ** np.arange(600)}), spectrum.options())
    assert result.estimates["d_s_t:line_p"].value == 0
    assert result.estimates["d_s_t:line_period"].value == 2


def test_a_memory_after_a_gap_leaves_a_column_undetermined():
    d = autoregression(np.random.default_rng(5), 0.6, (12, 1000)).T.ravel()
    result = STATIONARITY.analyse(memory_trace({"d_s_t": d}), STATIONARITY.options())
    assert "again at lag" in result.estimates["d_s_t:mean"].reason
    said = " ".join(finding.statement for finding in STATIONARITY.judge(result))
    assert said.count("undetermined") == 2
    assert "further iterations" not in said


def test_one_far_value_of_d_does_not_answer_for_r():
    rng = np.random.default_rng(6)
    d, r = rng.standard_normal(500), np.cumsum(rng.standard_normal(500))
    d[200] -= 100
    r[201:] += 30
    result = PHASES.analyse(memory_trace({"d_s_t": d, "r_t": r}), PHASES.options())
    assert result.estimates["effect:p"].value < 1e-3
    (finding,) = [each for each in PHASES.judge(result) if each.code == "phase-effect"]
    assert finding.severity == "info"
    assert "not certain" in finding.statement
    assert "doubtful: one value of x" in finding.statement
