"""Data whose model can be solved exactly: independent normals of mean 0 and given precisions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from ebmdiag.errors import UsageError


@dataclass(frozen=True)
class Gaussian:
    """Coordinate i is Normal(0, 1 / precisions[i]); a state has shape (N, 1, 1)."""

    precisions: tuple[float, ...]
    name: ClassVar[str] = "gaussian"
    size: ClassVar[None] = None

    def __post_init__(self) -> None:
        if not self.precisions or min(self.precisions) <= 0:
            raise UsageError(f"the source 'gaussian' needs precisions above 0, but got {list(self.precisions)}.")

    @property
    def shape(self) -> tuple[int, ...]:
        """One state."""
        return (len(self.precisions), 1, 1)

    def draw(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Independent states, shape (count, N, 1, 1), float32."""
        deviations = torch.tensor(self.precisions).rsqrt().reshape(-1, 1, 1)
        return deviations * torch.randn(count, *self.shape, generator=generator)
