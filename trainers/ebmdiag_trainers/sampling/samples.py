"""Whole states at the end: data, where short and long runs ended, and how near the training set is to each."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ebmdiag.chains import Samples
from ebmdiag_trainers.data import ImageSet
from ebmdiag_trainers.sampling.cursor import Cursor
from ebmdiag_trainers.sampling.plan import Plan
from ebmdiag_trainers.sampling.starts import data_items


def samples_of(plan: Plan, cursor: Cursor) -> Samples:
    """Of a run that is done."""
    assert cursor.state is not None
    states = {
        "data": cursor.kept.get("data"),
        "short": cursor.kept.get("short"),
        "long": plan.long_sampler.visible(cursor.state).x,
    }
    arrays = {name: _array(tensor) for name, tensor in states.items() if tensor is not None}
    fields: dict[str, Any] = {**arrays, **_distances(plan, arrays)}
    return Samples(**fields)


def _distances(plan: Plan, arrays: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float64]]:
    """Distance of each state to the nearest image that the net was trained on, without noise.

    Data that were trained on are compared with the others, else each would be near to itself.
    """
    if not isinstance(plan.dataset, ImageSet):
        return {}
    from ebmdiag.numerics.neighbours import nearest

    trained = plan.dataset.all().numpy()
    if len(trained) < 2:
        return {}
    plain = data_items(plan).plain
    own = nearest(plain.numpy(), trained).index if plain is not None and plan.dataset.held_out is None else None
    return {
        f"nearest_{name}": nearest(array, trained, exclude=own if name == "data" else None).distance
        for name, array in arrays.items()
    }


def _array(states: Tensor) -> NDArray[np.float32]:
    return np.asarray(states.detach().cpu().float().numpy())
