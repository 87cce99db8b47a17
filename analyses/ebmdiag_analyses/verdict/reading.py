"""What the rules read from the results: a number or a table by name, None where it was not computed."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ebmdiag.result import Estimate, Result, Table

Results = Mapping[str, Result]
Series = NDArray[np.float64]


def estimate(results: Results, analysis: str, name: str) -> Estimate | None:
    """An estimate that has a finite value."""
    result = results.get(analysis)
    found = result.estimates.get(name) if result else None
    return found if found is not None and _finite(found.value) else None


def value(results: Results, analysis: str, name: str) -> float | None:
    """The value of an estimate, reliable or not."""
    found = estimate(results, analysis, name)
    return None if found is None else found.value


def reliable(results: Results, analysis: str, name: str) -> float | None:
    """The value of an estimate that is to be trusted."""
    found = estimate(results, analysis, name)
    return found.value if found is not None and found.reliable else None


def table(results: Results, analysis: str, name: str) -> Table | None:
    """A table with at least one row."""
    result = results.get(analysis)
    found = result.tables.get(name) if result else None
    return found if found is not None and len(found) else None


def column(found: Table | None, name: str) -> Series | None:
    """One numeric column of a table."""
    if found is None or name not in found.columns:
        return None
    return np.asarray(found.columns[name], dtype=np.float64)


def rows_of(results: Results) -> int:
    """Rows of the trace that was looked at; 0 where nothing was."""
    return max((result.rows for name, result in results.items() if name not in ("convergence", "landscape")), default=0)


def spacing(results: Results) -> int | None:
    """Iterations a row; None where the rows are irregular or nothing says."""
    for result in results.values():
        if "iterations_per_row" in result.settings:
            found = result.settings["iterations_per_row"]
            return None if found is None else int(found)
    return 1


def _finite(found: float | None) -> bool:
    return found is not None and math.isfinite(found)
