"""The second axis of the calibration: what is kept of its chains and traces, and what the rules say of it.

Of a table of chains the numbers are kept that the overall finding rests on (estimates and two tables, to six digits),
of a trace its columns. The rules were mended on the seeds of half 0; half 1, which is kept, only measures.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from calibration_cases import Case, kept, verdict_of
from series import memory_trace

from ebmdiag.result import Estimate, Result, Table
from ebmdiag_analyses.convergence.limits import LIMITS
from ebmdiag_analyses.convergence.overall import overall
from ebmdiag_analyses.verdict import rules

FOLDER = Path(__file__).parent / "calibration"
CHAINS, COLUMNS = FOLDER / "chains.npz", FOLDER / "columns.npz"
TABLES = ("agreement", "two_sample")
UNSEEN = "what nothing recorded shows"
"""The group whose truth is in no table: told apart, for its share in a collection says nothing of any other."""


@dataclass(frozen=True)
class Chain:
    """One table of chains: its family, what is true of it, and what was computed."""

    family: str
    group: str
    label: str
    distance: float
    seed: int
    result: Result


def place_of(chain: Chain, without: Iterable[str] = ()) -> str:
    """The place on axis 2, where nothing but these chains is known.

    Args:
        chain: the table.
        without: estimates that are left out, to see what rests on them.
    """
    estimates = {name: value for name, value in chain.result.estimates.items() if name not in without}
    result = Result(**{**vars(chain.result), "estimates": estimates})
    said = {"convergence": (overall(result, LIMITS),)}
    metadata = memory_trace({"d_s_t": np.zeros(2)}).metadata
    return rules({}, said, metadata).convergence.place


def write(chains: Iterable[Chain], path: Path = CHAINS) -> None:
    """As JSON in an array of bytes."""
    rows = [{**vars(chain), "result": _short(chain.result)} for chain in chains]
    text = json.dumps(rows, allow_nan=False, separators=(",", ":"))
    np.savez_compressed(path, chains=np.frombuffer(text.encode(), dtype=np.uint8))


def read(path: Path = CHAINS) -> list[Chain]:
    """What :func:`write` wrote."""
    with np.load(path, allow_pickle=False) as file:
        rows = json.loads(file["chains"].tobytes().decode())
    return [Chain(**{**row, "result": _long(row["result"])}) for row in rows]


def placed(chains: Iterable[Chain]) -> list[tuple[str, str]]:
    """Label and place of every case that counts: chains, traces of known nets, Gaussians that learn."""
    told = [(chain.label, place_of(chain)) for chain in chains if chain.label and chain.group != UNSEEN]
    traces = [case for case in (*kept(), *kept(COLUMNS)) if case.axis == "convergence" and case.label]
    return [*told, *((case.label, by_columns(case)) for case in traces)]


def by_columns(case: Case) -> str:
    """The place of a trace without chains."""
    return verdict_of(case).convergence.place


def _short(result: Result) -> dict[str, Any]:
    estimates = {
        name: [_digits(found.value), _digits(found.low), _digits(found.high), found.reason]
        for name, found in result.estimates.items()
    }
    tables = {
        name: {key: [_digits(value) for value in column] for key, column in table.to_json()["columns"].items()}
        for name, table in result.tables.items()
        if name in TABLES
    }
    return {"rows": result.rows, "settings": dict(result.settings), "estimates": estimates, "tables": tables}


def _long(kept_of: Mapping[str, Any]) -> Result:
    estimates = {
        name: Estimate(value, low, high, not reason, reason)
        for name, (value, low, high, reason) in kept_of["estimates"].items()
    }
    tables = {
        name: Table(name, {key: _column(values) for key, values in columns.items()})
        for name, columns in kept_of["tables"].items()
    }
    return Result("convergence", "kept", kept_of["rows"], kept_of["settings"], estimates, tables)


def _digits(value: Any) -> Any:
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _column(values: list[Any]) -> np.ndarray:
    if any(isinstance(value, str) for value in values):
        return np.array(values, dtype=object)
    return np.array([np.nan if value is None else value for value in values])
