"""Whether chains still know where they began: what the judgements on mixing and the overall one share."""

from __future__ import annotations

from ebmdiag.result import Finding, Result
from ebmdiag.terminal import number
from ebmdiag_analyses.convergence.limits import PROPOSAL, Limits
from ebmdiag_analyses.convergence.words import mixing_word


def remembered(result: Result, name: str, limits: Limits) -> bool:
    """Whether a nested R-hat (``nested`` or ``meet``) is beyond chance, and large enough to matter."""
    found, p = result.estimates.get(name), result.estimates.get(f"{name}:p")
    if found is None or found.value is None or p is None:
        return False
    expected = float(result.estimates[f"{name}:expected"].value or 1.0)
    return float(p.value or 0.0) < limits.p and found.value > limits.excess * expected


def persistent(result: Result, limits: Limits) -> bool:
    """Whether single chains keep means of their own, beyond chance."""
    p = result.estimates.get("persistence:p")
    return p is not None and p.value is not None and p.value < limits.p


def states_remembered(result: Result, limits: Limits) -> bool:
    """Whether whole states at the end tell which chains began together."""
    p = _value(result, "_p")
    return p is not None and p < limits.p


def mixed(result: Result, limits: Limits) -> bool:
    """Enough to be told from what has not arrived: nearly at least, with the starts forgotten."""
    remembers = remembered(result, "nested", limits) or states_remembered(result, limits) or persistent(result, limits)
    return mixing_word(result, limits) in ("mixed", "nearly mixed") and not remembers


def states_forgotten(result: Result, limits: Limits) -> Finding | None:
    """Distances of the ends of chains of one start beside those of different starts; silent with one copy of each."""
    p = _value(result, "_p")
    if p is None:
        return None
    said = (
        f"whole ends of chains of one start are {number(_value(result, ''), 4)} times as far apart as those of "
        f"different starts, and {number(_value(result, '_axis'), 3)} times in squares along the axis where that is "
        f"least, p = {p:.2g}"
    )
    code = "starts-forgotten-states"
    if not states_remembered(result, limits):
        return Finding(code, "info", f"{said}: no trace of the start.", p, limits.p, source=_SOURCE)
    advice = "Chains stay in the mode where they began: run longer, or with a sampler that crosses barriers."
    return Finding(code, "warning", f"{said}: they have not forgotten it.", p, limits.p, advice, _SOURCE)


def chains_persist(result: Result, limits: Limits) -> Finding | None:
    """Whether chains keep means of their own over the second half; silent where that cannot be asked."""
    p = result.estimates.get("persistence:p")
    if p is None or p.value is None:
        return None
    said = (
        "over chains, the means of the first and last third of the second half have a rank correlation of "
        f"{number(result.estimates['persistence'].value, 3)}, p = {p.value:.2g}"
    )
    if not persistent(result, limits):
        return Finding("chains-forget", "info", f"{said}: none that matters.", p.value, limits.p, source=_RANKS)
    advice = "Chains keep to places of their own: run longer, or with a sampler that crosses barriers."
    return Finding(
        "chains-forget", "warning", f"{said}: they keep places of their own.", p.value, limits.p, advice, _RANKS
    )


_RANKS = f"Spearman 1904 (docs/convergence.md); {PROPOSAL}"
_SOURCE = f"permutation test (docs/convergence.md); {PROPOSAL}"


def unforgotten(result: Result, limits: Limits) -> list[str]:
    """What keeps forgotten starts from being shown; empty where they are.

    Asked of every kind of start: chains that never leave the modes where they began agree with data or short runs from
    data and bank by construction, from noise where short runs begin there too, else by the accident of equal shares.
    """
    ratio, axis, found = _value(result, ""), _value(result, "_axis"), result.estimates.get("states:forgotten")
    if ratio is None:
        if result.settings["starts"] == result.settings["chains"]:
            return ["one copy of each start: whether starts are forgotten is unknown; --copies 2"]
        reason = "whole states were not looked at" if found is None else found.reason
        return [f"whether starts are forgotten is unknown ({reason})"]
    if states_remembered(result, limits):
        return ["whole states at the end of the long run tell which chains began together: more steps are needed"]
    if ratio >= limits.forgotten and (axis is None or axis >= limits.forgotten_axis):
        return []
    return [
        f"chains of one start end {ratio:.3g} times as far apart as others ({number(axis, 3)} in squares along one "
        f"axis), where {limits.forgotten:g} ({limits.forgotten_axis:g}) is the least: more starts would decide"
    ]


def _value(result: Result, key: str) -> float | None:
    found = result.estimates.get(f"states:forgotten{key}")
    return None if found is None else found.value
