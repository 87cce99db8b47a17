"""The reference engine: a plain loop with automatic differentiation, for any net on any device.

The Metropolis log-ratio of the step x → x' on U = F / T, T = ε²/2, with g = ∇U (Roberts and Tweedie 1996,
Bernoulli 2:341; written so that the Gaussian proposal densities cancel):

    log r = -[U' - U - (x' - x)·(g + g') / 2] + (ε²/8) (‖g‖² - ‖g'‖²)
          = ( -[F' - F - (x' - x)·(G + G') / 2] + (‖G‖² - ‖G'‖²) / 4 ) / T
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ebmdiag.rows import temperature
from ebmdiag_trainers.engines.contract import Chain, PathSums, check_chain
from ebmdiag_trainers.gradients import energy_and_gradient


@dataclass(frozen=True)
class Point:
    """A state with its energy and gradient, and the scalars that both neighbouring steps need."""

    x: Tensor
    energy: Tensor
    gradient: Tensor
    gradient_squared: Tensor

    @classmethod
    def of(cls, x: Tensor, energy: Tensor, gradient: Tensor) -> Point:
        """All of them detached."""
        return cls(x, energy, gradient, _dot(gradient, gradient))


def run_reference(
    net: nn.Module,
    start: Tensor,
    steps: int,
    epsilon: float,
    generator: torch.Generator,
    noise: Tensor | None = None,
    closed: bool = False,
) -> Chain:
    """Run L Langevin steps; see :class:`~ebmdiag_trainers.engines.contract.Engine`."""
    check_chain(steps, epsilon, closed)
    sums = Sums(steps, start, epsilon, closed)
    point = _evaluate(net, start.detach())
    for step in range(steps):
        z = draw_noise(start, generator) if noise is None else noise[step]
        move = epsilon * z - point.gradient
        end = point.x + move
        sums.add_step(step, point, move)
        if step < steps - 1 or closed:
            after = _evaluate(net, end)
            sums.add_transition(step, point, after, move, z)
            point = after
    return Chain(end, sums.finish(end - start))


def draw_noise(like: Tensor, generator: torch.Generator) -> Tensor:
    """Normal numbers for one step of all chains, of the states' shape and dtype."""
    return torch.randn(like.shape, generator=generator, dtype=like.dtype, device=like.device)


def _evaluate(net: nn.Module, x: Tensor) -> Point:
    energy, gradient = energy_and_gradient(net, x)
    return Point.of(x.detach(), energy, gradient)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner product over all but the first axis, shape (B,)."""
    product: Tensor = torch.linalg.vecdot(a.flatten(1), b.flatten(1))
    return product


class Sums:
    """Accumulates :class:`~ebmdiag_trainers.engines.contract.PathSums` in float64."""

    def __init__(self, steps: int, like: Tensor, epsilon: float, closed: bool) -> None:
        self.steps, self.epsilon = steps, epsilon
        self.tail = steps // 2
        zero = torch.zeros(like.shape[0], dtype=torch.float64, device=like.device)
        self.first_energy, self.tail_first_energy = zero, zero
        self.gradient_norm, self.step_norm = zero.clone(), zero.clone()
        self.gradient_squared, self.position_gradient = zero.clone(), zero.clone()
        self.next_gradient_squared, self.noise_gradient = zero.clone(), zero.clone()
        self.log_ratio, self.log_ratio_squared = zero.clone(), zero.clone()
        self.ratio, self.acceptance = zero.clone(), zero.clone()
        self.path_log_ratio = zero.clone() if closed else None

    def add_step(self, step: int, point: Point, move: Tensor) -> None:
        """The step with this number from ``point``."""
        self.gradient_norm += point.gradient_squared.sqrt()
        self.step_norm += _dot(move, move).sqrt()
        if step == 0:
            self.first_energy = point.energy.double()
        if step == self.tail:
            self.tail_first_energy = point.energy.double()
        if step >= self.tail:
            self.gradient_squared += point.gradient_squared
            self.position_gradient += _dot(point.x, point.gradient)

    def add_transition(self, step: int, before: Point, after: Point, move: Tensor, z: Tensor) -> None:
        """The same step, once the gradient on its other side is known."""
        counted = self.tail <= step < self.steps - 1
        if counted:
            self.next_gradient_squared += after.gradient_squared
            self.noise_gradient += _dot(z, after.gradient - before.gradient)
        if self.epsilon == 0 or not (counted or self.path_log_ratio is not None):
            return
        ratio = _log_ratio(before, after, move) / temperature(self.epsilon)
        if self.path_log_ratio is not None:
            self.path_log_ratio += ratio
        if counted:
            self.log_ratio += ratio
            self.log_ratio_squared += ratio.square()
            self.ratio += ratio.exp()
            self.acceptance += ratio.clamp(max=0.0).exp()

    def finish(self, displacement: Tensor) -> PathSums:
        """The sums of the whole path, which led so far."""
        return PathSums(
            steps=self.steps,
            tail_steps=self.steps - self.tail,
            tail_transitions=self.steps - 1 - self.tail,
            first_energy=self.first_energy,
            tail_first_energy=self.tail_first_energy,
            gradient_norm=self.gradient_norm,
            step_norm=self.step_norm,
            displacement_squared=_dot(displacement, displacement).double(),
            tail_gradient_squared=self.gradient_squared,
            tail_position_gradient=self.position_gradient,
            tail_next_gradient_squared=self.next_gradient_squared,
            tail_noise_gradient=self.noise_gradient,
            tail_log_ratio=self.log_ratio,
            tail_log_ratio_squared=self.log_ratio_squared,
            tail_ratio=self.ratio,
            tail_acceptance=self.acceptance,
            log_ratio=self.path_log_ratio,
        )


def _log_ratio(before: Point, after: Point, move: Tensor) -> Tensor:
    """T log r per chain, shape (B,), float64: differences of energies lose digits in float32."""
    mean_slope = _dot(move, before.gradient + after.gradient) / 2
    change = after.energy.double() - before.energy.double() - mean_slope
    return -change + (before.gradient_squared.double() - after.gradient_squared.double()) / 4
