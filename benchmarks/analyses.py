"""How fast are the correlations? Ours against statsmodels and against the paper's own way, ``np.correlate``.

Run: python benchmarks/analyses.py [repetitions]. The last table is of whole commands in new processes, from a cold
start of Python, and of the memory that they take at most (Linux).
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.signal import lfilter
from statsmodels.tsa.stattools import acf, ccf
from timing import interleaved, machine, spread, table

from ebmdiag.metadata import TraceMetadata
from ebmdiag.numerics.correlation import autocorrelation, crosscorrelation
from ebmdiag.schema import trace_schema

LAG = 15
ROWS = (2_000, 200_000)
COMMANDS = ((200_000, "acf"), (200_000, "ccf"), (200_000, "report"), (10_000_000, "acf"))
PLAIN_LIMIT = 20_000  # np.correlate in full takes the square of the rows
BLOCK = 500_000


def series(rows: int) -> np.ndarray:
    """AR(1) of coefficient 0.5."""
    return lfilter([1.0], [1.0, -0.5], np.random.default_rng(0).standard_normal(rows))


def correlate(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """As the reference implementation computes its figures: all lags, of which 2 * 15 + 1 are kept."""
    full = np.correlate(x - x.mean(), y - y.mean(), "full")
    middle = len(x) - 1
    return full[middle - LAG : middle + LAG + 1]


def time_correlations(repetitions: int) -> None:
    """Print milliseconds of an auto- and of a cross-correlation."""
    rows = []
    for count in ROWS:
        x, y = series(count), np.random.default_rng(1).standard_normal(count)
        cases = {
            "acf, ours": lambda x=x: autocorrelation(x, LAG),
            "acf, statsmodels": lambda x=x: acf(x, nlags=LAG, fft=True),
            "ccf, ours": lambda x=x, y=y: crosscorrelation(x, y, LAG),
            "ccf, statsmodels, one side": lambda x=x, y=y: ccf(x, y, nlags=LAG + 1),
        }
        if count <= PLAIN_LIMIT:
            cases["ccf, np.correlate"] = lambda x=x, y=y: correlate(x, y)
        seconds = interleaved(cases, repetitions)
        rows += [[f"{count:,} rows: {name}", spread(values, 1e-3)] for name, values in seconds.items()]
    print(table(["correlation to lag 15", "milliseconds"], rows))


def write_trace(path: Path, rows: int) -> None:
    """A trace with a few columns filled, in row groups."""
    schema = trace_schema(TraceMetadata.create(epsilon=0.1, producer="benchmark", state="finished"))
    filled = ("d_s_t", "r_t", "v_t", "virial")
    rng = np.random.default_rng(0)
    with pq.ParquetWriter(path, schema) as writer:
        for begin in range(0, rows, BLOCK):
            count = min(BLOCK, rows - begin)
            columns = {name: rng.standard_normal(count) for name in filled}
            columns["step"] = np.arange(begin + 1, begin + count + 1)
            arrays = [
                pa.array(columns[f.name], f.type) if f.name in columns else pa.nulls(count, f.type) for f in schema
            ]
            writer.write_table(pa.table(arrays, schema=schema))


def time_commands(folder: Path) -> None:
    """Print seconds and memory of commands, each in a new process."""
    lines = [["ebmdiag --help", *run(["--help"])]]
    for rows, command in COMMANDS:
        path = folder / f"{rows}.parquet"
        if not path.exists():
            write_trace(path, rows)
        more = ["-o", str(folder / "report.html"), "--force"] if command == "report" else []
        lines.append([f"ebmdiag {command}, {rows:,} rows", *run([command, str(path), *more])])
    print(table(["command", "seconds, least of 3", "MB at most"], lines))


def run(arguments: list[str]) -> list[str]:
    """Seconds and megabytes of one command."""
    program = (
        "import sys\nfrom ebmdiag.cli.main import call\ncall(sys.argv[1:])\n"
        "print(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')), file=sys.stderr)"
    )
    seconds, peak = [], 0
    for _ in range(3):
        begun = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, check=True)
        seconds.append(time.perf_counter() - begun)
        peak = max(peak, int(done.stderr.split()[-2]))
    return [f"{min(seconds):.2f}", f"{peak / 1024:.0f}"]


def main() -> None:
    """Print the tables."""
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    print(f"{machine()}; medians (least to greatest) of interleaved repetitions\n")
    time_correlations(repetitions)
    print()
    with tempfile.TemporaryDirectory() as folder:
        time_commands(Path(folder))


if __name__ == "__main__":
    main()
