"""Saving the place of a run of chains, and going on from it exactly.

A ``torch.save`` of plain containers and tensors, loaded with ``weights_only=True``. It also says how many rows of the
table belong to it, and what the run was planned as: another plan is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ebmdiag.errors import CheckpointError, UsageError
from ebmdiag_trainers.checkpoints import load_plain, save_plain
from ebmdiag_trainers.samplers import Point, State
from ebmdiag_trainers.samplers.adaptation import DualAveraging
from ebmdiag_trainers.sampling.cursor import STAGES, Cursor, Mark, Tally

FORMAT = 1
_LATER = ("device",)  # facts that places saved by an older ebmdiag do not hold


@dataclass(frozen=True)
class Saved:
    """What a file holds: the place, the rows up to it, and the facts of its plan."""

    cursor: Cursor
    rows: int
    facts: Mapping[str, Any]


def save_state(path: Path, saved: Saved) -> None:
    """Write it.

    Raises:
        WriteError: the operating system refused.
    """
    save_plain(
        path,
        {
            "format": FORMAT,
            "facts": json.dumps(dict(saved.facts)),
            "rows": saved.rows,
            **_plain(saved.cursor),
        },
    )


def load_state(path: Path, device: torch.device) -> Saved:
    """Read it, tensors on ``device``.

    Raises:
        CheckpointError: missing, damaged, or of another kind.
    """
    values = load_plain(path)
    try:
        if values["format"] != FORMAT:
            raise ValueError(f"it has format {values['format']}, this ebmdiag reads {FORMAT}")
        facts = json.loads(values["facts"])
        return Saved(_cursor(values, device), int(values["rows"]), dict(facts))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            f"{path} is not the saved place of a run of chains ({error}); add --force to begin anew."
        ) from error


def refuse_other_plan(saved: Saved, facts: Mapping[str, Any]) -> None:
    """Go on only with what was begun; more steps are no other plan.

    Raises:
        UsageError: something differs; the message names it.
    """
    now = json.loads(json.dumps(dict(facts)))
    for key, value in now.items():
        before = saved.facts.get(key, value if key in _LATER else None)
        if key == "steps" or before == value:
            continue
        if key == "weights":
            raise UsageError(
                "--resume: the net is not the one that the chains were begun with; choose another --out, or --force."
            )
        raise UsageError(
            f"--resume: {key} is {value!r}, but the chains were begun with {before!r}; leave it as it was, or choose "
            "another --out."
        )
    reached = saved.cursor.draw if saved.cursor.stage == "long" else 0
    if now["steps"] < reached:
        raise UsageError(
            f"--resume: the chains have done {reached} steps already; ask for more than that with --steps."
        )


def _plain(cursor: Cursor) -> dict[str, Any]:
    state, mark = cursor.state, cursor.mark
    return {
        "stage": cursor.stage,
        "draw": cursor.draw,
        "state": None if state is None else {**asdict(state.point), "momentum": state.momentum, "count": state.count},
        "start": cursor.start,
        "mark": None if mark is None else (mark.own, list(mark.default), dict(mark.buffers)),
        "tally": (dict(cursor.tally.sums), dict(cursor.tally.counts)),
        "averages": None if cursor.averages is None else asdict(cursor.averages),
        "evaluations": (cursor.gradients, cursor.energies),
        "kept": dict(cursor.kept),
    }


def _cursor(values: Mapping[str, Any], device: torch.device) -> Cursor:
    if values["stage"] not in STAGES:
        raise ValueError(f"no stage is called {values['stage']!r}")
    state, mark, averages = values["state"], values["mark"], values["averages"]
    sums, counts = values["tally"]
    gradients, energies = values["evaluations"]
    return Cursor(
        stage=values["stage"],
        draw=int(values["draw"]),
        state=None if state is None else _state(state, device),
        start=_moved(values["start"], device),
        mark=None if mark is None else Mark(mark[0], tuple(mark[1]), mark[2]),
        tally=Tally({name: tensor.to(device) for name, tensor in sums.items()}, dict(counts)),
        averages=None if averages is None else DualAveraging(**averages),
        gradients=int(gradients),
        energies=int(energies),
        kept={name: tensor.to(device) for name, tensor in values["kept"].items()},
    )


def _state(values: Mapping[str, Any], device: torch.device) -> State:
    point = Point(*(values[name].to(device) for name in ("x", "potential", "gradient")))
    return State(point, _moved(values["momentum"], device), int(values["count"]))


def _moved(tensor: Tensor | None, device: torch.device) -> Tensor | None:
    return None if tensor is None else tensor.to(device)
