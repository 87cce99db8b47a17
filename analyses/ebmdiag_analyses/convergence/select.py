"""Which tables of chains a run has, and which of them is looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ebmdiag.errors import NothingToAnalyse, TraceError, UsageError
from ebmdiag.names import nearest

if TYPE_CHECKING:
    from ebmdiag.chains import Chains, Phase, Samples
    from ebmdiag.runfolder import RunFolder

END = 0.1  # the end of a long run is its last tenth
_ADJUSTED = ("mala", "hmc", "underdamped", "gibbs", "gibbs-blocked")


@dataclass(frozen=True)
class Tables:
    """The readable tables of a run, by name, and what there is to say of the others."""

    chains: tuple[Chains, ...]
    notes: tuple[str, ...]


def all_tables(run: RunFolder) -> Tables:
    """Every table that can be read.

    Raises:
        NothingToAnalyse: the run has none.
        TraceError: it has some, but none can be read.
    """
    from ebmdiag.chains import chain_files, read_chains  # pyarrow; --help stays light

    found = chain_files(run.chains)
    if not found:
        raise NothingToAnalyse(
            f"{run.chains}: no chains have been recorded; make them with 'ebmdiag sample {run.trace}' or train with "
            "long_run.every."
        )
    readable: list[Chains] = []
    faults: list[TraceError] = []
    for files in found:
        try:
            readable.append(_checked(read_chains(files.table)))
        except TraceError as error:
            faults.append(error)
    if not readable:
        raise faults[0]
    return Tables(tuple(readable), tuple(f"left out: {fault}" for fault in faults))


def _checked(chains: Chains) -> Chains:
    """The same; its rows are checked when they become arrays.

    Raises:
        TraceError: they do not fit together, or a phase has no draw that all of its chains have reached.
    """
    for name, phase in chains.phases.items():
        if not len(phase.draws):
            raise TraceError(f"{chains.files.table}: no draw of the phase '{name}' holds all of its chains.")
    return chains


def choose(run: RunFolder, tables: Tables, step: int | None, name: str | None) -> Chains:
    """The table asked for, or the longest at temperature 1 of the step asked for, or of the newest step.

    Raises:
        UsageError: there is no such table or step.
        TraceError: the table that was named cannot be read.
    """
    if name is not None:
        return _named(run, tables, name, step)
    steps = sorted({chains.metadata.training_step for chains in tables.chains})
    wanted = steps[-1] if step is None else step
    if wanted not in steps:
        raise UsageError(f"{run.chains}: no chains of step {wanted}. Known: {', '.join(map(str, steps))}.")
    return max(same_step(tables, wanted), key=_preference)


def _named(run: RunFolder, tables: Tables, name: str, step: int | None) -> Chains:
    from ebmdiag.chains import chain_files, read_chains

    name = name.removesuffix(".parquet")
    known = {chains.files.name: chains for chains in tables.chains}
    if name not in known:
        for files in chain_files(run.chains):
            if files.name == name:
                _checked(read_chains(files.table))  # says what is wrong with it
        raise UsageError(f"{run.chains}: no table '{name}'{nearest(name, known)} Known: {', '.join(known)}.")
    found = known[name].metadata.training_step
    if step is not None and found != step:
        raise UsageError(f"{run.chains}: the table '{name}' is of step {found}, not {step}; leave out one of the two.")
    return known[name]


def same_step(tables: Tables, step: int) -> list[Chains]:
    """The tables of one training step, by name."""
    return [chains for chains in tables.chains if chains.metadata.training_step == step]


def _preference(chains: Chains) -> tuple[bool, int]:
    return chains.metadata.temperature == 1, long_steps(chains)


def long_steps(chains: Chains) -> int:
    """Steps of the long run recorded so far; 0 where there is none."""
    phase = chains.phases.get("long")
    return int(phase.draws[-1]) if phase is not None and len(phase.draws) else 0


def samples_of(chains: Chains) -> tuple[Samples | None, str]:
    """Whole states beside a table, or why there are none.

    Raises:
        DataError: they are there, but cannot be read.
    """
    from ebmdiag.chains import read_samples

    path = chains.files.samples
    if path.exists():
        return read_samples(path), ""
    if chains.metadata.state == "running":
        return None, f"there is no {path.name} yet: whole states are written when the chains end"
    return None, f"there is no {path.name} beside the table: whole states were not kept"


def is_adjusted(chains: Chains) -> bool | None:
    """Whether the sampler of the long run leaves the density exactly invariant; None where it does not say."""
    facts = chains.metadata.sampler
    exact, name = facts.get("exact", facts.get("adjusted")), str(facts.get("name", ""))
    if isinstance(exact, bool):
        return exact
    if name == "langevin" or name.endswith("-unadjusted"):
        return False
    return True if name in _ADJUSTED else None


def sampler_name(chains: Chains) -> str:
    """How the sampler of the long run is called."""
    return str(chains.metadata.sampler.get("name", "unknown"))


def second_half(phase: Phase) -> NDArray[np.int64]:
    """Places of the evenly spaced draws of the second half, shape (D',): from half of the last draw on.

    Where draws were recorded more densely at the beginning, only those a whole number of the widest gaps from the
    last one count.
    """
    draws = phase.draws
    half = np.flatnonzero(2 * draws >= draws[-1])
    if len(half) < 2:
        return half
    gap = int(np.diff(draws[half]).max())
    even: NDArray[np.int64] = half[(draws[-1] - draws[half]) % gap == 0]
    return even


def finite_values(phase: Phase, measure: str) -> NDArray[np.float64]:
    """A measure, shape (M, D), with NaN for whatever is not finite: an energy that overflowed is no number."""
    values = phase.values[measure]
    return np.where(np.isfinite(values), values, np.nan)


def at_end(phase: Phase, measure: str) -> NDArray[np.float64]:
    """One value for each chain, shape (M,): the mean over the last tenth of a long run, else the last draw.

    A short run is meant to be looked at after exactly its L steps.
    """
    values, draws = finite_values(phase, measure), phase.draws
    if phase.name != "long":
        return np.asarray(values[:, -1])
    return np.asarray(values[:, draws >= (1 - END) * draws[-1]].mean(1))
