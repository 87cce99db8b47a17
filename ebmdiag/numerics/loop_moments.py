"""The loop gain from second moments of d and of a state r, with block-bootstrap errors.

For one memoryless mode (ebmdiag.numerics.loop), with r the state up to its unit and offset:

    raw statistic                      gain                    raw statistic               gain
    rho_1(d)                           -2 rho_1                c_0  = corr(d[t], r[t])     2 c_0 |c_0|
    rho_1(r)                           1 - rho_1               c_-1 = corr(d[t-1], r[t])   -2 c_-1 |c_-1|
    v = Var z                          2 (1 - 1/v)

and without a parameter  sum of rho_k(d) = -1/2,  rho_1(d) = -c_0²,  corr(d[t], r[t+1] - r[t]) = -1.

What their agreement can say. If r[t+1] - r[t] = -g d[t] exactly and r is stationary, then, whatever else d does,
c_0 = -c_-1 = R/2 and 1 - rho_1(r) = R²/2 with R = g sd(d) / sd(r) (multiply the equation by itself and by r): these
three gains agree by arithmetic as soon as r integrates d. Only rho_1(d) and Var z test that the loop has no memory.

Errors. The statistics are smooth functions of means of products at one time. Stretches of these products ("blocks of
blocks", Künsch 1989, Ann. Stat. 17:1217) are drawn with replacement, so that no seam falls within a product. The block
length is the largest of twice the number of summed lags and twice the bandwidth of numerics.mean for either series; an
interval is value ± t · sd with as many degrees of freedom as blocks, less one, on the raw statistic, then carried to
the gain by the monotone maps above. Measured coverage: docs/loop_gain.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from ebmdiag.numerics.bands import all_lags, automatic_bandwidth, windowed_sum
from ebmdiag.numerics.correlation import autocorrelation, crosscorrelation
from ebmdiag.numerics.scaling import Series, deviations, undefined

SUM_LAGS = 20
ROWS_PER_LAG = 10
FEWEST_BLOCKS = 10
_CHUNK = 50
_SMALLEST = 1e-12  # of the variance of the record


def _from_difference(rho: Series) -> Series:
    return -2 * rho


def _from_state(rho: Series) -> Series:
    return 1 - rho


def _from_meeting(c: Series) -> Series:
    return 2 * c * np.abs(c)


def _from_lead(c: Series) -> Series:
    return -2 * c * np.abs(c)


def _from_variance(v: Series) -> Series:
    return 2 * (1 - 1 / v)


GAINS: dict[str, Callable[[Series], Series]] = {
    "difference": _from_difference,
    "state": _from_state,
    "meeting": _from_meeting,
    "lead": _from_lead,
    "variance": _from_variance,
}
"""Raw statistic → gain; each is monotone."""


@dataclass(frozen=True)
class Sample:
    """Statistics of one record, and of its resamples.

    Attributes:
        values: by name: ``difference`` (rho_1(d)), ``sum`` (of rho_k(d), lags 1 … ``sum_lags``); with r also ``state``
            (rho_1(r)), ``meeting`` (c_0), ``lead`` (c_-1), ``increment`` (corr(d[t], r[t+1] - r[t])), ``relation``
            (rho_1(d) + c_0²); with z also ``variance``.
        resampled: the same names, shape (resamples,) each.
        rows, block, blocks, sum_lags: of the record, of a block, of blocks in the record, in ``sum``.
    """

    values: dict[str, float]
    resampled: dict[str, Series]
    rows: int
    block: int
    blocks: float
    sum_lags: int

    def interval(self, name: str, level: float) -> tuple[float, float]:
        """Of a raw statistic."""
        half = self._quantile((1 + level) / 2) * self.error(name)
        return self.values[name] - half, self.values[name] + half

    def error(self, name: str) -> float:
        """Standard error of a raw statistic."""
        return float(self.resampled[name].std(ddof=1))

    def gain(self, name: str) -> float:
        """The gain by one of :data:`GAINS`."""
        return float(GAINS[name](np.array(self.values[name])))

    def gain_interval(self, name: str, level: float) -> tuple[float, float]:
        """Of that gain. The lowest gain of a variance whose interval reaches 0 is -∞."""
        ends = np.array(self.interval(name, level))
        if name == "variance" and ends[0] <= 0:
            return -math.inf, float(_from_variance(ends[1:])[0])
        low, high = sorted(GAINS[name](ends).tolist())
        return low, high

    def _quantile(self, probability: float) -> float:
        from scipy.special import stdtrit

        return float(stdtrit(max(self.blocks - 1, 1), probability))

    def agreement(self) -> tuple[tuple[str, str], float, float] | None:
        """The two gains that differ most, their difference in standard errors, and Bonferroni's p over all pairs."""
        names = [name for name in GAINS if name in self.values]
        pairs = list(combinations(names, 2))
        if not pairs:
            return None
        distances = [self._distance(*pair) for pair in pairs]
        place = int(np.argmax(distances))
        return pairs[place], distances[place], min(1.0, len(pairs) * self._two_sided(distances[place]))

    def _distance(self, first: str, second: str) -> float:
        """In standard errors; 0 where a resample has no gain, so that the error is not known."""
        with np.errstate(divide="ignore", invalid="ignore"):
            spread = GAINS[first](self.resampled[first]) - GAINS[second](self.resampled[second])
        if not np.isfinite(spread).all():
            return 0.0
        return abs(self.gain(first) - self.gain(second)) / max(float(spread.std(ddof=1)), 1e-12)

    def _two_sided(self, distance: float) -> float:
        from scipy.special import stdtr

        return float(2 * stdtr(max(self.blocks - 1, 1), -distance))


