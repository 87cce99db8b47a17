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


def floats(column: pa.ChunkedArray | pa.Array) -> NDArray[np.float64]:
    """Values as float64, shape (rows,), steps above 2⁵³ to the nearest; a missing value is NaN."""
    column = column.cast(pa.float64(), safe=False)
    if column.null_count:
        column = column.fill_null(float("nan"))
    return np.concatenate([np.empty(0), *_pieces(column)])


def integers(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """Values as int64, shape (rows,); there must be no missing value."""
    return np.concatenate([np.empty(0, np.int64), *_pieces(column)])


def validity(column: pa.ChunkedArray | pa.Array) -> NDArray[np.bool_]:
    """Where a value is, shape (rows,)."""
    bytes_ = column.is_valid().cast(pa.uint8())  # DLPack knows no bits
    return np.concatenate([np.empty(0, np.uint8), *_pieces(bytes_)]).view(np.bool_)


def _pieces(column: pa.ChunkedArray | pa.Array) -> Iterable[NDArray[np.generic]]:
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    return [np.from_dlpack(chunk) for chunk in chunks if len(chunk)]
