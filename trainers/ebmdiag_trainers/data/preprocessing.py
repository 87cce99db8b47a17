"""From any picture to 32x32 bytes, as the reference implementation prepares its data.

Convert to RGB or grey; resize (bilinear, antialiased, as Pillow does it) so that the shorter side is 32 and the
longer int(32 * long / short); cut the central 32x32, with offset int(round((side - 32) / 2)).
"""

from __future__ import annotations

import io
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ebmdiag.errors import DataError

Bytes = NDArray[np.uint8]

SIDE = 32
VERSION = 1  # raise it when the same input gives other bytes: prepared files in caches are then made anew
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")
MODES = {1: "L", 3: "RGB"}
_EIGHT_BIT = {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"}
_LONGEST = 256  # times the shorter side; beyond, resizing would need more memory than a picture deserves


def prepare(image: Image.Image, channels: int) -> Bytes:
    """One picture as uint8 of shape (channels, 32, 32); ``channels`` is 1 or 3.

    Raises:
        ValueError: the picture has more than 8 bits a channel, or is over 256 times longer than wide.
    """
    if image.mode not in _EIGHT_BIT:
        raise ValueError(f"it has pixels of mode {image.mode}, but only 8 bits a channel are supported")
    if max(image.size) > _LONGEST * min(image.size):
        raise ValueError(f"it measures {image.width}x{image.height}, over {_LONGEST} times longer than wide")
    squared = _centre(_resize(image.convert(MODES[channels])))
    pixels = np.asarray(squared, dtype=np.uint8).reshape(SIDE, SIDE, channels)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _resize(image: Image.Image) -> Image.Image:
    width, height = image.size
    short = min(width, height)
    target = (int(SIDE * width / short), int(SIDE * height / short))
    return image.resize(target, Image.Resampling.BILINEAR)


def _centre(image: Image.Image) -> Image.Image:
    left, top = (round((side - SIDE) / 2.0) for side in image.size)
    return image.crop((left, top, left + SIDE, top + SIDE))


def decode(content: bytes, channels: int, where: str) -> Bytes:
    """The picture in an encoded file, prepared: uint8, shape (channels, 32, 32).

    Raises:
        DataError: not one of ``FORMATS``, damaged, truncated, too large or not of 8 bits; ``where`` names it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # such as transparency, which is dropped knowingly
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                image.load()
                return prepare(image, channels)
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged bytes: every kind is a bad picture
        raise DataError(f"{where} is not a readable image: {_reason(error)}. Remove or repair it.") from error


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"its content is none of {', '.join(FORMATS)}"
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return "it unpacks to more pixels than is safe"
    return str(error).rstrip(".") or type(error).__name__


def prepare_array(pixels: Bytes, channels: int) -> Bytes:
    """Pictures of shape (N, H, W, 1 or 3), uint8, prepared: shape (N, channels, 32, 32)."""
    out = np.empty((len(pixels), channels, SIDE, SIDE), dtype=np.uint8)
    for index, picture in enumerate(pixels):
        flat = picture[..., 0] if picture.shape[-1] == 1 else picture
        out[index] = prepare(Image.fromarray(np.ascontiguousarray(flat)), channels)
    return out
