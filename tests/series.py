"""Series with known correlations, and traces that hold given columns."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from scipy.signal import lfilter

from ebmdiag.metadata import TraceMetadata
from ebmdiag.trace import Trace
from ebmdiag.writer import TraceWriter

GOLDEN = Path(__file__).parent / "golden" / "diagnostics.npz"
_BURN_IN = 500


def autoregression(rng, coefficient, shape):
    """AR(1) series along the last axis: rho_k = coefficient^k, mean 0, innovations of variance 1."""
    noise = rng.standard_normal((*shape[:-1], shape[-1] + _BURN_IN))
    return lfilter([1.0], [1.0, -coefficient], noise, axis=-1)[..., _BURN_IN:]


def learning_loop(rng, gain, rows):
    """Difference d and state u of one linear mode: y = u + noise, u' = u - gain y (theory, section 0)."""
    noise = rng.standard_normal(rows + _BURN_IN)
    difference = lfilter([1.0, -1.0], [1.0, -(1.0 - gain)], noise)
    state = difference - noise
    return difference[_BURN_IN:], state[_BURN_IN:]


def memory_trace(columns, steps=None, **facts):
    """A trace in memory; ``d_s_t`` is filled with noise if it is not given."""
    rows = len(next(iter(columns.values())))
    columns = {"d_s_t": np.random.default_rng(0).standard_normal(rows), **columns}
    steps = np.arange(1, rows + 1) if steps is None else np.asarray(steps)
    table = pa.table({"step": steps.astype(np.int64), **{k: np.asarray(v, float) for k, v in columns.items()}})
    facts = {"epsilon": 0.01, "producer": "test", "state": "finished", **facts}
    return Trace(Path("memory.parquet"), table, TraceMetadata.create(**facts))


def written_trace(path, columns, extra=()):
    """A trace file with the given columns, one row an iteration."""
    with TraceWriter(path, epsilon=0.01, extra=extra, flush_rows=10_000) as writer:
        for step, values in enumerate(zip(*columns.values(), strict=True), start=1):
            writer.append({"step": step, **dict(zip(columns, map(float, values), strict=True))})
    return path
