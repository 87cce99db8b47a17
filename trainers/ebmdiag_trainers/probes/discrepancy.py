"""Kernel Stein discrepancy of short-run samples, and of data, from the model."""

from __future__ import annotations

import math

from torch import Tensor

from ebmdiag.numerics.stein import Discrepancy, stein_discrepancy
from ebmdiag_trainers.probes.moment import Moment


def kernel_stein(moment: Moment) -> dict[str, float | None]:
    """KSD² and its p-value, of x⁻ and of x⁺; the kernel's width is kernel_scale √N."""
    if min(len(moment.negatives), len(moment.positives)) < 2:
        return dict.fromkeys(("ksd", "ksd_p", "ksd_data", "ksd_data_p"))
    negatives, positives = _of(moment, moment.negatives), _of(moment, moment.positives)
    return {
        "ksd": negatives.squared,
        "ksd_p": negatives.p_value,
        "ksd_data": positives.squared,
        "ksd_data_p": positives.p_value,
    }


def _of(moment: Moment, x: Tensor) -> Discrepancy:
    scale = moment.settings.kernel_scale * math.sqrt(moment.coordinates)
    samples, scores = x.detach().flatten(1).double(), -moment.gradient(x)
    return stein_discrepancy(samples.cpu().numpy(), scores.cpu().numpy(), scale=scale, rng=moment.rng)