def sample(
    d: ArrayLike, r: ArrayLike | None = None, z: ArrayLike | None = None, *, resamples: int = 1000, seed: int = 0
) -> Sample:
    """Statistics of a record of d, of r and z if there are any, with their resamples.

    Args:
        d, r, z: shape (rows,) each.
        resamples, seed: of the bootstrap; the same seed gives the same numbers.

    Raises:
        ValueError: a series is constant, or there are fewer than 30 rows.
    """
    series = {name: _unit(x) for name, x in (("d", d), ("r", r)) if x is not None}
    rows = len(series["d"])
    if z is not None:
        series["z"] = np.asarray(z, dtype=np.float64)
    lags = summed_lags(rows)
    block = min(max(2 * lags, *(2 * _memory(x) for x in series.values())), max(rows // 3, 1))
    products = _products(series, lags)
    means = _resampled_means(products, block, resamples, np.random.default_rng(seed))
    values = _exact(series, lags)
    return Sample(values, _statistics(means), rows, block, len(products["d"]) / block, lags)


def summed_lags(rows: int) -> int:
    """How many lags of rho_k(d) are summed: more would only measure the centring."""
    return max(1, min(SUM_LAGS, rows // ROWS_PER_LAG))


def _unit(x: ArrayLike) -> Series:
    values = np.asarray(x, dtype=np.float64)
    if len(values) < 30 or undefined(values):
        raise ValueError(undefined(values) or f"{len(values)} rows are too few: at least 30 are needed")
    centred, _ = deviations(values)
    return np.asarray(centred / np.sqrt(np.mean(centred**2)), dtype=np.float64)


def _memory(x: Series) -> int:
    return automatic_bandwidth(windowed_sum(all_lags(x) ** 2).value, len(x))


def _exact(series: dict[str, Series], lags: int) -> dict[str, float]:
    """From the whole record, as the analyses acf and ccf compute them."""
    d, r = series["d"], series.get("r")
    rho = autocorrelation(d, lags)
    values = {"difference": float(rho[1]), "sum": float(rho[1:].sum())}
    if r is not None:
        before, at, _ = crosscorrelation(d, r, 1)
        increment = np.corrcoef(d[:-1], np.diff(r))[0, 1]
        values |= {"state": float(autocorrelation(r, 1)[1]), "meeting": float(at), "lead": float(before)}
        values |= {"increment": float(increment), "relation": float(rho[1] + at**2)}
    if "z" in series:
        values["variance"] = float(series["z"].var(ddof=1))
    return values


def _products(series: dict[str, Series], lags: int) -> dict[str, Series]:
    """All products at time t that the statistics need, shape (rows - lags - 1,) each."""
    d, r, z = series["d"], series.get("r"), series.get("z")
    stop = len(d) - lags
    later = np.concatenate(([0.0], np.cumsum(d)))
    now = slice(1, stop)
    ahead = later[lags + 2 :] - later[2 : stop + 1]  # d[t+1] + … + d[t+lags] at t = 1 … stop - 1
    products = {"d": d[now], "dd": d[now] ** 2, "dd1": d[now] * d[2 : stop + 1], "dsum": d[now] * ahead}
    if r is not None:
        step = r[2 : stop + 1] - r[now]
        products |= {"r": r[now], "rr": r[now] ** 2, "rr1": r[now] * r[2 : stop + 1]}
        products |= {"dr": d[now] * r[now], "before": d[: stop - 1] * r[now]}
        products |= {"step": step, "stepstep": step**2, "dstep": d[now] * step}
    if z is not None:
        products |= {"z": z[now], "zz": z[now] ** 2}
    return products


def _resampled_means(
    products: dict[str, Series], block: int, resamples: int, rng: np.random.Generator
) -> dict[str, Series]:
    """Means over records made of blocks drawn with replacement, shape (resamples,) each."""
    table = np.stack(list(products.values()))
    total = np.concatenate((np.zeros((len(table), 1)), np.cumsum(table, axis=1)), axis=1)
    means = (total[:, block:] - total[:, :-block]) / block
    count = max(1, round(table.shape[1] / block))
    starts = rng.integers(0, means.shape[1], (resamples, count))
    pieces = [means[:, part].mean(axis=2) for part in np.array_split(starts, max(1, resamples // _CHUNK))]
    return dict(zip(products, np.concatenate(pieces, axis=1), strict=True))


def _statistics(m: dict[str, Series]) -> dict[str, Series]:
    d = _spread(m, "d")
    lags_mean = m["d"] ** 2
    found = {"difference": (m["dd1"] - lags_mean) / d, "sum": m["dsum"] / d}
    if "r" in m:
        r, dr = _spread(m, "r"), m["d"] * m["r"]
        step = np.sqrt(d * _spread(m, "step"))
        found |= {"state": (m["rr1"] - m["r"] ** 2) / r, "meeting": (m["dr"] - dr) / np.sqrt(d * r)}
        found |= {"lead": (m["before"] - dr) / np.sqrt(d * r), "increment": (m["dstep"] - m["d"] * m["step"]) / step}
        found["relation"] = found["difference"] + found["meeting"] ** 2
    if "z" in m:
        found["variance"] = m["zz"] - m["z"] ** 2
    return found


def _spread(m: dict[str, Series], name: str) -> Series:
    """Variance in each resample, above 0: blocks of a wave or of steps may hold one value only."""
    return np.maximum(m[2 * name] - m[name] ** 2, _SMALLEST)
