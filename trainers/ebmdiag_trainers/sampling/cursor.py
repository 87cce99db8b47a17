"""Where a run of chains is: all that its next step needs, in an immutable record that is saved and loaded as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, Self

import torch
from torch import Tensor, nn

from ebmdiag_trainers.samplers import Info, State
from ebmdiag_trainers.samplers.adaptation import DualAveraging
from ebmdiag_trainers.untouched import copy_buffers, put_back

Stage = Literal["data", "short", "warmup", "long"]
STAGES: tuple[Stage, ...] = ("data", "short", "warmup", "long")
_INFOS = ("log_ratio", "acceptance", "swaps")


@dataclass(frozen=True)
class Tally:
    """Sums of what steps told since the last recorded draw: each with its number of steps."""

    sums: Mapping[str, Tensor] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)

    def add(self, info: Info, first: int, steps: int) -> Tally:
        """After ``steps`` steps from number ``first`` on, whose means are ``info``.

        The coldest temperature's swaps are offered in every other step only: the second, the fourth, ….
        """
        swaps = (first + steps) // 2 - first // 2
        weights = {"log_ratio": steps, "acceptance": steps, "swaps": swaps}
        sums, counts = dict(self.sums), dict(self.counts)
        for name in _INFOS:
            value = getattr(info, name)
            if value is not None:
                sums[name] = sums.get(name, 0) + weights[name] * value
                counts[name] = counts.get(name, 0) + weights[name]
        return Tally(sums, counts)

    def means(self) -> dict[str, Tensor]:
        """The mean of each, (B,)."""
        return {name: total / self.counts[name] for name, total in self.sums.items()}


@dataclass(frozen=True)
class Mark:
    """Everything random, and everything else that calling a net may change."""

    own: Tensor
    default: tuple[Tensor, ...]
    buffers: Mapping[str, Tensor]

    @classmethod
    def take(cls, generator: torch.Generator, net: nn.Module) -> Self:
        """As it is now."""
        return cls(generator.get_state(), _default_states(generator.device), copy_buffers(net))

    def put(self, generator: torch.Generator, net: nn.Module) -> None:
        """Back to what it was."""
        generator.set_state(self.own)
        torch.set_rng_state(self.default[0])
        if len(self.default) > 1:
            torch.cuda.set_rng_state(self.default[1], generator.device)
        put_back(net, dict(self.buffers))


def _default_states(device: torch.device) -> tuple[Tensor, ...]:
    if device.type == "cuda":
        return torch.get_rng_state(), torch.cuda.get_rng_state(device)
    return (torch.get_rng_state(),)


@dataclass(frozen=True)
class Cursor:
    """A place in the run.

    Attributes:
        stage: the phase that goes on next, or the warm-up.
        draw: steps done in it; 0 also before its beginning.
        state: its chains; None before its beginning.
        start: x_0.
        mark: its random numbers; None before its beginning.
        tally: of the steps since the last recorded draw.
        averages: of the warm-up.
        gradients, energies: evaluations for one long chain, warm-up included.
        kept: states where earlier phases ended, by phase.
    """

    stage: Stage = "data"
    draw: int = 0
    state: State | None = None
    start: Tensor | None = None
    mark: Mark | None = None
    tally: Tally = field(default_factory=Tally)
    averages: DualAveraging | None = None
    gradients: int = 0
    energies: int = 0
    kept: Mapping[str, Tensor] = field(default_factory=dict)

    def entering(self, stage: Stage, kept: Mapping[str, Tensor] | None = None) -> Cursor:
        """Before the beginning of a stage."""
        return replace(
            self,
            stage=stage,
            draw=0,
            state=None,
            start=None,
            mark=None,
            tally=Tally(),
            kept={**self.kept, **(kept or {})},
        )
