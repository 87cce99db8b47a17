"""Where one table of chains and all that belongs to it lies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ebmdiag.errors import UsageError


@dataclass(frozen=True)
class ChainFiles:
    """The places of one table of chains, all derived from its path.

    Example:
        >>> ChainFiles.of("runs/x/chains/a.parquet").samples.as_posix()
        'runs/x/chains/a.npz'
    """

    table: Path

    @classmethod
    def of(cls, path: str | Path) -> ChainFiles:
        """Of a table ``….parquet``.

        Raises:
            UsageError: the path ends otherwise.
        """
        path = Path(path)
        if path.suffix != ".parquet":
            raise UsageError(f"{path}: a table of chains is a .parquet file.")
        return cls(path)

    @property
    def name(self) -> str:
        """The table's name without its ending."""
        return self.table.stem

    @property
    def samples(self) -> Path:
        """Whole states: where short and long runs ended, and data."""
        return self.table.with_suffix(".npz")

    @property
    def folder(self) -> Path:
        """All that is needed while the chains run, and pictures."""
        return self.table.with_suffix("")

    @property
    def parts(self) -> Path:
        """Rows that are not yet in the table."""
        return self.folder / "parts"

    @property
    def state(self) -> Path:
        """What the chains need to go on."""
        return self.folder / "state.pt"

    @property
    def lock(self) -> Path:
        """Held by the process that writes."""
        return self.folder / "lock"

    @property
    def pictures(self) -> Path:
        """Grids of images along the way."""
        return self.folder / "samples"

    @property
    def landscape(self) -> Path:
        """Two-dimensional densities along the way."""
        return self.folder / "landscape"

    def part_paths(self) -> list[Path]:
        """The parts, oldest first."""
        return sorted(self.parts.glob("part-*.parquet"))

    def exists(self) -> bool:
        """Whether the table, or any of its rows, is there."""
        return self.table.exists() or bool(self.part_paths())


def chain_files(folder: Path) -> list[ChainFiles]:
    """The tables of chains in a folder, finished or not, by name."""
    finished = {path for path in folder.glob("*.parquet") if path.is_file()}
    homes = {path.parent.parent for path in folder.glob("*/parts/part-*.parquet")}
    alive = {home.with_name(f"{home.name}.parquet") for home in homes}
    return [ChainFiles(path) for path in sorted(finished | alive)]
