"""The bank of persistent chains, and how it has been used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from ebmdiag_trainers.record import BankUse
from ebmdiag_trainers.weights import PathWeights


@dataclass
class Bank:
    """Persistent chains.

    Attributes:
        chains: their states, shape (size, *shape).
        last_used: the iteration that used each last, 0 for never, shape (size,), int64.
        visits: how often each was used, shape (size,), int64.
        weights: log-weights of the chains, if they are asked for.
    """

    chains: Tensor
    last_used: Tensor
    visits: Tensor
    weights: PathWeights | None = None

    @classmethod
    def of(cls, chains: Tensor, weights: PathWeights | None = None) -> Self:
        """A bank that has not been used."""
        zero = torch.zeros(len(chains), dtype=torch.int64, device=chains.device)
        return cls(chains, zero, zero.clone(), weights)

    def __len__(self) -> int:
        return len(self.chains)

    def store(self, slots: Tensor, states: Tensor, step: int) -> None:
        """Put chains back after iteration ``step``."""
        self.chains[slots] = states
        self.last_used[slots] = step
        self.visits[slots] += 1

    def use(self, step: int) -> BankUse:
        """How the bank has been used up to iteration ``step``."""
        size = len(self)
        return BankUse(
            mean_age=step - int(self.last_used.sum()) / size,
            mean_visits=int(self.visits.sum()) / size,
            unvisited=1 - int(self.visits.count_nonzero()) / size,
        )

    def tensors(self) -> dict[str, Tensor]:
        """All that must be saved."""
        tensors = {"chains": self.chains, "last_used": self.last_used, "visits": self.visits}
        if self.weights is not None:
            tensors |= {"log_weight": self.weights.log_weight, "energy": self.weights.energy}
        return tensors

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Overwrite with what was saved; the shapes must fit."""
        for name, value in self.tensors().items():
            if tensors[name].shape != value.shape:
                raise ValueError(f"the bank's {name} has shape {tuple(tensors[name].shape)}, not {tuple(value.shape)}")
            value.copy_(tensors[name])
