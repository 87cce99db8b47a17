"""The traces in the report: bins that lose nothing, running means, figures with their words."""

import numpy as np
import pytest

from ebmdiag.report import series, ticks
from ebmdiag.report.envelope import envelope
from ebmdiag.report.svg import inline_svg


def steps(rows: int) -> np.ndarray:
    return np.arange(1, rows + 1)


# the envelope


def test_every_row_is_its_own_bin_in_a_short_series():
    values = np.array([3.0, -1.0, 2.0])
    found = envelope("d_s_t", steps(3), values)
    assert not found.binned
    for array in (found.low, found.high, found.mean, found.running):
        np.testing.assert_array_equal(array, values)


def test_bins_cover_all_rows_and_lose_no_spike():
    values = np.random.default_rng(1).normal(size=12_345)
    values[7777], values[33] = 1e6, -1e6
    found = envelope("d_s_t", steps(12_345), values)
    assert len(found.low) == 1000
    assert (found.low.min(), found.high.max()) == (-1e6, 1e6)
    assert found.first[0] == 1
    assert found.last[-1] == 12_345
    np.testing.assert_array_equal(found.first[1:], found.last[:-1] + 1)
    for place in (0, 500, 999):
        rows = values[found.first[place] - 1 : found.last[place]]
        expected = (rows.min(), rows.max(), rows.mean())
        assert (found.low[place], found.high[place], found.mean[place]) == pytest.approx(expected)


def test_the_running_mean_is_the_mean_of_its_window_and_ends_are_cut_off():
    values = np.random.default_rng(2).normal(size=5000)
    found = envelope("d_s_t", steps(5000), values)
    assert found.window == 105  # 21 bins of 5 rows
    assert found.running[500] == pytest.approx(values[490 * 5 : 511 * 5].mean())
    assert found.running[0] == pytest.approx(values[: 11 * 5].mean())
    assert found.running[-1] == pytest.approx(values[-11 * 5 :].mean())


def test_one_huge_value_does_not_spoil_the_rest_of_the_running_mean():
    values = np.ones(5000)
    values[100] = 1e15
    found = envelope("d_s_t", steps(5000), values)
    np.testing.assert_allclose(found.running[100:], 1.0, rtol=1e-12)


def test_missing_values_are_left_out_and_counted():
    values = np.array([1.0, np.nan, 3.0, np.inf] * 1000)
    found = envelope("v_t", steps(4000), values)
    assert found.missing == 2000
    assert np.isfinite(found.high).all()
    np.testing.assert_allclose(found.mean, 2.0)
    empty = envelope("v_t", steps(3), np.full(3, np.nan))
    assert np.isnan(empty.running).all()
    assert empty.to_json()["mean"] == [None, None, None]


def test_values_near_the_largest_float_do_not_overflow():
    found = envelope("d_s_t", steps(3000), np.full(3000, 1.7e308))
    np.testing.assert_allclose(found.running, 1.7e308)


def test_the_alternative_text_holds_the_numbers():
    values = np.zeros(100)
    values[41], values[7] = 5.0, -3.0
    drawing = series.draw(envelope("d_s_t", steps(100), values))
    assert "steps 1 to 100" in drawing.alt
    assert "lowest −3 near step 8" in drawing.alt
    assert "highest 5 near step 42" in drawing.alt


def test_a_few_large_values_do_not_flatten_the_rest():
    values = np.random.default_rng(3).normal(size=1000)
    calm = series.draw(envelope("d_s_t", steps(1000), values))
    assert calm.figure.axes[0].get_yscale() == "linear"
    values[-1] = 1e9
    wild = series.draw(envelope("d_s_t", steps(1000), values))
    assert wild.figure.axes[0].get_yscale() == "symlog"
    assert "logarithmic beyond ±10" in wild.caption


@pytest.mark.parametrize("values", [[1.0], [np.nan, np.nan], [1e308, -1e308, 1.0], [1e-320] * 3, [0.0] * 2000])
def test_odd_series_can_be_drawn(values):
    drawing = series.draw(envelope("d_s_t", steps(len(values)), np.array(values)))
    assert "<svg" in inline_svg(drawing.figure, "one", "t", drawing.alt)


def test_the_table_of_a_series_has_its_extremes():
    values = np.random.default_rng(4).normal(size=3456)
    table = series.table(envelope("r_t", steps(3456), values))
    assert len(table) == 20
    assert table.columns["smallest"].min() == values.min()
    assert table.columns["largest"].max() == values.max()
    assert (table.columns["from step"][0], table.columns["to step"][-1]) == (1, 3456)


# the numbers on its axes


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0"),
        (2500, "2,500"),
        (9999, "9,999"),
        (10_000, "10k"),
        (-12_500, "−12.5k"),
        (999_999, "1M"),
        (200_000, "200k"),
        (1_200_000, "1.2M"),
        (-3e12, "−3×10¹²"),
        (1e9, "10⁹"),
        (0.00025, "0.00025"),
        (2e-7, "2×10⁻⁷"),
    ],
)
def test_ticks_are_short(value, said):
    assert ticks.short(value) == said


def test_ticks_are_told_apart():
    assert ticks.labels([0, 50_000, 100_000]) == ["0", "50k", "100k"]
    assert ticks.labels([1_000_000, 1_000_500, 1_001_000]) == ["1M", "1.0005M", "1.001M"]
    assert ticks.labels([123_456, 123_457]) == ["123.456k", "123.457k"]
    assert ticks.labels([-5e-17, 0.2, 0.1 + 0.2]) == ["0", "0.2", "0.3"]
    assert ticks.labels([]) == []


@pytest.mark.parametrize(("last", "size"), [(200_000, 1.5e6), (90_000_000, 3e7), (5000, 0.02)])
def test_the_axes_of_a_long_run_fit_a_phone_and_the_words_keep_all_digits(last, size):
    values = size * np.sin(np.arange(400))
    at = np.linspace(1, last, 400).astype(np.int64)
    drawing = series.draw(envelope("d_s_t", at, values))
    axes = drawing.figure.axes[0]
    drawing.figure.canvas.draw()
    shown = [label.get_text() for axis in (axes.xaxis, axes.yaxis) for label in axis.get_ticklabels()]
    assert max(map(len, shown)) <= 6, shown
    for axis in (axes.xaxis, axes.yaxis):
        words = [label.get_text() for label in axis.get_ticklabels()]
        assert len(set(words)) == len(words)
    assert f"steps 1 to {last:,}" in drawing.alt
