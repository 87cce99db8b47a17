"""The power spectrum of a series, with its band.

    S(f) = sum_k c_k e^{-2πifk},   f from 0 to 1/2 cycles a row,

in which white noise of variance v has S = v at every f, and the mean of S over 0 … 1/2 is the variance. (scipy's
one-sided density is 2 S.) Period: 1/f rows. The series is cut into equal segments and their estimates averaged.

``multitaper`` (Thomson 1982, Proc. IEEE 70:1055) with the sine tapers of Riedel and Sidorenko 1995 (IEEE Trans. Signal
Process. 43:188), h_k(t) = √(2/(N+1)) sin(πk(t+1)/(N+1)), k = 1 … K: half-bandwidth (K + 1) / (2 (N + 1)).
``welch`` (Welch 1967, IEEE Trans. Audio 15:70): Hann windows that overlap by half; half-bandwidth 2 / N.

Band: S ν / χ²_ν, with ν equivalent degrees of freedom: 2 K for each segment; for m overlapping Hann windows Welch's
2 m / (1 + 2 (1 - 1/m) ρ²), ρ the overlap of two neighbours. Half as many within the half-bandwidth of 0 and 1/2, where
positive and negative frequencies are the same numbers. The mean is subtracted, which takes power from the lowest
frequencies: what it takes from white noise is known and is put back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from ebmdiag.numerics.scaling import Series, checked, deviations, undefined

Method = Literal["multitaper", "welch"]
METHODS: tuple[Method, ...] = ("multitaper", "welch")
TAPERS = 7
LONGEST_SEGMENT = 1024
FEWEST_ROWS = 50
_GROUPS = 20
_CHUNK = 64


@dataclass(frozen=True)
class Spectrum:
    """S over the variance of the series: 1 is the level of white noise.

    Attributes:
        frequency: 0 … 1/2 in cycles a row, shape (frequencies,).
        power: the same shape.
        parts: estimates whose mean is ``power``, nearly independent, shape (groups, frequencies): for errors.
        freedom: ν at each frequency.
        half_bandwidth: how far power leaks, in cycles a row.
        rows, segments: of one segment; how many.
        tapers: K; 1 for Welch.
    """

    frequency: Series
    power: Series
    parts: Series
    freedom: Series
    half_bandwidth: float
    rows: int
    segments: int
    tapers: int

    def band(self, level: float) -> tuple[Series, Series]:
        """Ends of the interval of S at each frequency."""
        from scipy.special import chdtri

        low = self.power * self.freedom / chdtri(self.freedom, (1 - level) / 2)
        return low, self.power * self.freedom / chdtri(self.freedom, (1 + level) / 2)


def power_spectrum(
    x: ArrayLike, method: Method = "multitaper", *, segment: int = LONGEST_SEGMENT, tapers: int = TAPERS
) -> Spectrum:
    """The spectrum of a series, shape (rows,).

    Args:
        x: finite.
        method: one of :data:`METHODS`.
        segment: rows of a segment at most; all segments are equally long, rows that are left over at the beginning of
            the record are not used.
        tapers: K, for ``multitaper``.

    Raises:
        ValueError: fewer than 50 rows, a constant series, values that are not finite, or no room for the tapers.
    """
    values = checked(x)
    if len(values) < FEWEST_ROWS or undefined(values):
        raise ValueError(
            undefined(values) or f"{len(values)} rows are too few for a spectrum: {FEWEST_ROWS} are needed"
        )
    if not 1 <= tapers <= min(len(values), segment) // 4:
        raise ValueError(
            f"{tapers} tapers do not fit into {min(len(values), segment)} rows: at most a quarter of them."
        )
    centred, _ = deviations(values)
    centred = centred / np.sqrt(np.mean(centred**2))
    return _multitaper(centred, segment, tapers) if method == "multitaper" else _welch(centred, segment)


def _multitaper(x: Series, longest: int, tapers: int) -> Spectrum:
    segments = -(-len(x) // longest)
    rows = len(x) // segments
    pieces = x[len(x) - rows * segments :].reshape(segments, rows)
    known = 1 - _sine_tapered(np.ones((1, rows)), tapers)[0] / len(x)  # (K, F): what the mean leaves of white noise
    groups = np.arange(segments * tapers) * min(_GROUPS, segments * tapers) // (segments * tapers)
    sums = np.zeros((groups[-1] + 1, rows // 2 + 1))
    for begin in range(0, segments, _CHUNK):
        power = _sine_tapered(pieces[begin : begin + _CHUNK], tapers).reshape(-1, rows // 2 + 1)
        np.add.at(sums, groups[begin * tapers : begin * tapers + len(power)], power)
    parts = sums / np.bincount(groups)[:, None] / known.mean(axis=0)
    power = sums.sum(axis=0) / (segments * tapers) / known.mean(axis=0)
    frequency = np.arange(rows // 2 + 1) / rows
    half_bandwidth = (tapers + 1) / (2 * (rows + 1))
    freedom = _freedom(frequency, 2 * segments * tapers, half_bandwidth)
    return Spectrum(frequency, power, parts, freedom, half_bandwidth, rows, segments, tapers)


def _sine_tapered(pieces: Series, tapers: int) -> Series:
    """|transform of each piece under each taper|² at Fourier frequencies, shape (pieces, K, frequencies)."""
    rows = pieces.shape[1]
    places = math.pi * (np.arange(rows) + 1) / (rows + 1)
    weights = math.sqrt(2 / (rows + 1)) * np.sin(np.arange(1, tapers + 1)[:, None] * places)
    return np.asarray(np.abs(np.fft.rfft(pieces[:, None, :] * weights, axis=2)) ** 2, dtype=np.float64)


def _welch(x: Series, longest: int) -> Spectrum:
    rows = min(longest, max(len(x) // 4, FEWEST_ROWS // 2))
    step = rows // 2
    window = np.sin(math.pi * (np.arange(rows) + 0.5) / rows) ** 2
    window = window / np.sqrt((window**2).sum())
    pieces = np.lib.stride_tricks.sliding_window_view(x, rows)[(len(x) - rows) % step :: step]
    count = len(pieces)
    groups = np.arange(count) * min(_GROUPS, count) // count
    sums = np.zeros((groups[-1] + 1, rows // 2 + 1))
    for begin in range(0, count, _CHUNK):
        power = np.abs(np.fft.rfft(pieces[begin : begin + _CHUNK] * window, axis=1)) ** 2
        np.add.at(sums, groups[begin : begin + _CHUNK], power)
    known = 1 - np.abs(np.fft.rfft(window)) ** 2 / len(x)
    frequency = np.arange(rows // 2 + 1) / rows
    overlap = float(window[:step] @ window[-step:]) ** 2
    freedom = _freedom(frequency, 2 * count / (1 + 2 * (1 - 1 / count) * overlap), 2 / rows)
    parts = sums / np.bincount(groups)[:, None] / known
    return Spectrum(frequency, sums.sum(axis=0) / count / known, parts, freedom, 2 / rows, rows, count, 1)


def _freedom(frequency: Series, freedom: float, half_bandwidth: float) -> Series:
    edge = (frequency < half_bandwidth) | (frequency > 0.5 - half_bandwidth)
    return np.where(edge, freedom / 2, freedom)
