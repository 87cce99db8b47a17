"""How much memory, and how long, does a long trace take? Whole commands in new processes, for few and many columns.

Run: python benchmarks/memory.py [rows] [command...]. Ten million rows need 4 GB of disk for the temporary folder. The
memory is the most that the process ever held resident (Linux).
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
from timing import machine, table

from ebmdiag.metadata import TraceMetadata
from ebmdiag.schema import trace_schema

ROWS = 10_000_000
FILLED = (4, 40)
COMMANDS = ("diagnose", "report")
GROUP = 50_000  # rows: what a trainer's writer makes
_PROGRAM = (
    "import sys\nfrom ebmdiag.cli.main import call\ncode = call(sys.argv[1:])\n"
    "print(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')), file=sys.stderr)\n"
    "sys.exit(code)"
)


def write_trace(path: Path, rows: int, filled: int) -> None:
    """A settled run: the first ``filled`` columns are AR(1) about 1 (d_s_t: about 0), all others null."""
    schema = trace_schema(TraceMetadata.create(epsilon=0.1, producer="benchmark", state="finished"))
    names = [name for name in schema.names if name != "step"][:filled]
    rng = np.random.default_rng(0)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for begin in range(0, rows, GROUP):
            count = min(GROUP, rows - begin)
            known = {name: pa.array(_stretch(name, count, rng)) for name in names}
            known["step"] = pa.array(np.arange(begin + 1, begin + count + 1))
            arrays = [known.get(field.name, pa.nulls(count, field.type)) for field in schema]
            writer.write_table(pa.table(arrays, schema=schema))


def _stretch(name: str, rows: int, rng: np.random.Generator) -> np.ndarray:
    values = lfilter([0.1], [1.0, -0.5], rng.standard_normal(rows))
    return values if name == "d_s_t" else 1 + values


def measured(arguments: list[str]) -> tuple[float, float]:
    """Seconds and megabytes of one command.

    Raises:
        CalledProcessError: it failed.
    """
    begun = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", _PROGRAM, *arguments], capture_output=True, text=True, check=True)
    return time.perf_counter() - begun, int(done.stderr.split()[-2]) / 1024


def main() -> None:
    """Print the table."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    commands = sys.argv[2:] or COMMANDS
    print(f"{machine()}; {rows:,} rows\n")
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for filled in FILLED:
            path = Path(folder) / f"filled{filled}.parquet"
            write_trace(path, rows, filled)
            for command in commands:
                out = ["-o", str(path.with_suffix(".html")), "--force"] if command == "report" else []
                seconds, peak = measured([command, str(path), *out])
                lines.append([f"`ebmdiag {command}`", str(filled), f"{seconds:.0f}", f"{peak:.0f}"])
            path.unlink()
    print(table(["command", "columns with values", "seconds", "MB at most"], lines))


if __name__ == "__main__":
    main()
