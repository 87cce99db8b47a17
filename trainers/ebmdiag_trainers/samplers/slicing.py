"""Slice sampling of one coordinate, many at once (Neal 2003, Annals of Statistics 31:705; arXiv:physics/0009028).

Given the potential V of a coordinate whose value is x₀:

    level       y = V(x₀) + E,  E ~ Exponential(1): the slice is {x: V(x) ≤ y}, and x₀ is in it;
    stepping    [L, R] = [x₀ - w u, x₀ - w u + w]; up to J steps of w to the left while L is in the slice, up to
                m - 1 - J to the right while R is, J uniform on 0 … m - 1 (Neal's figure 3);
    shrinking   x uniform on [L, R]; outside the slice, it becomes the end on its own side of x₀ (figure 5).

From any point of the slice that the interval may reach, the same interval has the same probability, and the same
refused points lead from either of two accepted points to the other: the uniform law of the slice is invariant.

Shrinking that is given up after a fixed number of refusals, with x₀ kept, is exact too: moves with at most so many
refusals are as likely there as back, each path by itself, and what remains stays where it is. That ends the search
where rounding leaves no other point between L and R, or where a net gives another V for the same x₀.

Each slice goes on by itself, one evaluation of V at a time, left end, right end, then points between; whoever evaluates
may hand a finished one new work. Positions are kept in float64, but proposed on the grid of the state's own dtype.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

REFUSALS = 100
"""Refused points after which x₀ is kept; intervals are then some 10¹³ times shorter than at first."""


@dataclass(frozen=True)
class Slices:
    """Slices under way; every tensor has the one shape of the coordinates, positions and levels float64.

    Attributes:
        origin: x₀.
        level: y.
        width: w.
        left, right: L and R.
        left_steps, right_steps: steps that the ends may still take; 0 once an end has been found outside.
        refusals: points that may still be refused; at 0, the next point is x₀ and is taken.
        candidate: where V is wanted next; of a finished slice, the new value.
        done: whether it is finished.
    """

    origin: Tensor
    level: Tensor
    width: Tensor
    left: Tensor
    right: Tensor
    left_steps: Tensor
    right_steps: Tensor
    refusals: Tensor
    candidate: Tensor
    done: Tensor


def begin(
    x: Tensor, potential: Tensor, width: Tensor, expansions: int, generator: torch.Generator, live: Tensor | None = None
) -> Slices:
    """Draw levels and first intervals.

    Args:
        x: x₀, of any shape; its dtype is the grid of the candidates.
        potential: V(x₀), of that shape. A coordinate where it is NaN or -∞ stays; where it is ∞, the slice is all x
            whose V is finite.
        width: w, above 0, float64, of a shape that expands to x.
        expansions: m, the most widths that an interval may have, at least 1.
        generator: of the uniform numbers.
        live: which slices there are, bool; the others are finished from the start. None: all.
    """
    origin, width = x.double(), width.double().expand(x.shape)
    stuck = potential.isnan() | potential.isneginf()
    left = _placed(origin, width, generator)
    left_steps = _split(origin, expansions, generator)
    refusals = torch.full_like(left_steps, REFUSALS).masked_fill(stuck, 0)
    slices = Slices(
        origin=origin,
        level=_level(potential.double(), generator),
        width=width,
        left=left,
        right=left + width,
        left_steps=left_steps.masked_fill(stuck, 0),
        right_steps=(expansions - 1 - left_steps).masked_fill(stuck, 0),
        refusals=refusals,
        candidate=origin,
        done=torch.zeros_like(stuck) if live is None else ~live.expand(x.shape),
    )
    return _proposed(slices, x.dtype, generator)


def judged(slices: Slices, potential: Tensor, dtype: torch.dtype, generator: torch.Generator) -> Slices:
    """Go on by one evaluation.

    Args:
        slices: as they were when their candidates were evaluated.
        potential: V at the candidates; NaN and infinite values are outside.
        dtype: the grid of the candidates.
        generator: of the uniform numbers.
    """
    inside = potential.isfinite() & (potential <= slices.level)
    at_left = ~slices.done & (slices.left_steps > 0)
    at_right = ~slices.done & ~at_left & (slices.right_steps > 0)
    between = ~(slices.done | at_left | at_right)
    taken = between & (inside | (slices.refusals == 0))
    stepped = replace(
        slices,
        left=slices.left - slices.width * (at_left & inside),
        right=slices.right + slices.width * (at_right & inside),
        left_steps=torch.where(at_left, (slices.left_steps - 1) * inside, slices.left_steps),
        right_steps=torch.where(at_right, (slices.right_steps - 1) * inside, slices.right_steps),
        done=slices.done | taken,
    )
    return _proposed(_shrunk(stepped, between & ~taken), dtype, generator)


def renewed(slices: Slices, chosen: Tensor, fresh: Slices) -> Slices:
    """The slices with those that are chosen, bool of a shape that expands to theirs, put anew."""
    pairs = {field.name: (getattr(fresh, field.name), getattr(slices, field.name)) for field in fields(Slices)}
    return Slices(**{name: torch.where(chosen, new, old) for name, (new, old) in pairs.items()})


def slice_sample(
    x: Tensor,
    potential: Callable[[Tensor], Tensor],
    width: Tensor,
    expansions: int,
    generator: torch.Generator,
) -> Tensor:
    """One update of each of many independent coordinates; leaves exp(-V) of each exactly invariant.

    Args:
        x: the values, of any shape.
        potential: maps values of that shape to V of each, of that shape.
        width: w, above 0, of a shape that expands to x.
        expansions: m, at least 1.
        generator: of the uniform numbers, on the device of x.

    Returns:
        The new values, of the shape and dtype of x.
    """
    slices = begin(x, potential(x), width, expansions, generator)
    while not slices.done.all():
        slices = judged(slices, potential(slices.candidate.to(x.dtype)), x.dtype, generator)
    return slices.candidate.to(x.dtype)


def _level(potential: Tensor, generator: torch.Generator) -> Tensor:
    """y; at a given potential."""
    return potential - torch.log1p(-_uniform(potential, generator))


def _placed(origin: Tensor, width: Tensor, generator: torch.Generator) -> Tensor:
    """L of the first interval, which lies at random about x₀."""
    return origin - width * _uniform(origin, generator)


def _split(origin: Tensor, expansions: int, generator: torch.Generator) -> Tensor:
    """J, int64."""
    return (expansions * _uniform(origin, generator)).long().clamp(max=expansions - 1)


def _shrunk(slices: Slices, refused: Tensor) -> Slices:
    """Intervals after some candidates were refused."""
    below = slices.candidate < slices.origin
    return replace(
        slices,
        left=torch.where(refused & below, slices.candidate, slices.left),
        right=torch.where(refused & ~below, slices.candidate, slices.right),
        refusals=slices.refusals - refused.long(),
    )


def _proposed(slices: Slices, dtype: torch.dtype, generator: torch.Generator) -> Slices:
    """The next candidates."""
    between = slices.left + (slices.right - slices.left) * _uniform(slices.left, generator)
    between = torch.where(slices.refusals == 0, slices.origin, between)
    wanted = torch.where(slices.right_steps > 0, slices.right, between)
    wanted = torch.where(slices.left_steps > 0, slices.left, wanted)
    candidate = torch.where(slices.done, slices.candidate, wanted.to(dtype).double())
    return replace(slices, candidate=candidate)


def _uniform(like: Tensor, generator: torch.Generator) -> Tensor:
    """Uniform numbers on [0, 1), float64, of a tensor's shape."""
    return torch.rand(like.shape, generator=generator, dtype=torch.float64, device=like.device)
