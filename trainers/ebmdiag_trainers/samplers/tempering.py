"""Parallel tempering: K copies of the chains at rising temperatures, neighbours now and then exchanged.

Copy k follows exp(-V / τ_k), τ_1 = 1 < τ_2 < …. Neighbours i, j exchange their states with probability

    min(1, exp((1/τ_i - 1/τ_j) (V(x_i) - V(x_j)))),

V the potential at temperature 1, which leaves the joint law invariant (Geyer 1991; Earl and Deem 2005). Even pairs and
odd pairs take turns (deterministic even-odd scheme, Syed et al. 2022, arXiv:1905.02939): a state then travels through
the temperatures instead of diffusing. The steps of copy k are √τ_k as long, as its law is as much wider.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from ebmdiag_trainers.samplers.contract import Info, Sampler, State, StepSize
from ebmdiag_trainers.samplers.target import Point, Target, per_chain


@dataclass(frozen=True)
class Tempered(Sampler):
    """Any sampler, helped by hotter copies of its chains. A state holds all copies, coldest first: K · B chains.

    Attributes:
        base: runs the copies; its ``step_size`` is that of the coldest.
        temperatures: τ_1 = 1 < τ_2 < …, at least two.
    """

    base: Sampler
    temperatures: tuple[float, ...]

    @classmethod
    def of(cls, base: Sampler, temperatures: tuple[float, ...]) -> Self:
        """``step_size`` is the base's."""
        return cls(base.step_size, base, temperatures)

    @property
    def exact(self) -> bool:  # type: ignore[override]
        """Whether the base is."""
        return self.base.exact

    @property
    def adjusted(self) -> bool:  # type: ignore[override]
        """Whether the base's steps can be refused."""
        return self.base.adjusted

    def init(self, target: Target, x: Tensor, generator: torch.Generator) -> State:
        """Each copy begins at the same states."""
        copies = x.repeat(self._count, *(1 for _ in x.shape[1:]))
        hot, sampler = self._split(target, copies)
        return sampler.init(hot, copies, generator)

    def step(
        self, target: Target, state: State, generator: torch.Generator, noise: Tensor | None = None
    ) -> tuple[State, Info]:
        """One step of all copies, then the exchange of even or odd pairs; the info is that of the coldest."""
        hot, sampler = self._split(target, state.x)
        moved, info = sampler.step(hot, state, generator, noise)
        chains = len(state.x) // self._count
        exchanged, swaps = self._exchange(moved, chains, generator)
        return exchanged, Info(_first(info.log_ratio, chains), _first(info.acceptance, chains), swaps)

    def visible(self, state: State) -> State:
        """The coldest copy."""
        chains = len(state.x) // self._count
        point = Point(state.point.x[:chains], state.point.potential[:chains], state.point.gradient[:chains])
        return State(point, _first(state.momentum, chains), state.count)

    def with_step_size(self, step_size: StepSize) -> Self:
        """The coldest copy's step; the others follow."""
        return replace(self, step_size=step_size, base=self.base.with_step_size(step_size))

    @property
    def _count(self) -> int:
        return len(self.temperatures)

    @cached_property
    def _tau(self) -> Tensor:
        return torch.tensor(self.temperatures, dtype=torch.float64)

    def _split(self, target: Target, x: Tensor) -> tuple[Target, Sampler]:
        """The target and the sampler of all copies. Evaluations are counted in the given target: K for each chain."""
        tau = self._tau.to(x.device).repeat_interleave(len(x) // self._count)
        size = self.step_size.double().repeat(self._count) if isinstance(self.step_size, Tensor) else self.step_size
        return _Counted(target, tau, self._count), self.base.with_step_size(size * tau.sqrt())

    def _exchange(self, state: State, chains: int, generator: torch.Generator) -> tuple[State, Tensor | None]:
        """Exchange pairs (k, k+1) of this turn; which swaps of the coldest were accepted, None if it had none."""
        tau = self._tau.to(state.x.device)[:, None]
        plain = state.point.potential.reshape(self._count, chains) * tau
        order = torch.arange(self._count, device=state.x.device)[:, None].repeat(1, chains)
        lower = torch.arange(state.count % 2, self._count - 1, 2, device=state.x.device)
        uniform = torch.rand((len(lower), chains), generator=generator, dtype=torch.float64, device=state.x.device)
        ratio = (1 / tau[lower] - 1 / tau[lower + 1]) * (plain[lower] - plain[lower + 1])
        accepted = uniform.log() < ratio
        order[lower] += accepted.long()
        order[lower + 1] -= accepted.long()
        taken = (order * chains + torch.arange(chains, device=state.x.device)).reshape(-1)
        swaps = accepted[0].double() if state.count % 2 == 0 else None
        return replace(state, point=self._rescaled(state.point, taken, order, chains)), swaps

    def _rescaled(self, point: Point, taken: Tensor, order: Tensor, chains: int) -> Point:
        """Each copy's new states; potential and gradient are those of the old place, at its own temperature."""
        tau = self._tau.to(point.x.device)
        change = (tau[order] / tau[:, None]).reshape(-1)
        return Point(
            point.x[taken],
            point.potential[taken] * change,
            point.gradient[taken] * per_chain(change, point.x),
        )


class _Counted(Target):
    """The target at K temperatures, whose evaluations count in the original."""

    def __init__(self, target: Target, tau: Tensor, copies: int) -> None:
        scale = target.scale.repeat(copies) if isinstance(target.scale, Tensor) else target.scale
        super().__init__(target.net, scale * tau)
        self._original, self._copies = target, copies

    def point(self, x: Tensor) -> Point:
        self._original.gradients += self._copies
        return super().point(x)

    def potential(self, x: Tensor) -> Tensor:
        self._original.energies += self._copies
        return super().potential(x)

    def terms(self, x: Tensor, local: Callable[[Tensor], Tensor]) -> Tensor:
        self._original.energies += self._copies
        return super().terms(x, local)


def _first(values: Tensor | None, chains: int) -> Tensor | None:
    return None if values is None else values[:chains]
