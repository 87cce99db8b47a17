"""Calling a net without leaving a mark on it: buffers, modes, gradients and random numbers stay as they were."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def untouched(net: nn.Module) -> Iterator[None]:
    """Put back what a forward pass, or a user's code, may change.

    That is buffers (running means of BatchNorm, the power iteration of spectral norm), training mode, whether
    parameters take gradients, and the default generators of PyTorch, which dropout draws from.
    """
    buffers = copy_buffers(net)
    modes = [(module, module.training) for module in net.modules()]
    graded = [(parameter, parameter.requires_grad) for parameter in net.parameters()]
    with torch.random.fork_rng(devices=_devices(net)):
        try:
            yield
        finally:
            put_back(net, buffers)
            for module, training in modes:
                module.training = training
            for parameter, requires_grad in graded:
                parameter.requires_grad_(requires_grad)


def copy_buffers(net: nn.Module) -> dict[str, Tensor]:
    """Copies of all buffers, by name."""
    return {name: buffer.detach().clone() for name, buffer in net.named_buffers()}


def put_back(net: nn.Module, buffers: dict[str, Tensor]) -> None:
    """Overwrite the buffers with their copies."""
    if not buffers:
        return
    with torch.no_grad():
        for name, buffer in net.named_buffers():
            if name in buffers:
                buffer.copy_(buffers[name])


def _devices(net: nn.Module) -> list[torch.device]:
    """GPUs whose default generator the net may draw from."""
    return sorted({p.device for p in net.parameters() if p.device.type == "cuda"}, key=lambda device: device.index or 0)
