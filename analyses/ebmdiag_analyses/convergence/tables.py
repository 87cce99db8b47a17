"""Which tables of chains a run has, and which of them is looked at. Of all but one only a few facts are kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ebmdiag.errors import NothingToAnalyse, TraceError, UsageError
from ebmdiag.names import nearest
from ebmdiag_analyses.convergence.select import long_steps, sampler_name

if TYPE_CHECKING:
    from pathlib import Path

    from ebmdiag.chains import ChainFiles, Chains
    from ebmdiag.runfolder import RunFolder


@dataclass(frozen=True)
class Entry:
    """What is kept in mind of a table while others are read; its arrays are not."""

    files: ChainFiles
    step: int
    sampler: str
    temperature: float
    init: str
    steps: int

    @classmethod
    def of(cls, chains: Chains) -> Entry:
        """Of a table that has been read."""
        facts, long = chains.metadata, chains.phases.get("long")
        init = "" if long is None else long.init
        return cls(chains.files, facts.training_step, sampler_name(chains), facts.temperature, init, long_steps(chains))

    @property
    def name(self) -> str:
        """Of the table."""
        return self.files.name


@dataclass(frozen=True)
class Tables:
    """The readable tables of a run, by name; where they lie; and what there is to say of the others."""

    entries: tuple[Entry, ...]
    where: Path
    notes: tuple[str, ...] = ()

    def of_step(self, step: int) -> list[Entry]:
        """Those of one training step, by name."""
        return [entry for entry in self.entries if entry.step == step]


def all_tables(run: RunFolder, look: Callable[[Chains], None]) -> Tables:
    """Every table that can be read, one at a time: ``look`` is shown each, and only its entry is kept.

    A run that is itself a table of chains (written elsewhere by ``sample --out``) has that one only.

    Raises:
        NothingToAnalyse: the run has none.
        TraceError: it has some, but none can be read.
    """
    from ebmdiag.chains import ChainFiles, chain_files  # pyarrow; --help stays light

    alone, itself = is_table(run), ChainFiles.of(run.trace)
    found = [itself] if alone else chain_files(run.chains)
    where = run.trace if alone else run.chains
    if not found and alone is None:
        found = [itself]  # says what is wrong with it
    if not found:
        raise NothingToAnalyse(
            f"{where}: no chains have been recorded; make them with 'ebmdiag sample {run.trace}' or train with "
            "long_run.every."
        )
    readable: list[Entry] = []
    faults: list[TraceError] = []
    for files in found:
        try:
            chains = read_table(files)
            readable.append(Entry.of(chains))
        except TraceError as error:
            faults.append(error)
        else:
            look(chains)
            del chains  # before the next is read: arrays of one table at a time
    if not readable:
        raise faults[0]
    return Tables(tuple(readable), where, tuple(f"left out: {fault}" for fault in faults))


def is_table(run: RunFolder) -> bool | None:
    """Whether what was named as a run is a table of chains, finished or not; None where the file cannot be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from ebmdiag.chains import ChainFiles
    from ebmdiag.chains.metadata import KEY

    if not run.trace.is_file():
        return bool(ChainFiles.of(run.trace).part_paths())
    try:
        return KEY in (pq.read_schema(run.trace).metadata or {})
    except (pa.ArrowException, OSError, ValueError):  # whatever it is, it is no reason not to look at chains beside it
        return None


def read_table(files: ChainFiles) -> Chains:
    """One table, its rows checked.

    Raises:
        TraceError: it cannot be read, its rows do not fit together, or a phase has no draw that all of its chains
            have reached.
    """
    from ebmdiag.chains import read_chains

    chains = read_chains(files.table)
    for name, phase in chains.phases.items():
        if not len(phase.draws):
            raise TraceError(f"{chains.files.table}: no draw of the phase '{name}' holds all of its chains.")
    return chains


def choose(
    run: RunFolder,
    tables: Tables,
    step: int | None,
    name: str | None,
    mixes: Callable[[str], bool] = lambda name: False,
) -> Entry:
    """The table asked for, or one of the step asked for, or of the newest step.

    Of several those at temperature 1 come first, then those whose chains have mixed, then the longest: whether chains
    mix says nothing of whether they agree with short runs, and from chains that do not little can be told.

    Args:
        mixes: name of a table → whether its chains have at least nearly mixed.

    Raises:
        UsageError: there is no such table or step.
        TraceError: the table that was named cannot be read.
    """
    if name is not None:
        return _named(run, tables, name, step)
    steps = sorted({entry.step for entry in tables.entries})
    wanted = steps[-1] if step is None else step
    if wanted not in steps:
        raise UsageError(f"{tables.where}: no chains of step {wanted}. Known: {', '.join(map(str, steps))}.")
    return max(tables.of_step(wanted), key=lambda entry: (entry.temperature == 1, mixes(entry.name), entry.steps))


def _named(run: RunFolder, tables: Tables, name: str, step: int | None) -> Entry:
    from ebmdiag.chains import chain_files

    name = name.removesuffix(".parquet")
    known = {entry.name: entry for entry in tables.entries}
    if name not in known:
        for files in chain_files(run.chains):
            if files.name == name:
                read_table(files)  # says what is wrong with it
        raise UsageError(f"{tables.where}: no table '{name}'{nearest(name, known)} Known: {', '.join(known)}.")
    found = known[name].step
    if step is not None and found != step:
        raise UsageError(
            f"{tables.where}: the table '{name}' is of step {found}, not {step}; leave out one of the two."
        )
    return known[name]
