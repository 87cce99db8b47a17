"""What is recorded of each chain at a draw: those columns of a table of chains that its state decides."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ebmdiag.chains.schema import PROJECTIONS
from ebmdiag_trainers.samplers import Point
from ebmdiag_trainers.samplers.target import inner

Values = NDArray[np.float64]
_SEED = 20_200_904  # of the random directions: the same for every table, so that tables can be compared
_SMALLEST = 8  # pixels along a side, from which on a state is a picture


def state_measures(point: Point, start: Tensor, temperature: float) -> dict[str, Values]:
    """Measure states x, (B, *shape), of chains that began at ``start``, of the same shape.

    Args:
        point: V and its gradient, V = U / temperature.
        start: x_0.
        temperature: τ.

    Returns:
        Column → (B,); energy and gradient in units of U at temperature 1.
    """
    moved = point.x - start
    return {
        "energy": _plain(point.potential * temperature),
        "grad_norm": _plain(inner(point.gradient, point.gradient).sqrt() * temperature),
        "displacement": _plain(inner(moved, moved).sqrt()),
        **projections(point.x),
        **image_measures(point.x),
    }


def projections(x: Tensor) -> dict[str, Values]:
    """The coordinates, where there are at most four, else products with four fixed random unit vectors."""
    flat = x.detach().flatten(1).double().cpu().numpy()
    shadows = flat if flat.shape[1] <= PROJECTIONS else flat @ directions(flat.shape[1])
    return {f"projection_{k}": np.ascontiguousarray(column) for k, column in enumerate(shadows.T)}


@cache
def directions(coordinates: int) -> Values:
    """Unit vectors, shape (coordinates, 4), the same for everybody."""
    vectors = np.random.default_rng(_SEED).standard_normal((coordinates, PROJECTIONS))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=0))


def is_picture(shape: tuple[int, ...]) -> bool:
    """Whether a state of this shape can be looked at."""
    return len(shape) == 3 and shape[0] in (1, 3) and min(shape[1:]) >= _SMALLEST


def image_measures(x: Tensor) -> dict[str, Values]:
    """Saturation, colourfulness, salt and pepper, share outside of [-1, 1]; nothing for states that are no pictures."""
    if not is_picture(tuple(x.shape[1:])):
        return {}
    from ebmdiag.numerics import image_measures as numerics

    images = x.detach().cpu().numpy()
    measures: Mapping[str, Callable[..., Values]] = {
        "saturation": numerics.saturation,
        "colourfulness": numerics.colourfulness,
        "salt_and_pepper": numerics.salt_and_pepper,
        "outside": numerics.outside,
    }
    return {name: measure(images) for name, measure in measures.items()}


def widening_draws(steps: int, count: int = 20) -> list[int]:
    """Draws from 0 to ``steps``, both included, ever wider apart: about ``count`` of them.

    Example:
        >>> widening_draws(8, 4)
        [0, 1, 2, 4, 8]
    """
    between = (round(math.exp(math.log(steps) * k / max(count - 1, 1))) for k in range(count))
    return sorted({0, steps, *between})


def _plain(values: Tensor) -> Values:
    return np.asarray(values.detach().cpu().numpy(), dtype=np.float64)
