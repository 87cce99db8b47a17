"""Is there a run where a person points? If not: what was looked for, and what to name instead."""

from __future__ import annotations

from pathlib import Path

from ebmdiag.errors import TraceError
from ebmdiag.runfolder import RunFolder


def require_run(path: Path) -> Path:
    """The same path, if there is a trace or rows of one.

    Raises:
        TraceError: there is none.
        UsageError: the path is no place for a run.
    """
    run = RunFolder.of(path)
    if run.exists():
        return path
    raise TraceError(
        f"{path}: no such trace: neither the file {run.trace} is there nor rows of a run in {run.parts}; "
        f"{_instead(run.folder)}."
    )


def _instead(folder: Path) -> str:
    inside = sorted(folder.glob("*.parquet"))
    if inside:
        return f"the folder {folder} holds traces, so name one of them, such as {inside[0]}"
    return "name a trace, a .parquet file, or the folder beside it that 'ebmdiag train' made"
