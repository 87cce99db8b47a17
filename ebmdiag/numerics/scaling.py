"""Bringing a series to a safe size before it is centred, squared or transformed.

A factor that is a power of two is exact, so x and x·2^e have the same correlations to the last bit; with the
largest |x| in [1/2, 1) neither 1e200 overflows nor 1e-200 vanishes when squared. The first value is
subtracted before the mean, and the mean twice, so that an offset of 1e9 does not eat the digits of a small noise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Series = NDArray[np.float64]

MIN_ROWS = 4
FEW_ROWS = 50
_LARGEST_POWER = 1000  # 2^±1000 is still a normal number
_ROUNDING = 8 * float(np.finfo(np.float64).eps)  # a spread below this share of the size is round-off


def checked(x: ArrayLike) -> Series:
    """The series as float64, shape (rows,).

    Raises:
        ValueError: it has another shape, or a value that is not finite.
    """
    values = np.asarray(x, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"a series must have one dimension, but has shape {values.shape}.")
    if not np.isfinite(values).all():
        first = int(np.argmin(np.isfinite(values)))
        raise ValueError(f"a series must be finite, but value {first} is {values[first]}.")
    return values


def to_unit_size(x: Series) -> tuple[Series, int]:
    """``x`` times a power of two so that the largest |x| lies in [1/2, 1), and e with x = result · 2^e."""
    exponent = _exponent(x)
    if abs(exponent) <= _LARGEST_POWER:
        return x * 2.0**-exponent, exponent  # the same to the last bit, and several times as fast
    return np.ldexp(x, -exponent), exponent


def _exponent(x: Series) -> int:
    """e with the largest |x| in [1/2, 1) · 2^e, without another array of this size; 0 if there is none."""
    return int(np.frexp(max(-x.min(), x.max()))[1]) if len(x) else 0


def deviations(x: Series) -> tuple[Series, int]:
    """Deviations from the mean, scaled to unit size, and e with x - mean(x) = result · 2^e."""
    if len(x) == 0:
        return x, 0
    shifted, outer = to_unit_size(x)
    shifted -= shifted[0]
    shifted -= shifted.mean()
    shifted -= shifted.mean()
    shifted, inner = to_unit_size(shifted)
    return shifted, outer + inner


def unit_vector(x: ArrayLike, *, centred: bool = True) -> Series:
    """``x``, centred or not, over its Euclidean norm, shape (rows,); NaN where :func:`undefined` speaks."""
    values = checked(x)
    if undefined(values):
        return np.full(len(values), np.nan)
    scaled, _ = deviations(values) if centred else to_unit_size(values)
    scaled /= np.sqrt(scaled @ scaled)
    return scaled


def spread_share(x: ArrayLike) -> float:
    """‖x - mean‖ / ‖x‖: 1 if the mean is 0, 0 if the series is constant."""
    values = checked(x)
    if undefined(values):
        return 0.0
    scaled, exponent = to_unit_size(values)
    centred, inner = deviations(values)
    return float(np.ldexp(np.sqrt((centred @ centred) / (scaled @ scaled)), inner - exponent))


def undefined(x: Series) -> str:
    """Why a series has no correlation and no spread, or an empty string if it has.

    Example:
        >>> undefined(np.array([2.0, 2.0, 2.0, 2.0]))
        'the series is constant'
    """
    if len(x) < MIN_ROWS:
        return f"{len(x)} rows are too few: at least {MIN_ROWS} are needed"
    if x.min() == x.max():
        return "the series is constant"
    low, high = np.ldexp([x.min(), x.max()], -_exponent(x))
    if high - low <= _ROUNDING * max(-low, high):
        return "the series is constant up to the rounding of float64"
    return ""


def doubtful(rows: int) -> str:
    """Why a correlation from so many rows is not to be trusted, or an empty string."""
    return f"{rows} rows are few: at least {FEW_ROWS} are needed" if rows < FEW_ROWS else ""
