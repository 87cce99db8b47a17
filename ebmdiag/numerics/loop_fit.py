"""Which loop does a series of d come from? Whittle's likelihood with the expected periodogram.

Whittle (1953, Ark. Mat. 2:423) takes the periodogram I at the Fourier frequencies as independent exponentials of
mean f: -2 log L = 2 sum_j (log f_j + I_j / f_j). The spectrum of d vanishes at frequency 0 (integral action), and
there the ends of the record leak more power than the spectrum holds. Two cures together: a tenth of the record at
either end is faded out by a cosine (weights h, sum of h² = 1), and f is not the spectrum, but the expected periodogram
(Sykulski et al. 2019, Biometrika 106:251), for n rows with autocovariance c_k:

    f(ω) = sum_{|k|<n} κ_k c_k e^{-iωk},   κ_k = sum_t h_t h_{t+k}.

Without the fading, momentum 0.9 at gain 2 is estimated from 1,000 rows with six times the attainable error (1.3, not
0.20), by a few outliers; with it, with 0.24.

Long series are cut into equal segments of at most 2,048 rows whose periodograms are averaged (the cost does not grow
with the length). Left out are frequency 0 (the mean) and the two lowest ones of a segment, in which a slow drift of
the run sits. The scale is profiled out; it counts as a parameter in AIC and BIC.

Candidates: white noise (no loop), and the loops of ebmdiag.numerics.loop, each with and without a floor. They are
nested (momentum or persistent at memory 0 is the first order, persistent at chain share 0 has momentum's spectrum,
everything at gain 0 is white), so BIC (Schwarz 1978, Ann. Stat. 6:461) is used to choose: an idle parameter costs
log n. Errors are Godambe's (1960, Ann. Math. Stat. 31:1208), H⁻¹ J H⁻¹ with the curvature H and the variance J of the
score, which is measured on records drawn from the fit: the fading and the leak correlate the ordinates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from ebmdiag.numerics.correlation import fast_length
from ebmdiag.numerics.loop import Kind, Loop, spectrum
from ebmdiag.numerics.scaling import Series, deviations, undefined

Family = Literal["white", "first", "persistent", "momentum"]

FAMILIES: tuple[Family, ...] = ("white", "first", "persistent", "momentum")
LONGEST_SEGMENT = 2048
FIRST_FREQUENCY = 3
FEWEST_ROWS = 50
FADED = 0.1
_RECORDS = 400
_EDGE = 2e-3  # nearer than this to the end of its range, a parameter has no error
_RANGES = {"share": (1e-3, 0.998), "memory": (0.0, 0.995), "chain_share": (0.0, 1.0), "floor": (0.0, 0.95)}
_STARTS = {
    "share": (0.01, 0.03, 0.08, 0.15, 0.3, 0.5, 0.7, 0.85),
    "memory": (0.1, 0.4, 0.6, 0.8, 0.9),
    "chain_share": (0.3, 0.7),
    "floor": (0.1, 0.4),
}
_NAMES: dict[Family, tuple[str, ...]] = {
    "white": (),
    "first": ("share",),
    "persistent": ("share", "memory", "chain_share"),
    "momentum": ("share", "memory"),
}


@dataclass(frozen=True)
class Periodogram:
    """Mean periodogram of the segments of a series that was scaled to variance 1.

    Attributes:
        power: at Fourier frequencies FIRST_FREQUENCY …, below n / 2, shape (frequencies,).
        rows: n, of one segment.
        segments: how many there are.
    """

    power: Series
    rows: int
    segments: int

    @property
    def used(self) -> int:
        """Rows in all segments."""
        return self.rows * self.segments


def periodogram(x: ArrayLike) -> Periodogram:
    """Mean periodogram of a series, shape (rows,).

    Raises:
        ValueError: fewer than 50 rows, a constant series, or values that are not finite.
    """
    values = np.asarray(x, dtype=np.float64)
    if len(values) < FEWEST_ROWS or undefined(values):
        raise ValueError(undefined(values) or f"{len(values)} rows are too few for a fit: {FEWEST_ROWS} are needed")
    centred, _ = deviations(values)
    centred = centred / np.sqrt(np.mean(centred**2))
    segments = -(-len(centred) // LONGEST_SEGMENT)
    rows = len(centred) // segments
    pieces = centred[len(centred) - rows * segments :].reshape(segments, rows)
    power = (np.abs(np.fft.rfft(pieces * _fading(rows), axis=1)) ** 2).mean(axis=0)[FIRST_FREQUENCY : (rows + 1) // 2]
    return Periodogram(power, rows, segments)


def expected(loop: Loop | None, rows: int) -> Series:
    """Expected periodogram of a record of variance 1, at the frequencies of :class:`Periodogram`.

    Args:
        loop: None for white noise.
        rows: of the record.
    """
    if loop is None:
        return np.ones((rows + 1) // 2 - FIRST_FREQUENCY)
    size = _circle(rows)
    covariance = np.fft.irfft(spectrum(loop, 2 * np.pi * np.arange(size // 2 + 1) / size), size)[:rows]
    covariance *= (1 - loop.floor) / covariance[0]
    covariance[0] = 1.0
    covariance = covariance * _kernel(rows)
    both = 2 * np.fft.rfft(covariance).real - covariance[0]
    return np.asarray(both[FIRST_FREQUENCY : (rows + 1) // 2], dtype=np.float64)


@lru_cache(maxsize=8)
def _fading(rows: int) -> Series:
    """Weights h, shape (rows,): a cosine bell over a tenth at either end, sum of squares 1."""
    outwards = np.minimum(np.arange(rows), np.arange(rows)[::-1]) + 0.5
    weights = 0.5 - 0.5 * np.cos(np.pi * np.minimum(outwards / (FADED * rows), 1))
    return np.asarray(weights / np.sqrt((weights**2).sum()), dtype=np.float64)


@lru_cache(maxsize=8)
def _kernel(rows: int) -> Series:
    """sum_t h_t h_{t+k} at lags 0 … rows - 1."""
    size = _circle(rows)
    return np.fft.irfft(np.abs(np.fft.rfft(_fading(rows), size)) ** 2, size)[:rows]


def _circle(rows: int) -> int:
    """An even length, so far above the record's that its ends do not meet."""
    size = fast_length(4 * rows)
    return size + size % 2


