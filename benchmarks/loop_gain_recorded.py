"""The loop gain of the three series recorded from the reference implementation, last two thirds of each.

Run: python benchmarks/loop_gain_recorded.py [tests/golden/diagnostics.npz]
"""

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa

from ebmdiag.metadata import TraceMetadata
from ebmdiag.trace import Trace
from ebmdiag_analyses.loop_gain import Options, analyse, judge, text

RECORDED = Path(__file__).parent.parent / "tests" / "golden" / "diagnostics.npz"
OPTIMIZERS = {
    "rings": {"name": "sgd", "momentum": 0.0},
    "flowers": {"name": "adam", "beta1": 0.9},
    "flowers_beta0": {"name": "adam", "beta1": 0.0},
}


def trace(run: str, recorded: dict[str, np.ndarray]) -> Trace:
    """The last two thirds of a recorded run."""
    d, r = recorded[f"{run}/d_s_t"], recorded[f"{run}/r_s_t"]
    first = len(d) // 3
    columns = {"step": np.arange(first + 1, len(d) + 1), "d_s_t": d[first:], "r_t": r[first:]}
    metadata = TraceMetadata.create(
        epsilon=0.01, producer="reference", state="finished", recipe={"optimizer": OPTIMIZERS[run]}
    )
    return Trace(Path(f"{run}.parquet"), pa.table(columns), metadata)


def main() -> None:
    """Print what the analysis says of each run."""
    with np.load(sys.argv[1] if len(sys.argv) > 1 else RECORDED) as file:
        recorded = dict(file)
    for run in OPTIMIZERS:
        result = analyse(trace(run, recorded), Options())
        found = (f"= {finding.statement}" for finding in judge(result))
        print("\n".join([*text(result), *found]), end="\n\n")
        fitted = {name: estimate for name, estimate in result.estimates.items() if name.startswith("fit:")}
        for name, estimate in fitted.items():
            print(f"  {name}: {estimate.value} ({estimate.low} to {estimate.high}) {estimate.reason}")
        print()


if __name__ == "__main__":
    main()
