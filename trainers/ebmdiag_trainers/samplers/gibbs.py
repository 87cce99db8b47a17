"""Gibbs sampling, one coordinate at a time, as in FRAME (Zhu, Wu and Mumford 1998, IJCV 27:107), for continuous states.

One step is one sweep: every coordinate in turn, in the order of the state's axes, is drawn anew given all others, by
one update of slice sampling (:mod:`~ebmdiag_trainers.samplers.slicing`), which leaves its conditional law exactly
invariant; so does the sweep with exp(-V). It needs no gradient and refuses nothing, but several evaluations of the
whole net for each coordinate, where Langevin moves all of them with one gradient.

Chains are independent, so none waits for another: a chain whose slice is finished goes on to its next coordinate while
others still search. Every evaluation serves all chains, and a sweep takes as many as the chain that needs most, not
the sum over coordinates of the largest numbers. Each V is evaluated in full, so that nothing adds up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ebmdiag.errors import UsageError
from ebmdiag_trainers.samplers.blocks import Blocks
from ebmdiag_trainers.samplers.contract import Info, Sampler, State, StepSize
from ebmdiag_trainers.samplers.slicing import Slices, begin, judged, renewed
from ebmdiag_trainers.samplers.target import Target


@dataclass(frozen=True)
class Gibbs(Sampler):
    """Slice sampling of one coordinate after another; ``step_size`` is the width w of a first interval.

    Attributes:
        expansions: m, the most widths that the interval about a coordinate may have, at least 1: further than m w
            no update goes.
    """

    expansions: int = 8

    def __post_init__(self) -> None:
        if self.expansions < 1:
            raise UsageError(f"expansions must be at least 1, but is {self.expansions}.")

    def step(
        self, target: Target, state: State, generator: torch.Generator, noise: Tensor | None = None
    ) -> tuple[State, Info]:
        """One sweep. V is evaluated anew at its start, so that a state from before the net changed does no harm.

        Raises:
            UsageError: ``noise`` is given; no normal numbers are used.
        """
        if noise is not None:
            raise UsageError("Gibbs sampling uses no normal numbers: noise must be None.")
        x = sweep(state.x, self._terms(target), self._blocks(state.x), self.step_size, self.expansions, generator)
        return State(target.point(x), count=state.count + 1), Info()

    def _blocks(self, x: Tensor) -> Blocks:
        return Blocks.singles(x[0].numel())

    def _terms(self, target: Target) -> Callable[[Tensor], Tensor]:
        """States (B, *shape) → terms whose sum is V, (B, K), float64."""
        return lambda x: target.potential(x)[:, None]


def sweep(
    x: Tensor,
    terms: Callable[[Tensor], Tensor],
    blocks: Blocks,
    width: StepSize,
    expansions: int,
    generator: torch.Generator,
) -> Tensor:
    """Update every coordinate once, those of a block at once.

    Args:
        x: states, (B, *shape); not changed.
        terms: maps states to the terms of V, (B, K), float64.
        blocks: which coordinates go together, and which terms each of them changes.
        width: w, above 0; one number, or one for each chain, (B,).
        expansions: m.
        generator: on the device of x.

    Returns:
        The states after it.
    """
    moving = _Moving(x, terms(x), blocks.to(x.device), width, expansions, generator)
    while not moving.finished:
        moving.go_on(terms(moving.trial()))
    return moving.states()


class _Moving:
    """Chains within a sweep, each at a block of its own: ``flat`` as they were when that block began."""

    def __init__(
        self, x: Tensor, terms: Tensor, blocks: Blocks, width: StepSize, expansions: int, generator: torch.Generator
    ) -> None:
        self.shape, self.blocks, self.expansions, self.generator = x.shape, blocks, expansions, generator
        self.flat = torch.nn.functional.pad(x.detach().flatten(1), (0, 1))  # the last column stands for no coordinate
        self.at = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        self.width = torch.as_tensor(width, dtype=torch.float64, device=x.device).reshape(-1, 1)
        self.slices = self._begun(terms)

    @property
    def finished(self) -> bool:
        """Whether all chains are through."""
        return bool((self.at == self.blocks.count).all())

    def states(self) -> Tensor:
        """The chains, (B, *shape)."""
        return self.flat[:, :-1].reshape(self.shape)

    def trial(self) -> Tensor:
        """The chains with the candidates put in, (B, *shape)."""
        return self._tried()[:, :-1].reshape(self.shape)

    def go_on(self, terms: Tensor) -> None:
        """Judge the trial by its terms; chains that are through with a block begin their next one."""
        conditional, tried = self.blocks.conditional(terms, self._block()), self._tried()
        self.slices = judged(self.slices, conditional, self.flat.dtype, self.generator)
        through = self.slices.done.all(1, keepdim=True)
        # finished slices are tried at their new values, so that of such a chain, what was tried is the chain after the
        # block, and the terms are those of it
        self.flat = torch.where(through, tried, self.flat)
        self.at = (self.at + through[:, 0]).clamp(max=self.blocks.count)
        onward = through & (self.at < self.blocks.count)[:, None]
        if onward.any():
            self.slices = renewed(self.slices, onward, self._begun(terms))

    def _begun(self, terms: Tensor) -> Slices:
        block, sites = self._block(), self._sites()
        potential = self.blocks.conditional(terms, block)
        live = sites < self.flat.shape[1] - 1
        return begin(self.flat.gather(1, sites), potential, self.width, self.expansions, self.generator, live)

    def _tried(self) -> Tensor:
        """``flat`` with the candidates put in."""
        return self.flat.scatter(1, self._sites(), self.slices.candidate.to(self.flat.dtype))

    def _block(self) -> Tensor:
        """The block of each chain, (B,); the last one for those that are through."""
        return self.at.clamp(max=self.blocks.count - 1)

    def _sites(self) -> Tensor:
        """The coordinates of its block, (B, S)."""
        return self.blocks.sites[self._block()]
