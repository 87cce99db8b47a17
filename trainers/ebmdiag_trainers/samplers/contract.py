"""What every sampler takes and gives: the state is all that its next step needs, the info what that step tells.

A sampler is a frozen record of its options. Its noise comes from the generator that it is passed; a test may hand in
the normal numbers instead. ``step`` is one step of the chains; ``advance`` many, with the means of what they told.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch
from torch import Tensor

from ebmdiag_trainers.samplers.target import Point, Target, per_chain

StepSize = float | Tensor
"""One number, or one for each chain, shape (B,)."""


@dataclass(frozen=True)
class State:
    """All that the next step of B chains needs.

    Attributes:
        point: states with potential and gradient.
        momentum: of the shape of the states; None for samplers that carry none.
        count: steps done, for samplers whose steps take turns.
    """

    point: Point
    momentum: Tensor | None = None
    count: int = 0

    @property
    def x(self) -> Tensor:
        """The states, (B, *shape)."""
        return self.point.x


@dataclass(frozen=True)
class Info:
    """What a step tells, or the means over many steps; float64, shape (B,); None where there is no such thing.

    Attributes:
        log_ratio: log of the Metropolis ratio of the step that was proposed.
        acceptance: min(1, ratio); what would be accepted, for an unadjusted sampler.
        swaps: parallel tempering: share of the swaps of the coldest chain that were accepted.
    """

    log_ratio: Tensor | None = None
    acceptance: Tensor | None = None
    swaps: Tensor | None = None

    @classmethod
    def of_ratio(cls, log_ratio: Tensor) -> Self:
        """The ratio and the acceptance that follows from it."""
        return cls(log_ratio, log_ratio.clamp(max=0.0).exp().nan_to_num(0.0))


@dataclass(frozen=True)
class Sampler(ABC):
    """One way to run chains; frozen, so that options can be read off it and replaced.

    Attributes:
        step_size: h; a Langevin step is x' = x - (h²/2) ∇V + h z, and other samplers are scaled alike: a leapfrog step
            of h with unit masses. For samplers without a step, the width that they start from.
        exact: whether exp(-V) is exactly invariant.
        adjusted: whether steps can be refused, so that the acceptance says how long they may be.
    """

    step_size: StepSize
    exact: ClassVar[bool] = True
    adjusted: ClassVar[bool] = False

    def init(self, target: Target, x: Tensor, generator: torch.Generator) -> State:
        """The state of chains that begin at x, (B, *shape), which is not changed."""
        return State(target.point(x))

    @abstractmethod
    def step(
        self, target: Target, state: State, generator: torch.Generator, noise: Tensor | None = None
    ) -> tuple[State, Info]:
        """One step of all chains; ``noise`` replaces the normal numbers of the generator (for tests)."""

    def advance(self, target: Target, state: State, steps: int, generator: torch.Generator) -> tuple[State, Info]:
        """Many steps, at least one, and the means over them of what they told."""
        means = _Means()
        for _ in range(steps):
            state, info = self.step(target, state, generator)
            means.add(info)
        return state, means.info()

    def visible(self, state: State) -> State:
        """The chains that follow exp(-V) at the temperature asked for, where others help them."""
        return state

    def with_step_size(self, step_size: StepSize) -> Self:
        """The same sampler with another step."""
        return replace(self, step_size=step_size)

    def sized(self, x: Tensor) -> StepSize:
        """h, shaped to multiply states."""
        return per_chain(self.step_size, x) if isinstance(self.step_size, Tensor) else self.step_size


class _Means:
    """Running sums of infos."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    def add(self, info: Info) -> None:
        for name in ("log_ratio", "acceptance", "swaps"):
            value = getattr(info, name)
            if value is not None:
                self.sums[name] = self.sums[name] + value if name in self.sums else value
                self.counts[name] = self.counts.get(name, 0) + 1

    def info(self) -> Info:
        return Info(**{name: total / self.counts[name] for name, total in self.sums.items()})


def normal(x: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal numbers of the shape and dtype of x."""
    return torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)


def metropolis(before: Point, after: Point, log_ratio: Tensor, generator: torch.Generator) -> tuple[Point, Tensor]:
    """Accept each chain's step with probability min(1, exp(log_ratio)); a ratio that is not a number refuses.

    Returns:
        The points kept, and which steps were accepted, (B,), bool.
    """
    uniform = torch.rand(log_ratio.shape, generator=generator, dtype=torch.float64, device=log_ratio.device)
    accepted = uniform.log() < log_ratio
    choose = per_chain(accepted, before.x).bool()
    kept = Point(
        torch.where(choose, after.x, before.x),
        torch.where(accepted, after.potential, before.potential),
        torch.where(choose, after.gradient, before.gradient),
    )
    return kept, accepted
