"""Measures of images against pure colours, white noise, single waves and what they must not see."""

import colorsys

import numpy as np
import pytest

from ebmdiag.numerics.image_measures import colourfulness, outside, salt_and_pepper, saturation, white_share

MEASURES = (saturation, colourfulness, salt_and_pepper, outside)
SIZE = 32


def plain(*colours, size=SIZE):
    """Images of one colour each, colours on [-1, 1]."""
    return np.broadcast_to(np.array(colours, dtype=float)[:, :, None, None], (len(colours), 3, size, size))


def noise(shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape)


def wave(a, b, height=SIZE, width=SIZE):
    """cos in both directions with wave numbers a and b: one coefficient of the spectrum."""
    rows, columns = (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width
    return (np.cos(np.pi * a * rows)[:, None] * np.cos(np.pi * b * columns)[None, :])[None, None]


def test_saturation_of_plain_colours():
    found = saturation(plain((1, -1, -1), (0.2, 0.2, 0.2), (-1, -1, -1), (1, 1, 1), (0, -0.5, -1), (1, 0, 0)))
    assert found == pytest.approx([1.0, 0.0, 0.0, 0.0, 1.0, 0.5])


def test_saturation_is_that_of_hsv_averaged_over_pixels():
    x = np.random.default_rng(2).uniform(-1, 1, (2, 3, 5, 7))
    pixels = (np.moveaxis(x, 1, -1) + 1) / 2
    expected = [np.mean([colorsys.rgb_to_hsv(*p)[1] for p in image.reshape(-1, 3)]) for image in pixels]
    assert saturation(x) == pytest.approx(expected, rel=1e-12)
    assert saturation(x[:, :, ::-1]) == pytest.approx(expected, rel=1e-12)


def test_values_outside_are_clipped_and_reported():
    x = plain((3.0, -1.0, -7.0))
    assert saturation(x) == pytest.approx(saturation(plain((1.0, -1.0, -1.0))))
    assert colourfulness(x) == pytest.approx(colourfulness(plain((1.0, -1.0, -1.0))))
    assert outside(x) == pytest.approx([2 / 3])
    assert outside(plain((1.0, -1.0, 0.0))) == pytest.approx([0.0])


def test_outside_of_a_gaussian():
    """P(|z| > 1) = 0.3173."""
    found = outside(noise((50, 3, 32, 32)))
    assert abs(found.mean() - 0.31731) < 4 * np.sqrt(0.3173 * 0.6827 / (50 * 3072))


def test_colourfulness_of_plain_colours():
    """No spread: 0.3 times the distance of (rg, yb) from grey. Red: rg = 255, yb = 127.5; blue: rg = 0, yb = -255."""
    found = colourfulness(plain((1, -1, -1), (-1, -1, 1), (0.3, 0.3, 0.3)))
    assert found == pytest.approx([0.3 * np.hypot(255, 127.5), 0.3 * 255, 0.0], abs=1e-9)


def test_colourfulness_of_two_halves():
    """Half blue, half yellow: yb = ∓255, mean 0, deviation 255."""
    x = plain((-1, -1, 1)).copy()
    x[:, :, :, SIZE // 2 :] = np.array([1.0, 1.0, -1.0])[:, None, None]
    assert colourfulness(x) == pytest.approx([255.0])


def test_colourfulness_by_its_definition():
    x = np.random.default_rng(3).uniform(-1.2, 1.2, (1, 3, 9, 4))
    red, green, blue = 255 * np.clip((x[0] + 1) / 2, 0, 1)
    rg, yb = red - green, 0.5 * (red + green) - blue
    expected = np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())
    assert colourfulness(x) == pytest.approx([expected], rel=1e-12)
    assert colourfulness(x[:, ::-1]) != pytest.approx([expected], rel=1e-3)  # the order of channels matters


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28), (3, 7, 12)])
def test_white_noise_has_its_share_of_high_frequencies(shape):
    found = salt_and_pepper(noise((400, *shape)))
    truth = white_share(*shape[1:])
    error = found.std(ddof=1) / np.sqrt(len(found))
    assert abs(found.mean() - truth) < 4 * error
    assert abs(found.mean() - truth - 0.02) > 4 * error


