"""The graphed engine: any net on a CUDA device, its Langevin steps recorded once in CUDA graphs and replayed.

A step of a small net is some sixty kernels of a few microseconds each; Python cannot launch them as fast as the GPU
runs them. A graph launches them all at once. One graph of all L steps would hold 60 L kernels: tens of thousands of
nodes, slow to instantiate and out of the question for long runs. So a graph holds at most ``UNIT`` steps and is
replayed; the launch of a graph is then a small part of what it runs.

Steps differ in what they add to the path sums, not in what they compute, so there are three kinds (:class:`Role`),
each with graphs of its own: a step in a graph never asks which number it has. All states and sums live in static
buffers on the device; nothing is read back before the chain has ended.

Randomness. A graph draws from a generator of its own that is registered with it: at each replay PyTorch hands it the
generator's seed and offset and then moves the offset on by what the recorded draws take, just as launching them one
by one would. The caller's generator lends its state before a chain and takes it back after it (numbers that the host
holds: no synchronization). So its state after a call depends on nothing but the number of draws, recording and
warming up leave no mark, and, the draws being those of the reference engine, so should the noise be.

A recorded kernel reads the addresses that it was recorded with. Parameters that an optimizer changes in place are
seen; where an address, a part of the net, a shape or a switch differs, new graphs are recorded. What the net keeps
in plain attributes and changes, and what it decides in Python from call to call, is not noticed; run such a net on
``reference``.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol
from weakref import WeakKeyDictionary, WeakSet

import click
import torch
from torch import Tensor, nn

from ebmdiag.rows import temperature
from ebmdiag_trainers.engines.contract import SUMS, Chain, PathSums, check_chain
from ebmdiag_trainers.engines.perceptron import UnfitError
from ebmdiag_trainers.engines.precision import check_precision, energy_and_gradient_in, tf32
from ebmdiag_trainers.untouched import untouched

UNIT = 32
"""Steps in one graph, at most: some 2,000 kernels, so that a launch of some 10 µs is shared by 32 steps."""
_MOST_PLANS = 4  # for one net: the training chains, and those of probes with other shapes
_WARM_UPS = 3  # as PyTorch's documentation has it: libraries choose and allocate in the first ones

Draw = Callable[[Tensor], object]
"""Fills a tensor with normal numbers, in place."""


class CaptureError(RuntimeError):
    """A chain could not be recorded in a graph; the message says why."""


class Graphs(Protocol):
    """Records work on the device and gives a function that does it again."""

    def capture(self, work: Callable[[], None], warm_up: Callable[[], None], generator: torch.Generator) -> Any:
        """Record ``work``, which draws from ``generator``, and return what replays it.

        Raises:
            CaptureError: it cannot be recorded; the device is as it was.
        """
        ...


class Role(Enum):
    """What a step adds to."""

    EARLY = "the sums over all steps"
    COUNTED = "the tail sums as well, over steps and transitions"
    LAST = "the sums over steps, the tail's as well; its transition has no place in the tail"


def schedule(steps: int) -> list[tuple[Role, int]]:
    """The L steps by role: the tail begins at L // 2, and the last transition is in no tail sum."""
    tail = steps // 2
    return [(Role.EARLY, tail), (Role.COUNTED, steps - 1 - tail), (Role.LAST, 1)]


def units(count: int) -> list[int]:
    """Steps in turn as graphs take them."""
    full, rest = divmod(count, UNIT)
    return [UNIT] * full + [rest] * (rest > 0)


@dataclass(frozen=True)
class Settings:
    """What is baked into a graph beside shapes and addresses."""

    epsilon: float
    closed: bool
    precision: str


