"""Errors planted in slice sampling, which tests of its law must see, and the measure that they use."""

from dataclasses import replace

import torch
from scipy import stats

from ebmdiag_trainers.samplers import slicing

CHANCE = 1e-3
"""p-values below are errors: 3.3 standard errors of a normal number."""


def p_value(x, cdf):
    """Of the Kolmogorov-Smirnov test of independent values against a distribution function."""
    return stats.kstest(x.double().numpy().ravel(), cdf).pvalue


def no_exponential(monkeypatch):
    monkeypatch.setattr(slicing, "_level", lambda potential, generator: potential + 1.0)


def steps_to_one_side(monkeypatch):
    monkeypatch.setattr(slicing, "_split", lambda x, m, generator: torch.full(x.shape, m - 1))


def interval_not_at_random(monkeypatch):
    monkeypatch.setattr(slicing, "_placed", lambda x, width, generator: x - width / 2)


def shrinks_one_end(monkeypatch):
    """Refused points become the right end, on whatever side of x₀ they are."""

    def shrunk(slices, refused):
        right = torch.where(refused, slices.candidate, slices.right)
        return replace(slices, right=right, refusals=slices.refusals - refused.long())

    monkeypatch.setattr(slicing, "_shrunk", shrunk)
