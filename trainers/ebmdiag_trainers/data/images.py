"""A data set of images, held in memory as bytes and handed out on the scale of the nets."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ebmdiag.errors import UsageError


@dataclass(frozen=True)
class ImageSet:
    """Images of shape (N, C, 32, 32), uint8, in the order of their names in the source.

    Attributes:
        name: the source, such as ``flowers``.
        images: all images.
        fingerprint: sha256 over source, channels, preprocessing and the content that was read.
        origin: the file or folder that was read.
    """

    name: str
    images: torch.Tensor
    fingerprint: str = ""
    origin: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        """One state: (C, 32, 32)."""
        return tuple(self.images.shape[1:])

    @property
    def size(self) -> int:
        """The number of images."""
        return len(self.images)

    def draw(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """``count`` different images, shape (count, C, 32, 32), float32, scaled to [-1, 1] by x/127.5 - 1.

        Raises:
            UsageError: fewer images are there than asked for.
        """
        if not 0 <= count <= self.size:
            raise UsageError(
                f"'{self.name}' has {self.size} images, so a batch of {count} cannot be drawn without replacement; "
                f"set training.batch to at most {self.size}."
            )
        chosen = torch.randperm(self.size, generator=generator)[:count]
        return self.images[chosen].to(torch.float32) / 127.5 - 1