class Body:
    """One Langevin step in place on static buffers; plain tensor operations that a graph can record.

    It computes what the reference engine computes, operation by operation.

    Args:
        like: states of the shape, dtype and device in question, (B, *shape).
        settings: see :class:`Settings`.
    """

    def __init__(self, like: Tensor, settings: Settings) -> None:
        self.settings = settings
        self.evaluate = energy_and_gradient_in(settings.precision)
        self.x, self.gradient, self.z = (torch.empty_like(like, requires_grad=False) for _ in range(3))
        self.energy, self.gradient_squared = (like.new_empty(len(like)) for _ in range(2))
        self.table = torch.zeros(len(SUMS), len(like), dtype=torch.float64, device=like.device)
        self.sums = dict(zip(SUMS, self.table, strict=True))

    def begin(self, net: nn.Module, start: Tensor) -> None:
        """Put the chains at their start."""
        self.x.copy_(start.detach())
        self.table.zero_()
        self._arrive(*self.evaluate(net, self.x))
        self.sums["first_energy"].copy_(self.energy)

    def begin_tail(self) -> None:
        """Note where the tail begins."""
        self.sums["tail_first_energy"].copy_(self.energy)

    def step(self, net: nn.Module, role: Role, draw: Draw) -> None:
        """Take one step; ``draw`` fills the noise."""
        draw(self.z)
        move = self.settings.epsilon * self.z - self.gradient
        self._add_step(role, move)
        self.x.add_(move)
        if role is Role.LAST and not self.settings.closed:
            return
        energy, gradient = self.evaluate(net, self.x)
        self._add_transition(role, move, energy, gradient)
        self._arrive(energy, gradient)

    def finish(self, start: Tensor, steps: int) -> Chain:
        """The chains' ends and their sums, in memory of their own."""
        self.sums["displacement_squared"].copy_(_dot(*[self.x - start.detach()] * 2))
        sums: dict[str, Tensor | None] = dict(zip(SUMS, self.table.clone(), strict=True))
        if not self.settings.closed:
            sums["log_ratio"] = None
        tail = steps // 2
        return Chain(
            self.x.clone(),
            PathSums(steps=steps, tail_steps=steps - tail, tail_transitions=steps - 1 - tail, **sums),  # type: ignore[arg-type]
        )

    def _arrive(self, energy: Tensor, gradient: Tensor) -> None:
        self.energy.copy_(energy)
        self.gradient.copy_(gradient)
        self.gradient_squared.copy_(_dot(gradient, gradient))

    def _add_step(self, role: Role, move: Tensor) -> None:
        sums = self.sums
        sums["gradient_norm"] += self.gradient_squared.sqrt()
        sums["step_norm"] += _dot(move, move).sqrt()
        if role is not Role.EARLY:
            sums["tail_gradient_squared"] += self.gradient_squared
            sums["tail_position_gradient"] += _dot(self.x, self.gradient)

    def _add_transition(self, role: Role, move: Tensor, energy: Tensor, gradient: Tensor) -> None:
        sums, counted = self.sums, role is Role.COUNTED
        squared = _dot(gradient, gradient)
        if counted:
            sums["tail_next_gradient_squared"] += squared
            sums["tail_noise_gradient"] += _dot(self.z, gradient - self.gradient)
        if self.settings.epsilon == 0 or not (counted or self.settings.closed):
            return
        ratio = self._log_ratio(move, energy, gradient, squared) / temperature(self.settings.epsilon)
        if self.settings.closed:
            sums["log_ratio"] += ratio
        if counted:
            sums["tail_log_ratio"] += ratio
            sums["tail_log_ratio_squared"] += ratio.square()
            sums["tail_ratio"] += ratio.exp()
            sums["tail_acceptance"] += ratio.clamp(max=0.0).exp()

    def _log_ratio(self, move: Tensor, energy: Tensor, gradient: Tensor, squared: Tensor) -> Tensor:
        """T log r, (B,), float64: differences of energies lose digits in float32."""
        change = energy.double() - self.energy.double() - _dot(move, self.gradient + gradient) / 2
        return -change + (self.gradient_squared.double() - squared.double()) / 4


def _dot(a: Tensor, b: Tensor) -> Tensor:
    product: Tensor = torch.linalg.vecdot(a.flatten(1), b.flatten(1))
    return product


