"""Pictures become 32x32 bytes as the reference prepares them, and bad pictures are named."""

import io

import numpy as np
import pytest
from PIL import Image

from ebmdiag.errors import DataError
from ebmdiag_trainers.data.preprocessing import decode, prepare, prepare_array


def picture(width, height, mode="RGB", seed=0):
    channels = {"RGB": (3,), "RGBA": (4,), "L": ()}[mode]
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, *channels), dtype=np.uint8)
    return Image.fromarray(pixels)


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def triangle_weights(size, target):
    """The definition of antialiased bilinear resampling: a triangle as wide as the reduction, normalised."""
    scale = size / target
    reach = max(scale, 1.0)
    centres = (np.arange(target) + 0.5) * scale
    distance = (np.arange(size) + 0.5 - centres[:, None]) / reach
    weights = np.clip(1 - np.abs(distance), 0, None)
    return weights / weights.sum(axis=1, keepdims=True)


def expected(image):
    """The reference's preprocessing from its definition, in floating point: shape (C, 32, 32)."""
    width, height = image.size
    new_width, new_height = int(32 * width / min(width, height)), int(32 * height / min(width, height))
    pixels = np.atleast_3d(np.asarray(image, dtype=float))
    pixels = np.einsum("ij,jkc->ikc", triangle_weights(height, new_height), pixels)
    pixels = np.einsum("ij,kjc->kic", triangle_weights(width, new_width), pixels)
    top, left = round((new_height - 32) / 2.0), round((new_width - 32) / 2.0)
    return pixels[top : top + 32, left : left + 32].transpose(2, 0, 1)


@pytest.mark.parametrize("size", [(64, 64), (500, 667), (81, 50), (28, 28), (33, 100), (1, 1), (32, 32)])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_preparing_follows_the_definition(size, mode):
    image = picture(*size, mode)
    found = prepare(image, len(mode))
    assert found.dtype == np.uint8
    assert found.shape == (len(mode), 32, 32)
    # two passes, each rounded to a byte
    assert np.abs(found - expected(image)).max() <= 1.01


def test_another_filter_or_another_cut_fails_the_same_comparison():
    image = picture(81, 50)
    truth = expected(image)
    nearest = np.asarray(image.resize((51, 32), Image.Resampling.NEAREST).crop((10, 0, 42, 32)))
    assert np.abs(nearest.transpose(2, 0, 1) - truth).max() > 20
    assert np.abs(np.roll(truth, 1, axis=2) - truth).max() > 20


@pytest.mark.parametrize(("long", "offset"), [(32, 0), (33, 0), (34, 1), (35, 2), (37, 2), (39, 4), (48, 8)])
def test_the_cut_is_central_with_halves_rounded_to_even(long, offset):
    ramp = np.tile(np.arange(long, dtype=np.uint8), (32, 1))
    wide = prepare(Image.fromarray(ramp), 1)
    assert wide[0, 0].tolist() == list(range(offset, offset + 32))
    high = prepare(Image.fromarray(np.ascontiguousarray(ramp.T)), 1)
    assert high[0, :, 0].tolist() == list(range(offset, offset + 32))


def test_colour_becomes_grey_by_luma_and_grey_becomes_three_equal_channels():
    image = picture(32, 32)
    red, green, blue = np.asarray(image, dtype=int).transpose(2, 0, 1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    assert np.abs(prepare(image, 1)[0] - luma).max() <= 0.51
    colours = prepare(picture(32, 32, "L"), 3)
    assert (colours[0] == colours[1]).all()
    assert (colours[0] == colours[2]).all()


def test_arrays_are_prepared_as_pictures():
    pixels = np.random.default_rng(4).integers(0, 256, (3, 40, 50, 3), dtype=np.uint8)
    found = prepare_array(pixels, 1)
    assert found.shape == (3, 1, 32, 32)
    assert (found[2] == prepare(Image.fromarray(pixels[2]), 1)).all()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "WEBP", "GIF", "JPEG"])
def test_every_admitted_format_is_decoded(kind):
    image = Image.new("RGB", (64, 48), (200, 30, 90))
    found = decode(encoded(image, kind), 3, "here")
    assert np.abs(found.astype(int) - np.array([200, 30, 90])[:, None, None]).max() <= 4


def test_transparency_and_palettes_are_dropped_without_a_word():
    image = picture(40, 40, "RGBA").quantize()
    content = encoded(image, transparency=bytes(range(256)))
    assert decode(content, 3, "here").shape == (3, 32, 32)


@pytest.mark.parametrize("kind", ["TIFF", "PPM", "TGA", "ICO"])
def test_other_formats_are_refused(kind):
    with pytest.raises(DataError, match="here is not a readable image: its content is none of JPEG, PNG"):
        decode(encoded(picture(32, 32), kind), 3, "here")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP"])
def test_a_truncated_picture_is_an_error_wherever_it_is_cut(kind):
    content = encoded(picture(40, 40), kind)
    for share in np.linspace(0, 0.97, 40):
        with pytest.raises(DataError, match="here is not a readable image"):
            decode(content[: int(share * len(content))], 3, "here")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF"])
def test_damaged_pictures_never_raise_anything_else(kind):
    random = np.random.default_rng(5)
    content = np.frombuffer(encoded(picture(40, 40), kind), dtype=np.uint8)
    refused = 0
    for _ in range(150):
        damaged = content.copy()
        places = random.integers(0, min(len(content), 400), 6)
        damaged[places] = random.integers(0, 256, 6)
        try:
            assert decode(damaged.tobytes(), 3, "here").shape == (3, 32, 32)
        except DataError:
            refused += 1
    assert refused > 0


def test_sixteen_bits_are_refused_rather_than_clipped():
    deep = Image.fromarray(np.full((40, 40), 3000, dtype=np.uint16))
    with pytest.raises(DataError, match="pixels of mode I;16, but only 8 bits"):
        decode(encoded(deep), 1, "here")


def test_a_picture_far_longer_than_wide_is_refused():
    with pytest.raises(DataError, match="measures 1x300, over 256 times longer than wide"):
        decode(encoded(Image.new("L", (1, 300))), 1, "here")


@pytest.mark.parametrize("limit", [1500, 500])
def test_a_decompression_bomb_is_refused_at_the_first_warning(limit, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(DataError, match="unpacks to more pixels than is safe"):
        decode(encoded(Image.new("L", (40, 40))), 1, "here")
