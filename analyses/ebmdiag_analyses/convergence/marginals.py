"""How measures are spread over chains: densities of data, short and long runs, for the figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ebmdiag.result import Table
from ebmdiag_analyses.convergence.images import IMAGE_MEASURES
from ebmdiag_analyses.convergence.select import second_half

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ebmdiag.chains import Chains, Phase

Floats = NDArray[np.float64]
KINDS = ("data", "short", "long")
_SHOWN = 4
_BINS = 16
_TAILS = (0.002, 0.998)


def marginals(chains: Chains) -> dict[str, Table]:
    """Tables ``marginal:NAME``: edge of the bins, and the density of each phase in them (NaN: no such phase).

    The image measures where there are any, else the projections. Of long chains all draws of the second half are used,
    of short ones the last; what lies beyond the 0.2% and 99.8% quantiles of a phase is counted in the outermost bins.
    """
    found = {}
    for name in _chosen(chains.phases):
        values = {kind: _values(phase, name) for kind, phase in chains.phases.items() if phase.has(name)}
        values = {kind: sample for kind, sample in values.items() if len(sample)}
        edges = _edges(list(values.values()))
        if edges is not None:
            found[f"marginal:{name}"] = _table(name, edges, values)
    return found


def _chosen(phases: Mapping[str, Phase]) -> list[str]:
    def recorded(names: list[str]) -> list[str]:
        return [name for name in names if any(phase.has(name) for phase in phases.values())][:_SHOWN]

    projections = sorted({name for phase in phases.values() for name in phase.values if name.startswith("projection_")})
    return recorded(list(IMAGE_MEASURES)) or recorded(projections)


def _values(phase: Phase, name: str) -> Floats:
    values = phase.values[name]
    chosen = values[:, second_half(phase)] if phase.name == "long" else values[:, -1:]
    flat = chosen.ravel()
    return np.asarray(flat[np.isfinite(flat)])


def _edges(samples: list[Floats]) -> Floats | None:
    """Bin edges over the bulk of all phases; None where nothing varies."""
    bounds = np.array([np.quantile(sample, _TAILS) for sample in samples])
    low, high = (float(bounds[:, 0].min()), float(bounds[:, 1].max())) if len(bounds) else (0.0, 0.0)
    return np.linspace(low, high, _BINS + 1) if high > low else None


def _table(name: str, edges: Floats, values: Mapping[str, Floats]) -> Table:
    columns = {"edge": edges}
    for kind in KINDS:
        density = np.full(len(edges), np.nan)
        if kind in values:
            density[:-1] = np.histogram(values[kind].clip(edges[0], edges[-1]), edges, density=True)[0]
        columns[kind] = density
    return Table(f"density of {name}; the last edge closes the last bin", columns)
