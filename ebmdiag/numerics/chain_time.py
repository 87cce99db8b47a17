"""Integrated autocorrelation time of many chains: how many draws of a chain are worth one independent one.

With the mean x̄ of all draws of all M chains of D draws each,

    c_k = 1/(M D) sum_m sum_t (x_m[t+k] - x̄)(x_m[t] - x̄),   rho_k = c_k / c_0,   tau = 1 + 2 sum_{0<k<=W} rho_k.

The autocovariances are averaged over the chains before the sum is cut, as the page on autocorrelation of emcee
(Foreman-Mackey et al. 2013, arXiv:1202.3665) advises: their noise falls with M, and one window serves all. W is Sokal's
window (1997, "Monte Carlo methods in statistical mechanics"), the smallest

    W >= 5 tau(W)   and   W >= 5 s(W),   s(W) = 1 + 2 sum_{0<k<=W} rho_k²;

the second condition rarely binds where correlations are positive, and keeps an alternating series (AR(1) of
coefficient f < 0, tau = (1 + f)/(1 - f) < 1) from being cut at its first lags: there Sokal's rule alone gives 0.
The error is that of Madras and Sokal 1988 (J. Stat. Phys. 50:109) with one term more,

    Var(tau) ≈ 2 [(2W + 1) tau² + s] / (M D):

tau is the spectrum at frequency 0 seen through the window's kernel sin((2W + 1)ω/2) / sin(ω/2), whose square is
2W + 1 on average near 0 and about 1 far from it, where an alternating series has its peak, of integral s.

Why x̄ is pooled. Chains centred on their own means (as in emcee) forget that they disagree: chains that are stuck in
different modes would look as fast as the motion within a mode. Centred on x̄, a share s of the variance that lies
between chains stays in rho_k at all lags: the window stays open for s above about 1/10, and tau is too large by
about (1 - s)/(1 - 10 s) below. A small share is better seen by R-hat (numerics.ranks). For M = 1 both are the same.

What comes back:

    input                                         value           reason
    not (M, D), or no chain                       ValueError
    fewer than 4 draws per chain                  NaN             too few
    a value that is not finite                    NaN             in how many chains
    all draws equal, up to rounding               NaN             constant
    some chains constant                          number          how many never move
    D < 50 tau                                    number          how many draws are needed
    no window within D/2 lags                     sum to D/2      the chains remember for longer
    rho_k beyond W, up to D/10, not by chance     sum to W        the chains remember again, and at which lag
    sum not above 0 (strongly alternating)        number          too close to 0
    else                                          number          empty
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ebmdiag.numerics.bands import later_memory, remembers_again, windowed_sum
from ebmdiag.numerics.correlation import fast_length
from ebmdiag.numerics.scaling import MIN_ROWS, Series, deviations, undefined

TIMES_NEEDED = 50
_SOKAL = 5.0
Draws = NDArray[np.float64]


@dataclass(frozen=True)
class ChainTime:
    """tau in draws of one chain, its standard error, the window W in lags, and the draws each chain needs: 50 tau.

    ``reason`` says why tau is undefined (NaN) or not to be trusted; empty if it is fine.
    """

    value: float
    error: float
    window: int
    needed_draws: int | None
    reason: str


def chain_time(draws: ArrayLike) -> ChainTime:
    """tau of draws of shape (M chains, D draws), pooled over the chains; see the table above.

    Raises:
        ValueError: another shape, or no chain.
    """
    values = chains_of(draws)
    trouble = no_draws(values)
    if trouble:
        return ChainTime(math.nan, math.nan, 0, None, trouble)
    rho = pooled_autocorrelation(values)
    window, closed = sokal_window(rho)
    time = 1 + 2 * float(rho[1 : window + 1].sum())
    squares = 1 + 2 * float((rho[1 : window + 1] ** 2).sum())
    error = math.sqrt(2 * ((2 * window + 1) * time**2 + squares) / values.size)
    needed = math.ceil(TIMES_NEEDED * max(time, 0.0))
    reason = _doubt(values, time, needed, closed=closed)
    later = later_memory(_without_plateau(rho[: values.shape[1] // 10 + 1], window), window, values.size)
    return ChainTime(time, error, window, needed, reason or remembers_again(later, "the chains remember"))


def chains_of(draws: ArrayLike) -> Draws:
    """The draws as float64, shape (M, D).

    Raises:
        ValueError: another shape, or no chain.
    """
    values = np.asarray(draws, dtype=np.float64)
    if values.ndim != 2 or not len(values):
        raise ValueError(f"draws must have shape (chains, draws) with at least one chain, but have {values.shape}")
    return values


def no_draws(values: Draws) -> str:
    """Why chains have no correlation and no spread, or an empty string if they have."""
    chains, count = values.shape
    if count < MIN_ROWS:
        return f"{count} draws per chain are too few: at least {MIN_ROWS} are needed"
    broken = int(np.count_nonzero(~np.isfinite(values).all(1)))
    if broken:
        return f"{broken} of {chains} chains hold a value that is not finite"
    return undefined(values.ravel()).replace("the series is", "all draws are")


def pooled_autocorrelation(values: Draws) -> Series:
    """rho at lags 0 … D // 2, shape (D // 2 + 1,), about the mean of all draws; finite draws that are not constant."""
    centred = deviations(values.ravel())[0].reshape(values.shape)
    draws = values.shape[1]
    size = fast_length(draws + draws // 2)  # padding: lags up to D // 2 must not meet the other end
    power = np.zeros(size // 2 + 1)
    for chain in centred:
        spectrum = np.fft.rfft(chain, size)
        power += spectrum.real**2 + spectrum.imag**2
    covariance = np.fft.irfft(power, size)[: draws // 2 + 1]
    return np.asarray(covariance / covariance[0], dtype=np.float64)


def sokal_window(rho: Series) -> tuple[int, bool]:
    """W and whether it closed within the lags 0 … K of ``rho``; K where it did not."""
    lags = np.arange(1, len(rho))
    wide = np.flatnonzero(lags >= _SOKAL * (1 + 2 * np.cumsum(rho[1:])))
    squares = windowed_sum(rho**2)
    if not len(wide) or not squares.closed:
        return len(rho) - 1, False
    return max(int(lags[wide[0]]), squares.window), True


def _without_plateau(rho: Series, window: int) -> Series:
    """rho less its median beyond the window: what chains that disagree keep at all lags is no memory after a gap."""
    level = float(np.median(rho[window + 1 :])) if len(rho) > window + 1 else 0.0
    return np.concatenate((rho[: window + 1], rho[window + 1 :] - level))


def still_chains(values: Draws) -> str:
    """How many chains are constant, or an empty string if none is."""
    still = int(np.count_nonzero(values.min(1) == values.max(1)))
    return f"{still} of {len(values)} chains never move" if still else ""


def _doubt(values: Draws, time: float, needed: int, *, closed: bool) -> str:
    draws = values.shape[1]
    if still_chains(values):
        return still_chains(values)
    if time <= 0:
        return "the draws alternate so strongly that the autocorrelation time cannot be told from 0"
    if draws < needed:
        return (
            f"{draws} draws per chain are {draws / time:.2g} autocorrelation times of {time:.3g} draws; "
            f"about {needed} draws are needed"
        )
    return "" if closed else f"the chains remember for longer than {draws} draws can show"
