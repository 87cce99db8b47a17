"""Which engine a run on a GPU takes: decided by a pure function from facts that are gathered beside it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from ebmdiag.errors import RecipeError
from ebmdiag_trainers.engines import choose_engine
from ebmdiag_trainers.engines.agreement import check_on_device
from ebmdiag_trainers.engines.kernel_layers import KernelLayers
from ebmdiag_trainers.engines.perceptron import UnfitError

AUTO, REFERENCE, GRAPHED, TRITON = "auto", "reference", "graphed", "triton"
GPU_ENGINES = (GRAPHED, TRITON)


@dataclass(frozen=True)
class Facts:
    """What the choice depends on.

    Attributes:
        device: type of the run's device: ``cpu``, ``cuda``, ….
        unfit: why the net is no perceptron of the Triton kernel's size; None if it is.
        triton_missing: why Triton cannot be imported; None if it can.
        broken: why the kernel does not run here, or what it computes is wrong; None if it is right.
    """

    device: str
    unfit: str | None = None
    triton_missing: str | None = None
    broken: str | None = None


@dataclass(frozen=True)
class Choice:
    """An engine's name, and one sentence for the user where it is not the one hoped for."""

    engine: str
    note: str | None = None


def choose_gpu_engine(asked: str, facts: Facts) -> Choice:
    """``auto``: the Triton engine for a small perceptron, else the graphed one; off CUDA the reference.

    A net that is no small perceptron goes to the graphed engine without a word. A small one that could have had the
    Triton engine is worth a sentence.

    Raises:
        RecipeError: the engine that was asked for by name cannot run here; the message says why.
    """
    if asked not in (AUTO, *GPU_ENGINES):
        return Choice(asked)
    if facts.device != "cuda":
        if asked == AUTO:
            return Choice(REFERENCE)
        raise _cannot(asked, f"it needs a CUDA device, and the run is on {facts.device}")
    if asked == GRAPHED or (asked == AUTO and facts.unfit):
        return Choice(GRAPHED)
    reason = _why_no_triton_engine(facts)
    if reason is None:
        return Choice(TRITON)
    if asked == TRITON:
        raise _cannot(asked, reason)
    return Choice(
        GRAPHED, f"ebmdiag: the Triton engine would run this net in one kernel, but {reason}; it runs on '{GRAPHED}'."
    )


def _why_no_triton_engine(facts: Facts) -> str | None:
    if facts.unfit:
        return f"it takes small perceptrons only, and of this net it finds that {facts.unfit}"
    if facts.triton_missing:
        return f"Triton cannot be imported ({facts.triton_missing}; try 'pip install triton')"
    return facts.broken


def _cannot(asked: str, reason: str) -> RecipeError:
    return RecipeError(f"[langevin] engine = '{asked}' cannot run here: {reason}. Set it to '{AUTO}' or '{REFERENCE}'.")


def gpu_choice(
    asked: str, build: Callable[[], nn.Module], shape: tuple[int, ...], device: torch.device, precision: str = "float32"
) -> Choice:
    """:func:`choose_gpu_engine` on facts that are gathered if they matter; no random generator is left changed.

    Args:
        asked: the recipe's engine.
        build: makes the run's net.
        shape: one state.
        device: the run's.
        precision: the recipe's.

    Raises:
        RecipeError: the engine that was asked for by name cannot run here.
    """
    facts = Facts(device.type)
    if device.type == "cuda" and asked in (AUTO, TRITON):
        with torch.random.fork_rng(devices=[device]):
            facts = gather(build().to(device), shape, device, precision)
    choice = choose_gpu_engine(asked, facts)
    if asked != AUTO or choice.engine != GRAPHED:
        return choice
    with torch.random.fork_rng(devices=[device]):
        return confirmed(choice, lambda: check_on_device(choose_engine(GRAPHED), build().to(device), shape, device))


def confirmed(choice: Choice, check: Callable[[], None]) -> Choice:
    """The same choice if the check passes; else the reference engine, with a sentence.

    ``check`` raises UnfitError where the engine and the reference do not agree.
    """
    try:
        check()
    except UnfitError as error:
        return Choice(REFERENCE, f"ebmdiag: the engine '{choice.engine}' is not taken here: {error}; 'reference' is.")
    return choice


def gather(net: nn.Module, shape: tuple[int, ...], device: torch.device, precision: str = "float32") -> Facts:
    """The facts of a net that lies on the device; where the kernel can run, it is compiled and checked."""
    if device.type != "cuda":
        return Facts(device.type)
    try:
        KernelLayers.of(net)
    except UnfitError as error:
        return Facts(device.type, unfit=str(error))
    try:
        importlib.import_module("triton")
    except ImportError as error:
        return Facts(device.type, triton_missing=str(error))
    return Facts(device.type, broken=why_broken(net, shape, device, precision))


def why_broken(net: nn.Module, shape: tuple[int, ...], device: torch.device, precision: str) -> str | None:
    """Why the Triton engine does not run this net here, or runs it wrongly; None if all is well."""
    from triton.errors import TritonError

    run = choose_engine(TRITON)
    try:
        check_on_device(run, net, shape, device)
        generator = torch.Generator(device).manual_seed(0)
        choose_engine(TRITON, precision)(net, torch.zeros(1, *shape, device=device), 1, 1.0, generator)
    except UnfitError as error:
        return f"it finds that {error}"
    except (RuntimeError, TritonError) as error:  # a compiler or a driver that this kernel was not tried on
        first = (str(error).splitlines() or [""])[0]
        return f"its kernel does not run on this device ({type(error).__name__}: {first})"
    return None
