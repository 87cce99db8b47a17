"""Judgements on images, whole states, copies, and all tables of a run."""

from __future__ import annotations

import math

from ebmdiag.result import Finding, Result, Severity
from ebmdiag.terminal import number
from ebmdiag_analyses.convergence.held import UNITS
from ebmdiag_analyses.convergence.limits import AXIS, PROPOSAL, Limits

_WORDS = {
    "saturation": "saturated",
    "colourfulness": "colourful",
    "salt_and_pepper": "grainy",
    "outside": "out of range",
}


def images(result: Result, limits: Limits) -> Finding | None:
    """Which image measures of short and long runs are off the data's."""
    table = result.tables.get("agreement")
    if table is None:
        return None
    columns = table.columns
    off, largest, seen = [], 0.0, False
    names = ("pair", "measure", "difference", "error", "unit")
    for pair, measure, value, error, unit in zip(*(columns[name] for name in names), strict=True):
        if measure not in _WORDS or pair == "long-short":
            continue
        seen, largest = True, max(largest, abs(value))
        if abs(value) > limits.margin and abs(value) > limits.errors * error:
            run = pair.partition("-")[0]
            off.append(
                f"{run} runs are {'more' if value > 0 else 'less'} {_WORDS[measure]} ({value:+.2g} {UNITS[unit]})"
            )
    if not seen:
        return None
    if not off:
        statement = f"saturation, colourfulness, grain and range are the data's: at most {largest:.2g} sd off."
        return Finding("images", "info", statement, largest, limits.margin, source=AXIS)
    advice = "Look at the pictures beside the table; oversaturated long runs: the density is not the short runs'."
    statement = f"beside data, {'; '.join(off)}."
    return Finding("images", "warning", statement, largest, limits.margin, advice, f"{AXIS}; {PROPOSAL}")


def states(result: Result, limits: Limits) -> Finding | None:
    """Which pairs of phases the two-sample tests tell apart."""
    table = result.tables.get("two_sample")
    if table is None:
        reason = result.estimates["two_sample:long-data"].reason
        return Finding("two-sample", "info", f"whole states are not compared: {reason}.")
    columns = table.columns
    shares = {
        pair: share for pair, share in zip(columns["pair"], columns["share"], strict=True) if math.isfinite(share)
    }
    said, apart, smallest = [], [], 1.0
    for pair in dict.fromkeys(columns["pair"].tolist()):
        p = result.estimates[f"two_sample:{pair}"].value
        if p is None:
            continue
        smallest = min(smallest, p)
        words = " and ".join(pair.split("-"))
        said.append(f"{words} (p = {p:.2g}, share {number(shares.get(pair), 2)})")
        if p < limits.p:
            apart.append(words)
    verdict = f"tell apart {', '.join(apart)}" if apart else "tell none apart"
    blunt = len(table) / (1 + result.settings["permutations"]) >= limits.p
    cannot = f"; so few permutations cannot go below {limits.p:g}" if blunt else ""
    statement = f"two-sample tests {verdict}: {', '.join(said)}; p adjusted for false discoveries{cannot}."
    advice = "Compare the samples by eye and by the measures that differ." if apart else ""
    severity: Severity = "warning" if apart else "info"
    return Finding("two-sample", severity, statement, smallest, limits.p, advice, PROPOSAL)


def copies(result: Result, limits: Limits) -> Finding | None:
    """Whether short or long runs end nearer to training items than data that were kept from training."""
    told = [(run, result.estimates.get(f"copies:{run}")) for run in ("short", "long")]
    known = [(run, found) for run, found in told if found is not None and found.value is not None]
    if not known:
        return None
    ratios = ", ".join(
        f"{run} runs {number(result.estimates[f'copies:{run}_ratio'].value, 3)} times as far (p = {found.value:.2g})"
        for run, found in known
    )
    doubts = dict.fromkeys(found.reason for _, found in known if found.reason)
    said = f"distance to the nearest training item beside that of data: {ratios}"
    if doubts:
        return Finding("copies", "info", f"{said}; not judged: {'; '.join(doubts)}.")
    smallest = min(float(found.value or 0.0) for _, found in known)
    if smallest >= limits.p:
        return Finding("copies", "info", f"{said}: no sign of copies.", smallest, limits.p, source=_COPYING)
    return Finding(
        "copies",
        "warning",
        f"{said}: samples are nearer to training items than unseen data are.",
        smallest,
        limits.p,
        "Look at samples beside their nearest items; a density that copies has too little noise or too much capacity.",
        f"{_COPYING}; {PROPOSAL}",
    )


_COPYING = "Meehan, Chaudhuri and Dasgupta 2020, arXiv:2004.05675"


def over_training(result: Result, limits: Limits) -> Finding | None:
    """At which iterations the long run's energy stayed with the data's, of those that were run at temperature 1 beside
    data.
    """
    table = result.tables.get("training")
    if table is None:
        return None
    told = zip(*(table.columns[name].tolist() for name in ("step", "temperature", "gap_errors")), strict=True)
    gaps = [(step, gap) for step, temperature, gap in told if temperature == 1 and not math.isnan(gap)]
    steps = {step for step, _ in gaps}
    if len(steps) < 2:
        return None
    kept = sorted(steps - {step for step, gap in gaps if abs(gap) > limits.errors})
    said = (
        f"of {len(steps)} iterations with long runs, {len(kept)} keep the data's energy within {limits.errors:g} errors"
    )
    last = f", last {kept[-1]}" if kept else ""
    return Finding("long-runs-over-training", "info", f"{said}{last}.", float(len(kept)), source=AXIS)
