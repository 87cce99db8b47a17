"""Any sampler in the place of the training's Langevin steps: an engine, with the same sums along the path.

Hotter copies of parallel tempering are not kept from one iteration to the next: they begin at the cold states. Their
joint law is then not the tempered one, and until they have warmed the swaps pull the cold chains together; the bias is
gone after some tens of steps (tests/trainers/test_sampler_training.py), and no virial is stated.

Sums that only plain Langevin steps have (the noise against the gradient's change) are NaN, and their statistics are
then absent from the trace. Where the sampler has no Metropolis ratio, so are those of the ratio.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ebmdiag.rows import temperature
from ebmdiag_trainers.engines.contract import Chain, Engine, PathSums, check_chain
from ebmdiag_trainers.samplers.contract import Info
from ebmdiag_trainers.samplers.options import SamplerOptions, build_sampler
from ebmdiag_trainers.samplers.target import Point, Target, inner


def sampler_engine(options: SamplerOptions, shape: tuple[int, ...]) -> Engine:
    """An engine that runs L steps of this sampler from the starting points, with fresh momenta where it has any.

    Args:
        options: which sampler.
        shape: of one state.
    """

    def run(
        net: nn.Module,
        start: Tensor,
        steps: int,
        epsilon: float,
        generator: torch.Generator,
        noise: Tensor | None = None,
        closed: bool = False,
    ) -> Chain:
        check_chain(steps, epsilon, closed)
        if noise is not None or closed:
            raise ValueError("given noise and closed paths belong to the engines of plain Langevin steps")
        target = Target(net, temperature(epsilon))
        sampler = build_sampler(options, epsilon=epsilon, net=net, shape=shape)
        state = sampler.init(target, start, generator)
        sums = _Sums(steps, sampler.visible(state).point)
        for step in range(steps):
            before = sampler.visible(state).point
            state, info = sampler.step(target, state, generator)
            sums.add(step, before, sampler.visible(state).point, info)
        exact = sampler.exact and not options.temperatures
        return sums.finish(sampler.visible(state).point.x, temperature(epsilon), exact=exact)

    return run


class _Sums:
    """Path sums in units of V, turned into units of F at the end; U = V here, since τ = 1."""

    def __init__(self, steps: int, first: Point) -> None:
        self.steps, self.tail, self.first, self.tail_first = steps, steps // 2, first, first
        zero = torch.zeros(len(first.x), dtype=torch.float64, device=first.x.device)
        self.gradient_norm, self.step_norm = zero.clone(), zero.clone()
        self.squared, self.virial, self.next_squared = zero.clone(), zero.clone(), zero.clone()
        self.ratio, self.ratio_squared = zero.clone(), zero.clone()
        self.ratio_mean, self.acceptance = zero.clone(), zero.clone()

    def add(self, step: int, before: Point, after: Point, info: Info) -> None:
        squared = inner(before.gradient, before.gradient)
        move = after.x - before.x
        self.gradient_norm += squared.sqrt()
        self.step_norm += inner(move, move).sqrt()
        if step == self.tail:
            self.tail_first = before
        if step >= self.tail:
            self.squared += squared
            self.virial += inner(before.x, before.gradient)
        if self.tail <= step < self.steps - 1:
            self.next_squared += inner(after.gradient, after.gradient)
            self._add_ratio(info)

    def _add_ratio(self, info: Info) -> None:
        if info.log_ratio is None or info.acceptance is None:
            self.ratio += math.nan
            return
        self.ratio += info.log_ratio
        self.ratio_squared += info.log_ratio.square()
        self.ratio_mean += info.log_ratio.exp()
        self.acceptance += info.acceptance

    def finish(self, end: Tensor, scale: float, *, exact: bool) -> Chain:
        displacement = end - self.first.x
        undefined = torch.full_like(self.ratio, math.nan)
        known = bool(torch.isfinite(self.ratio).all())
        return Chain(
            end,
            PathSums(
                steps=self.steps,
                tail_steps=self.steps - self.tail,
                tail_transitions=self.steps - 1 - self.tail,
                first_energy=scale * self.first.potential,
                tail_first_energy=scale * self.tail_first.potential,
                gradient_norm=scale * self.gradient_norm,
                step_norm=self.step_norm,
                displacement_squared=inner(displacement, displacement),
                tail_gradient_squared=scale**2 * self.squared,
                tail_position_gradient=scale * self.virial,
                tail_next_gradient_squared=scale**2 * self.next_squared,
                tail_noise_gradient=undefined,
                tail_log_ratio=self.ratio if known else undefined,
                tail_log_ratio_squared=self.ratio_squared if known else undefined,
                tail_ratio=self.ratio_mean if known else undefined,
                tail_acceptance=self.acceptance if known else undefined,
                virial_correction=0.0 if exact else math.nan,
            ),
        )
