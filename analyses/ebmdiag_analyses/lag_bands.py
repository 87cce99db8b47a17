"""Which band to draw around 0: the option that acf and ccf share, and the half-width that belongs to it.

``bartlett``: what a correlation of 0 strays by chance, the memory of the series allowed for (ebmdiag.numerics.bands):
for an autocorrelation at lag k the memory up to lag k - 1, for a cross-correlation that of two independent series.
``white``: z/√n, as most plots draw it, right only without memory. ``bootstrap``: the error of the very correlation that
is there, from stretches of the record (ebmdiag.numerics.bootstrap); it asks neither for a linear process, nor for
innovations of equal spread, nor for the independence of the two series.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ebmdiag.errors import UsageError
from ebmdiag.names import nearest
from ebmdiag.numerics.bands import IndependenceError, bartlett_errors, independence_error, quantile
from ebmdiag.numerics.bootstrap import correlation_errors
from ebmdiag.numerics.scaling import spread_share
from ebmdiag_analyses.conventions import LagOptions

Series = NDArray[np.float64]

BANDS = ("bartlett", "white", "bootstrap")
SAID = {"bartlett": "Bartlett", "white": "white noise", "bootstrap": "block bootstrap"}
"""How each band is called."""


@dataclass(frozen=True, kw_only=True)
class BandOptions(LagOptions):
    """Those of a correlation by lag, and the band.

    Raises:
        UsageError: a value is out of range.
    """

    bands: str = field(
        default="bartlett",
        metadata={"help": "Band around 0: bartlett allows for memory, bootstrap assumes no model.", "choices": BANDS},
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bands not in BANDS:
            raise UsageError(f"unknown bands '{self.bands}'{nearest(self.bands, BANDS)} Known: {', '.join(BANDS)}.")

    def settings(self) -> dict[str, int | float | str | None]:
        """These options as they take effect, for a result."""
        return {**super().settings(), "bands": self.bands}


def autocorrelation_band(x: Series, rho: Series, options: BandOptions, *, centred: bool) -> Series:
    """Half-width at each lag of ``rho``, shape (lags,); NaN at lag 0."""
    if options.bands == "bootstrap":
        return _bootstrap(x, x, np.arange(len(rho)), options.level, (centred, centred))
    errors = bartlett_errors(rho, len(x)) if options.bands == "bartlett" else _white(rho, len(x))
    return np.asarray(quantile(options.level) * errors, dtype=np.float64)


def _white(rho: Series, rows: int) -> Series:
    errors = np.full(len(rho), _one_white(rows))
    errors[0] = np.nan
    return errors


def _one_white(rows: int) -> float:
    return 1 / math.sqrt(max(rows, 1))


def crosscorrelation_band(
    x: Series, y: Series, max_lag: int, options: BandOptions, centred: tuple[bool, bool]
) -> tuple[Series, str]:
    """Half-width at lags -max_lag … max_lag, shape (2 max_lag + 1,), and why not to trust it, or an empty string."""
    lags = np.arange(-max_lag, max_lag + 1)
    if options.bands == "bootstrap":
        return _bootstrap(x, y, lags, options.level, centred), ""
    error = independence_error(x, y) if options.bands == "bartlett" else IndependenceError(_one_white(len(x)), "")
    # a series that is not centred is longer, and its correlations are smaller
    share = math.prod(1.0 if centre else spread_share(each) for centre, each in zip(centred, (x, y), strict=True))
    return np.full(len(lags), quantile(options.level) * error.value * share), error.reason


def _bootstrap(x: Series, y: Series, lags: NDArray[np.int64], level: float, centred: tuple[bool, bool]) -> Series:
    return correlation_errors(x, y, lags, centred=centred).half_width(level)


def reach(half: Series) -> float:
    """One number for a band: its half-width where it is narrowest, NaN if there is none."""
    finite = half[np.isfinite(half)]
    return float(finite.min()) if len(finite) else math.nan
