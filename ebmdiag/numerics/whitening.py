"""Taking the smooth part of a spectrum out of a series: the residuals of an autoregression fitted by Burg's method.

Burg (1975, thesis, Stanford) chooses each reflection coefficient to minimize the errors of foretelling forwards and
backwards together: stationary as Yule and Walker's, but without the bias that theirs has near a unit root, where
residuals that are not white would pass for a line. Order: the lowest n log s_p² + p log n (Schwarz 1978, Ann. Stat.
6:461), at most 10 log10 n and a tenth of the rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ebmdiag.numerics.scaling import Series

_ENDED = 1e-12


def burg(x: Series, largest: int | None = None, penalty: float | None = None) -> Series:
    """Coefficients a of x[t] = sum_j a_j x[t-j] + e[t], shape (p,), of the best order.

    Args:
        x: centred, shape (rows,).
        largest: order at most; automatic if None.
        penalty: of one coefficient; log n if None (BIC), 2 is Akaike's.
    """
    rows = len(x)
    most = max(1, min(int(10 * math.log10(rows)), rows // 10)) if largest is None else largest
    price = math.log(rows) if penalty is None else penalty
    best, lowest = np.zeros(0), rows * math.log(float(x @ x) / rows)
    for coefficients, left in _orders(x, most):
        score = rows * math.log(left) + len(coefficients) * price
        if score < lowest:
            best, lowest = coefficients, score
    return best


def burg_fixed(x: Series, order: int) -> Series:
    """Coefficients of a given order, shape (order,), or fewer where nothing is left to foretell."""
    best = np.zeros(0)
    for coefficients, _ in _orders(x, order):
        best = coefficients
    return best


def _orders(x: Series, most: int) -> Iterator[tuple[Series, float]]:
    """For p = 1 … most: coefficients, shape (p,), and the variance that is left."""
    forward, backward = x[1:], x[:-1]
    coefficients, left = np.zeros(0), float(x @ x) / len(x)
    smallest = _ENDED * left * len(x)
    for _ in range(most):
        size = float(forward @ forward + backward @ backward)
        if size <= smallest:
            return
        reflection = 2 * float(forward @ backward) / size
        coefficients = np.concatenate((coefficients - reflection * coefficients[::-1], [reflection]))
        left *= max(1 - reflection**2, _ENDED)
        yield coefficients, left
        forward, backward = forward[1:] - reflection * backward[1:], backward[:-1] - reflection * forward[:-1]


def whitened(x: Series, coefficients: Series) -> Series:
    """Residuals e, shape (rows - p,)."""
    from scipy.signal import lfilter

    filtered = lfilter(np.concatenate(([1.0], -coefficients)), [1.0], x)
    return np.asarray(filtered[len(coefficients) :], dtype=np.float64)


def gain_at(coefficients: Series, frequency: float) -> float:
    """|A|² of that filter: by how much it multiplies the power at a frequency in cycles a row."""
    lags = np.arange(1, len(coefficients) + 1)
    answer: NDArray[np.complex128] = 1 - coefficients @ np.exp(-2j * math.pi * frequency * lags)
    return float(np.abs(answer) ** 2)
