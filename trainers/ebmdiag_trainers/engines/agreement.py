"""Does an engine compute here, for this net, what the reference engine computes? Asked before a run relies on it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ebmdiag_trainers.engines.contract import Chain, Engine
from ebmdiag_trainers.engines.perceptron import UnfitError
from ebmdiag_trainers.engines.precision import tf32
from ebmdiag_trainers.engines.reference import run_reference

_TRIALS, _STEPS, _EPSILON = 32, 3, 0.1
_TOLERANCE = 1e-3


def check_on_device(engine: Engine, net: nn.Module, shape: tuple[int, ...], device: torch.device) -> None:
    """Run a few steps of a net on the device with and without noise, and compare with the reference engine.

    At a kink of F rounding decides which of two gradients is found, and the two paths part; so a few chains may
    differ in what comes after, but none in its first energy.

    Raises:
        UnfitError: they do not agree.
    """
    generator = torch.Generator(device).manual_seed(0)
    for scale in (0.1, 1.0, 10.0):
        start = scale * torch.randn(_TRIALS, *shape, generator=generator, device=device)
        noise = torch.randn(_STEPS, *start.shape, generator=generator, device=device)
        for epsilon in (0.0, _EPSILON):
            with tf32(False):  # by default PyTorch lets convolutions use it
                expected = run_reference(net, start, _STEPS, epsilon, generator, noise)
            found = engine(net, start, _STEPS, epsilon, generator, noise)
            if not _first_energies_agree(found, expected) or int(_paths_agree(found, expected).sum()) < _TRIALS - 3:
                raise UnfitError("what it computes is not what its layers say")


def _first_energies_agree(found: Chain, expected: Chain) -> bool:
    return bool(agreeing(found.sums.first_energy, expected.sums.first_energy).all())


def _paths_agree(found: Chain, expected: Chain) -> Tensor:
    a, b = found.sums, expected.sums
    return (
        agreeing(found.end, expected.end)
        & agreeing(a.gradient_norm, b.gradient_norm)
        & agreeing(a.tail_position_gradient, b.tail_position_gradient)
        & agreeing(a.tail_next_gradient_squared, b.tail_next_gradient_squared)
    )


def agreeing(found: Tensor, expected: Tensor, tolerance: float = _TOLERANCE) -> Tensor:
    """For each chain, shape (B,): equal but for float32 rounding, in units of the largest value."""
    difference = (found.double() - expected.double()).abs().reshape(len(found), -1).amax(1)
    return difference <= tolerance * expected.double().abs().max()
