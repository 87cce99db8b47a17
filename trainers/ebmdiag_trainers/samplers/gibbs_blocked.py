"""Gibbs sampling of many pixels at once, for an energy that is a sum of local terms.

The law is that of :mod:`~ebmdiag_trainers.samplers.gibbs`: pixels of one block share no term, so given all others they
are independent, and each has a slice of its own, under the sum of the terms that see it. One evaluation of the net
serves all pixels of a block. Channels of a pixel go one after another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from torch import Tensor, nn

from ebmdiag.errors import UsageError
from ebmdiag_trainers.samplers.blocks import Blocks
from ebmdiag_trainers.samplers.contract import StepSize
from ebmdiag_trainers.samplers.gibbs import Gibbs
from ebmdiag_trainers.samplers.local_terms import blocks_of, local_terms
from ebmdiag_trainers.samplers.target import Target


@dataclass(frozen=True, kw_only=True)
class GibbsBlocked(Gibbs):
    """Slice sampling of one block after another.

    The target's net is asked for its terms in every step, with the weights that it has then; its structure must be that
    of the net that the blocks were found for.

    Attributes:
        blocks: coordinates that go together, from :meth:`of`.
    """

    blocks: Blocks = field(repr=False)

    @classmethod
    def of(cls, net: nn.Module, shape: tuple[int, ...], step_size: StepSize, expansions: int = 8) -> Self:
        """For states of a shape under a net.

        Raises:
            RecipeError: the net has no local terms, they do not add up to its output, or no two pixels can go together.
        """
        return cls(step_size=step_size, expansions=expansions, blocks=blocks_of(net, shape))

    def _blocks(self, x: Tensor) -> Blocks:
        return self.blocks

    def _terms(self, target: Target) -> Callable[[Tensor], Tensor]:
        local = local_terms(target.net)

        def terms(x: Tensor) -> Tensor:
            values = target.terms(x, local)
            if values.shape[1] != self.blocks.terms:
                raise UsageError(
                    f"the blocks belong to an energy of {self.blocks.terms} terms, but the target has "
                    f"{values.shape[1]}: make them for this net and shape with GibbsBlocked.of."
                )
            return values

        return terms
