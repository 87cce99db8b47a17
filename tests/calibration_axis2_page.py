"""The section of docs/calibration.md on the second axis, from what is kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from calibration_axis2 import COLUMNS, UNSEEN, Chain, by_columns, place_of
from calibration_cases import counts, kept
from calibration_page import rate_row, table

BEGIN, END = "## The second axis: chains of known truth", "## What to read from it, and what not"
PLACES = ("converged", "short-run only", "undetermined")
TRACES, GAUSSIANS = "traces without chains", "Gaussians that learn, without chains"
BEFORE: Mapping[tuple[str, str], tuple[int, int, int]] = {
    ("exact densities, short runs long enough", "converged"): (32, 0, 1),
    ("what is left of the start after L steps", "converged"): (3, 0, 0),
    ("what is left of the start after L steps", "short-run only"): (1, 26, 3),
    ("modes that no chain crosses", "short-run only"): (9, 3, 30),
    ("steps so large that the chain's law is another", "converged"): (10, 0, 2),
    ("steps so large that the chain's law is another", "short-run only"): (15, 6, 3),
    ("short runs that begin at data and hardly move", "short-run only"): (0, 6, 18),
    ("little evidence", "converged"): (0, 0, 12),
    ("little evidence", "short-run only"): (0, 4, 17),
    (UNSEEN, "short-run only"): (5, 0, 4),
    (TRACES, "converged"): (3, 2, 1),
    (TRACES, "short-run only"): (4, 16, 2),
    (GAUSSIANS, "converged"): (8, 0, 0),
    (GAUSSIANS, "short-run only"): (0, 15, 1),
}
"""Places (PLACES) that the rules gave to the same test half before any was changed: a record, not recomputed."""


def grouped(chains: Sequence[Chain]) -> list[tuple[str, str, str]]:
    """Group, label and place of every labelled case, the unseen ones among them."""
    told = [(chain.group, chain.label, place_of(chain)) for chain in chains if chain.label]
    for group, path in ((TRACES, (COLUMNS,)), (GAUSSIANS, ())):
        cases = [case for case in kept(*path) if case.axis == "convergence" and case.label]
        told += [(group, case.label, by_columns(case)) for case in cases]
    return told


def tabled(told: Iterable[tuple[str, str, str]]) -> dict[tuple[str, str], tuple[int, int, int]]:
    """The counts of ``grouped``, in the order of PLACES."""
    found: dict[tuple[str, str], list[int]] = {}
    for group, label, place in told:
        found.setdefault((group, label), [0, 0, 0])[PLACES.index(place)] += 1
    return {key: (row[0], row[1], row[2]) for key, row in found.items()}


def total(rows: Mapping[tuple[str, str], tuple[int, int, int]], label: str) -> tuple[int, ...]:
    """Sums over the groups of a label, without what nothing recorded shows."""
    mine = [row for (group, found), row in rows.items() if found == label and group != UNSEEN]
    return tuple(map(sum, zip(*mine, strict=True)))


def section(chains: Sequence[Chain], measured: Sequence[Mapping[str, Any]]) -> str:
    """From its heading to the next.

    Args:
        chains: of the test half.
        measured: rates of the places of this axis.
    """
    told = grouped(chains)
    now = tabled(told)
    both = ("converged", "short-run only")
    matrix = [(label, when, *total(rows, label)) for label in both for when, rows in (("before", BEFORE), ("now", now))]
    groups = [
        (group, label, *("/".join(map(str, rows.get((group, label), ("–",)))) for rows in (BEFORE, now)))
        for group, label in now
    ]
    rates = [rate_row(row) for row in measured]
    parts = (
        f"{BEGIN}\n",
        HEAD,
        table(("label", "rules", *PLACES), matrix),
        RATES,
        table(("place", "false alarms", "95%", "found", "95%"), rates),
        GROUPS,
        table(("group", "label", "before", "now"), groups),
        FAMILIES,
        table(("family", "Δ", "label", "places"), _families(chains)),
        TAIL,
    )
    return "\n".join(parts)


def _families(chains: Sequence[Chain]) -> list[tuple[str, ...]]:
    rows = []
    for family in dict.fromkeys(chain.family for chain in chains):
        mine = [chain for chain in chains if chain.family == family]
        places = counts((family, place_of(chain)) for chain in mine)[family]
        first = mine[0]
        label = f"({first.label})" if first.group == UNSEEN else first.label or "–"
        rows.append(
            (family, f"{first.distance:.2f}", label, ", ".join(f"{name} {count}" for name, count in places.items()))
        )
    return rows


HEAD = """*Converged* is a claim about the density: the law q of the training's short runs is the model's, p ∝ exp(-U),
and the data are like both. *Short-run only*: q is another law. The model is exp(-U) itself, also where the sampler is
unadjusted: what a chain with a large step settles in is the law of its step, and long runs of that sampler agree with
short ones whatever the model is. (Nijkamp et al. ask whether the sampler's long run is that of the short run; the two
questions are one for an exact sampler, or a small step.)

