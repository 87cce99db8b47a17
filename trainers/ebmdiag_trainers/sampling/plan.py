"""All that decides a run of chains, apart from the machine.

A run has up to three phases, each with random numbers of its own: data (no chain), the training's short run of L steps
from the training's start, and the long run. Draws are recorded at 0, thin, 2 thin, … steps of the sampler.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ebmdiag.errors import RecipeError, UsageError
from ebmdiag.rows import temperature
from ebmdiag_trainers.data import Dataset
from ebmdiag_trainers.engines import Engine
from ebmdiag_trainers.samplers import Sampler, SamplerOptions, build_sampler
from ebmdiag_trainers.samplers.adaptation import DualAveraging, adapted
from ebmdiag_trainers.untouched import copy_buffers

INITS = ("data", "noise", "bank")
STREAMS = ("items", "start", "short", "warmup", "long", "short_items")
"""What draws random numbers, each from a generator of its own."""


@dataclass(frozen=True)
class ShortRun:
    """The training's own chains: L steps of its sampler from its start (persistent, data, uniform or gaussian)."""

    steps: int
    start: str
    options: SamplerOptions


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One run of chains.

    Attributes:
        net: the energy, in ``dtype`` and on ``device``; left as it is.
        shape: of one state.
        epsilon: ε of the training: U = F / T, T = ε²/2.
        steps, thin: of the long run, and from one recorded draw to the next; steps is a multiple of thin.
        chains: long chains, and short ones (fewer, where the bank holds fewer).
        options: of the long run's sampler.
        temperature: τ; the long chains follow exp(-U / τ).
        init: where long chains begin: data (with the recipe's noise), noise or bank.
        copies: chains that share each start; divides ``chains``.
        warmup: steps in which the step size is adapted; the long run then begins at its starts again.
        short: the training's short run, or None.
        dataset: the training's data, or None; its ``held_out`` images are what is compared with, if it has any.
        compare: whether data are looked at.
        apart: whether it is known that the net was not trained on ``dataset.held_out``.
        data_noise: standard deviation of the recipe's noise on data.
        noise: kind and scale of the noise that init = noise means.
        bank: persistent chains, (n, *shape), or None.
        seed: all random numbers follow from it.
        training_step: iteration of the net; 0 where it is not known.
        dtype, device: of the states.
        engine: runs unadjusted Langevin steps faster; None: a plain loop.
        engine_name: what it is called.
        buffers: the net's, as they were; each phase begins with them.

    Raises:
        UsageError: values that do not go together.
        RecipeError: the net does not suit the sampler, or ε is 0.
    """

    net: nn.Module
    shape: tuple[int, ...]
    epsilon: float
    steps: int
    thin: int
    chains: int
    options: SamplerOptions = field(default_factory=SamplerOptions)
    temperature: float = 1.0
    init: str = "data"
    copies: int = 1
    warmup: int = 0
    short: ShortRun | None = None
    dataset: Dataset | None = None
    compare: bool = True
    apart: bool = True
    data_noise: float = 0.0
    noise: tuple[str, float] = ("uniform", 1.0)
    bank: Tensor | None = None
    seed: int = 0
    training_step: int = 0
    dtype: torch.dtype = torch.float32
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    engine: Engine | None = None
    engine_name: str = ""
    buffers: Mapping[str, Tensor] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "buffers", copy_buffers(self.net))
        if not 0 < self.temperature < math.inf:
            raise UsageError(f"the temperature must be above 0 and finite, but is {self.temperature}.")
        if self.chains % self.copies:
            fitting = self.chains - self.chains % self.copies or self.copies
            raise UsageError(
                f"the number of chains must be a multiple of the copies that share each start, but is {self.chains} "
                f"with {self.copies} copies; take {fitting}."
            )
        if self.steps % self.thin:
            raise UsageError(f"{self.steps} steps are no multiple of thin = {self.thin}.")
        self._check_data()
        self._check_bank()
        if not self.long_sampler.adjusted and self.warmup:
            raise RecipeError(
                f"'{self.options.name}' refuses no steps, so that a warm-up has nothing to adapt its step size by; "
                "leave the warm-up out."
            )

    def _check_data(self) -> None:
        from_data = [self.chains // self.copies] if self.init == "data" else []
        if self.short is not None and self.short.start == "data":
            from_data.append(self.chains)
        if from_data and self.dataset is None:
            raise UsageError("chains cannot begin at data where no data are loaded; let them begin at noise.")
        size = None if self.dataset is None else self.dataset.size
        if self.dataset is not None and size is not None and from_data and max(from_data) > size:
            raise UsageError(
                f"'{self.dataset.name}' has {size} items to begin at, but {max(from_data)} starts are needed; ask for "
                "fewer chains, or for more copies of each and no short run."
            )

    def _check_bank(self) -> None:
        needed = self.chains // self.copies
        if self.init == "bank" and self.bank is None:
            raise UsageError(
                "this checkpoint holds no bank of persistent chains (langevin.start is not 'persistent', or only "
                "weights were saved); let the chains begin at data or noise."
            )
        if self.init == "bank" and self.bank is not None and len(self.bank) < needed:
            raise UsageError(
                f"the bank holds {len(self.bank)} chains, but {needed} starts are needed; ask for fewer chains or for "
                "more copies of each."
            )
        if self.short is not None and self.short.start == "persistent" and self.bank is None:
            raise UsageError("the training's short run begins in its bank, and this checkpoint holds none.")

    @cached_property
    def long_sampler(self) -> Sampler:
        """Of the long run, before any warm-up."""
        return build_sampler(
            self.options,
            epsilon=self.epsilon,
            net=self.net,
            shape=self.shape,
            temperature=self.temperature,
            engine=self.engine,
        )

    @cached_property
    def short_sampler(self) -> Sampler:
        """Of the short run; only where there is one."""
        assert self.short is not None
        return build_sampler(
            self.short.options, epsilon=self.epsilon, net=self.net, shape=self.shape, engine=self.engine
        )

    def warmed(self, averages: DualAveraging | None) -> Sampler:
        """The long run's sampler after its warm-up."""
        return self.long_sampler if averages is None else adapted(self.long_sampler, averages)

    @property
    def heat(self) -> float:
        """T = ε²/2."""
        return temperature(self.epsilon)

    @property
    def short_chains(self) -> int:
        """Chains of the short run."""
        return min(self.chains, len(self.bank)) if self.bank is not None else self.chains

    @property
    def long_starts(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Which long chains begin together, (chains,)."""
        return np.arange(self.chains) // self.copies

    def generator(self, stream: str, device: torch.device | None = None) -> torch.Generator:
        """The random numbers of one of :data:`STREAMS`, from their beginning."""
        seeds = np.random.SeedSequence([self.seed, STREAMS.index(stream)])
        seed = int(seeds.generate_state(1, np.uint64)[0] >> 1)
        return torch.Generator(device or self.device).manual_seed(seed)

    def seed_default(self, stream: str) -> None:
        """Begin PyTorch's default generators, which a net may draw from, for one of :data:`STREAMS`."""
        seeds = np.random.SeedSequence([self.seed, STREAMS.index(stream), 1])
        torch.manual_seed(int(seeds.generate_state(1, np.uint64)[0] >> 1))

    @property
    def total(self) -> int:
        """Steps of all phases."""
        return (self.short.steps if self.short else 0) + self.warmup + self.steps

    @cached_property
    def facts(self) -> Mapping[str, Any]:
        """All of it as plain JSON, weights and data by their hashes: what a resumed run must share, steps aside."""
        return {
            "weights": weights_digest(self.net),
            "shape": list(self.shape),
            "epsilon": self.epsilon,
            "sampler": self.options.facts(),
            "temperature": self.temperature,
            "init": self.init,
            "steps": self.steps,
            "thin": self.thin,
            "chains": self.chains,
            "copies": self.copies,
            "warmup": self.warmup,
            "short": self._short_facts(),
            "data": None if self.dataset is None else getattr(self.dataset, "fingerprint", repr(self.dataset)),
            "compare": self.compare,
            "data_noise": self.data_noise,
            "noise": list(self.noise),
            "seed": self.seed,
            "training_step": self.training_step,
            "dtype": str(self.dtype).removeprefix("torch."),
            "engine": self.engine_name,
            "device": self.device.type,
        }

    def _short_facts(self) -> dict[str, Any] | None:
        if self.short is None:
            return None
        return {"steps": self.short.steps, "start": self.short.start, **self.short.options.facts()}


def weights_digest(net: nn.Module) -> str:
    """sha256 over names, types, shapes and bytes of a net's parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(net.state_dict().items()):
        plain = tensor.detach().cpu().contiguous()
        digest.update(f"{name}\0{plain.dtype}\0{tuple(plain.shape)}\0".encode())
        digest.update(plain.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
