"""A CSV log as text cells that know their line in the file, so that every error can say where."""

from __future__ import annotations

import csv
import io
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import numpy as np
from numpy.typing import NDArray

from ebmdiag.errors import TraceError

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_ABSENT = ("", "na", "n/a", "null", "none")


@dataclass(frozen=True)
class CsvTable:
    """The cells of a CSV file as text, and the line of the file on which each row starts, shape (rows,)."""

    path: Path
    cells: pd.DataFrame
    lines: NDArray[np.int64]

    def select(self, kept: NDArray[np.bool_]) -> CsvTable:
        """The rows where ``kept`` holds."""
        return replace(self, cells=self.cells[kept], lines=self.lines[kept])

    def numbers(self, name: str, steps: NDArray[np.int64] | None = None) -> Floats:
        """One column, shape (rows,); NaN where the cell is empty, NA, null or None.

        Raises:
            TraceError: a cell is not a number, or is NaN or infinite (``steps`` then say where to stop).
        """
        text = self.cells[name].str.strip()
        good = text.str.fullmatch(_NUMBER).to_numpy(dtype=bool)
        absent = text.str.lower().isin(_ABSENT).to_numpy(dtype=bool)
        values = np.full(len(text), np.nan)
        values[good] = text[good].to_numpy(dtype=object).astype(np.float64)
        bad = ~(good | absent) | np.isinf(values)
        if bad.any():
            self._refuse(name, int(np.argmax(bad)), steps)
        return values

    def _refuse(self, name: str, row: int, steps: NDArray[np.int64] | None) -> NoReturn:
        cell = str(self.cells[name].iloc[row]).strip()
        try:
            finite = np.isfinite(float(cell))
        except ValueError:
            finite = True
        what = "is not a number" if finite else "is not finite"
        stop = "" if finite or steps is None or row == 0 else f"; keep the rows before it with --until {steps[row - 1]}"
        raise TraceError(f"{self.where(row, name)}: {cell[:80]!r} {what}{stop}.")

    def where(self, row: int, name: str) -> str:
        """File, line and column of a cell, as an error message names them."""
        return f"{self.path}, line {self.lines[row]}, column {name!r}"


def read_csv(path: Path, delimiter: str = ",") -> CsvTable:
    """Read a CSV file with one header line; blank lines are skipped, quoted cells may hold line breaks.

    Raises:
        TraceError: nothing is there, it is empty, binary, not UTF-8, or its rows do not fit its header.
    """
    text = _text(path)
    header = _header(path, text, delimiter)
    cells = _cells(path, text, delimiter, header)
    lines = _line_numbers(text, cells)
    _refuse_short_rows(path, text, delimiter, header)
    filled = (cells != "").any(axis=1).to_numpy(dtype=bool)
    if not filled.any():
        raise TraceError(f"{path} has a header, but no rows.")
    return CsvTable(path, cells[filled], lines[filled])


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except FileNotFoundError as error:
        raise TraceError(f"{path}: no such file.") from error
    except IsADirectoryError as error:
        raise TraceError(f"{path} is a folder, not a CSV file.") from error
    if not raw.strip():
        raise TraceError(f"{path} is empty, not a CSV file.")
    if raw.startswith(b"PAR1"):
        raise TraceError(f"{path} is a Parquet file, not CSV; if it is a trace already, use it as it is.")
    if b"\0" in raw:
        raise TraceError(f"{path} is a binary file (it holds zero bytes), not CSV in UTF-8.")
    try:
        return raw.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise TraceError(
            f"{path}, line {line}: byte 0x{raw[error.start]:02x} is not UTF-8; save the file as UTF-8 first."
        ) from error


def _header(path: Path, text: str, delimiter: str) -> list[str]:
    names = [name.strip() for name in next(csv.reader([text.split("\n", 1)[0]], delimiter=delimiter), [])]
    if not any(names):
        raise TraceError(f"{path}, line 1: the header is empty; the first line must name the columns.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise TraceError(f"{path}, line 1: the header names {twice[0]!r} twice; rename one of the columns.")
    return names


def _cells(path: Path, text: str, delimiter: str, header: list[str]) -> pd.DataFrame:
    import pandas as pd

    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            return pd.read_csv(
                io.StringIO(text),
                sep=delimiter,
                names=header,
                header=0,
                index_col=False,
                dtype=str,
                keep_default_na=False,
                na_filter=False,
                skip_blank_lines=False,
                skipinitialspace=True,
            )
        except pd.errors.ParserWarning as error:
            raise TraceError(
                f"{path}: the rows have more cells than the header's {len(header)}; name every column in line 1 "
                "(or remove the delimiter at the end of the rows)."
            ) from error
        except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
            reason = str(error).strip().splitlines()[0].removeprefix("Error tokenizing data. C error: ")
            raise TraceError(f"{path} is not a regular CSV file: {reason}.") from error


def _refuse_short_rows(path: Path, text: str, delimiter: str, header: list[str]) -> None:
    """A row with fewer cells than the header was cut off; pandas would fill it with empty ones."""
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True)
    for cells in reader:
        if 0 < len(cells) < len(header) and any(cell.strip() for cell in cells):
            raise TraceError(
                f"{path}, line {reader.line_num}: {len(cells)} cells, but the header names {len(header)} columns; "
                "was the row cut off? Remove or complete it."
            )


def _line_numbers(text: str, cells: pd.DataFrame) -> NDArray[np.int64]:
    """The line on which each row starts, shape (rows,); a quoted cell may hold line breaks."""
    breaks = np.ones(len(cells), dtype=np.int64)
    if '"' in text:
        for name in cells.columns:
            breaks += cells[name].str.count("\n").to_numpy(dtype=np.int64)
    return 2 + np.concatenate([[0], np.cumsum(breaks[:-1])]) if len(cells) else breaks
