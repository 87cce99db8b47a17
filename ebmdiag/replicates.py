"""Which runs repeat one another: those whose recipes say the same but for the seed and what learns nothing from it.

Runs of one recipe are draws from what that recipe does; runs of different recipes may be told apart. A group is named
after the keys in which the recipes differ.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ebmdiag.errors import UsageError
from ebmdiag.metadata import TraceMetadata
from ebmdiag.names import nearest

WAYS = ("recipe", "folder", "run")
_MOST_KEYS = 3
_LONGEST = 40
_WITHOUT_EFFECT = (
    "description",
    "trace",
    "probe",
    "long_run",
    "training.iterations",
    "training.output",
    "training.divergence_limit",
    "data.path",
    "langevin.engine",
)
"""Keys, or whole tables, that change what is written or how fast, not what is learned."""

Fact = tuple[str, TraceMetadata, Path]
"""A run's name, what its trace says of it, and where that lies."""


@dataclass(frozen=True)
class Group:
    """Runs that repeat one another.

    Attributes:
        label: what tells it from the other groups, short.
        members: places in the order in which the runs were given.
        differs: the keys in which the groups differ, with this group's values.
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
    described = [_description(fact, place, by) for place, fact in enumerate(facts)]
    keys = [json.dumps(one, sort_keys=True, default=str) for one in described]
    members = {key: [place for place, own in enumerate(keys) if own == key] for key in dict.fromkeys(keys)}
    differing = _differing([described[places[0]] for places in members.values()])
    labels = _labels([(described[places[0]], facts[places[0]][0]) for places in members.values()], differing)
    return [
        Group(label, tuple(places), {key: described[places[0]].get(key) for key in differing})
        for label, places in zip(labels, members.values(), strict=True)
    ]


def same_run(facts: Sequence[Fact], members: Sequence[int]) -> list[tuple[int, int]]:
    """Pairs (kept, again) among runs of one group that have the same seed, and so are one run twice."""
    first: dict[int, int] = {}
    again = []
    for place in members:
        seed = facts[place][1].seed
        if seed is None:
            continue
        if seed in first:
            again.append((first[seed], place))
        first.setdefault(seed, place)
    return again


def _description(fact: Fact, place: int, by: str) -> dict[str, Any]:
    name, metadata, path = fact
    whole = dict(_flat(metadata.recipe))
    if by == "recipe":
        if not whole:
            return {"run": f"{name} ({place + 1})"}
        return {"epsilon": metadata.epsilon} | {key: value for key, value in whole.items() if _matters(key)}
    if by == "folder":
        return {"folder": str(path.resolve().parent)}
    if by == "run":
        return {"run": f"{name} ({place + 1})"}
    if by in whole:
        return {by: whole[by]}
    known = [*WAYS, *whole]
    raise UsageError(
        f"cannot group by '{by}': the recipe of {path} has no such key{nearest(by, known)} "
        f"Use {', '.join(WAYS)} or a key of the recipe, for example optimizer.learning_rate."
    )


def _flat(table: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _matters(key: str) -> bool:
    parts = key.split(".")
    return parts[-1] != "seed" and not any(".".join(parts[:depth]) in _WITHOUT_EFFECT for depth in (1, 2))


def _differing(described: Sequence[Mapping[str, Any]]) -> list[str]:
    known = dict.fromkeys(key for one in described for key in one)
    return [key for key in known if len({json.dumps(one.get(key), default=str) for one in described}) > 1]


def _labels(groups: Sequence[tuple[Mapping[str, Any], str]], differing: Sequence[str]) -> list[str]:
    """Short and different: values where few keys differ, else the first run's name."""
    if len(groups) == 1:
        return ["all runs"]
    if len(differing) <= _MOST_KEYS and differing != ["run"]:
        labels = [", ".join(_said(key, one.get(key)) for key in differing) for one, _ in groups]
    else:
        labels = [name for _, name in groups]
    short = [label if len(label) <= _LONGEST else label[: _LONGEST - 1] + "…" for label in labels]
    return [f"{label} [{place}]" if short.count(label) > 1 else label for place, label in enumerate(short, 1)]


def _said(key: str, value: Any) -> str:
    name = key.rpartition(".")[2]
    if isinstance(value, str):
        return Path(value).name if key == "folder" else value
    return f"{name} {'–' if value is None else f'{value:g}' if isinstance(value, float) else value}"
