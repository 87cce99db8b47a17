"""All tables of a run side by side: how the long run did as training went on. Each becomes a row as it is read."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ebmdiag.errors import DataError
from ebmdiag.result import Table
from ebmdiag_analyses.convergence.energy import drift
from ebmdiag_analyses.convergence.means import StartMean, difference, over_starts
from ebmdiag_analyses.convergence.mixing import measures_of
from ebmdiag_analyses.convergence.samples import independent
from ebmdiag_analyses.convergence.select import (
    at_end,
    finite_values,
    long_steps,
    sampler_name,
    samples_of,
    second_half,
)

if TYPE_CHECKING:
    from ebmdiag.chains import Chains, Phase


class Rows:
    """Takes tables one at a time and keeps a row of each.

    Args:
        permutations, seed: of the two-sample test.
    """

    def __init__(self, permutations: int, seed: int) -> None:
        self.notes: list[str] = []
        self._permutations, self._seed = permutations, seed
        self._rows: list[dict[str, Any]] = []

    def add(self, chains: Chains) -> None:
        """The row of one table; nothing where it has no long run."""
        if long_steps(chains):
            self._rows.append(_row(chains, self._permutations, self._seed, self.notes))

    def rhat(self, table: str) -> float:
        """The largest over energy and projections of one table; NaN where it is not known."""
        return float(next((row["rhat"] for row in self._rows if row["table"] == table), math.nan))

    def table(self) -> dict[str, Table]:
        """Table ``training``, a row for each table of chains with a long run, by training step.

        Columns: step, table, init, sampler, temperature, steps; ``drift`` (U from the middle to the end) and ``gap``
        (U(long) - U(data)), each with its value in errors; ``rhat`` (largest over energy and projections); ``p`` of
        the energy distance between long runs and data. NaN: not to be had.
        """
        if not self._rows:
            return {}
        ordered = sorted(self._rows, key=lambda row: (row["step"], row["table"]))
        columns = {name: np.array([row[name] for row in ordered], dtype=kind) for name, kind in _COLUMNS.items()}
        return {"training": Table("long runs over training", columns)}


_COLUMNS = {
    "step": np.int64,
    "table": object,
    "init": object,
    "sampler": object,
    "temperature": np.float64,
    "steps": np.int64,
    "drift": np.float64,
    "drift_errors": np.float64,
    "gap": np.float64,
    "gap_errors": np.float64,
    "rhat": np.float64,
    "p": np.float64,
}


def _row(chains: Chains, permutations: int, seed: int, notes: list[str]) -> dict[str, Any]:
    long = chains.phases["long"]
    _, total = drift(long, "energy")
    gap = _gap(chains.phases.get("data"), long)
    return {
        "step": chains.metadata.training_step,
        "table": chains.files.name,
        "init": long.init,
        "sampler": sampler_name(chains),
        "temperature": chains.metadata.temperature,
        "steps": long_steps(chains),
        "drift": total.value,
        "drift_errors": total.errors,
        "gap": gap.value,
        "gap_errors": gap.errors,
        "rhat": _rhat(long),
        "p": _p(chains, permutations, seed, notes),
    }


def _gap(data: Phase | None, long: Phase) -> StartMean:
    if data is None:
        return StartMean(math.nan, math.nan, math.nan, "no data")
    return difference(*(over_starts(at_end(phase, "energy"), phase.starts) for phase in (long, data)))


def _rhat(long: Phase) -> float:
    from ebmdiag.numerics.ranks import ranked

    places = second_half(long)
    found = [ranked(finite_values(long, name)[:, places]).rhat.value for name in measures_of(long)]
    return max((value for value in found if value is not None), default=math.nan)


def _p(chains: Chains, permutations: int, seed: int, notes: list[str]) -> float:
    from ebmdiag.numerics.two_sample import energy_test, pool

    try:
        samples, _ = samples_of(chains)
        if samples is None:
            return math.nan
        x, y = (independent(chains, samples, kind) for kind in ("long", "data"))
    except DataError as error:
        notes.append(f"left out: {error}")
        return math.nan
    if x is None or y is None or min(len(x), len(y)) < 2:
        return math.nan
    return energy_test(pool(x, y), rng=np.random.default_rng([seed, 0]), replicas=permutations).p_value
