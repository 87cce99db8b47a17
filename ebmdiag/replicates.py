"""Which runs repeat one another: those whose recipes say the same but for the seed and what learns nothing from it.

Runs of one recipe are draws from what that recipe does; runs of different recipes may be told apart. A group is named
after the keys in which the recipes differ; where these are many, by the recipe's name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ebmdiag.errors import UsageError
from ebmdiag.metadata import TraceMetadata
from ebmdiag.names import distinct, nearest
from ebmdiag.terminal import printable

WAYS = ("recipe", "folder", "run")
_MOST_KEYS = 3
_LONGEST = 40
_SEED = "seed"
_WITHOUT_EFFECT = (
    ("name",),
    ("description",),
    ("trace",),
    ("probe",),
    ("long_run",),
    ("training", "iterations"),
    ("training", "output"),
    ("training", "divergence_limit"),
    ("data", "path"),
    ("langevin", "engine"),
)
"""Keys, or whole tables, that change what is written or how fast, not what is learned."""

Key = tuple[str, ...]
Fact = tuple[str, TraceMetadata, Path]
"""A run's name, what its trace says of it, and where that lies."""


@dataclass(frozen=True)
class Group:
    """Runs that repeat one another.

    Attributes:
        label: what tells it from the other groups, short; printable.
        members: places in the order in which the runs were given.
        differs: the keys in which the groups differ, with this group's values; None where it has none.
    """

    label: str
    members: tuple[int, ...]
    differs: Mapping[str, Any]


def groups(facts: Sequence[Fact], by: str = "recipe") -> list[Group]:
    """Runs by ``recipe``, by the ``folder`` of the trace, each ``run`` alone, or by one key of the recipe.

    A run that tells no recipe stands alone where recipes are asked for. Groups come in the order of their first runs.

    Raises:
        UsageError: ``by`` is no way to group, nor a key of every run's recipe.
    """
    described = [_description(facts, place, by) for place in range(len(facts))]
    keys = [_identity(one) for one in described]
    members = {key: [place for place, own in enumerate(keys) if own == key] for key in dict.fromkeys(keys)}
    firsts = [places[0] for places in members.values()]
    differing = _differing([described[place] for place in firsts])
    names = _names([facts[place] for place in firsts])
    labels = _labels([described[place] for place in firsts], names, differing)
    return [
        Group(label, tuple(places), {".".join(key): described[places[0]].get(key) for key in differing})
        for label, places in zip(labels, members.values(), strict=True)
    ]


def tells_recipe(metadata: TraceMetadata) -> bool:
    """Whether a trace says how its run was trained; how a log was imported says nothing of it."""
    return bool(set(metadata.recipe) - {"import"})


def repeated(facts: Sequence[Fact]) -> list[list[int]]:
    """Places of runs that have one recipe and one seed, and so are one run; only where there are two or more.

    Whatever makes the groups: this looks at all that the recipe says, and at every seed in it.
    """
    found: dict[str, list[int]] = {}
    for place, (_, metadata, _) in enumerate(facts):
        whole = _whole(metadata)
        if metadata.seed is not None and tells_recipe(metadata):
            kept = {key: value for key, value in whole.items() if _matters(key) or key[-1] == _SEED}
            found.setdefault(_identity(kept | {(_SEED,): metadata.seed}), []).append(place)
    return [places for places in found.values() if len(places) > 1]


def _description(facts: Sequence[Fact], place: int, by: str) -> dict[Key, Any]:
    name, metadata, path = facts[place]
    whole = _whole(metadata)
    if by == "run" or (by == "recipe" and not tells_recipe(metadata)):
        return {("run",): f"{name} ({place + 1})"}
    if by == "recipe":
        return {key: value for key, value in whole.items() if _matters(key) and key[-1] != _SEED}
    if by == "folder":
        return {("folder",): distinct([path.parent for _, _, path in facts])[place]}
    known = {".".join(key): (key, value) for key, value in whole.items()}
    if by in known:
        return dict([known[by]])
    raise UsageError(
        f"cannot group by '{by}': the recipe of {path} has no such key{nearest(by, [*WAYS, *known])} "
        f"Use {', '.join(WAYS)} or a key of the recipe, for example optimizer.learning_rate."
    )


def _whole(metadata: TraceMetadata) -> dict[Key, Any]:
    """The recipe with its tables unfolded, and ε; a key that says nothing (null) is as good as absent."""
    unfolded = {key: value for key, value in _flat(metadata.recipe) if value is not None}
    return {("epsilon",): float(metadata.epsilon), **unfolded}


def _flat(table: Mapping[str, Any], above: Key = ()) -> Iterator[tuple[Key, Any]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, (*above, str(key)))
        else:
            yield (*above, str(key)), float(value) if type(value) is int else value


def _identity(described: Mapping[Key, Any]) -> str:
    return json.dumps(sorted(((list(key), value) for key, value in described.items()), key=repr), default=str)


def _matters(key: Key) -> bool:
    return not any(key[: len(one)] == one for one in _WITHOUT_EFFECT)


def _differing(described: Sequence[Mapping[Key, Any]]) -> list[Key]:
    known = dict.fromkeys(key for one in described for key in one)
    return [key for key in known if len({json.dumps(one.get(key), default=str) for one in described}) > 1]


def _names(facts: Sequence[Fact]) -> list[str]:
    """Those of the recipes, if each has one of its own; else of the groups' first runs."""
    recipes = [metadata.recipe.get("name") for _, metadata, _ in facts]
    told = [name for name in recipes if isinstance(name, str) and name]
    return told if len(set(told)) == len(facts) else [name for name, _, _ in facts]


def _labels(described: Sequence[Mapping[Key, Any]], names: Sequence[str], differing: Sequence[Key]) -> list[str]:
    """Printable, short and different: values where few keys differ, else names."""
    if len(names) == 1:
        return ["all runs"]
    if len(differing) <= _MOST_KEYS and ("run",) not in differing:
        labels = [", ".join(_said(key, one.get(key)) for key in differing) for one in described]
    else:
        labels = list(names)
    short = [printable(label if len(label) <= _LONGEST else label[: _LONGEST - 1] + "…", "utf-8") for label in labels]
    return [f"{label} [{place}]" if short.count(label) > 1 else label for place, label in enumerate(short, 1)]


def _said(key: Key, value: Any) -> str:
    if isinstance(value, str):
        return value or f"{key[-1]} ''"
    return f"{key[-1]} {'–' if value is None else f'{value:g}' if isinstance(value, float) else value}"
