"""Where the parts of a run lie: ``runs/x.parquet`` and the folder ``runs/x/`` beside it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from ebmdiag.errors import UsageError


@dataclass(frozen=True)
class RunFolder:
    """The places of one run, all derived from the path of its trace.

    Example:
        >>> RunFolder.of("runs/sec4_2.parquet").checkpoints.as_posix()
        'runs/sec4_2/checkpoints'
    """

    trace: Path

    @classmethod
    def of(cls, path: str | Path) -> RunFolder:
        """The run of a trace file, or of the folder beside it.

        Raises:
            UsageError: the path does not end in ``.parquet`` and is no run's folder.
        """
        path = Path(path)
        path = path if path.name not in ("", "..") else path.resolve()
        if not path.name:
            raise UsageError(f"{path} is no place for a trace; name a .parquet file.")
        if path.suffix == ".parquet":
            return cls(path)
        if path.is_dir() or not path.suffix:
            return cls(path.with_name(f"{path.name}.parquet"))
        raise UsageError(f"{path}: a trace is a .parquet file (or the run's folder beside it).")

    @property
    def folder(self) -> Path:
        """Everything of the run except the trace itself."""
        return self.trace.with_suffix("")

    @property
    def parts(self) -> Path:
        """Rows that are not yet in the trace file."""
        return self.folder / "trace"

    @property
    def lock(self) -> Path:
        """Held by the process that writes the run."""
        return self.folder / "lock"

    @property
    def recipe(self) -> Path:
        """The resolved recipe."""
        return self.folder / "recipe.toml"

    @property
    def environment(self) -> Path:
        """Versions, device, command."""
        return self.folder / "environment.json"

    @property
    def checkpoints(self) -> Path:
        """States to resume from."""
        return self.folder / "checkpoints"

    @property
    def samples(self) -> Path:
        """Grids of short-run samples."""
        return self.folder / "samples"

    @property
    def landscape(self) -> Path:
        """Two-dimensional densities."""
        return self.folder / "landscape"

    @property
    def chains(self) -> Path:
        """Long and short runs of the model's chains: ebmdiag.chains."""
        return self.folder / "chains"

    def exists(self) -> bool:
        """Whether a trace, or any of its rows, is there."""
        return self.trace.exists() or any(self.parts.glob("part-*.parquet"))

    def remove_extras(self) -> None:
        """Delete what an earlier run left beside its trace; a user's own files in the folder stay."""
        for path in (self.checkpoints, self.samples, self.landscape, self.chains):
            if path.is_dir():
                shutil.rmtree(path)
        for path in (self.recipe, self.environment):
            path.unlink(missing_ok=True)