@dataclass(frozen=True)
class Key:
    """What a graph was recorded for; where anything of it differs, it must be recorded anew."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    settings: Settings
    parts: tuple[nn.Module, ...]
    training: tuple[bool, ...]
    addresses: tuple[tuple[Any, ...], ...]

    @classmethod
    def of(cls, net: nn.Module, start: Tensor, settings: Settings) -> Key:
        """Of a call as it stands."""
        return cls(
            tuple(start.shape),
            start.dtype,
            start.device,
            settings,
            tuple(net.modules())[1:],  # not the net itself, which would never be forgotten then
            tuple(module.training for module in net.modules()),
            tuple((t.data_ptr(), tuple(t.shape), t.stride(), t.dtype) for t in _tensors(net)),
        )


def _tensors(net: nn.Module) -> Iterator[Tensor]:
    yield from net.parameters()
    yield from net.buffers()


class Plan:
    """Static buffers and the graphs that work on them, for one :class:`Key`.

    It holds the storage of the net's tensors, so that no other tensor can come to lie at an address that a graph
    reads; it does not hold the net.
    """

    def __init__(self, net: nn.Module, start: Tensor, settings: Settings, graphs: Graphs) -> None:
        self.body = Body(start, settings)
        self.graphs = graphs
        self.generator = torch.Generator(start.device)
        self.held = [tensor.detach() for tensor in _tensors(net)]
        self.recorded: dict[tuple[Role, int], Callable[[], None]] = {}

    def prepare(self, net: nn.Module, start: Tensor, steps: int) -> None:
        """Record what L steps need and what is not there yet.

        Raises:
            CaptureError: the net cannot be recorded; all is as it was.
        """
        needed = {(role, count) for role, total in schedule(steps) for count in units(total)}
        missing = sorted(needed - set(self.recorded), key=lambda pair: (pair[0].name, pair[1]))
        if not missing:
            return
        with _frozen(net):
            self.body.begin(net, start)
            for role, count in missing:
                self.recorded[role, count] = self._record(net, role, count)

    def _record(self, net: nn.Module, role: Role, count: int) -> Callable[[], None]:
        def one() -> None:
            self.body.step(net, role, self._draw)

        def work() -> None:
            for _ in range(count):
                one()

        replay: Callable[[], None] = self.graphs.capture(work, one, self.generator)
        return replay

    def _draw(self, z: Tensor) -> None:
        z.normal_(generator=self.generator)

    def run(self, net: nn.Module, start: Tensor, steps: int, generator: torch.Generator) -> Chain:
        """Replay L steps with the noise of the caller's generator."""
        self.generator.set_state(generator.get_state())
        self.body.begin(net, start)
        for role, total in schedule(steps):
            if role is Role.COUNTED:
                self.body.begin_tail()
            for count in units(total):
                self.recorded[role, count]()
        generator.set_state(self.generator.get_state())
        return self.body.finish(start, steps)


@contextmanager
def _frozen(net: nn.Module) -> Iterator[None]:
    """Parameters take no gradients inside; afterwards the net is as it was.

    Warming up runs the net, which may count batches or draw from a default generator.
    """
    with untouched(net):
        net.requires_grad_(False)
        yield


_PLANS: WeakKeyDictionary[nn.Module, OrderedDict[Key, Plan]] = WeakKeyDictionary()
_REFUSED: WeakSet[nn.Module] = WeakSet()


def run_graphed(
    net: nn.Module,
    start: Tensor,
    steps: int,
    epsilon: float,
    generator: torch.Generator,
    noise: Tensor | None = None,
    closed: bool = False,
    *,
    precision: str = "float32",
    graphs: Graphs | None = None,
) -> Chain:
    """Run L Langevin steps; see :class:`~ebmdiag_trainers.engines.contract.Engine`.

    Given noise, and for a net that cannot be recorded (said once on stderr), the same steps run one by one.

    Args:
        precision: of the products inside the net, one of ``PRECISIONS``; outside it nothing is rounded.
        graphs: what records, for tests; by default CUDA graphs.

    Raises:
        UnfitError: the states are not on a CUDA device.
        RecipeError: no such precision.
    """
    check_chain(steps, epsilon, closed)
    check_precision(precision)
    if graphs is None:
        if start.device.type != "cuda":
            raise UnfitError(f"the graphed engine takes states on a CUDA device, not on {start.device}")
        graphs = CudaGraphs()
    settings = Settings(epsilon, closed, precision)
    with tf32(False):
        if noise is None and net not in _REFUSED:
            try:
                plan = _plan_of(net, start, settings, graphs)
                plan.prepare(net, start, steps)
            except CaptureError as error:
                _refuse(net, error)
            else:
                return plan.run(net, start, steps, generator)
        return _run_eagerly(net, start, steps, settings, generator, noise)


