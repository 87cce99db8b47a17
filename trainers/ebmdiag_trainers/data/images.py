"""A data set of images, held in memory as bytes and handed out on the scale of the nets."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

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
        held_out: images of the same source that are not among these; None where none were set aside.
    """

    name: str
    images: torch.Tensor
    fingerprint: str = ""
    origin: str = ""
    held_out: ImageSet | None = None

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
        return self._scaled(self.images[chosen])

    def all(self) -> torch.Tensor:
        """Every image as :meth:`draw` scales it, in order, (N, C, 32, 32), float32."""
        return self._scaled(self.images)

    def holding_out(self, count: int) -> ImageSet:
        """The set without ``count`` images, which are its ``held_out`` then; the set itself for 0.

        Which ones depends on the number of images and on nothing else; those of a smaller count are among those of a
        larger one.

        Raises:
            UsageError: no image would be left.
        """
        if not count:
            return self
        if not count < self.size:
            raise UsageError(
                f"data.held_out = {count} leaves nothing to train on, since '{self.name}' has {self.size} images; "
                "hold out fewer."
            )
        order = torch.tensor(_order(self.size))
        away, kept = order[:count].sort().values, order[count:].sort().values
        fingerprint = f"{self.fingerprint}-held-out-{count}"
        apart = replace(self, images=self.images[away], fingerprint=f"{fingerprint}-apart")
        return replace(self, images=self.images[kept], fingerprint=fingerprint, held_out=apart)

    @staticmethod
    def _scaled(images: torch.Tensor) -> torch.Tensor:
        return images.to(torch.float32) / 127.5 - 1


def _order(size: int) -> list[int]:
    """The numbers below ``size`` in one haphazard order, which no version of any library can change."""
    return sorted(range(size), key=lambda number: hashlib.sha256(f"held out {number}".encode()).digest())
