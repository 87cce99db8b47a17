"""ebmdiag: diagnose energy-based models trained by MCMC.

The names below are loaded when first used, so that ``import ebmdiag`` and the command line start fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ebmdiag._version import VERSION as __version__

if TYPE_CHECKING:
    from ebmdiag.errors import EbmdiagError
    from ebmdiag.metadata import TraceMetadata
    from ebmdiag.result import Estimate, Finding, Result
    from ebmdiag.rows import iteration_row, temperature
    from ebmdiag.statistics import STATISTICS
    from ebmdiag.trace import Trace, open_trace, read_trace
    from ebmdiag.writer import TraceWriter

_HOMES = {
    "EbmdiagError": "errors",
    "Estimate": "result",
    "Finding": "result",
    "Result": "result",
    "STATISTICS": "statistics",
    "Trace": "trace",
    "TraceMetadata": "metadata",
    "TraceWriter": "writer",
    "iteration_row": "rows",
    "open_trace": "trace",
    "read_trace": "trace",
    "temperature": "rows",
}

__all__ = [
    "STATISTICS",
    "EbmdiagError",
    "Estimate",
    "Finding",
    "Result",
    "Trace",
    "TraceMetadata",
    "TraceWriter",
    "__version__",
    "iteration_row",
    "open_trace",
    "read_trace",
    "temperature",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"ebmdiag.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'ebmdiag' has no attribute '{name}'")
