"""Do chains forget where they started? Nested R-hat of superchains, and contraction under common noise."""

from __future__ import annotations

import torch
from torch import Tensor

from ebmdiag.numerics.nested import nested_rhat
from ebmdiag_trainers.gradients import energy_and_gradient
from ebmdiag_trainers.probes.moment import Moment

_RESOLVED, _APART = 1e-3, 1e-2  # of the first distance: closer, rounding in float32 would be measured


def nested(moment: Moment) -> dict[str, float | None]:
    """Nested R-hat of U and of the state after L steps of ``copies`` chains from each start."""
    copies = moment.settings.copies
    starts = moment.starts[: len(moment.starts) // copies]
    if len(starts) < 2:
        return {"nested_rhat_energy": None, "nested_rhat_state": None}
    x = moment.run(starts.repeat_interleave(copies, 0), moment.steps)
    layout = (len(starts), copies, 1)
    return {
        "nested_rhat_energy": nested_rhat(moment.energy(x).reshape(layout).cpu().numpy()),
        "nested_rhat_state": nested_rhat(x.flatten(1).double().reshape(*layout, -1).cpu().numpy()),
    }


def contraction(moment: Moment) -> dict[str, float | None]:
    """Mean over pairs of chains with the same noise of the log growth of their distance, per step.

    A pair that has come closer than a thousandth of its first distance is drawn apart again to a hundredth, along the
    line between them (Benettin et al. 1980, Meccanica 15:9): all L steps count, and none measures rounding.
    """
    half = len(moment.starts) // 2
    x, other = moment.starts[:half], moment.starts[half : 2 * half]
    first = _distance(x, other)
    x, other, first = x[first > 0], other[first > 0], first[first > 0]
    if not len(x):
        return {"contraction": None}
    growth, before = torch.zeros_like(first), first
    for _ in range(moment.steps):
        x, other = _step_together(moment, x, other)
        after = _distance(x, other)
        growth += (after / before).log()
        before = torch.where(after < _RESOLVED * first, _APART * first, after)
        other = x + (other - x) * _like(before / after, x)
    met = growth.isfinite()  # a pair that met to the last bit has no rate
    return {"contraction": float(growth[met].mean()) / moment.steps if met.any() else None}


def _step_together(moment: Moment, x: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    noise = torch.randn(x.shape, generator=moment.generator, dtype=x.dtype, device=x.device)
    _, gradient = energy_and_gradient(moment.net, torch.cat([x, other]))
    move = moment.epsilon * noise
    return x - gradient[: len(x)] + move, other - gradient[len(x) :] + move


def _distance(x: Tensor, other: Tensor) -> Tensor:
    distance: Tensor = torch.linalg.vector_norm((x - other).flatten(1).double(), dim=1)
    return distance


def _like(scale: Tensor, x: Tensor) -> Tensor:
    """A factor for each chain, shaped to multiply states."""
    return scale.to(x.dtype).reshape(-1, *(1 for _ in x.shape[1:]))
