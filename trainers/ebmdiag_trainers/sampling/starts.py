"""Where the chains of each phase begin, and the data that they are compared with."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ebmdiag_trainers.data import Dataset
from ebmdiag_trainers.sampling.plan import Plan
from ebmdiag_trainers.starts import noise

LEAST_DATA = 500
"""Data items looked at, where there are so many; as many as there are chains, if those are more."""


@dataclass(frozen=True)
class Items:
    """Data drawn for one run of chains.

    Attributes:
        starts: where chains begin, with noise, (s, *shape); None unless they begin at data.
        compared: what they are compared with, with noise, (n, *shape); None where nothing is.
        plain: the same without noise, float32 on the CPU.
    """

    starts: Tensor | None = None
    compared: Tensor | None = None
    plain: Tensor | None = None


def data_items(plan: Plan) -> Items:
    """Draw them, the same ones each time. No item is both, unless the chains begin at more than half of all items."""
    dataset = plan.dataset
    if dataset is None:
        return Items()
    generator = plan.generator("items", torch.device("cpu"))
    starts = plan.chains // plan.copies if plan.init == "data" else 0
    wanted = max(plan.chains, LEAST_DATA) if plan.compare else 0
    apart = getattr(dataset, "held_out", None)
    if apart is not None:
        begun, compared = dataset.draw(starts, generator), apart.draw(min(wanted, apart.size), generator)
    else:
        begun, compared = _split(dataset, starts, wanted, generator)
    first = noisy(plan, begun, generator) if starts else None
    return Items(first, noisy(plan, compared, generator), compared) if wanted else Items(first)


def _split(dataset: Dataset, starts: int, wanted: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    if dataset.size is not None:
        wanted = min(wanted, max(dataset.size - starts, dataset.size // 2, 1))
        drawn = dataset.draw(min(starts + wanted, dataset.size), generator)
    else:
        drawn = dataset.draw(starts + wanted, generator)
    return drawn[:starts], drawn[len(drawn) - wanted :]


def noisy(plan: Plan, items: Tensor, generator: torch.Generator) -> Tensor:
    """Items with the recipe's noise, as states."""
    if plan.data_noise > 0:
        items = items + plan.data_noise * torch.randn(items.shape, generator=generator)
    return items.to(plan.device, plan.dtype)


def long_start(plan: Plan) -> Tensor:
    """x_0 of the long run, (chains, *shape): ``copies`` neighbours share each state."""
    count = plan.chains // plan.copies
    if plan.init == "data":
        drawn = data_items(plan).starts
        assert drawn is not None
        states = drawn
    elif plan.init == "bank":
        states = _of_bank(plan, count, plan.generator("start"))
    else:
        kind, scale = plan.noise
        states = noise(kind, count, plan.shape, scale, plan.generator("start"))
    return states.to(plan.dtype).repeat_interleave(plan.copies, dim=0)


def short_start(plan: Plan, generator: torch.Generator) -> Tensor:
    """x_0 of the short run, (short_chains, *shape), as the training draws it."""
    assert plan.short is not None
    kind, count = plan.short.start, plan.short_chains
    if kind == "persistent":
        return _of_bank(plan, count, generator)
    if kind == "data":
        assert plan.dataset is not None
        fresh = plan.generator("short_items", torch.device("cpu"))
        return noisy(plan, plan.dataset.draw(count, fresh), fresh)
    return noise(kind, count, plan.shape, plan.noise[1], generator).to(plan.dtype)


def _of_bank(plan: Plan, count: int, generator: torch.Generator) -> Tensor:
    assert plan.bank is not None
    slots = torch.randperm(len(plan.bank), generator=generator, device=generator.device)[:count]
    return plan.bank.to(plan.device, plan.dtype)[slots]
