"""What several test files need: analytic energies, assertions in standard errors, small runs."""

import dataclasses

import numpy as np
import torch
from torch import nn

from ebmdiag.rows import temperature
from ebmdiag_trainers.record import Record, Update


class GaussianEnergy(nn.Module):
    """F = T * sum_i precision_i x_i^2 / 2, so that exp(-U) is a Gaussian of these precisions."""

    def __init__(self, precisions, epsilon):
        super().__init__()
        scale = torch.as_tensor(precisions, dtype=torch.float64) * (epsilon**2 / 2)
        self.register_buffer("scale", scale)

    def forward(self, x):
        return (self.scale * x.flatten(1).square()).sum(1) / 2


class QuarticEnergy(nn.Module):
    """F = T * sum_i x_i^4 / 4: an energy whose Langevin step has no exact law."""

    def __init__(self, epsilon):
        super().__init__()
        self.temperature = epsilon**2 / 2

    def forward(self, x):
        return self.temperature * x.flatten(1).pow(4).sum(1) / 4


def assert_within_errors(values, truth, errors=4.0):
    """The mean of independent values is within ``errors`` standard errors of the truth."""
    values = np.asarray(values, dtype=float)
    error = values.std(ddof=1) / np.sqrt(len(values))
    distance = abs(values.mean() - truth) / error
    assert distance < errors, f"mean {values.mean():.6g} is {distance:.1f} standard errors from {truth:.6g}"


TINY = (
    "training.batch=8",
    "langevin.steps=5",
    "langevin.bank=50",
    "trace.flush_rows=3",
)
"""Settings that make ``rings`` a matter of milliseconds."""


def record_of(net, start, chain, epsilon, **changes):
    """The record of an iteration whose positives are its negatives, and whose update did nothing."""
    with torch.no_grad():
        energy = net(chain.end).double()
    record = Record(
        step=1,
        epsilon=epsilon,
        temperature=temperature(epsilon),
        data_noise=0.0,
        coordinates=start[0].numel(),
        positives=chain.end,
        start=start,
        negatives=chain.end,
        energy_pos=energy,
        energy_neg=energy,
        difference=0.0,
        sums=chain.sums,
        update=Update(0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0),
        bank=None,
    )
    return dataclasses.replace(record, **changes)
