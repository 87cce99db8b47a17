"""Files in a run's folder: shown if they are what they claim to be; landscapes against closed forms."""

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from report_files import GRID_POINTS, gaussian_landscape, png, save_landscape

from ebmdiag.errors import DataError
from ebmdiag.report import landscape
from ebmdiag.report.pictures import read_landscape, read_landscapes, read_pictures, read_png
from ebmdiag.report.svg import inline_svg


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


def test_densities_and_their_logarithms_with_words():
    drawing, table = landscape.draw(gaussian_landscape())
    assert [axes.get_title(loc="left") for axes in drawing.figure.axes] == [
        "data: true density",
        "model: exp(−U)",
        "short-run samples",
        "log of it, 12 nats deep",
        "log of it",
        "log of it",
    ]
    assert "50 short-run samples with their kernel density" in drawing.alt
    assert "12 nats or more for the model" in drawing.alt
    assert "the logarithms; all that lies 12 nats or more below" in drawing.caption
    assert table.columns["value"][-1] == 0


def test_the_pictures_hold_the_densities_and_their_clipped_logarithms():
    one = gaussian_landscape(samples=400)
    drawing, table = landscape.draw(one)
    shown = [axes.get_images()[0].get_array() for axes in drawing.figure.axes]
    found, short = landscape.compare(one), landscape.compare_short_run(one)
    for density, above, below in zip((found.true, found.model, short.model), shown[:3], shown[3:], strict=True):
        np.testing.assert_allclose(above, density, rtol=1e-12)
        deep = np.log(density / density.max()) < -12
        assert deep.any()
        assert (below[deep] == -12).all()
        np.testing.assert_allclose(below[~deep], np.log(density / density.max())[~deep], atol=1e-9)
    told = dict(zip(*table.columns.values(), strict=True))
    assert told["KL(truth, short-run kernel density), nats"] == pytest.approx(short.divergence)
    assert 0 < short.divergence < 1


def test_three_landscapes_stay_small():
    landscapes = [gaussian_landscape(model_sd=sd, samples=2000) for sd in (0.5, 0.7, 1.0)]
    sizes = [len(inline_svg(landscape.draw(one)[0].figure, "a", "b", "c")) for one in landscapes]
    assert sum(sizes) < 2e6


@pytest.mark.parametrize("samples", [np.zeros((0, 2)), np.zeros((1, 2)), np.ones((40, 2)), np.full((40, 2), 1e6)])
def test_samples_without_a_density_are_still_drawn(samples):
    one = gaussian_landscape()
    drawing, _ = landscape.draw(replace(one, samples=samples))
    assert "without a density" in drawing.caption
    assert "kernel density" not in drawing.alt


def test_a_landscape_comes_back(tmp_path):
    found = read_landscape(save_landscape(tmp_path / "step_9.npz"), 9)
    np.testing.assert_array_equal(found.energy, gaussian_landscape().energy)
    assert found.step == 9


def test_a_density_of_zero_is_allowed(tmp_path):
    one = gaussian_landscape().log_true.copy()
    one[0, 0] = -np.inf
    found = landscape.compare(read_landscape(save_landscape(tmp_path / "step_9.npz", log_true=one), 9))
    assert np.isfinite(found.divergence)


def modes_of(names=("left", "right"), **changes):
    grid_modes = np.broadcast_to((GRID_POINTS > 0).astype(np.int8), (161, 161))
    sample_modes = (gaussian_landscape().samples[:, 0] > 0).astype(np.int8)
    return {"modes": grid_modes, "sample_modes": sample_modes, "mode_names": np.array(names)} | changes


def test_modes_come_back_and_older_files_have_none(tmp_path):
    found = read_landscape(save_landscape(tmp_path / "step_9.npz", **modes_of()), 9)
    assert found.mode_names == ("left", "right")
    np.testing.assert_array_equal(found.modes, modes_of()["modes"])
    np.testing.assert_array_equal(found.sample_modes, found.samples[:, 0] > 0)
    older = read_landscape(save_landscape(tmp_path / "step_9.npz"), 9)
    assert (older.modes, older.sample_modes, older.mode_names) == (None, None, ())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"modes": np.zeros((161, 160), np.int8)}, "do not belong"),
        ({"sample_modes": np.zeros(3, np.int8)}, "do not belong"),
        ({"modes": np.full((161, 161), 2)}, "numbers from 0 to 1"),
        ({"sample_modes": np.full(50, -1)}, "numbers from 0 to 1"),
        ({"modes": np.zeros((161, 161))}, "numbers from 0 to 1"),
        ({"names": ("a", "a")}, "must differ"),
        ({"names": ("$x$", "b")}, "plain characters"),
        ({"names": ("<b>", "b")}, "plain characters"),
        ({"names": [f"m{k}" for k in range(200)]}, "1 to 100 names"),
        ({"mode_names": np.arange(2)}, "1 to 100 names"),
        ({"mode_names": np.array(["a", {}], dtype=object)}, "cannot be read"),
    ],
)
def test_foreign_modes_are_refused(tmp_path, changes, words):
    with pytest.raises(DataError, match=words):
        read_landscape(save_landscape(tmp_path / "step_9.npz", **modes_of(**changes)), 9)


def test_half_of_the_modes_are_refused(tmp_path):
    with pytest.raises(DataError, match="some are missing"):
        read_landscape(save_landscape(tmp_path / "step_9.npz", modes=modes_of()["modes"]), 9)


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
        read_landscape(save_landscape(tmp_path / "step_9.npz", **changes), 9)


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


def test_a_landscape_that_claims_more_than_it_holds(workplace):
    """NumPy would make room for what the header says, before it finds that nothing is there."""
    handle = io.BytesIO()
    np.lib.format.write_array_header_1_0(handle, {"descr": "<f8", "fortran_order": False, "shape": (10**11,)})
    with zipfile.ZipFile("step_1.npz", "w") as archive:
        archive.writestr("grid.npy", handle.getvalue() + b"\0" * 64)
    with pytest.raises(DataError, match="more than it holds"):
        read_landscape(Path("step_1.npz"), 1)
