"""When does a series change its character? Change-points of its autocorrelation, by permutation.

The record is cut into J windows that do not overlap, each with its rho_1 … rho_L (centred and scaled by itself, so that
neither level nor spread counts). A cut after window b is scored by

    T(b) = sum_k b (J - b) / J · (mean of rho_k up to b - mean of rho_k after b)² / v_k,

v_k being the variance of rho_k between windows. If nothing changes, the windows can change places: the largest T of
999 permutations gives the p-value (Pitman 1937; for change-points Antoch and Hušková 2001, Stat. Probab. Lett. 53:37).
It needs no formula for the error of rho_k, only windows much longer than the memory. Where p is small enough the record
is cut there, and both parts are searched again (binary segmentation, Vostrikova 1981), with the limit halved.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ebmdiag.numerics.correlation import autocorrelation
from ebmdiag.numerics.scaling import Series, checked

WINDOWS = 64
FEWEST_ROWS = 50  # of a window
FEWEST_WINDOWS = 12
LAGS = 10
_PERMUTATIONS = 999
_DEPTH = 3


@dataclass(frozen=True)
class Change:
    """The first row after a change, its p-value, and how far it may be misplaced: two windows, in rows."""

    row: int
    p_value: float
    uncertainty: int


def windows_of(rows: int) -> int:
    """How many windows a record of so many rows is cut into; 0 if it is too short."""
    count = min(WINDOWS, rows // FEWEST_ROWS)
    return count if count >= FEWEST_WINDOWS else 0


def local_autocorrelation(x: ArrayLike, width: int) -> Series:
    """Mean over windows of ``width`` rows of their rho_1 … rho_L, shape (L,); the rows that are left over come first.

    A drift across windows does not enter it. NaN if every window is constant.

    Raises:
        ValueError: a value is not finite, or the width does not fit.
    """
    values = checked(x)
    if not 1 <= width <= len(values):
        raise ValueError(f"a window of {width} rows does not fit into {len(values)}.")
    pieces = values[len(values) % width :].reshape(-1, width)
    rho = np.stack([autocorrelation(piece, LAGS)[1:] for piece in pieces])
    seen = np.isfinite(rho).all(axis=1)
    return np.asarray(rho[seen].mean(axis=0), dtype=np.float64) if seen.any() else np.full(LAGS, np.nan)


def find_changes(x: ArrayLike, p_limit: float = 0.01, seed: int = 0) -> list[Change]:
    """The changes of the autocorrelation of a series, shape (rows,), in the order of rows.

    Args:
        x: finite.
        p_limit: of the first search; halved in each deeper one.
        seed: of the permutations.

    Returns:
        Empty if there is none, or if the record is shorter than 12 windows of 50 rows.

    Raises:
        ValueError: a value is not finite.
    """
    values = checked(x)
    count = windows_of(len(values))
    if not count:
        return []
    width = len(values) // count
    start = len(values) - width * count
    pieces = values[start:].reshape(count, width)
    rho = np.stack([autocorrelation(piece, LAGS)[1:] for piece in pieces])
    rho = np.where(np.isfinite(rho), rho, 0.0)  # a window that is constant
    found = sorted(_search(rho, 0, count, p_limit, np.random.default_rng(seed), _DEPTH))
    places = _moved(rho, [place for place, _ in found])
    return [Change(start + place * width, p, 2 * width) for place, (_, p) in zip(places, found, strict=True)]


def _moved(rho: Series, places: list[int]) -> list[int]:
    """Each cut at its best place between its neighbours: the first was found among all the others' changes."""
    moved = list(places)
    for number in range(len(places)):
        begin = moved[number - 1] if number else 0
        end = moved[number + 1] if number + 1 < len(moved) else len(rho)
        moved[number] = begin + 1 + int(np.argmax(_scores(_scaled(rho[begin:end])[None])[0]))
    return moved


def _scaled(rho: Series) -> Series:
    spread = rho.std(axis=0)
    return np.asarray((rho - rho.mean(axis=0)) / np.where(spread > 0, spread, 1.0), dtype=np.float64)


def _search(
    rho: Series, begin: int, end: int, p_limit: float, rng: np.random.Generator, depth: int
) -> list[tuple[int, float]]:
    if end - begin < FEWEST_WINDOWS or depth == 0:
        return []
    place, p_value = best_cut(rho[begin:end], rng)
    if p_value > p_limit:
        return []
    cut = begin + place
    before = _search(rho, begin, cut, p_limit / 2, rng, depth - 1)
    return [*before, (cut, p_value), *_search(rho, cut, end, p_limit / 2, rng, depth - 1)]


def best_cut(rho: Series, rng: np.random.Generator) -> tuple[int, float]:
    """Where to cut rows of statistics, shape (windows, lags): the number of rows before, and the p-value."""
    scaled = _scaled(rho)
    scores = _scores(scaled[None])[0]
    orders = rng.permuted(np.tile(np.arange(len(rho)), (_PERMUTATIONS, 1)), axis=1)
    chance = _scores(scaled[orders]).max(axis=1)
    return int(np.argmax(scores)) + 1, (1 + int((chance >= scores.max() * (1 - 1e-12)).sum())) / (1 + _PERMUTATIONS)


def _scores(scaled: Series) -> Series:
    """T(b), b = 1 … J - 1, of centred and scaled records, shape (records, J, lags) → (records, J - 1)."""
    count = scaled.shape[1]
    sums = np.cumsum(scaled, axis=1)[:, :-1]
    before = np.arange(1, count)
    weights = count / (before * (count - before))  # b (J-b) / J times (1/b + 1/(J-b))², for sums of a centred record
    return np.asarray((sums**2).sum(axis=2) * weights, dtype=np.float64)
