"""From the tables of chains of a run to the result of the analysis: what is computed, in the order of the page."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ebmdiag.analysis import Analysis
from ebmdiag.result import Estimate, Result, Table
from ebmdiag_analyses.conventions import check_at_least, check_level
from ebmdiag_analyses.convergence.agreement import agreement
from ebmdiag_analyses.convergence.copies import copies
from ebmdiag_analyses.convergence.energy import energy
from ebmdiag_analyses.convergence.figures import draw
from ebmdiag_analyses.convergence.forgotten import forgotten
from ebmdiag_analyses.convergence.images import images
from ebmdiag_analyses.convergence.judge import judge
from ebmdiag_analyses.convergence.limits import LIMITS
from ebmdiag_analyses.convergence.marginals import marginals
from ebmdiag_analyses.convergence.mixing import meeting, mixing
from ebmdiag_analyses.convergence.moves import acceptance, displacement
from ebmdiag_analyses.convergence.persistence import persistence
from ebmdiag_analyses.convergence.samples import fewest_permutations, two_samples
from ebmdiag_analyses.convergence.select import (
    begins_like_short,
    is_exact,
    long_steps,
    sampler_name,
    samples_of,
)
from ebmdiag_analyses.convergence.tables import Entry, Tables, all_tables, choose, read_table
from ebmdiag_analyses.convergence.training import Rows
from ebmdiag_analyses.convergence.view import text

if TYPE_CHECKING:
    from ebmdiag.chains import Chains, Phase
    from ebmdiag.runfolder import RunFolder

_FEWEST_PERMUTATIONS = fewest_permutations(LIMITS.p)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which chains are looked at, and how the tests are made.

    Raises:
        UsageError: a value is out of range.
    """

    step: int | None = field(default=None, metadata={"help": "Training iteration of the net. Default: the newest."})
    table: str | None = field(
        default=None,
        metadata={"help": "Name of one table. Default: at temperature 1, of those that have mixed the longest."},
    )
    level: float = field(default=0.95, metadata={"help": "Level of the intervals, between 0 and 1."})
    permutations: int = field(
        default=999,
        metadata={
            "help": f"Permutations of the tests of whole states; at least {_FEWEST_PERMUTATIONS}, or none can reject."
        },
    )
    seed: int = field(default=0, metadata={"help": "Of the permutations: the same seed, the same p-values."})

    def __post_init__(self) -> None:
        check_at_least("step", self.step, 0)
        check_level(self.level)
        check_at_least("permutations", self.permutations, _FEWEST_PERMUTATIONS)
        check_at_least("seed", self.seed, 0)


def analyse(run: RunFolder, options: Options) -> Result:
    """Everything about one table of chains, and a table over all of them.

    Estimates and tables: those of the modules named above, each in its function's docstring.

    Raises:
        NothingToAnalyse: the run has no chains.
        UsageError: there is no such step or table.
        TraceError: the chains cannot be read.
        DataError: the samples beside them cannot be read.
    """
    rows = Rows(options.permutations, options.seed)
    tables = all_tables(run, rows.add)
    chosen = choose(run, tables, options.step, options.table, lambda name: rows.rhat(name) <= LIMITS.apart)
    chains = read_table(chosen.files)
    estimates, found = _one(chains, options)
    estimates |= meeting(_by_init(tables, chosen), options.level)
    notes = [*_notes(chains, tables), *tables.notes, *rows.notes]
    settings = {**_settings(chains), "level": options.level, "permutations": options.permutations, "seed": options.seed}
    name = run.trace.name if tables.where == run.trace else f"{run.trace.name} ({chosen.name})"
    return Result("convergence", name, len(chains.table), settings, estimates, {**found, **rows.table()}, tuple(notes))


def _one(chains: Chains, options: Options) -> tuple[dict[str, Estimate], dict[str, Table]]:
    level = options.level
    samples, reason = samples_of(chains)
    energies = energy(chains, level)
    mixed, mixing_tables = mixing(chains, level)
    seen, image_tables = images(chains, level)
    tested, test_tables = two_samples(chains, samples, reason, options.permutations, options.seed)
    near, copy_tables = copies(chains, samples, reason)
    estimates = {
        **energies.estimates,
        **mixed,
        **persistence(chains),
        **acceptance(chains, level),
        **displacement(chains, samples, reason, level),
        **seen,
        **tested,
        **forgotten(chains, samples, reason, options.permutations, options.seed),
        **near,
    }
    tables = {**energies.tables, **mixing_tables, **image_tables, **test_tables, **copy_tables}
    return estimates, {**tables, **agreement(chains, energies.total), **marginals(chains)}


def _by_init(tables: Tables, chosen: Entry) -> list[Phase]:
    """The longest long run of each kind of start, of the same step, sampler and temperature; none if there is one."""
    longest: dict[str, Entry] = {}
    for entry in tables.of_step(chosen.step):
        alike = (entry.sampler, entry.temperature) == (chosen.sampler, chosen.temperature)
        if alike and entry.init and (entry.init not in longest or entry.steps > longest[entry.init].steps):
            longest[entry.init] = entry
    return [read_table(entry.files).phases["long"] for entry in longest.values()] if len(longest) > 1 else []


def _settings(chains: Chains) -> dict[str, Any]:
    facts = chains.metadata
    long = chains.phases.get("long")
    return {
        "table": chains.files.name,
        "step": facts.training_step,
        "sampler": sampler_name(chains),
        "exact": is_exact(chains),
        "temperature": facts.temperature,
        "init": long.init if long is not None else None,
        "steps": long_steps(chains),
        "chains": len(long.starts) if long is not None else 0,
        "starts": len(set(long.starts.tolist())) if long is not None else 0,
        "short_steps": facts.short_steps,
        "short_start": facts.short_start,
        "begins_like_short": begins_like_short(chains),
        "held_out": facts.held_out,
        "state": facts.state,
        "gradients": facts.gradients,
        "phases": sorted(chains.phases),
    }


def _notes(chains: Chains, tables: Tables) -> list[str]:
    facts = chains.metadata
    longest = max(tables.entries, key=lambda entry: entry.steps)
    longer = longest.step != facts.training_step and longest.steps > 2 * long_steps(chains)
    because = f" ({facts.message})" if facts.message else ""
    said = {
        "these chains are still running: later draws will be added.": facts.state == "running",
        f"these chains were broken off{because}; go on with 'ebmdiag sample ... --resume'.": (
            facts.state == "interrupted"
        ),
        f"these chains diverged{because}: the draws before are used.": facts.state == "diverged",
        f"the long chains ran at temperature {facts.temperature:g}, not 1: they sample another density than the "
        "short runs.": facts.temperature != 1,
        f"step {longest.step} has a longer run ({longest.steps} steps): --step {longest.step}.": longer,
    }
    return [note for note, holds in said.items() if holds]


ANALYSIS = Analysis(
    name="convergence",
    title="Long runs",
    summary="Long chains against short runs and data: drift, mixing, samples, copies.",
    options=Options,
    analyse=analyse,
    judge=judge,
    text=text,
    draw=draw,
    subject="run",
)
