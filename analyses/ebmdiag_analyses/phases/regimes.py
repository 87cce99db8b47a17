"""Where d changes its mean or its spread for good: change points, each regime with its mean and kind."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ebmdiag.numerics.mean import Mean, mean_with_error
from ebmdiag.numerics.segmentation import Changes, find_changes
from ebmdiag.result import Estimate, Table

Series = NDArray[np.float64]
KEYS = ("regime:count", "regime:first_row", "regime:mean", "regime:spread", "regime:inflation")
_CLEAR = 3.0  # errors from 0; a kind is a word for a regime, not a test


def regimes(x: Series, steps: NDArray[np.int64]) -> tuple[dict[str, Estimate], Table]:
    """Estimates of :data:`KEYS` (the last three: of the last regime, and I) and the table of regimes."""
    found = find_changes(x)
    table = _table(x, steps, found)
    if math.isnan(found.price):
        return dict.fromkeys(KEYS, Estimate.undefined(found.reason)), table
    last = {name: table.columns[name][-1] for name in ("first_row", "mean", "spread")}
    doubt = found.reason
    return {
        "regime:count": Estimate.doubted(float(len(table)), doubt),
        **{f"regime:{name}": Estimate.doubted(float(value), doubt) for name, value in last.items()},
        "regime:inflation": Estimate.doubted(found.inflation, doubt),
    }, table


def _table(x: Series, steps: NDArray[np.int64], found: Changes) -> Table:
    edges = np.concatenate(([0], found.rows, [len(x)])).astype(np.int64)
    means = [mean_with_error(x[low:high]) for low, high in pairwise(edges) if high > low]
    first = edges[:-1][: len(means)]
    return Table(
        "regimes: stretches of one mean and spread",
        {
            "first_row": first,
            "first_step": steps[first],
            "last_step": steps[edges[1:][: len(means)] - 1],
            "rows": np.diff(edges)[: len(means)],
            "mean": np.array([mean.value for mean in means]),
            "error": np.array([mean.error for mean in means]),
            "spread": np.array([mean.deviation for mean in means]),
            "kind": np.array([_kind(mean) for mean in means], dtype=np.str_),
            "gain": np.concatenate(([math.nan], found.gains))[: len(means)],
        },
    )


def _kind(mean: Mean) -> str:
    if not mean.error or not abs(mean.value) > _CLEAR * mean.error:
        return "balanced"
    return "expansion" if mean.value < 0 else "contraction"
