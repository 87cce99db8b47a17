"""The analysis ``summary``: numbers, columns, bins and the judgement of the mean."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from series import autoregression, memory_trace

from ebmdiag.numerics.mean import mean_with_error
from ebmdiag_analyses.selection import row_notes, span
from ebmdiag_analyses.summary import Options, analyse, draw, judge, text

RNG = np.random.default_rng(71)


def test_numbers():
    x = autoregression(np.random.default_rng(72), 0.5, (2000,)) + 3
    found = analyse(memory_trace({"d_s_t": x}), Options(level=0.9)).estimates
    mean = mean_with_error(x)
    assert found["d_s_t:mean"].value == pytest.approx(x.mean(), rel=1e-13)
    assert found["d_s_t:mean"].high - found["d_s_t:mean"].value == pytest.approx(1.6448536 * mean.error, rel=1e-6)
    assert found["d_s_t:tau"].value == pytest.approx(3, rel=0.25)
    assert found["d_s_t:sd"].value == pytest.approx(x.std(), rel=1e-12)
    ends = [found[f"d_s_t:{key}"].value for key in ("min", "max", "first", "last")]
    assert ends == [x.min(), x.max(), x[0], x[-1]]


def test_default_columns_are_measured_ones_in_the_papers_order():
    columns = {name: RNG.standard_normal(60) for name in ("elapsed_s", "learning_rate", "v_t", "r_t", "own")}
    assert analyse(memory_trace(columns), Options()).settings["columns"] == ["d_s_t", "r_t", "v_t", "own"]


def test_bins_keep_spikes_and_means():
    x = RNG.standard_normal(10_007)
    x[4321] = 99.0
    result = analyse(memory_trace({"d_s_t": x}), Options())
    bins = result.tables["series:d_s_t"].columns
    assert len(bins["step"]) == 240
    assert bins["high"].max() == 99.0
    assert bins["low"].min() == x.min()
    assert bins["step"][-1] == 10_007
    sizes = np.diff(np.concatenate(([0], bins["step"])))
    assert (bins["mean"] * sizes).sum() / 10_007 == pytest.approx(x.mean(), abs=1e-12)


def finding_of(x):
    (finding,) = judge(analyse(memory_trace({"d_s_t": x}), Options()))
    return finding


def test_judge_of_the_mean():
    noise = RNG.standard_normal(2000)
    assert finding_of(noise - noise.mean()).severity == "info"
    away = finding_of(noise - 1)
    assert away.severity == "warning"
    assert "expansion prevails" in away.statement
    assert "contraction prevails" in finding_of(noise + 1).statement
    small = finding_of(noise - noise.mean() + 0.1)  # beyond chance, but a tenth of a standard deviation
    assert small.severity == "info"


def test_a_mean_without_error_is_not_judged():
    assert "not judged" in finding_of(np.ones(100)).statement
    assert "not judged" in finding_of(np.cumsum(RNG.standard_normal(100))).statement


def test_text_and_drawing():
    trace = memory_trace({"d_s_t": RNG.standard_normal(500), "r_t": np.linspace(1, 2, 500)})
    result = analyse(trace, Options())
    lines = text(result)
    assert len(lines) <= 40
    assert any(line.strip().startswith("r_t") and "?" in line for line in lines)
    assert not any(line.strip().startswith("d_s_t") and "?" in line for line in lines)
    (drawing,) = draw(result)
    assert len(drawing.figure.axes) == 2
    assert "r_t goes from 1" in drawing.alt


def test_a_column_of_every_third_iteration_is_summarized_over_its_rows():
    d = np.random.default_rng(1).normal(size=90)
    now_and_then = [float(value) if i % 3 == 2 else None for i, value in enumerate(d)]
    trace = memory_trace({"d_s_t": d})
    trace = replace(trace, rows=trace.table.append_column("ksd", pa.array(now_and_then)))
    result = analyse(trace, Options())
    assert result.estimates["ksd:mean"].value == pytest.approx(np.mean(d[2::3]))
    assert "measured in 30 of 90 rows only: ksd." in result.notes
    assert result.estimates["d_s_t:mean"].value != result.estimates["ksd:mean"].value


def test_many_reasons_become_one_line():
    walks = {f"walk_{i}": np.cumsum(RNG.standard_normal(60 + 0 * i)) for i in range(6)}
    result = analyse(memory_trace(walks), Options())
    doubts = [line for line in text(result) if line.startswith("? ")]
    assert len(doubts) == 1
    assert all(name in doubts[0] for name in walks)


def findings_of(**columns):
    return {finding.code: finding for finding in judge(analyse(memory_trace(columns), Options()))}


def test_chains_that_are_not_stationary_are_named():
    """A virial of 1.3 while the mean of d is 0: the short-run trap; 1.01 does not matter, and noise is not judged."""
    noise = 0.05 * RNG.standard_normal(2000)
    assert findings_of(virial=1.3 + noise)["virial"].severity == "warning"
    assert "virial" not in findings_of(virial=1.01 + noise)
    assert "virial" not in findings_of(virial=1.3 + 100 * noise - 100 * noise.mean() + 0.1 * noise)
    assert "virial" not in findings_of(virial=np.full(2000, 1.0))
    few = findings_of(virial=1.3 + noise[:20])["virial"]
    assert few.severity == "info"
    assert "doubtful: 20 rows are" in few.statement
    assert findings_of(virial=noise[:20] - 200)["virial"].severity == "warning"  # too far off to be silent


def test_chains_that_go_on_to_descend_are_named():
    drift = RNG.standard_normal(40)
    assert "depth-drift" not in findings_of(depth_drift=drift)
    found = findings_of(depth_drift=drift - 5)["depth-drift"]
    assert found.severity == "warning"
    assert "find lower energies" in found.statement
    assert "find higher energies" in findings_of(depth_drift=drift + 5)["depth-drift"].statement


def test_the_temperature_is_a_ratio_of_means():
    """A curvature so noisy that the mean of ratios is far from 1; the ratio of means is 1 within its error."""
    noise = RNG.standard_normal((2, 4000))
    power, curvature = 2 + 0.1 * noise[0], 2 + noise[1]
    result = analyse(memory_trace({"gradient_power": power, "curvature": curvature}), Options())
    ratio, error = (result.estimates[f"configurational_temperature:{key}"].value for key in ("ratio", "ratio_error"))
    assert abs(ratio - 1) < 4 * error
    assert error == pytest.approx(np.sqrt(0.05**2 + 0.5**2) / np.sqrt(4000), rel=0.15)
    assert abs(np.mean(power / curvature) - 1) > 4 * error
    code = "configurational-temperature"
    assert code not in findings_of(gradient_power=power, curvature=curvature)
    assert findings_of(gradient_power=1.5 * power, curvature=curvature)[code].severity == "warning"
    assert code not in findings_of(gradient_power=power, curvature=noise[1])  # a curvature that may be 0


@pytest.mark.parametrize(
    ("steps", "spacing", "note"),
    [
        (range(1, 9), 1, None),
        (range(5, 45, 5), 5, "every 5 iterations a row"),
        ([1, 2, 3, 4, 5, 6, 9, 10], None, "irregular (from 1 to 3 iterations apart)"),
        ([1, 4, 7, 10, 12, 15, 18, 21], None, "irregular (from 2 to 3 iterations apart)"),
        ([7], None, None),
    ],
)
def test_the_spacing_of_rows_is_seen_across_stretches(monkeypatch, steps, spacing, note):
    monkeypatch.setattr("ebmdiag_analyses.selection._STRETCH", 3)
    trace = memory_trace({"d_s_t": np.zeros(len(steps))}, steps)
    assert span(trace)["iterations_per_row"] == spacing
    assert [note in one for one in row_notes(trace)] == ([True] if note else [])
