"""Do chains forget where they started? Nested R-hat of superchains, and contraction under common noise."""

from __future__ import annotations

import torch
from torch import Tensor

from ebmdiag.numerics.nested import nested_rhat
from ebmdiag_trainers.gradients import energy_and_gradient
from ebmdiag_trainers.probes.moment import Moment

_RESOLVED = 1e-3  # of the first distance: closer than that, rounding in float32 would be measured


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
    """Mean over pairs of chains with the same noise of log(‖x_l - x'_l‖ / ‖x_0 - x'_0‖) / l.

    l is L, or the last step before the pair comes closer than a thousandth of its first distance.
    """
    half = len(moment.starts) // 2
    x, other = moment.starts[:half], moment.starts[half : 2 * half]
    apart = _distance(x, other)
    x, other, apart = x[apart > 0], other[apart > 0], apart[apart > 0]
    if not len(x):
        return {"contraction": None}
    rate = torch.full_like(apart, torch.nan)
    live = torch.ones_like(apart, dtype=torch.bool)
    for step in range(1, moment.steps + 1):
        x, other = _step_together(moment, x, other)
        share = _distance(x, other) / apart
        live &= (share >= _RESOLVED) | ((share > 0) & (step == 1))
        if not live.any():
            break
        rate = torch.where(live, share.log() / step, rate)
    return {"contraction": float(rate.nanmean())}


def _step_together(moment: Moment, x: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    noise = torch.randn(x.shape, generator=moment.generator, dtype=x.dtype, device=x.device)
    _, gradient = energy_and_gradient(moment.net, torch.cat([x, other]))
    move = moment.epsilon * noise
    return x - gradient[: len(x)] + move, other - gradient[len(x) :] + move


def _distance(x: Tensor, other: Tensor) -> Tensor:
    distance: Tensor = torch.linalg.vector_norm((x - other).flatten(1).double(), dim=1)
    return distance
