"""What the training loop needs of its data."""

from __future__ import annotations

from typing import Protocol

import torch


class Dataset(Protocol):
    """A density or a finite set, from which batches of positives are drawn."""

    @property
    def name(self) -> str:
        """The source, such as ``rings``."""

    @property
    def shape(self) -> tuple[int, ...]:
        """One state: (2, 1, 1) on the plane, (C, 32, 32) for images."""

    @property
    def size(self) -> int | None:
        """The number of items, or None for a density."""

    def draw(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """A batch of shape (count, *shape), float32, on the CPU, without data noise.

        All randomness comes from ``generator``. Items of a finite set are drawn without replacement.

        Raises:
            UsageError: ``count`` is more than there is.
        """
