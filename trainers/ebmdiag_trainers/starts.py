"""Where the chains of an iteration start: persistent bank, data, uniform or Gaussian noise."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ebmdiag.errors import RecipeError
from ebmdiag_trainers.bank import Bank
from ebmdiag_trainers.recipe import Langevin
from ebmdiag_trainers.weights import PathWeights


@dataclass(frozen=True)
class Start:
    """x_0 of the chains, shape (B, *shape), and the bank's slots that they came from, shape (B,) or None."""

    states: Tensor
    slots: Tensor | None = None


def noise(kind: str, count: int, shape: tuple[int, ...], scale: float, generator: torch.Generator) -> Tensor:
    """``count`` states of noise, float32, on the generator's device.

    ``uniform`` is uniform on [-scale, scale] in each coordinate, ``gaussian`` is Normal(0, scale²).
    """
    size = (count, *shape)
    if kind == "gaussian":
        return scale * torch.randn(size, generator=generator, device=generator.device)
    if kind == "uniform":
        return scale * (2 * torch.rand(size, generator=generator, device=generator.device) - 1)
    raise ValueError(f"noise must be 'uniform' or 'gaussian', but is {kind!r}")


def new_bank(
    langevin: Langevin,
    items: int | None,
    shape: tuple[int, ...],
    batch: int,
    generator: torch.Generator,
    weighted: bool = False,
) -> Bank | None:
    """The persistent chains at the start of learning, pure noise; None unless the recipe asks for them.

    ``weighted`` gives them log-weights (for chains that start from Gaussian noise).

    Raises:
        RecipeError: the bank's size is left to a data set that has none, or is below one batch.
    """
    if langevin.start != "persistent":
        return None
    size = langevin.bank or items
    if size is None:
        raise RecipeError("[langevin] bank must be given for data that is a density, such as bank = 10000.")
    if size < batch:
        raise RecipeError(f"[langevin] the bank holds {size} chains, but one batch needs {batch}.")
    chains = noise(langevin.bank_start, size, shape, langevin.scale, generator)
    return Bank.of(chains, PathWeights.of_gaussian_start(chains, langevin.scale) if weighted else None)


def draw_start(
    langevin: Langevin, bank: Bank | None, batch: int, shape: tuple[int, ...], generator: torch.Generator
) -> Start:
    """Starting points of one iteration, for every start but ``data``; bank slots without replacement."""
    if bank is None:
        return Start(noise(langevin.start, batch, shape, langevin.scale, generator))
    slots = torch.randperm(len(bank), generator=generator, device=generator.device)[:batch]
    return Start(bank.chains[slots], slots)
