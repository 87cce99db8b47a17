"""The parts of the report, each against numbers that are known."""

import doctest
import io
import re
import struct
import zipfile
import zlib
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from ebmdiag.errors import DataError, EbmdiagError
from ebmdiag.report import glossary, landscape, series, wording
from ebmdiag.report.envelope import envelope
from ebmdiag.report.pictures import Landscape, read_landscape, read_landscapes, read_pictures, read_png
from ebmdiag.report.style import GRID, INK, SERIES, house_style, panels
from ebmdiag.report.svg import inline_svg
from ebmdiag.report.tables import estimates_view, nested_views, table_view
from ebmdiag.result import Estimate, Table
from ebmdiag.statistics import STATISTICS

ROOT = Path(__file__).parents[2]


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


# words


def test_the_examples_of_the_docstrings():
    assert doctest.testmod(wording).failed == 0
    assert doctest.testmod(wording).attempted == 5


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (True, "True"),
        (np.float64("nan"), "–"),
        (np.int64(-1234567), "−1,234,567"),
        (1e6, "10⁶"),
        (999999.0, "999,999"),
        (-2.5e-7, "−2.5×10⁻⁷"),
        (0.1 + 0.2, "0.3"),
    ],
)
def test_numbers(value, text):
    assert wording.number(value) == text


def test_any_json_value_fits_a_cell():
    assert wording.plain(["a", "b"]) == "a, b"
    assert wording.plain([1, {"x": None}]) == '[1, {"x": null}]'
    assert wording.plain(None) == "–"
    assert len(wording.plain("x" * 10_000)) < 500


# figures as SVG


def drawn_figure():
    with house_style():
        figure, (axes,) = panels()
        axes.plot([0, 1, 2], [1, 0, 1], color=SERIES[0], marker="o")
        axes.fill_between([0, 1], [0, 0], [1, 1], color=SERIES[1], alpha=0.3)
        axes.imshow(np.eye(2), extent=(0, 1, 0, 1))
        axes.set_xlabel("a <b> & c")
    return figure


def test_svg_has_title_description_and_no_style_of_its_own():
    svg = str(inline_svg(drawn_figure(), "one", 'the "title"', "numbers < 3 & more"))
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img"
    assert root.get("aria-labelledby") == "one-title one-desc"
    assert root.find("title").text == 'the "title"'
    assert root.find("desc").text == "numbers < 3 & more"
    assert "style=" not in svg
    assert "<style" not in svg
    assert "<metadata" not in svg
    assert "a &lt;b&gt; &amp; c" in svg  # text stays text


def test_sentinel_colours_become_variables():
    svg = str(inline_svg(drawn_figure(), "one", "t", "d"))
    for sentinel in (INK, GRID, *SERIES):
        assert sentinel not in svg
    for variable in ("--ink", "--grid", "--s1", "--s2"):
        assert f"var({variable})" in svg


def test_two_figures_share_no_id_and_every_reference_is_met():
    first, second = (str(inline_svg(drawn_figure(), name, "t", "d")) for name in ("one", "two"))
    ids = [set(re.findall(r'\bid="([^"]+)"', svg)) for svg in (first, second)]
    assert ids[0]
    assert not ids[0] & ids[1]
    for svg, known in zip((first, second), ids, strict=True):
        targets = set(re.findall(r"url\(#([^)]+)\)", svg)) | set(re.findall(r'href="#([^"]+)"', svg))
        assert targets
        assert targets <= known


def test_the_same_figure_gives_the_same_bytes():
    assert inline_svg(drawn_figure(), "one", "t", "d") == inline_svg(drawn_figure(), "one", "t", "d")
    assert inline_svg(drawn_figure(), "one", "t", "d") != inline_svg(drawn_figure(), "two", "t", "d")


def test_what_matplotlib_cannot_draw_is_an_error_with_a_sentence():
    with house_style():
        figure, (axes,) = panels()
        axes.plot([0, 1], [-1.7e308, 1.7e308])
    with pytest.raises(EbmdiagError, match="matplotlib cannot draw it"):
        inline_svg(figure, "one", "t", "d")


# the traces


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


# tables


