"""Running a plan: a generator of places and recorded draws, which never sees a file.

``advance`` is a function of the plan and the place alone, so a run that was broken off and goes on from a saved place
gives the same numbers. Engines draw the noise of a whole call at once; the steps are therefore always cut at the same
places, however the run is interrupted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ebmdiag.errors import DivergenceError
from ebmdiag_trainers.samplers import Point, Sampler, Target
from ebmdiag_trainers.samplers.adaptation import DualAveraging, warm_up_step
from ebmdiag_trainers.samplers.target import inner
from ebmdiag_trainers.sampling.cursor import STAGES, Cursor, Mark, Stage, Tally
from ebmdiag_trainers.sampling.measures import state_measures, widening_draws
from ebmdiag_trainers.sampling.plan import Plan
from ebmdiag_trainers.sampling.starts import data_items, long_start, short_start
from ebmdiag_trainers.untouched import put_back

Values = NDArray[np.float64]
_SMALL = 64  # coordinates, up to which a step is a matter of microseconds
_MANY, _FEW = 1000, 50  # steps without a look at signals and the clock, for small states and others


@dataclass(frozen=True)
class Recorded:
    """One draw of all chains of a phase.

    Attributes:
        phase, init, draw: see :data:`ebmdiag.chains.CHAIN_COLUMNS`.
        starts: which chains began together, (B,).
        values: column → (B,).
        states: x, (B, *shape).
    """

    phase: str
    init: str
    draw: int
    starts: NDArray[np.integer[Any]]
    values: dict[str, Values]
    states: Tensor


Event = tuple[Cursor, Recorded | None]


def run(
    plan: Plan,
    cursor: Cursor | None = None,
    interruptible: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Iterator[Event]:
    """Go on from a place to the end of the plan; each event is the new place, and a draw if one is to be recorded.

    The steps run inside ``interruptible()``; when they are broken off there, the last event's place is still right.
    PyTorch's default generator and the net's buffers are used and left changed: see ``untouched``.

    Raises:
        DivergenceError: chains blew up; the last event's place is that before.
    """
    cursor = first_of(plan) if cursor is None else cursor
    while not is_done(plan, cursor):
        with interruptible():
            cursor, recorded = advance(plan, cursor)
        yield cursor, recorded


def first_of(plan: Plan) -> Cursor:
    """The place before anything is done."""
    return Cursor(stage=next(stage for stage in STAGES if _has(plan, stage)))


def is_done(plan: Plan, cursor: Cursor) -> bool:
    """Whether the long run has reached its last step."""
    return cursor.stage == "long" and cursor.state is not None and cursor.draw >= plan.steps


def steps_done(plan: Plan, cursor: Cursor) -> int:
    """Steps of all phases so far."""
    lengths = {"data": 0, "short": plan.short.steps if plan.short else 0, "warmup": plan.warmup, "long": plan.steps}
    return sum(lengths[stage] for stage in STAGES[: STAGES.index(cursor.stage)]) + cursor.draw


def advance(plan: Plan, cursor: Cursor) -> Event:
    """The next event."""
    if cursor.stage == "data":
        return _look_at_data(plan, cursor)
    if cursor.state is None:
        return _begin(plan, cursor)
    return _warm_up(plan, cursor) if cursor.stage == "warmup" else _walk(plan, cursor)


def _has(plan: Plan, stage: Stage) -> bool:
    wanted: dict[str, bool] = {
        "data": plan.compare and plan.dataset is not None,
        "short": plan.short is not None,
        "warmup": plan.warmup > 0,
        "long": True,
    }
    return wanted[stage]


def _after(plan: Plan, stage: Stage) -> Stage:
    return next(later for later in STAGES[STAGES.index(stage) + 1 :] if _has(plan, later))


def _look_at_data(plan: Plan, cursor: Cursor) -> Event:
    """Energies of data, evaluated in batches of as many states as there are chains."""
    x = data_items(plan).compared
    assert x is not None
    plan.seed_default("items")
    target = Target(plan.net, plan.heat)
    points = [target.point(part) for part in torch.split(x, plan.chains)]
    point = Point(x, torch.cat([p.potential for p in points]), torch.cat([p.gradient for p in points]))
    _check(point, "data", 0)
    recorded = Recorded("data", "data", 0, np.arange(len(x)), state_measures(point, x, 1.0), x)
    return cursor.entering(_after(plan, "data"), {"data": x}), recorded


def _begin(plan: Plan, cursor: Cursor) -> Event:
    """The first state of chains."""
    generator = plan.generator(cursor.stage)
    plan.seed_default(cursor.stage)
    put_back(plan.net, dict(plan.buffers))
    start = short_start(plan, generator) if cursor.stage == "short" else long_start(plan)
    target, sampler = _target(plan, cursor), _sampler(plan, cursor)
    state = sampler.init(target, start, generator)
    begun = replace(cursor, state=state, start=start)
    if cursor.stage == "warmup":
        begun = replace(begun, averages=DualAveraging.start(float(sampler.step_size)))
    begun = _counted(begun, target)
    _check(sampler.visible(state).point, cursor.stage, 0)
    recorded = None if cursor.stage == "warmup" else _record(plan, begun)
    return replace(begun, mark=Mark.take(generator, plan.net)), recorded


def _walk(plan: Plan, cursor: Cursor) -> Event:
    """Steps up to the next recorded draw, or as many as go without a look at the clock."""
    assert cursor.state is not None
    stop = _next_draw(plan, cursor)
    steps = min(stop - cursor.draw, _stride(plan))
    generator, target, sampler = _generator(plan, cursor), _target(plan, cursor), _sampler(plan, cursor)
    state, info = sampler.advance(target, cursor.state, steps, generator)
    tally = cursor.tally.add(info, cursor.draw, steps)
    moved = replace(cursor, state=state, draw=cursor.draw + steps, tally=tally, mark=Mark.take(generator, plan.net))
    moved = _counted(moved, target)
    _check(sampler.visible(state).point, cursor.stage, moved.draw)
    if moved.draw < stop:
        return moved, None
    recorded = _record(plan, moved)
    moved = replace(moved, tally=Tally())
    if cursor.stage == "short" and plan.short is not None and moved.draw == plan.short.steps:
        return moved.entering(_after(plan, "short"), {"short": recorded.states}), recorded
    return moved, recorded


def _warm_up(plan: Plan, cursor: Cursor) -> Event:
    """Steps that adapt the step size; after the last of them the long run begins at its starts."""
    state, averages = cursor.state, cursor.averages
    assert state is not None
    assert averages is not None
    steps = min(plan.warmup - cursor.draw, _stride(plan))
    generator, target = _generator(plan, cursor), _target(plan, cursor)
    for _ in range(steps):
        averages, state = warm_up_step(plan.long_sampler, averages, target, state, generator)
    moved = _counted(replace(cursor, state=state, averages=averages, draw=cursor.draw + steps), target)
    _check(plan.long_sampler.visible(state).point, "warmup", moved.draw)
    if moved.draw == plan.warmup:
        return moved.entering("long"), None
    return replace(moved, mark=Mark.take(generator, plan.net)), None


def _sampler(plan: Plan, cursor: Cursor) -> Sampler:
    if cursor.stage == "short":
        return plan.short_sampler
    return plan.long_sampler if cursor.stage == "warmup" else plan.warmed(cursor.averages)


def _target(plan: Plan, cursor: Cursor) -> Target:
    return Target(plan.net, plan.heat * (1.0 if cursor.stage == "short" else plan.temperature))


def _generator(plan: Plan, cursor: Cursor) -> torch.Generator:
    assert cursor.mark is not None
    generator = torch.Generator(plan.device)
    cursor.mark.put(generator, plan.net)
    return generator


def _counted(cursor: Cursor, target: Target) -> Cursor:
    if cursor.stage == "short":
        return cursor
    return replace(cursor, gradients=cursor.gradients + target.gradients, energies=cursor.energies + target.energies)


def _stride(plan: Plan) -> int:
    return _MANY if math.prod(plan.shape) <= _SMALL else _FEW


def _next_draw(plan: Plan, cursor: Cursor) -> int:
    if cursor.stage == "short" and plan.short is not None:
        return next(draw for draw in widening_draws(plan.short.steps) if draw > cursor.draw)
    return (cursor.draw // plan.thin + 1) * plan.thin


def _record(plan: Plan, cursor: Cursor) -> Recorded:
    """The chains as they are."""
    assert cursor.state is not None
    assert cursor.start is not None
    point = _sampler(plan, cursor).visible(cursor.state).point
    told = {_COLUMNS[name]: mean.cpu().numpy() for name, mean in cursor.tally.means().items()}
    if cursor.stage == "short":
        assert plan.short is not None
        values, starts = state_measures(point, cursor.start, 1.0), np.arange(len(point.x))
        init = _INITS.get(plan.short.start, "noise")
        return Recorded("short", init, cursor.draw, starts, values | told, point.x)
    values = state_measures(point, cursor.start, plan.temperature)
    return Recorded("long", plan.init, cursor.draw, plan.long_starts, values | told, point.x)


_COLUMNS = {"log_ratio": "log_accept", "acceptance": "acceptance", "swaps": "swaps"}
_INITS = {"persistent": "bank", "data": "data"}
_WHERE = {"short": "the training's short run", "warmup": "the warm-up", "long": "the long run"}


def _check(point: Point, stage: Stage, draw: int) -> None:
    """Refuse states that cannot be recorded.

    Raises:
        DivergenceError: energies or gradients are not finite.
    """
    lost = int((~torch.isfinite(point.potential + inner(point.gradient, point.gradient))).sum())
    if not lost:
        return
    count = len(point.potential)
    if stage == "data":
        raise DivergenceError(f"the energy of {lost} of {count} data items is not finite: this net cannot be sampled.")
    raise DivergenceError(
        f"{lost} of {count} chains blew up by step {draw} of {_WHERE[stage]}: their energy is no longer finite. "
        "Try a smaller step size, or a sampler that can refuse a step, such as mala."
    )
