"""Is there a broad peak in a spectrum, where, and how long does its wave last?

An estimated spectrum has a peak wherever noise lifts it. An autoregression (Burg's, its order chosen by BIC:
numerics.whitening) has a smooth spectrum, s² / |A(f)|², and none of order 0 or 1 has a peak inside: white and red noise
have none. Of its peaks the most prominent is taken, the prominence being how far log S must fall, on the way to a
higher point or to the end of the range on either side, the smaller of both; at 1/2 (alternation of sign) the spectrum
is mirrored. Red noise has its highest point at 0, which is no peak.

Width: between the places where S falls to half. Quality Q = f / width: the wave lasts about Q periods. For a resonance
with poles of modulus m the width is -ln(m) / π, so m = exp(-π width); momentum β rings with m = √β (numerics.loop).

Errors: records drawn from the fitted autoregression, each fitted anew with the same order (parametric bootstrap); of
long series shorter records stand in, and the errors shrink by the square root of the rows. How far the peak lies from
that of the autoregression which Akaike's criterion prefers is added, in squares: the error of the order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ebmdiag.numerics.periodic import Periodic
from ebmdiag.numerics.scaling import Series, to_unit_size
from ebmdiag.numerics.whitening import burg, burg_fixed

_GRID = 4096
_RECORDS = 100
_LONGEST_RECORD = 4000
_BURN_IN = 500
_OTHER = 2.0  # Akaike's price of a coefficient


@dataclass(frozen=True)
class Peak(Periodic):
    """The most prominent peak of an autoregression's spectrum.

    Attributes:
        frequency, frequency_error: cycles a row.
        width: at half height, cycles a row; infinite where S falls to half on neither side.
        prominence: in nats.
        quality: f / width; ``quality_low``, ``quality_high``: its interval. A series without a wave has Q below 1.
        order: of the autoregression.
    """

    frequency: float
    frequency_error: float
    width: float
    prominence: float
    quality: float
    quality_low: float
    quality_high: float
    order: int

    @property
    def modulus(self) -> float:
        """Of the poles of a resonance so broad."""
        return math.exp(-math.pi * self.width)


def find_peak(x: Series, level: float = 0.95, seed: int = 0) -> Peak | None:
    """The most prominent peak of a series, shape (rows,), centred; None if its autoregression has none.

    Args:
        x: centred, not constant.
        level: of the interval of Q.
        seed: of the records drawn for the errors.
    """
    x = to_unit_size(x)[0]  # squares of 1e-200 vanish, and those of 1e200 overflow
    coefficients = burg(x)
    found = _peak_of(coefficients)
    if found is None:
        return None
    frequency, width, prominence = found
    again = [
        _peak_of(burg_fixed(record, len(coefficients)), frequency) for record in _records(coefficients, len(x), seed)
    ]
    shrink = math.sqrt(min(len(x), _LONGEST_RECORD) / len(x))
    other = _peak_of(burg(x, penalty=_OTHER), frequency) or found
    places = np.array([frequency if each is None else each[0] for each in again])
    logs = np.array([math.log(_quality(*(each or (frequency, math.inf, 0.0))[:2])) for each in again])
    quality, (low, high) = _quality(frequency, width), np.quantile(logs, [(1 - level) / 2, (1 + level) / 2])
    centre, moved = math.log(quality), math.log(_quality(*other[:2]) / quality)
    return Peak(
        frequency,
        math.hypot(float(np.sqrt(np.mean((places - frequency) ** 2))) * shrink, other[0] - frequency),
        width,
        prominence,
        quality,
        math.exp(centre - math.hypot(min(0.0, low - centre) * shrink, min(0.0, moved))),
        math.exp(centre + math.hypot(max(0.0, high - centre) * shrink, max(0.0, moved))),
        len(coefficients),
    )


def _quality(frequency: float, width: float) -> float:
    return max(frequency / width, 0.01)


def _records(coefficients: Series, rows: int, seed: int) -> Series:
    from scipy.signal import lfilter

    noise = np.random.default_rng(seed).standard_normal((_RECORDS, min(rows, _LONGEST_RECORD) + _BURN_IN))
    drawn = lfilter([1.0], np.concatenate(([1.0], -coefficients)), noise, axis=1)[:, _BURN_IN:]
    return np.asarray(drawn - drawn.mean(axis=1, keepdims=True), dtype=np.float64)


def log_spectrum(coefficients: Series, frequencies: int = _GRID) -> Series:
    """log of 1 / |A|² at the frequencies 0 … 1/2, shape (frequencies + 1,)."""
    answer = np.fft.rfft(np.concatenate(([1.0], -coefficients)), 2 * frequencies)
    return np.asarray(-2 * np.log(np.maximum(np.abs(answer), 1e-150)), dtype=np.float64)


def _peak_of(coefficients: Series, near: float | None = None) -> tuple[float, float, float] | None:
    """Frequency, width and prominence of the most prominent peak, or of the one nearest to a frequency."""
    from scipy.signal import find_peaks

    if not len(coefficients):
        return None
    logs = log_spectrum(coefficients)
    mirrored = np.concatenate((logs, logs[-2::-1]))  # frequencies 0 … 1
    places, facts = find_peaks(mirrored, prominence=1e-6)
    kept = places <= _GRID
    places, heights = places[kept], facts["prominences"][kept]
    if not len(places):
        return None
    best = int(np.argmax(heights)) if near is None else int(np.argmin(np.abs(places - near * 2 * _GRID)))
    place = int(places[best])
    width = _width(mirrored, place) / (2 * _GRID)
    return _vertex(mirrored, place) / (2 * _GRID), width, float(heights[best])


def _vertex(logs: Series, place: int) -> float:
    before, here, after = logs[place - 1 : place + 2]
    bend = before - 2 * here + after
    return place + (0.5 * (before - after) / bend if bend < 0 else 0.0)


def _width(logs: Series, place: int) -> float:
    """Between the places where S falls to half; twice one side where it does so on one side only."""
    half = logs[place] - math.log(2)
    below, above = np.flatnonzero(logs[:place] < half), np.flatnonzero(logs[place:] < half)
    left = place - _crossing(logs, int(below[-1]), half) if len(below) else math.inf
    right = _crossing(logs, place + int(above[0]) - 1, half) - place if len(above) else math.inf
    return left + right if math.isfinite(left + right) else 2 * min(left, right)


def _crossing(logs: Series, before: int, level: float) -> float:
    first, second = logs[before : before + 2]
    return before + float((level - first) / (second - first))
