"""docs/calibration.md, from what was measured."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from calibration_cases import Case, counts, verdict_of
from series import GOLDEN

from ebmdiag.verdict import STABILITIES, Verdict
from ebmdiag_analyses.verdict.limits import LIMITS, SOURCES

PLACES = {"stability": STABILITIES}
EXPECTED: Mapping[str, str] = {
    "rings (reference, SGD), whole": "weakly oscillating, once its beginning is left out",
    "rings (reference, SGD), last two thirds": "weakly oscillating",
    "flowers (reference, Adam), whole": "strongly oscillating",
    "flowers (reference, Adam), last two thirds": "strongly oscillating",
    "flowers (reference, Adam, β₁ = 0), whole": "strongly oscillating",
    "flowers (reference, Adam, β₁ = 0), last two thirds": "strongly oscillating",
    "rings, 300": "undetermined: too short for weak or stable, and young; short runs: undetermined or short-run only",
    "rings-nonconvergent, 300": "as above; short-run only",
    "gaussian, g = 0.05": "stable",
    "gaussian, g = 0.3": "weakly oscillating",
    "gaussian, g = 1": "strongly oscillating",
    "gaussian, g = 1.5": "strongly oscillating",
    "gaussian, g = 2.2": "diverging (linear theory)",
}
_NAMES = {
    "rings": "rings (reference, SGD)",
    "flowers": "flowers (reference, Adam)",
    "flowers_beta0": "flowers (reference, Adam, β₁ = 0)",
}


def golden() -> list[Case]:
    """The recorded series of the reference implementation, whole and without the first third."""
    cases = []
    with np.load(GOLDEN) as file:
        for run, name in _NAMES.items():
            columns = {"d_s_t": file[f"{run}/d_s_t"], "r_t": file[f"{run}/r_s_t"]}
            first = len(columns["d_s_t"]) // 3
            cases.append(Case(f"{name}, whole", "stability", "", columns))
            later = {key: values[first:] for key, values in columns.items()}
            cases.append(Case(f"{name}, last two thirds", "stability", "", later))
    return cases


def page(
    found: Sequence[tuple[Case, str]],
    shown: Sequence[tuple[Case, Verdict]],
    measured: Sequence[Mapping[str, Any]],
    chosen: Mapping[str, float],
    tables: Sequence[Mapping[tuple[float, ...], float]],
    trained: int,
    second: str,
) -> str:
    """The whole page; ``second``: its section on the second axis."""
    parts = [
        HEAD.format(trained=trained, tested=len(found)),
        _limits(chosen, tables),
        "## What came out\n",
        _axis("stability", found, measured),
        _families(found),
        "## Known runs\n\n" + _known(found, shown),
        second,
        TAIL,
    ]
    return "\n".join(parts)


def line(cells: Iterable[Any]) -> str:
    """A row of a table."""
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def table(head: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    """A markdown table."""
    return "\n".join([line(head), line("---" for _ in head), *map(line, rows)]) + "\n"


def _limits(chosen: Mapping[str, float], tables: Sequence[Mapping[tuple[float, ...], float]]) -> str:
    rows = [(f"`{name}`", f"{value:g}", SOURCES[name]) for name, value in LIMITS.to_json().items()]
    best = ", ".join(f"{max(scores.values()):.3f}" for scores in tables)
    worst = ", ".join(f"{min(scores.values()):.3f}" for scores in tables)
    said = ", ".join(f"`{name}` = {value:g}" for name, value in chosen.items())
    text = (
        f"Chosen on the training half: {said}. The score is the mean over labels of 1 for the right place, 0 for "
        f"undetermined, -1 for a wrong one; the best over each grid are {best}, the worst {worst}. Of equally good "
        "points the middle one is taken. Each can be replaced by name."
    )
    return f"## Limits\n\n{textwrap.fill(text, 118)}\n\n" + table(("limit", "value", "source"), rows)


def _axis(axis: str, found: Sequence[tuple[Case, str]], measured: Sequence[Mapping[str, Any]]) -> str:
    confusion = counts((case.label, where) for case, where in found if case.axis == axis)
    places = [name for name in PLACES[axis] if name in confusion or any(name in row for row in confusion.values())]
    rows = [
        (label, *(confusion.get(label, {}).get(name, 0) for name in places)) for label in places if label in confusion
    ]
    rates = [rate_row(row) for row in measured if row["axis"] == axis]
    heading = f"### {axis.capitalize()}: labels (rows) and places (columns), test half\n\n"
    return (
        heading + table((axis, *places), rows) + "\n" + table(("place", "false alarms", "95%", "found", "95%"), rates)
    )


def rate_row(row: Mapping[str, Any]) -> tuple[str, ...]:
    """How often a place was said falsely, and how often it was found, each with its interval."""
    return (
        row["place"],
        f"{row['false_alarms']} of {row['others']}",
        percent(row["false_alarm_interval"]),
        f"{row['found']} of {row['cases']}",
        percent(row["found_interval"]),
    )


def percent(interval: tuple[float, float]) -> str:
    return f"{100 * interval[0]:.1f}% to {100 * interval[1]:.1f}%"


def _families(found: Sequence[tuple[Case, str]]) -> str:
    rows = []
    for family in dict.fromkeys(case.family for case, _ in found):
        mine = [(case, where) for case, where in found if case.family == family]
        places = counts((family, where) for _, where in mine)[family]
        rows.append((family, mine[0][0].label, ", ".join(f"{name} {count}" for name, count in places.items())))
    return "### By family\n\n" + table(("family", "label", "places"), rows)


def _known(found: Sequence[tuple[Case, str]], shown: Sequence[tuple[Case, Verdict]]) -> str:
    first = {case.family: (case, verdict_of(case)) for case, _ in reversed(found) if case.family in EXPECTED}
    gaussian = [first[name] for name in EXPECTED if name in first]
    told = [*((case, verdict_of(case)) for case in golden()), *shown, *gaussian]
    rows = []
    for case, verdict in told:
        expected = next((said for name, said in EXPECTED.items() if case.family.startswith(name)), "")
        here = verdict.stability
        more = "" if here.more_iterations is None else f" ({here.more_iterations:,} more rows)"
        count = len(case.columns["d_s_t"])
        rows.append((case.family, count, expected, f"{here.place}{more}", verdict.convergence.place))
    return table(("run", "rows", "expected", "stability", "convergence"), rows)


HEAD = """# Calibration of the verdict

