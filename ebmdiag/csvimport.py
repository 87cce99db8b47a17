"""From somebody's CSV log to the columns of a trace: the pure conversion, with every choice on record.

Conventions. A log may hold network outputs F or energies U = F / T with T = ε²/2, and its network may be an
energy (p ∝ exp(-U), sign +1) or its negative (f = -E, p ∝ exp(f), sign -1). For a quantity q of the log:

- energies and d_s_t become sign · q / T if the log holds F, and sign · q if it holds U;
- their spreads become q / T, or q (a spread has no sign), and z_t becomes sign · q (it has no unit);
- r_t = mean ‖∇F‖ and v_t = mean ‖∇U‖ = r_t / T are what their names say, whatever the energies are.

What is absent is derived where the contract defines it: d_s_t from the two energy means, v_t from r_t and back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ebmdiag.csvtable import CsvTable
from ebmdiag.errors import TraceError, UsageError
from ebmdiag.names import nearest
from ebmdiag.rows import temperature
from ebmdiag.schema import check_column_name
from ebmdiag.statistics import BY_COLUMN

Floats = NDArray[np.float64]

_ENERGIES = ("d_s_t", "energy_pos_mean", "energy_neg_mean")
_SPREADS = ("energy_pos_sd", "energy_neg_sd")
_OTHER_NAMES = {"r_s_t": "r_t", "v_s_t": "v_t"}  # as the reference code calls them
_LARGEST_STEP = 2**53  # above, a float no longer holds every whole number


@dataclass(frozen=True)
class Convention:
    """What the numbers of the log are.

    Attributes:
        epsilon: ε of the Langevin noise, at least 0; sets T.
        mapping: trace column (or one of your own) → CSV column.
        energy: the log's energies are network outputs F, or U = F / T.
        sign: -1 if the network is the negative energy f = -E.
        last_step: leave out later rows.
    """

    epsilon: float
    mapping: Mapping[str, str] = field(default_factory=dict)
    energy: Literal["F", "U"] = "U"
    sign: Literal[1, -1] = 1
    last_step: int | None = None

    def factor(self, column: str) -> float:
        """What a number of this column is to be multiplied with."""
        scale = 1 / temperature(self.epsilon) if self.energy == "F" else 1.0
        if column in _ENERGIES:
            return self.sign * scale
        if column in _SPREADS:
            return scale
        return float(self.sign) if column == "z_t" else 1.0


@dataclass(frozen=True)
class Converted:
    """The rows of a trace, and how they came about.

    ``columns`` are float64 of shape (rows,), NaN where absent; ``taken`` maps a trace column to its CSV column,
    ``derived`` to what it was computed from; ``left_out`` are CSV columns that nobody asked for.
    """

    steps: NDArray[np.int64]
    columns: Mapping[str, Floats]
    taken: Mapping[str, str]
    derived: Mapping[str, str]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def extra(self) -> list[str]:
        """Columns of the user's own."""
        return [name for name in self.columns if name not in BY_COLUMN]

    def rows(self) -> Iterator[dict[str, float | int | None]]:
        """One mapping a row; absent values are None (``elapsed_s`` too: the writer must not fill it in)."""
        plain = {
            name: [None if value != value else value for value in column.tolist()]
            for name, column in self.columns.items()
        }
        for row, step in enumerate(self.steps.tolist()):
            yield {"elapsed_s": None, "step": step, **{name: column[row] for name, column in plain.items()}}


def convert(table: CsvTable, convention: Convention) -> Converted:
    """The columns of a trace from the cells of a log.

    Raises:
        UsageError: the mapping names a column that does not exist, or one column twice.
        TraceError: a cell is not a finite number, steps do not increase, or d_s_t cannot be had.
    """
    taken, left_out = _plan(table, convention.mapping)
    steps, notes = _steps(table, taken.get("step"))
    if convention.last_step is not None:
        table, steps = _until(table, steps, convention.last_step)
    columns: dict[str, Floats] = {}
    for column, name in taken.items():
        if column != "step":
            with np.errstate(over="ignore"):
                columns[column] = table.numbers(name, steps) * convention.factor(column)
    derived = _derive(columns, temperature(convention.epsilon))
    _refuse_overflow(table, columns, {**taken, **derived})
    _require_difference(table, columns, {**taken, **derived})
    own = [name for name in columns if name not in BY_COLUMN]
    ordered = {name: columns[name] for name in (*BY_COLUMN, *own) if name in columns}
    return Converted(steps, ordered, taken, derived, left_out, (*notes, *_spacing(steps)))