def test_an_estimate_that_is_not_reliable_says_why():
    estimates = {"good": Estimate(1.5, 1.0, 2.0), "bad": Estimate(7.0, reliable=False, reason="too short")}
    view = estimates_view(estimates)
    texts = [[cell.text for cell in row] for row in view.rows]
    assert texts == [["good", "1.5", "1 to 2", ""], ["bad", "7", "", "Not reliable: too short"]]
    assert [row[1].doubtful for row in view.rows] == [False, True]


def test_empty_columns_are_left_out():
    assert list(estimates_view({"good": Estimate(1.5)}).header) == ["quantity", "value"]


def test_long_tables_are_cut_and_say_so():
    view = table_view(Table("lags", {"lag": np.arange(1000)}))
    assert len(view.rows) == 200
    assert view.note == "The first 200 of 1,000 rows."


def test_nested_recipes_become_tables():
    views = nested_views("recipe", {"net": {"name": "toy"}, "note": "x", "empty": {}})
    assert [view.title for view in views] == ["recipe", "net"]


# pictures


def png(width: int = 2, height: int = 3) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = zlib.compress(b"".join(b"\0" + b"\x80" * width for _ in range(height)))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_a_png_is_read_as_it_is(tmp_path):
    (tmp_path / "step_0000007.png").write_bytes(png())
    picture = read_png(tmp_path / "step_0000007.png", 7)
    assert (picture.width, picture.height, picture.content) == (2, 3, png())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<svg onload=alert(1)>", "not a PNG"),
        (png()[:-12], "damaged"),
        (png(0, 0), "damaged"),
        (png() + b"\0" * 2**21, "larger than 2 MB"),
        (b"", "not a PNG"),
    ],
)
def test_what_is_no_picture_is_refused(tmp_path, content, words):
    (tmp_path / "step_1.png").write_bytes(content)
    with pytest.raises(DataError, match=words):
        read_png(tmp_path / "step_1.png", 1)


def test_first_last_and_some_between_are_chosen_in_the_order_of_steps(tmp_path):
    for step in range(1, 101):
        (tmp_path / f"step_{step}.png").write_bytes(png())
    (tmp_path / "step_x.png").write_bytes(png())
    (tmp_path / "step_200.png").mkdir()
    found = read_pictures(tmp_path)
    chosen = [image.step for image in found.images]
    assert (len(chosen), chosen[0], chosen[-1], found.files) == (6, 1, 100, 100)
    assert chosen == sorted(chosen)


def test_no_folder_no_pictures(tmp_path):
    assert read_pictures(tmp_path / "absent").images == ()
    assert read_landscapes(tmp_path / "absent").landscapes == ()


# landscapes

GRID_POINTS = np.linspace(-4, 4, 161)
SQUARED_RADIUS = GRID_POINTS[:, None] ** 2 + GRID_POINTS[None, :] ** 2


def gaussian_landscape(true_sd: float = 0.7, model_sd: float = 0.7, samples: int = 50) -> Landscape:
    rng = np.random.default_rng(6)
    return Landscape(
        step=3,
        grid=GRID_POINTS,
        log_true=-SQUARED_RADIUS / (2 * true_sd**2) - np.log(2 * np.pi * true_sd**2),
        energy=SQUARED_RADIUS / (2 * model_sd**2) + 12345.0,
        samples=rng.normal(scale=0.7, size=(samples, 2)),
    )


def test_equal_densities_have_distance_zero():
    found = landscape.compare(gaussian_landscape())
    assert found.total_variation == pytest.approx(0, abs=1e-12)
    assert found.divergence == pytest.approx(0, abs=1e-12)
    assert found.true_mass == pytest.approx(1, abs=1e-6)


def test_distances_of_two_gaussians_have_their_closed_forms():
    s, t = 0.5, 0.8
    found = landscape.compare(gaussian_landscape(s, t))
    crossing = 2 * np.log(t**2 / s**2) / (1 / s**2 - 1 / t**2)  # squared radius where the densities are equal
    total_variation = np.exp(-crossing / (2 * t**2)) - np.exp(-crossing / (2 * s**2))
    divergence = s**2 / t**2 - 1 - np.log(s**2 / t**2)
    assert found.total_variation == pytest.approx(total_variation, rel=2e-3)
    assert found.divergence == pytest.approx(divergence, rel=1e-5)
    swapped = landscape.compare(gaussian_landscape(t, s))  # negative control: the order matters
    assert swapped.divergence != pytest.approx(divergence, rel=0.1)


