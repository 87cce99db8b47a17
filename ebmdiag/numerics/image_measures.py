"""What the eye says of images, as numbers: oversaturated, colourful, grainy, out of range.

Images x of shape (n, C, H, W) on [-1, 1], v = (x + 1) / 2 clipped to [0, 1] (what a screen shows):

    saturation       mean over pixels of (max_C v - min_C v) / max_C v, and 0 where max_C v = 0 (S of HSV: grey 0,
                     a pure colour 1);
    colourfulness    √(σ²_rg + σ²_yb) + 0.3 √(μ²_rg + μ²_yb), rg = R - G, yb = (R + G)/2 - B, with R, G, B = 255 v;
                     mean μ and deviation σ (divisor H W) over pixels (Hasler and Süsstrunk 2003, Proc. SPIE 5007:87).
                     Their words: 15 slightly, 33 moderately, 45 averagely, 59 quite, 109 extremely colourful;
    salt and pepper  share of the spectral energy at radial frequencies above 3/4 of the Nyquist frequency;
    outside          share of the values with |x| > 1, which clipping hides from the other colours' measures.

Spectrum. The discrete cosine transform (DCT-II) of x, not clipped, at wave numbers (a, b) ≠ (0, 0): the Fourier
transform of the image mirrored at its edges, so that a gradient across the image makes no jump there, as it does in
the plain transform of a periodic image. (a, b) has frequency √((a / 2H)² + (b / 2W)²) cycles per pixel, Nyquist is 1/2,
and the sums run over channels. The transform is orthogonal, so white Gaussian noise has on average exactly the share
of wave numbers above, :func:`white_share` (0.54 for 32 x 32), and smooth images have nearly 0.

An image with a value that is not finite has NaN throughout; so have the colours of a single channel (C = 1), and the
salt and pepper of an image that is constant in each channel.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

HIGH = 0.75
Images = NDArray[np.float64]
Values = NDArray[np.float64]
_BLOCK = 256  # images at once: memory does not grow with n


def saturation(images: ArrayLike) -> Values:
    """Mean saturation of each image, shape (n,), from 0 (grey) to 1 (pure colours); NaN for C = 1.

    Raises:
        ValueError: not (n, C, H, W) with C = 1 or 3, or whole numbers.
    """
    return _of_each(_colours(images), _saturation)


def colourfulness(images: ArrayLike) -> Values:
    """M of Hasler and Süsstrunk of each image, shape (n,), on their scale of 0 to 255; NaN for C = 1.

    Raises:
        ValueError: see :func:`saturation`.
    """
    return _of_each(_colours(images), _colourfulness)


def salt_and_pepper(images: ArrayLike) -> Values:
    """Share of the energy at the highest frequencies of each image, shape (n,), from 0 to 1; any C.

    Raises:
        ValueError: not (n, C, H, W), or whole numbers.
    """
    return _of_each(_checked(images), _high_share)


def outside(images: ArrayLike) -> Values:
    """Share of the values of each image beyond [-1, 1], shape (n,); any C.

    Raises:
        ValueError: not (n, C, H, W), or whole numbers.
    """
    return _of_each(_checked(images), lambda x: (np.abs(x) > 1).mean((1, 2, 3)))


def white_share(height: int, width: int) -> float:
    """The :func:`salt_and_pepper` that white noise has on average; NaN for a single pixel."""
    return float(_high(height, width).sum()) / (height * width - 1) if height * width > 1 else float("nan")


def _saturation(x: Images) -> Values:
    if x.shape[1] == 1:
        return np.full(len(x), np.nan)
    shown = _shown(x)
    brightest, darkest = shown.max(1), shown.min(1)
    share = (brightest - darkest) / np.where(brightest > 0, brightest, 1.0)
    return np.asarray(share.mean((1, 2)))


def _colourfulness(x: Images) -> Values:
    if x.shape[1] == 1:
        return np.full(len(x), np.nan)
    red, green, blue = np.moveaxis(255 * _shown(x), 1, 0)
    opponents = np.stack((red - green, (red + green) / 2 - blue), axis=1)
    spread, offset = opponents.var((2, 3)).sum(1), (opponents.mean((2, 3)) ** 2).sum(1)
    return np.asarray(np.sqrt(spread) + 0.3 * np.sqrt(offset))


def _high_share(x: Images) -> Values:
    from scipy.fft import dctn

    largest = np.abs(x).max((1, 2, 3), keepdims=True)
    energy = dctn(x / np.where(largest > 0, largest, 1.0), axes=(2, 3), norm="ortho") ** 2
    energy[:, :, 0, 0] = 0.0
    flat = (x.max((2, 3)) == x.min((2, 3))).all(1)  # what is left is round-off
    total = np.where(flat, np.nan, energy.sum((1, 2, 3)))
    return np.asarray(energy[:, :, _high(*x.shape[2:])].sum((1, 2)) / total)


def _high(height: int, width: int) -> NDArray[np.bool_]:
    """Which wave numbers lie above 3/4 of the Nyquist frequency, shape (H, W)."""
    rows, columns = np.arange(height) / height, np.arange(width) / width  # in units of Nyquist
    return np.asarray(np.hypot(rows[:, None], columns[None, :]) > HIGH)


def _shown(x: Images) -> Images:
    return np.clip((x + 1) / 2, 0.0, 1.0)


def _of_each(images: NDArray[np.floating], measure: Callable[[Images], Values]) -> Values:
    """The measure in float64 of the images that are finite, NaN for the others."""
    result = np.full(len(images), np.nan)
    for begin in range(0, len(images), _BLOCK):
        block = np.asarray(images[begin : begin + _BLOCK], dtype=np.float64)
        finite = np.isfinite(block).all((1, 2, 3))
        result[begin : begin + _BLOCK][finite] = measure(block[finite])
    return result


def _checked(images: ArrayLike) -> NDArray[np.floating]:
    values = np.asarray(images)
    if values.ndim != 4 or 0 in values.shape[1:]:
        raise ValueError(f"images must have shape (n, C, H, W), but have {values.shape}")
    if not np.issubdtype(values.dtype, np.floating):
        raise ValueError(f"images must be floating-point numbers on [-1, 1], but are {values.dtype}")
    return values


def _colours(images: ArrayLike) -> NDArray[np.floating]:
    values = _checked(images)
    if values.shape[1] not in (1, 3):
        raise ValueError(f"colours need 1 or 3 channels, but the images have {values.shape[1]}")
    return values
