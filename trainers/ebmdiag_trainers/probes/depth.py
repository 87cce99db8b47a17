"""Does d stay where it is when the chains run on? A model of short runs only is right at the depth L alone."""

from __future__ import annotations

import math

from torch import Tensor

from ebmdiag_trainers.probes.moment import Moment

DEPTHS = (0, 1, 2, 5, 10)
"""In units of L; half of L comes besides."""


def depth_scan(moment: Moment) -> dict[str, float | None]:
    """d of fresh chains from the same starts at depths 0, L/2, L, 2L, 5L, 10L, and the drift of U from L to 10L.

    The drift is the mean over chains of U(x_10L) - U(x_L), in its standard errors.
    """
    half = moment.steps // 2
    energies = {0: moment.energy(moment.starts)}
    x, done = moment.starts, 0
    for depth in sorted({half, *(moment.steps * times for times in DEPTHS)} - {0}):
        x, done = moment.run(x, depth - done), depth
        energies[depth] = moment.energy(x)
    data = float(moment.energy(moment.positives).mean())
    found = {f"depth_d_{times}": data - float(energies[moment.steps * times].mean()) for times in DEPTHS}
    return {
        **found,
        "depth_d_half": data - float(energies[half].mean()),
        "depth_drift": _standardized(energies[10 * moment.steps] - energies[moment.steps]),
    }


def _standardized(change: Tensor) -> float | None:
    """Mean over its standard error; None where that is undefined."""
    if len(change) < 2:
        return None
    error = float(change.std()) / math.sqrt(len(change))
    return float(change.mean()) / error if error > 0 else None
