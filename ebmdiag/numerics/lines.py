"""Is there a pure wave in a series? Fisher's test (1929, Proc. R. Soc. A 125:54) against memory of any smooth kind.

With the periodogram I at m frequencies, g = max I / sum I; in white noise

    p = sum_{j=1}^{⌊1/g⌋} (-1)^{j-1} C(m, j) (1 - j g)^{m-1}.

Where its first term is above 1 the sum cancels for m > 80; there 1 - (1 - e^{-mg})^m takes its place.

Red noise would be called periodic, so the series is whitened first (numerics.whitening). A strong wave would be taken
for memory by the autoregression; hence, before the fit, the best wave at the frequency whose I stands out most from
the median of its neighbours is subtracted. The test then looks at the whole series through the filter of that fit.
What the filter leaves uneven (no autoregression follows the spectrum of d down to 0 at frequency 0) is divided out by
the mean of the neighbours, 3 to M + 2 places away on either side: under any smooth spectrum the ratio has the law
F(2, 4M), and its probability makes it exponential again. So p needs no white noise, only a spectrum that is smooth
on the scale of M / n; M = n / 40, from 10 to 25. Measured sizes: docs/spectrum.md.

The two lowest frequencies are left out: fewer than three cycles cannot be told from drift. At 1/2 (alternation of
sign) I is χ²_1 and not exponential; it, too, goes by its probability.

A series that waves or its own past foretell up to rounding leaves no noise to test against: p is 0 for its strongest
wave, and 1 where that has fewer than three cycles.

Frequency and amplitude A are those of the best wave near it (least squares). Their errors are the bounds of Rife and
Boorstyn (1974, IEEE Trans. Inf. Theory 20:591) with S, the level of the noise around: sd f = √(24 S / (A² n³)) / 2π,
sd A = √(2 S / n).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ebmdiag.numerics.periodic import Periodic
from ebmdiag.numerics.scaling import Series, checked, deviations, undefined
from ebmdiag.numerics.whitening import burg, gain_at, whitened

FIRST_FREQUENCY = 3
MOST_ROWS = 1 << 20
FEWEST_ROWS = 50
_NEIGHBOURS = 25
_GUARD = 2
_EXACT = 80
_ZOOM = 129
_ROUNDING = 1e-20  # of the variance: what is left of a wave that is subtracted from itself


@dataclass(frozen=True)
class Line(Periodic):
    """The wave that stands out most.

    Attributes:
        p_value: of Fisher's test after whitening; ``white_p``: against white noise, without.
        frequency, frequency_error: cycles a row; 1/2 has no error (NaN).
        amplitude, amplitude_error: A over the standard deviation of the series.
        order: of the autoregression. rows: used.
    """

    p_value: float
    white_p: float
    frequency: float
    frequency_error: float
    amplitude: float
    amplitude_error: float
    order: int
    rows: int

    @property
    def share(self) -> float:
        """Of the variance: A² / 2, and A² at frequency 1/2."""
        return self.amplitude**2 / (1 if self.frequency == 0.5 else 2)


def fisher_p(g: float, count: int) -> float:
    """p of Fisher's g among ``count`` frequencies.

    Raises:
        ValueError: g is not between 1 / count and 1, up to rounding.
    """
    if not 1 / count * (1 - 1e-9) <= g <= 1 + 1e-9:
        raise ValueError(f"g lies between 1/{count} and 1, but is {g}.")
    g = min(g, 1.0)
    if g == 1.0:
        return 0.0
    if count > _EXACT and math.log(count) + (count - 1) * math.log1p(-g) > 0:
        return float(-math.expm1(count * math.log1p(-math.exp(-count * g))))
    terms = ((-1) ** (j - 1) * _term(g, count, j) for j in range(1, min(count, math.floor(1 / g)) + 1) if j * g < 1)
    return min(1.0, max(0.0, math.fsum(terms)))


def _term(g: float, count: int, j: int) -> float:
    """C(m, j) (1 - j g)^{m-1}, by logarithms, for the binomial may be too large."""
    binomial = math.lgamma(count + 1) - math.lgamma(j + 1) - math.lgamma(count - j + 1)
    return math.exp(binomial + (count - 1) * math.log1p(-j * g))


def find_line(x: ArrayLike) -> Line:
    """The wave that stands out most from a series, shape (rows,); of longer ones the last 2^20 rows are used.

    Raises:
        ValueError: fewer than 50 rows, a constant series, or a value that is not finite.
    """
    values = checked(x)[-MOST_ROWS:]
    values = values[len(values) % 2 :]  # so that 1/2 is a Fourier frequency
    if len(values) < FEWEST_ROWS or undefined(values):
        raise ValueError(undefined(values) or f"{len(values)} rows are too few for a line: {FEWEST_ROWS} are needed")
    centred, _ = deviations(values)
    centred = centred / np.sqrt(np.mean(centred**2))
    ordinates = _ordinates(centred)
    candidate = _outstanding(ordinates) / len(centred)
    left = _without(centred, candidate)
    if _nothing(left) or not ordinates.any():
        return _noiseless(centred)
    coefficients = burg(left)
    noise = whitened(centred, coefficients)
    noise = noise[len(noise) % 2 :]
    if _nothing(noise):
        return _noiseless(centred)
    place, p_value = _fisher(_levelled(_ordinates(noise)))
    _, white_p = _fisher(ordinates)
    frequency = place / len(noise)
    rest = _without(noise, frequency)
    level = float(rest @ rest) / len(rest) / max(gain_at(coefficients, frequency), 1e-12)
    return _measured(centred, frequency, level, p_value, white_p, len(coefficients))


def _nothing(left: Series) -> bool:
    """Whether only rounding is left of a series of variance 1."""
    return float(left @ left) <= _ROUNDING * len(left)


def _noiseless(x: Series) -> Line:
    """The strongest wave of a series without noise; p = 1 if that is drift."""
    place = int(np.argmax(np.abs(np.fft.rfft(x))))
    drift = place < FIRST_FREQUENCY
    p_value = float(drift)
    return _measured(x, max(place, FIRST_FREQUENCY) / len(x), 0.0, p_value, p_value, 0)


def _ordinates(x: Series) -> Series:
    """Periodogram over its mean at the frequencies 0 … 1/2; 0 below the first one; that of 1/2 made exponential."""
    from scipy.special import chdtrc

    power = np.abs(np.fft.rfft(x)) ** 2 / len(x)
    power[:FIRST_FREQUENCY] = 0.0
    level = float(power[FIRST_FREQUENCY:-1].mean())
    rounding = _ROUNDING * float(x @ x)
    if level <= rounding:  # all power lies below the first frequency, or at 1/2
        power, level = np.where(power <= rounding, 0.0, power), 1.0
    power = power / level
    power[-1] = -math.log(max(float(chdtrc(1, power[-1])), 1e-300))
    return np.asarray(power, dtype=np.float64)


def _levelled(power: Series) -> Series:
    """Each ordinate against the mean of its neighbours, exponential again, shape kept."""
    from scipy.ndimage import convolve1d
    from scipy.special import fdtrc

    side = int(np.clip(2 * len(power) // 40, 10, _NEIGHBOURS))
    kernel = np.zeros(2 * (side + _GUARD) + 1)
    kernel[:side] = kernel[-side:] = 1 / (2 * side)
    shown = power[FIRST_FREQUENCY:]
    ratio = shown / np.maximum(convolve1d(shown, kernel, mode="reflect"), 1e-300)
    return np.concatenate((power[:FIRST_FREQUENCY], -np.log(np.maximum(fdtrc(2, 4 * side, ratio), 1e-300))))


def _fisher(power: Series) -> tuple[int, float]:
    place = int(np.argmax(power))
    if not power.any():
        return FIRST_FREQUENCY, 1.0
    return place, fisher_p(float(power[place] / power.sum()), len(power) - FIRST_FREQUENCY)


def _outstanding(power: Series) -> int:
    """Where I stands out most from the median of its neighbours, 25 on either side."""
    from scipy.ndimage import median_filter

    shown = power[FIRST_FREQUENCY:]
    around = median_filter(shown, size=2 * _NEIGHBOURS + 1, mode="reflect")
    return int(np.argmax(shown / np.maximum(around, 1e-300))) + FIRST_FREQUENCY


def _without(x: Series, frequency: float) -> Series:
    """The series less its best wave at the best frequency near this one."""
    wave = _wave(len(x), _refined(x, frequency))
    return np.asarray(x - wave @ np.linalg.lstsq(wave, x)[0], dtype=np.float64)


def _wave(rows: int, frequency: float) -> Series:
    turns = 2 * math.pi * frequency * np.arange(rows)
    parts = [np.cos(turns), np.sin(turns)] if frequency < 0.5 else [np.cos(turns)]
    return np.stack(parts, axis=1)


def _refined(x: Series, frequency: float) -> float:
    """The highest point of |transform|² within one Fourier frequency, between 0 and 1/2."""
    from scipy.signal import zoom_fft

    rows = len(x)
    if frequency > 0.5 - 0.25 / rows:
        return 0.5
    low, high = frequency - 1 / rows, min(frequency + 1 / rows, 0.5)
    power = np.abs(zoom_fft(x, [low, high], _ZOOM, fs=1.0, endpoint=True)) ** 2
    top = int(np.clip(np.argmax(power), 1, _ZOOM - 2))
    before, here, after = power[top - 1 : top + 2]
    bend = before - 2 * here + after
    shift = 0.5 * (before - after) / bend if bend < 0 else 0.0
    return float(low + (top + float(np.clip(shift, -1, 1))) * (high - low) / (_ZOOM - 1))


def _least_squares(x: Series, frequency: float, steps: int = 2) -> float:
    """The frequency of the best wave: the periodogram's is pulled by the wave's mirror image at -f."""
    rows = len(x)
    start, time = frequency, np.arange(rows) - (rows - 1) / 2
    for _ in range(steps if frequency < 0.5 else 0):
        turns = 2 * math.pi * frequency * time
        cosine, sine = np.cos(turns), np.sin(turns)
        (a, b), *_ = np.linalg.lstsq(np.stack((cosine, sine), axis=1), x)
        slope = time * (b * cosine - a * sine)
        solved, *_ = np.linalg.lstsq(np.stack((cosine, sine, slope), axis=1), x)
        frequency += float(solved[2]) / (2 * math.pi)
    return frequency if abs(frequency - start) < 0.5 / rows and 0 < frequency < 0.5 else start


def _measured(x: Series, frequency: float, level: float, p_value: float, white_p: float, order: int) -> Line:
    rows = len(x)
    frequency = _least_squares(x, _refined(x, frequency))
    wave = _wave(rows, frequency)
    amplitude = float(np.linalg.norm(np.linalg.lstsq(wave, x)[0]))
    alternates = frequency == 0.5
    error = math.nan if alternates else math.sqrt(24 * level / (max(amplitude, 1e-12) ** 2 * rows**3)) / (2 * math.pi)
    spread = math.sqrt((1 if alternates else 2) * level / rows)
    return Line(p_value, white_p, frequency, error, amplitude, spread, order, rows)