def _plan_of(net: nn.Module, start: Tensor, settings: Settings, graphs: Graphs) -> Plan:
    plans = _PLANS.setdefault(net, OrderedDict())
    key = Key.of(net, start, settings)
    for other in [other for other in plans if other.addresses != key.addresses]:
        del plans[other]  # the net's tensors have moved: never used again
    if key not in plans:
        plans[key] = Plan(net, start, settings, graphs)
    plans.move_to_end(key)
    while len(plans) > _MOST_PLANS:
        plans.popitem(last=False)
    return plans[key]


def _refuse(net: nn.Module, error: CaptureError) -> None:
    _PLANS.pop(net, None)
    _REFUSED.add(net)
    click.echo(
        f"ebmdiag: {type(net).__name__} cannot be recorded in a CUDA graph ({error}); "
        f"its steps run one by one, as in the reference engine.",
        err=True,
    )


def _run_eagerly(
    net: nn.Module, start: Tensor, steps: int, settings: Settings, generator: torch.Generator, noise: Tensor | None
) -> Chain:
    body = Body(start, settings)
    given = None if noise is None else iter(noise)

    def draw(z: Tensor) -> None:
        if given is None:
            z.normal_(generator=generator)
        else:
            z.copy_(next(given))

    body.begin(net, start)
    for role, total in schedule(steps):
        if role is Role.COUNTED:
            body.begin_tail()
        for _ in range(total):
            body.step(net, role, draw)
    return body.finish(start, steps)


_BROKEN: list[Any] = []
"""Graphs whose recording broke off. PyTorch's allocator may go on asking such a graph whether it is recording
(``CUDAGraph::create_allocate_filter``), so it must never be freed."""


class CudaGraphs:
    """CUDA graphs of PyTorch, which share one pool of memory: what one leaves in it no other needs.

    Needs a CUDA device; nothing here runs in the tests on a CPU.
    """

    def __init__(self) -> None:
        self._pool: Any = None

    def capture(self, work: Callable[[], None], warm_up: Callable[[], None], generator: torch.Generator) -> Any:
        """See :class:`Graphs`.

        The last warm-up forbids synchronization: a net that synchronizes is found out before anything is recorded,
        since a recording that breaks off leaves PyTorch's allocator in a state that only a new process mends wholly.
        """
        device = generator.device
        with torch.cuda.device(device):
            current = torch.cuda.current_stream(device)
            self._warm_up(warm_up, current)
            graph = torch.cuda.CUDAGraph()
            graph.register_generator_state(generator)
            try:
                with torch.cuda.graph(graph, pool=self._pool):
                    work()
            except RuntimeError as error:
                _BROKEN.append(graph)
                torch.cuda.set_stream(current)  # torch.cuda.graph does not leave its stream when ending fails
                raise CaptureError(_first_line(error)) from error
        self._pool = graph.pool()
        return graph.replay

    def _warm_up(self, warm_up: Callable[[], None], current: torch.cuda.Stream) -> None:
        stream: torch.cuda.Stream = torch.cuda.Stream(current.device)  # type: ignore[no-untyped-call]
        stream.wait_stream(current)
        try:
            with torch.cuda.stream(stream):
                for _ in range(_WARM_UPS):
                    warm_up()
                with _no_synchronization():
                    warm_up()
        finally:
            current.wait_stream(stream)


@contextmanager
def _no_synchronization() -> Iterator[None]:
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch says once that the mode does not see every synchronization
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    except RuntimeError as error:  # the same step ran before: only a synchronization is new
        raise CaptureError(f"it synchronizes: {_first_line(error)}") from error
    finally:
        torch.cuda.set_sync_debug_mode(before)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