def test_the_white_share_is_that_of_the_area():
    """1 - π (3/4)² / 4 of the square of frequencies, for large images."""
    assert white_share(512, 512) == pytest.approx(1 - np.pi * 0.75**2 / 4, abs=3e-3)
    counted = sum(a * a + b * b > 24 * 24 for a in range(32) for b in range(32))
    assert white_share(32, 32) == pytest.approx(counted / 1023)
    assert np.isnan(white_share(1, 1))


@pytest.mark.parametrize(
    ("a", "b", "share"), [(0, 24, 0.0), (0, 25, 1.0), (31, 0, 1.0), (1, 1, 0.0), (17, 17, 1.0), (16, 16, 0.0)]
)
def test_a_single_wave(a, b, share):
    """At 3/4 of Nyquist (24 of 32) and below it counts nothing, above it all; offset and size play no part."""
    x = np.concatenate([wave(a, b), 3 * wave(a, b), wave(a, b)], axis=1) * 0.2 + 0.3
    assert salt_and_pepper(x) == pytest.approx([share], abs=1e-12)


def test_a_mixture_has_the_share_of_energy():
    x = 2.0 * wave(0, 3) + 1.0 * wave(0, 30)
    assert salt_and_pepper(x) == pytest.approx([1 / 5], rel=1e-12)


def test_a_smooth_gradient_has_none_and_grain_on_it_is_seen():
    gradient = np.broadcast_to(np.linspace(-1, 1, SIZE), (1, 3, SIZE, SIZE))
    assert salt_and_pepper(gradient)[0] < 1e-4
    periodic = np.abs(np.fft.fft(gradient[0, 0, 0])) ** 2
    assert periodic[13:20].sum() / periodic[1:].sum() > 0.02  # why the image is mirrored: the jump at its edge
    assert salt_and_pepper(gradient + 0.2 * noise((1, 3, SIZE, SIZE)))[0] > 0.02


def test_salt_and_pepper_needs_no_colour_and_no_size():
    x = noise((5, 1, 8, 8))
    assert salt_and_pepper(1e200 * x) == pytest.approx(salt_and_pepper(x), rel=1e-12)
    assert salt_and_pepper(np.repeat(x, 3, axis=1)) == pytest.approx(salt_and_pepper(x), rel=1e-12)


def test_one_channel_has_no_colour():
    x = noise((4, 1, 8, 8))
    assert np.isnan(saturation(x)).all()
    assert np.isnan(colourfulness(x)).all()
    assert np.isfinite(outside(x)).all()


def test_a_flat_image_has_no_spectrum():
    x = np.concatenate([plain((0.1, 0.2, 0.3)), plain((0.0, 0.0, 0.0)), 0.1 * noise((1, 3, SIZE, SIZE))])
    assert np.isnan(salt_and_pepper(x)).tolist() == [True, True, False]


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_image_that_is_not_finite_is_nan_and_leaves_the_others(measure, bad):
    x = noise((3, 3, 8, 8)).astype(np.float32)
    expected = measure(x)
    x[1, 2, 3, 4] = bad
    found = measure(x)
    assert np.isnan(found).tolist() == [False, True, False]
    np.testing.assert_array_equal(found[[0, 2]], expected[[0, 2]])
    assert found.dtype == np.float64


@pytest.mark.parametrize("measure", MEASURES)
def test_blocks_do_not_show(measure, monkeypatch):
    x = noise((11, 3, 6, 6))
    expected = measure(x)
    monkeypatch.setattr("ebmdiag.numerics.image_measures._BLOCK", 4)
    np.testing.assert_array_equal(measure(x), expected)
    assert measure(x[:0]).shape == (0,)


@pytest.mark.parametrize("measure", MEASURES)
def test_refusals(measure):
    with pytest.raises(ValueError, match=r"\(n, C, H, W\)"):
        measure(np.zeros((3, 8, 8)))
    with pytest.raises(ValueError, match="uint8"):
        measure(np.zeros((1, 3, 8, 8), dtype=np.uint8))


@pytest.mark.parametrize("measure", [saturation, colourfulness])
def test_colours_need_three_channels(measure):
    with pytest.raises(ValueError, match="1 or 3 channels"):
        measure(np.zeros((1, 2, 8, 8)))
