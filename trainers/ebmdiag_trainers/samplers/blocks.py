"""Which coordinates can be drawn at once: those that share no term of the energy.

Where F = Σ_k φ_k + const and each φ_k sees few pixels, the conditional law of a pixel given all others depends only on
the terms that see it. Pixels that share no term are independent given the rest, so a checkerboard of them is updated at
once, exactly (Geman and Geman 1984, IEEE PAMI 6:721, section 12), and one evaluation of the net serves all of them.
The terms come from :mod:`~ebmdiag_trainers.samplers.local_terms`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Fields = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Blocks:
    """A partition of the coordinates 0 … N - 1 of a state, flattened, into C blocks of at most S.

    Attributes:
        sites: coordinates of each block, (C, S), int64; N stands for none.
        members: terms that each of them changes, (C, S, R), int64; K, one past the last, stands for none.
        terms: K.
    """

    sites: Tensor
    members: Tensor
    terms: int

    @classmethod
    def singles(cls, coordinates: int) -> Self:
        """Every coordinate by itself, in order, for an energy of one term."""
        return cls(torch.arange(coordinates)[:, None], torch.zeros((coordinates, 1, 1), dtype=torch.int64), 1)

    @classmethod
    def of_fields(cls, fields: Fields, channels: int) -> Self:
        """Blocks of pixels that share no term.

        Args:
            fields: which terms see which pixel, (P, K), bool.
            channels: coordinates of a pixel, which go in turn; coordinate c P + p is channel c of pixel p.
        """
        pixels, terms = fields.shape
        colours = greedy_colours(fields)
        groups = [np.flatnonzero(colours == colour) for colour in range(int(colours.max()) + 1)]
        seen = [np.flatnonzero(row) for row in fields]
        one = _padded(groups, -1)
        members = _padded(seen, terms)
        of_pixel = torch.cat([members, torch.full((1, members.shape[1]), terms)])  # row -1: no pixel
        sites = [torch.where(one < 0, channels * pixels, one + channel * pixels) for channel in range(channels)]
        return cls(torch.cat(sites), of_pixel[one].repeat(channels, 1, 1), terms)

    @property
    def count(self) -> int:
        """C."""
        return len(self.sites)

    @property
    def largest(self) -> int:
        """S."""
        return self.sites.shape[1]

    def conditional(self, terms: Tensor, block: Tensor) -> Tensor:
        """The part of V that depends on each site of each chain's block, (B, S).

        Args:
            terms: of V, (B, K).
            block: of each chain, (B,), int64.
        """
        padded = torch.nn.functional.pad(terms, (0, 1))
        members = self.members[block]
        return padded.gather(1, members.flatten(1)).reshape(members.shape).sum(2)

    def to(self, device: torch.device) -> Self:
        """On a device."""
        return type(self)(self.sites.to(device), self.members.to(device), self.terms)


def greedy_colours(fields: Fields) -> NDArray[np.int64]:
    """A colour for each pixel, (P,), such that no two of one colour share a term: the first that is free, in order."""
    conflicts = (fields.astype(np.float32) @ fields.T.astype(np.float32)) > 0
    colours = np.full(len(fields), -1, dtype=np.int64)
    for pixel, row in enumerate(conflicts):
        taken = np.zeros(len(fields) + 1, dtype=bool)
        taken[colours[:pixel][row[:pixel]]] = True
        colours[pixel] = int(np.argmin(taken))
    return colours


def _padded(rows: list[NDArray[np.int64]], filling: int) -> Tensor:
    """Rows of different lengths as one table, int64, at least one column wide."""
    table = np.full((len(rows), max(1, *(len(row) for row in rows))), filling, dtype=np.int64)
    for place, row in enumerate(rows):
        table[place, : len(row)] = row
    return torch.from_numpy(table)
