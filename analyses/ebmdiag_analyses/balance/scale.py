"""r's scale: its ceiling and the effective width, and the drift of a step against its noise.

A column is taken where the trace holds it. Else the number is computed from r, ε, N and the data noise, as far as
options, other columns or the recipe tell them. From r only a lower bound of the drift's power is known:
(mean ‖∇F‖)² <= mean ‖∇F‖², nearly equal where N is large.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ebmdiag.errors import TraceError
from ebmdiag_analyses.balance.options import CEILING, DRIFT, TEMPERATURE, WIDTH, Options, R

if TYPE_CHECKING:
    from ebmdiag.trace import Trace

Series = NDArray[np.float64]
Places = NDArray[np.int64]

_SIZES = {"rings": 2, "gmm": 2, "flowers": 3 * 32 * 32, "cifar10": 3 * 32 * 32, "mnist": 32 * 32}
_LARGEST = 1e15


@dataclass(frozen=True)
class Quantity:
    """A series over the rows that hold it: rows, shape (measured,), values; where it comes from; why it is absent."""

    rows: Places = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    values: Series = field(default_factory=lambda: np.zeros(0))
    source: str = ""
    reason: str = ""
    doubt: str = ""


@dataclass(frozen=True)
class Scale:
    """N and the data noise, None where unknown; each with its source."""

    coordinates: int | None
    data_noise: float | None
    source: str


def scale_of(trace: Trace, options: Options) -> Scale:
    """What options, or else the recipe, say."""
    data = _table(trace, "data")
    coordinates, source = options.coordinates, "options"
    if coordinates is None:
        coordinates, source = _recipe_size(data), "recipe"
    noise = options.data_noise
    if noise is None and data:
        noise = _number(data.get("noise", 0.0), 0)
    return Scale(coordinates, noise, source if coordinates else "")


def langevin_steps(trace: Trace) -> int | None:
    """L of the recipe."""
    steps = _number(_table(trace, "langevin").get("steps"), 1)
    return None if steps is None else int(steps)


def _table(trace: Trace, name: str) -> dict[str, Any]:
    table = trace.metadata.recipe.get(name)
    return table if isinstance(table, dict) else {}


def _number(value: Any, smallest: float) -> float | None:
    """What a stranger's recipe says, if it is a number of a possible size."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not smallest <= value < _LARGEST:
        return None
    return float(value)


def _recipe_size(data: dict[str, Any]) -> int | None:
    """N by the data's source: as the trainers make it."""
    source, precisions = data.get("source"), data.get("precisions")
    size: Any = _SIZES.get(str(source))
    if source == "gaussian":
        size = data.get("coordinates") or (len(precisions) if isinstance(precisions, list | tuple) else None)
    elif source not in ("rings", "gmm") and _number(data.get("channels"), 1):
        size = 32 * 32 * data["channels"]
    known = _number(size, 1)
    return None if known is None else int(known)


def quantities(trace: Trace, r: Series, scale: Scale) -> dict[str, Quantity]:
    """r_over_ceiling, drift_to_noise and sigma_eff, from their columns or from r; the chains' temperature, if there."""
    epsilon, found = trace.metadata.epsilon, {}
    every = np.arange(len(r), dtype=np.int64)  # once: that of a long trace is as large as a column
    for name, compute in ((CEILING, _ceiling), (DRIFT, _drift), (WIDTH, _width)):
        column = column_of(trace, name, every)
        found[name] = column if column is not None else compute(r, every, epsilon, scale)
    heat = column_of(trace, TEMPERATURE, every)
    return found if heat is None else {**found, TEMPERATURE: heat}


def column_of(trace: Trace, name: str, every: Places) -> Quantity | None:
    """A column over the rows that hold it; None where there is no such column."""
    if name not in trace.columns:
        return None
    try:
        steps, values = trace.measured(name)
    except TraceError:
        return Quantity(reason=f"{name} has values that are not finite")
    rows = every if len(steps) == len(every) else np.searchsorted(trace.steps, steps).astype(np.int64)
    return Quantity(rows, values, f"column {name}")


def _missing(epsilon: float, scale: Scale) -> str:
    if epsilon == 0:
        return "there is no noise: ε is 0"
    return "" if scale.coordinates else "N is not known: give --coordinates"


def _ceiling(r: Series, every: Places, epsilon: float, scale: Scale) -> Quantity:
    reason = _missing(epsilon, scale)
    if not reason and scale.data_noise is None:
        reason = "the data noise is not known: give --data-noise"
    if not reason and scale.data_noise == 0:
        reason = "data without noise set no ceiling"
    if reason or not scale.data_noise or not scale.coordinates:
        return Quantity(reason=reason)
    ceiling = epsilon**2 / 2 * math.sqrt(scale.coordinates) / scale.data_noise
    return _ratio(r, every, ceiling, 1, "r_t, ε, N and the data noise")


def _drift(r: Series, every: Places, epsilon: float, scale: Scale) -> Quantity:
    reason = _missing(epsilon, scale)
    if reason or not scale.coordinates:
        return Quantity(reason=reason)
    doubt = "from r_t, whose square is less than the mean square of the drift"
    return _ratio(r, every, epsilon * math.sqrt(scale.coordinates), 2, "r_t, ε and N", doubt)


def _width(r: Series, every: Places, epsilon: float, scale: Scale) -> Quantity:
    reason = _missing(epsilon, scale) or ("" if (r > 0).all() else f"{R} is 0 in places")
    if reason or not scale.coordinates:
        return Quantity(reason=reason)
    return _ratio(r, every, epsilon**2 / 2 * math.sqrt(scale.coordinates), -1, "r_t, ε and N")


def _ratio(r: Series, every: Places, unit: float, power: int, source: str, doubt: str = "") -> Quantity:
    """(r / unit)^power, where float64 can hold it."""
    with np.errstate(all="ignore"):
        values = np.asarray((r / np.float64(unit)) ** power, dtype=np.float64)
    if not np.isfinite(values).all():
        return Quantity(reason=f"{source} are of sizes that float64 cannot bring together")
    return Quantity(every, values, source, "", doubt)