@dataclass(frozen=True)
class Fit:
    """One candidate, fitted.

    Attributes:
        family: which of :data:`FAMILIES`.
        loop: with the fitted parameters; None for white noise.
        names: the fitted parameters, of ``gain``, ``memory``, ``chain_share``, ``floor``.
        deviance: -2 log L at its minimum.
        rows: used.
        distance: of the shape of the fit from the periodogram: sup |cumulated I/f - straight line| · √(ordinates that
            the fading leaves independent).
    """

    family: Family
    loop: Loop | None
    names: tuple[str, ...]
    deviance: float
    rows: int
    distance: float

    @property
    def parameters(self) -> int:
        """How many were fitted, the scale included."""
        return len(self.names) + 1

    @property
    def aic(self) -> float:
        """Akaike's criterion."""
        return self.deviance + 2 * self.parameters

    @property
    def bic(self) -> float:
        """Schwarz's criterion."""
        return self.deviance + self.parameters * math.log(self.rows)

    @property
    def misfit_p(self) -> float:
        """Bartlett's cumulative periodogram test of what the fit leaves (Kolmogorov's law; cautious after a fit)."""
        from scipy.special import kolmogorov

        return float(kolmogorov(self.distance))


def fit_all(data: Periodogram) -> list[Fit]:
    """White noise, then each loop without and with a floor."""
    loops: list[Kind] = ["first", "persistent", "momentum"]
    return [fit_white(data), *(fit_loop(data, kind, floor=floor) for kind in loops for floor in (False, True))]


def best_of(fits: Iterable[Fit]) -> dict[Family, Fit]:
    """The candidate of the lowest BIC in each family, the best family first."""
    best: dict[Family, Fit] = {}
    for fit in sorted(fits, key=lambda fit: fit.bic):
        best.setdefault(fit.family, fit)
    return best


def fit_white(data: Periodogram) -> Fit:
    """No loop at all."""
    model = expected(None, data.rows)
    return Fit("white", None, (), _deviance(data, model), data.used, _distance(data, model))


def fit_loop(data: Periodogram, kind: Kind, *, floor: bool = False) -> Fit:
    """A loop of the given kind, by the simplex method from the best points of a coarse grid."""
    names = _NAMES[kind] + (("floor",) if floor else ())
    bounds = [_RANGES[name] for name in names]

    def objective(point: Series) -> float:
        return _deviance(data, expected(_loop(kind, names, point), data.rows))

    found = [_minimum(objective, start, bounds) for start in _best_starts(objective, names)]
    deviance, point = min(found, key=lambda item: item[0])
    loop = _loop(kind, names, point)
    model = expected(loop, data.rows)
    natural = tuple("gain" if name == "share" else name for name in names)
    return Fit(kind, loop, natural, deviance, data.used, _distance(data, model))