The models have exact samples: correlated normals, Student's t, a banana, two scales, two modes with weights, eight
Gaussians, rings (`tests/calibration_densities.py`). Short runs and long chains are those of the project's own samplers
and tables (`tests/calibration_families.py`), three seeds of each family. Unless said otherwise data are fresh draws of
the short runs' law: learning has balanced, d is 0, and only the long chains can tell. The label is the distance

    Δ = max over marginals of the total variation between q and p,

over energy, up to six coordinates, the line through two modes, and the mode; from 20,000 samples of each. Converged: Δ
≤ 0.1 (a shift by a quarter of a deviation); short-run only: Δ ≥ 0.2 (by half: the margin of the rules); between them
none. Short runs that hardly move from right data have no label either: their law is that of their starts, whatever
the model is. Beside the chains there are traces of nets that are these densities and do not learn, and the Gaussians
that learn, both without chains.

Rules were mended on another half of seeds, whose chains are not kept; the sums of this half were seen with it, and the
forks along one of many axes were added with their rule in mind. Seeds of one family are much alike: counted by
families, 0 of 60 that are short-run only come out converged, which bounds the rate at 6%, not at the 2% of single runs.
"""
RATES = """The number that matters most is how often "converged" is said falsely:
"""
GROUPS = """*Undetermined* is no error, and for many of these cases the only right answer: no affordable chain crosses
the modes, nothing moves, or five chains show nothing. Its false alarms count them all.

Places by group (converged/short-run only/undetermined), before the rules were mended and now:
"""
FAMILIES = """Family by family (in brackets: what nothing recorded shows; "...": as the line before):
"""
TAIL = """What was mended, and what it costs:

- Long chains **from noise** agree with short runs that begin at noise while both sit where the start led them, and with
  others where the shares of the modes happen to be the data's. One copy of each start shows nothing, as from data and
  bank: undetermined, with `--copies 2`. This costs the right runs from noise with one copy.
- **A step too large** made long and short runs agree on the step's law. An unadjusted long run shows agreement only if
  Metropolis would accept 0.9 of its steps; else undetermined, with `--sampler mala`. Of N normals the energy is then at
  most about half a deviation too high, up to N = 800 (docs/convergence.md). Traces without chains have the same rule.
- **Forks**: chains of one point that part and never meet forget their start and keep their mode. R-hat is 1.02 to 1.1
  where the modes lie along one of some hundred coordinates, which "nearly mixed" let pass. The means of single chains
  over the first and last third of the second half must not be correlated (docs/convergence.md).
- **Traces without chains**: nested R-hat of the state beyond chance and 1% of its value leaves a place open, though it
  lies within its margin, and it has to be there at all. A virial that is off by itself, while the energy stays from L
  to 10 L and starts are forgotten, no longer shows short runs: it is a mean over the second half of the L steps.

What cannot be told, and how often:

- **A mode that short runs, data and long chains never visit** (all from one bank in one mode, 30% of the model in
  another): every table is that of a converged run. With two copies of each start "converged" is said falsely, 3 times
  of 3. Only chains from elsewhere, which the run does not have, could show it: after `ebmdiag sample --init noise` too,
  "converged" is said only if chains from both starts meet.
- **Modes that fork after the start along a direction which no recorded projection and no energy sees** (orthogonal to
  all four, equal energies): 2 times of 3. Whole states are kept at the end of a chain only, so that nothing recorded
  says that it was there before.

These nine runs are no part of the rates above, since their share in a collection is arbitrary. They bound what
"converged" means: as far as energy, projections and end states see, and where the chains have been.

- Little evidence (5 chains, 5 draws, 40 steps) is never converged; a large difference is found even by 5 chains.
- Short runs that begin at data and hardly move are never converged.
"""
