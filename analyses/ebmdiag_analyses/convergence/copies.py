"""Are short or long runs copies of training items?

The distance of each sample to its nearest training item beside that of data that were kept from training, by the
one-sided rank test of numerics.neighbours (Meehan, Chaudhuri and Dasgupta 2020, arXiv:2004.05675). Data that were
trained on have themselves (or their noise) as nearest item; then nothing is proved.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ebmdiag.result import Estimate, Table

if TYPE_CHECKING:
    from ebmdiag.chains import Chains, Samples

Floats = NDArray[np.float64]
NOT_HELD_OUT = (
    "the data compared with were trained on, so their own nearest item is themselves; keep some from training "
    "(data.held_out)"
)
_NAMES = ("copies:short", "copies:short_ratio", "copies:long", "copies:long_ratio")


def copies(chains: Chains, samples: Samples | None, reason: str) -> tuple[dict[str, Estimate], dict[str, Table]]:
    """Estimates ``copies:short`` and ``copies:long`` (p of "not nearer than data"), each with ``_ratio``: median
    distance over the data's. Table ``nearest``: quartiles by phase. Nothing for a density, which has no items.
    """
    if samples is None:
        return dict.fromkeys(_NAMES, Estimate.undefined(reason)), {}
    distances = {kind: _independent(chains, samples, kind) for kind in ("data", "short", "long")}
    known = {kind: found for kind, found in distances.items() if found is not None and len(found)}
    if not known:
        return {}, {}
    doubt = "" if chains.metadata.held_out else NOT_HELD_OUT
    estimates: dict[str, Estimate] = {}
    for kind in ("short", "long"):
        if kind in known:
            estimates |= _compared(kind, known[kind], known.get("data"), doubt)
    return estimates, {"nearest": _table(known)}


def _independent(chains: Chains, samples: Samples, kind: str) -> Floats | None:
    """Distances of one chain of each start; of all data."""
    found: Floats | None = getattr(samples, f"nearest_{kind}")
    phase = chains.phases.get(kind)
    if found is None or kind == "data" or phase is None or len(phase.starts) != len(found):
        return found
    return found[np.sort(np.unique(phase.starts, return_index=True)[1])]


def _compared(kind: str, found: Floats, data: Floats | None, doubt: str) -> dict[str, Estimate]:
    from ebmdiag.numerics.neighbours import copying_test

    if data is None:
        nothing = Estimate.undefined("there are no distances of data to compare with")
        return {f"copies:{kind}": nothing, f"copies:{kind}_ratio": nothing}
    test = copying_test(found, data)
    doubt = doubt or test.reason
    values = {"": test.p_value, "_ratio": test.ratio}
    return {
        f"copies:{kind}{key}": Estimate.doubted(value, doubt) if math.isfinite(value) else Estimate.undefined(doubt)
        for key, value in values.items()
    }


def _table(known: dict[str, Floats]) -> Table:
    quartiles = np.array([np.nanquantile(found, (0, 0.25, 0.5, 0.75, 1)) for found in known.values()])
    names = ("lowest", "lower_quartile", "median", "upper_quartile", "highest")
    columns = {name: quartiles[:, place] for place, name in enumerate(names)}
    return Table("distance to the nearest training item", {"phase": np.array(list(known), dtype=object), **columns})