def test_mass_outside_of_the_square_is_seen():
    found = landscape.compare(gaussian_landscape(true_sd=3.0))
    assert found.true_mass == pytest.approx(0.8176**2, rel=2e-2)  # P(|Z| < 4/3)²


def test_three_panels_with_words():
    drawing, table = landscape.draw(gaussian_landscape())
    assert [axes.get_title(loc="left") for axes in drawing.figure.axes] == [
        "data: true density",
        "model: exp(−U)",
        "short-run samples",
    ]
    assert "50 short-run samples with their kernel density" in drawing.alt
    assert table.columns["value"][-1] == 0


@pytest.mark.parametrize("samples", [np.zeros((0, 2)), np.zeros((1, 2)), np.ones((40, 2)), np.full((40, 2), 1e6)])
def test_samples_without_a_density_are_still_drawn(samples):
    one = gaussian_landscape()
    drawing, _ = landscape.draw(Landscape(one.step, one.grid, one.log_true, one.energy, samples))
    assert "without a density" in drawing.caption
    assert "kernel density" not in drawing.alt


def save(path: Path, **changes: object) -> Path:
    one = gaussian_landscape()
    arrays = {"grid": one.grid, "log_true": one.log_true, "energy": one.energy, "samples": one.samples}
    np.savez_compressed(path, **(arrays | {"step": np.int64(9)} | changes))
    return path


def test_a_landscape_comes_back(tmp_path):
    found = read_landscape(save(tmp_path / "step_9.npz"), 9)
    np.testing.assert_array_equal(found.energy, gaussian_landscape().energy)
    assert found.step == 9


def test_a_density_of_zero_is_allowed(tmp_path):
    one = gaussian_landscape().log_true.copy()
    one[0, 0] = -np.inf
    found = landscape.compare(read_landscape(save(tmp_path / "step_9.npz", log_true=one), 9))
    assert np.isfinite(found.divergence)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"energy": np.full((161, 161), np.nan)}, "not finite"),
        ({"log_true": np.full((161, 161), np.inf)}, "log_true"),
        ({"energy": np.zeros((161, 160))}, "shapes"),
        ({"samples": np.zeros((5, 3))}, "shapes"),
        ({"grid": GRID_POINTS[::-1]}, "does not increase"),
        ({"grid": np.array([{"a": 1}], dtype=object)}, "cannot be read"),
        ({"samples": np.array([["a", "b"]])}, "must hold numbers"),
    ],
)
def test_a_foreign_landscape_is_refused(tmp_path, changes, words):
    with pytest.raises(DataError, match=words):
        read_landscape(save(tmp_path / "step_9.npz", **changes), 9)


def test_broken_archives_and_bombs_are_refused(tmp_path):
    path = tmp_path / "step_9.npz"
    path.write_bytes(b"PK\x03\x04 nonsense")
    with pytest.raises(DataError, match="cannot be read"):
        read_landscape(path, 9)
    zeros = io.BytesIO()
    np.save(zeros, np.zeros(10_000_000))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("grid.npy", zeros.getvalue())
    with pytest.raises(DataError, match="bytes unpacked"):
        read_landscape(path, 9)


# the glossary


def test_the_page_on_the_trace_holds_the_table_of_statistics():
    page = (ROOT / "docs" / "trace.md").read_text(encoding="utf-8")
    between = page[page.index(glossary.BEGIN) : page.index(glossary.END) + len(glossary.END)]
    assert between == glossary.statistics_markdown()


def test_every_statistic_is_a_row_of_the_table():
    rows = glossary.statistics_markdown().splitlines()[3:-1]
    assert [row.split("`")[1] for row in rows] == [statistic.column for statistic in STATISTICS]
    assert {len(re.split(r"(?<!\\)\|", row)) for row in rows} == {9}


def test_only_columns_that_are_there_are_explained():
    assert [entry.column for entry in glossary.entries(["r_t", "mine", "d_s_t"])] == ["d_s_t", "r_t"]