def _minimum(
    objective: Callable[[Series], float], start: Series, bounds: list[tuple[float, float]]
) -> tuple[float, Series]:
    from scipy.optimize import minimize

    options = {"xatol": 1e-5, "fatol": 1e-4, "maxiter": 1500}
    search: Any = minimize  # its stubs know no array of unknown shape
    found = search(objective, start, method="Nelder-Mead", bounds=bounds, options=options)
    return float(found.fun), np.asarray(found.x, dtype=np.float64)


def _best_starts(objective: Callable[[Series], float], names: tuple[str, ...], count: int = 2) -> list[Series]:
    grid = [np.array(point) for point in product(*(_STARTS[name] for name in names))]
    return sorted(grid, key=objective)[:count]


def _loop(kind: Kind, names: tuple[str, ...], point: Series) -> Loop:
    """The loop at a point of the search; ``share`` is the gain as a share of the largest stable one."""
    values = dict(zip(names, map(float, point), strict=True))
    share, memory = values.pop("share"), values.get("memory", 0.0)
    return Loop(kind, 2 * share * (1 + memory) / (1 - memory), **values)


def _deviance(data: Periodogram, model: Series) -> float:
    """-2 log L with the scale profiled out."""
    scale = float(np.mean(data.power / model))
    return 2 * data.segments * (float(np.log(model).sum()) + len(model) * (math.log(scale) + 1))


def _distance(data: Periodogram, model: Series) -> float:
    ratio = data.power / model
    cumulated = np.cumsum(ratio) / ratio.sum()
    straight = np.arange(1, len(ratio) + 1) / len(ratio)
    worth = len(ratio) * data.segments / (data.rows * float((_fading(data.rows) ** 4).sum()))
    return float(np.abs(cumulated - straight).max() * math.sqrt(worth))


def standard_errors(data: Periodogram, fit: Fit) -> dict[str, float]:
    """Standard error of each fitted parameter; NaN at the edge of its range, empty for white noise."""
    if fit.loop is None:
        return {}
    loop, errors = fit.loop, dict.fromkeys(fit.names, math.nan)
    free = [name for name in fit.names if not _at_edge(loop, name)]
    slopes = np.stack([*(_slope(loop, name, data.rows) for name in free), np.ones(len(data.power))])
    information = slopes @ slopes.T
    if not free or np.linalg.cond(information) > 1e12:
        return errors
    scores = np.concatenate([ratios - 1 for ratios in _simulated_ratios(loop, data.rows)]) @ slopes.T
    inverse = np.linalg.inv(information)
    covariance = inverse @ (scores.T @ scores / len(scores)) @ inverse / data.segments
    return errors | {name: math.sqrt(covariance[i, i]) for i, name in enumerate(free)}


def _slope(loop: Loop, name: str, rows: int) -> Series:
    """Derivative of log f with respect to a parameter, by central differences."""
    step = 0.01 * _room(loop, name)
    up, down = (expected(replace(loop, **{name: getattr(loop, name) + move}), rows) for move in (step, -step))
    return np.asarray((np.log(up) - np.log(down)) / (2 * step), dtype=np.float64)


def _simulated_ratios(loop: Loop, rows: int) -> Iterator[Series]:
    """I / f of records drawn from the loop, shape (_RECORDS, frequencies) four times; the same at each call."""
    rng = np.random.default_rng(0)
    size = _circle(rows)
    power = spectrum(loop, 2 * np.pi * np.arange(size // 2 + 1) / size)
    answered = (power[0] + power[-1] + 2 * power[1:-1].sum()) / size
    power = (1 - loop.floor) * power / answered + loop.floor
    used, model = slice(FIRST_FREQUENCY, (rows + 1) // 2), expected(loop, rows)
    for _ in range(4):
        noise = np.fft.rfft(rng.standard_normal((_RECORDS, size)), axis=1)
        records = np.fft.irfft(noise * np.sqrt(power), size, axis=1)[:, :rows] * _fading(rows)
        yield np.asarray(np.abs(np.fft.rfft(records, axis=1)[:, used]) ** 2 / model, dtype=np.float64)


def _largest_gain(loop: Loop) -> float:
    return 2 * (1 + loop.memory) / (1 - loop.memory)


def _at_edge(loop: Loop, name: str) -> bool:
    if name == "chain_share" and _at_edge(loop, "memory"):
        return True  # without memory the two kinds of noise are one
    low, high = _RANGES["share"] if name == "gain" else _RANGES[name]
    value = loop.gain / _largest_gain(loop) if name == "gain" else float(getattr(loop, name))
    return min(value - low, high - value) < _EDGE


def _room(loop: Loop, name: str) -> float:
    """How far a parameter can move before the loop leaves its range."""
    if name == "gain":
        return min(loop.gain, _largest_gain(loop) - loop.gain)
    value, (low, high) = float(getattr(loop, name)), _RANGES[name]
    return min(value - low, high - value)