Made by `python benchmarks/calibration.py`. A labelled collection of traces is split by seed: {trained} traces choose
the limits, the {tested} others only measure: their confusion matrix and error rates are what `verdict.rates`
hands over. `tests/analyses/test_calibration.py` recomputes the rates from the kept traces
(`tests/calibration/kept.npz`).

## Labels

Labels come from theory, not from the rules. A linear loop of gain g amplifies the sampling noise of d by A = Var z,
which is 1 / (1 - g/2) for one without memory; A and the poles follow from g and the memory of optimizer or chains
([loop_gain.md](loop_gain.md)).

| label | loop |
|---|---|
| stable | A ≤ 1.05: without memory, g ≤ 0.1 |
| weakly oscillating | 1.08 ≤ A ≤ 1.25 (g from 0.15 to 0.4), and no complex poles of modulus above 0.8 |
| strongly oscillating | A ≥ 1.43 (g ≥ 0.6), or A ≥ 1.25 with complex poles of modulus above 0.8 |
| diverging | a pole outside the unit circle (g > 2 without memory) |

Between them a loop is a border case, and left out of the collection: there is no right answer. Runs named "gaussian"
are real runs of the trainer on data whose loop is known (`tests/gaussian_runs.py`), the other loops are simulated.
Collapse, drift, offset, change of spread and a burst are labelled by how they were made; "too short" by 16/g² rows at
g = 0.2. On the second axis a Gaussian of variance c is learned by L steps from Normal(0, 1): the precision λ that gives
short runs the data's variance is known in closed form, and λc (1 - ε²λ/4) is 1 if long chains keep that variance;
short-run only if it is off by more than a tenth.

A healthy place must be shown within its margin, so *undetermined* is no error, and is counted apart: a false alarm is a
place given to a trace of another label; for the place *undetermined* it is a trace that could have been told and was
left open.
"""

TAIL = """
## What to read from it, and what not

- The price of few wrong places is *undetermined*, near the borders above all: of loops with g = 0.35 a third are left
  open at 1,500 rows, of waves with momentum 0.9 and g = 1 (lowest autocorrelation -0.246) half.
- Where the best and the worst score of a grid are equal (`explosion` with `still`, and `collapse`), the collection says
  nothing about those limits.
- A gain just above 2 does not run away in a real trainer: the loop saturates in an alternation of period 2, which comes
  out as strongly oscillating where linear theory says diverging. At g = 4 the run breaks off within some thirty
  iterations, and its recorded state decides, not its rows.
- The whole series of the reference's `rings` holds its beginning. Its slow part lifts every autocorrelation and hides
  the swing that the last two thirds show; the first version of the rules said "stable". They now take the slow part off
  before they say so. That was mended after this series and the test half had been seen: its row is no
  independent test; the counts of the test half were the same before and after.
- Young runs of `rings` are left open on both axes: 300 rows show neither, and without probes no column can show that
  short runs are the model. That rings-nonconvergent is short-run only is known to the paper, not to its first 300 rows.
- The limits of the second axis were not chosen on the collection.
- The rates are those of `acf` and `summary` alone. In a full diagnosis other analyses may take a place back to
  undetermined: a wave slower than the short lags, a late change to a strong swing, growth of r (stable only), a fixed
  period that explains the swing, an r far below its balance (collapsing, and diverging by r while d falls: a first
  expansion). They never give a place, so false alarms of a place cannot rise by it. With `balance` beside, all 12
  planted collapses are found, also where it knows a ceiling. With all of them, none of the 48
  stable, 31 weak and 54 strong places of planted traces of the test half was lost (without the sinusoid and g = 0.7
  and 1.5). That a line too weak to matter and an alternation are left alone was mended after this half had been seen.
  The sinusoid, a swing by its label here, is told as periodic and left open.
- Nothing is said of running away or collapse below `fewest` rows, unless the run is recorded as diverged: there is no
  usual size yet. Only a mean of d within `stable_balance` is called stable; a weak swing may have one up to `balance`.
- Images, annealing, slow drifts of r and many modes at once are not in the collection. The rates hold for traces like
  these; they are no promise for others.
- The second axis is calibrated on densities that can be sampled exactly, none of them a net of many layers, at most 400
  coordinates: its rates are those of such runs.
"""