def _plan(table: CsvTable, mapping: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Which CSV column becomes which trace column, and which are left out."""
    names = [str(name) for name in table.cells.columns]
    for column, name in mapping.items():
        _check_target(column)
        if name not in names:
            raise UsageError(f"{table.path}: no column {name!r}{nearest(name, names)} It has: {_listed(names)}.")
    asked = list(mapping.values())
    twice = [name for name in asked if asked.count(name) > 1]
    if twice:
        raise UsageError(f"--map uses the CSV column {twice[0]!r} twice; each can become one column of the trace.")
    taken = {name: name for name in names if name in BY_COLUMN and name not in mapping and name not in asked}
    taken |= mapping
    return taken, tuple(name for name in names if name not in taken.values())


def _listed(names: list[str]) -> str:
    return ", ".join(name if name.isprintable() else ascii(name) for name in names)


def _check_target(column: str) -> None:
    """Refuse a name that is neither the trace's own nor fit to be one of the user's; catch misspellings."""
    if column in BY_COLUMN:
        return
    close = _OTHER_NAMES.get(column) or next(iter(get_close_matches(column, BY_COLUMN, n=1, cutoff=0.8)), None)
    if close:
        raise UsageError(f"--map: the trace has no column '{column}'; did you mean '{close}'?")
    check_column_name(column)


def _steps(table: CsvTable, name: str | None) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Iteration numbers from 1, shape (rows,), and what had to be done to get them."""
    if name is None:
        rows = np.arange(1, len(table.lines) + 1, dtype=np.int64)
        return rows, ("no step column: rows are numbered from 1 (name one with --map step=COLUMN)",)
    values = table.numbers(name)
    whole = (values == np.round(values)) & (np.abs(values) <= _LARGEST_STEP)
    if not whole.all():
        row = int(np.argmin(whole))
        cell = str(table.cells[name].iloc[row]).strip()
        raise TraceError(f"{table.where(row, name)}: {cell!r} is not a whole number, as a step must be.")
    steps = values.astype(np.int64)
    _require_increase(table, name, steps)
    if steps[0] == 0:
        return steps + 1, ("the log counts steps from 0, a trace from 1: every step is one higher",)
    if steps[0] < 0:
        raise TraceError(f"{table.where(0, name)}: step {steps[0]} is negative.")
    return steps, ()


def _require_increase(table: CsvTable, name: str, steps: NDArray[np.int64]) -> None:
    wrong = np.diff(steps) <= 0
    if wrong.any():
        row = int(np.argmax(wrong)) + 1
        raise TraceError(
            f"{table.where(row, name)}: step {steps[row]} comes after step {steps[row - 1]} of line "
            f"{table.lines[row - 1]}, but steps must increase. A log that was resumed repeats steps: remove the "
            "rows that the resumed run replaced."
        )


def _until(table: CsvTable, steps: NDArray[np.int64], last: int) -> tuple[CsvTable, NDArray[np.int64]]:
    kept = steps <= last
    if not kept.any():
        raise UsageError(f"{table.path}: no row up to step {last}; the first step is {steps[0]}.")
    return table.select(kept), steps[kept]


def _derive(columns: dict[str, Floats], scale: float) -> dict[str, str]:
    """Add the columns that follow from others; tell which, and from what."""
    derived = {}
    with np.errstate(over="ignore"):
        if "d_s_t" not in columns and {"energy_pos_mean", "energy_neg_mean"} <= set(columns):
            columns["d_s_t"] = columns["energy_pos_mean"] - columns["energy_neg_mean"]
            derived["d_s_t"] = "energy_pos_mean - energy_neg_mean"
        if "v_t" not in columns and "r_t" in columns:
            columns["v_t"] = columns["r_t"] / scale
            derived["v_t"] = "r_t / temperature"
        elif "r_t" not in columns and "v_t" in columns:
            columns["r_t"] = columns["v_t"] * scale
            derived["r_t"] = "v_t * temperature"
    return derived


def _refuse_overflow(table: CsvTable, columns: Mapping[str, Floats], sources: Mapping[str, str]) -> None:
    for column, values in columns.items():
        if np.isinf(values).any():
            row = int(np.argmax(np.isinf(values)))
            raise TraceError(f"{table.where(row, sources[column])}: {column} is too large for a float64.")


def _require_difference(table: CsvTable, columns: Mapping[str, Floats], sources: Mapping[str, str]) -> None:
    if "d_s_t" not in columns:
        names = [str(name) for name in table.cells.columns]
        wrong_cut = " (one column only: is --delimiter right?)" if len(names) == 1 else ""
        raise TraceError(
            f"{table.path}: nothing says which column is d_s_t, the mean energy of the data minus that of the samples; "
            "add --map d_s_t=COLUMN, or --map energy_pos_mean=COLUMN and --map energy_neg_mean=COLUMN. "
            f"The file has: {_listed(names)}{wrong_cut}."
        )
    absent = np.isnan(columns["d_s_t"])
    if absent.any():
        row = int(np.argmax(absent))
        raise TraceError(
            f"{table.where(row, sources['d_s_t'])}: the cell is empty, but every row of a trace needs d_s_t; "
            f"remove such rows ({int(absent.sum())} of {len(absent)})."
        )


def _spacing(steps: NDArray[np.int64]) -> Iterator[str]:
    gaps = np.diff(steps)
    if not (gaps > 1).any():
        return
    if (gaps == gaps[0]).all():
        yield f"one row every {gaps[0]} steps: lags of any correlation count rows, not iterations"
    else:
        row = int(np.argmax(gaps > 1))
        yield f"{int((gaps > 1).sum())} gaps between steps; after step {steps[row]} comes {steps[row + 1]}"
