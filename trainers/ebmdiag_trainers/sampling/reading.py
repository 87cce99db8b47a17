"""Looking back into a finished table in pieces, so that memory does not grow with its rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ebmdiag.arrow import floats

_ROWS = 50_000
Columns = dict[str, NDArray[np.float64]]


def pieces(table: Path, phase: str, columns: Sequence[str]) -> Iterator[Columns]:
    """Numeric columns of one phase, NaN for what is missing, a row group at a time."""
    with pq.ParquetFile(table) as file:
        for batch in file.iter_batches(_ROWS, columns=["phase", *columns]):
            rows = batch.filter(pc.equal(batch.column("phase"), phase))
            if len(rows):
                yield {name: floats(pa.chunked_array([rows.column(name)])) for name in columns}


def late_points(table: Path, last: int, thin: int, chains: int, most: int) -> NDArray[np.float64]:
    """Planar states of the long run from half of its draws on, about ``most`` of them, evenly chosen, (n, 2)."""
    first = -(-last // (2 * thin)) * thin
    step = thin * max(1, (last - first) // thin * chains // most)
    found = [np.zeros((0, 2))]
    for piece in pieces(table, "long", ("draw", "projection_0", "projection_1")):
        chosen = (piece["draw"] >= first) & ((last - piece["draw"]) % step == 0)
        found.append(np.stack([piece[f"projection_{axis}"][chosen] for axis in range(2)], axis=1))
    return np.concatenate(found)
