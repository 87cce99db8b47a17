"""Arrow columns as NumPy arrays.

pyarrow's own ``to_numpy`` imports pandas, which costs every command about 0.3 s; DLPack does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterable


def floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Values as float64, shape (rows,); a missing value is NaN."""
    column = column.cast(pa.float64())
    if column.null_count:
        column = column.fill_null(float("nan"))
    return np.concatenate([np.empty(0), *_pieces(column)])


def integers(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """Values as int64, shape (rows,); there must be no missing value."""
    return np.concatenate([np.empty(0, np.int64), *_pieces(column)])


def _pieces(column: pa.ChunkedArray) -> Iterable[NDArray[np.generic]]:
    return [np.from_dlpack(chunk) for chunk in column.chunks if len(chunk)]
