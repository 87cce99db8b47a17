"""From what a person asks for to a plan: defaults, and what an earlier sitting was begun with."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import torch

from ebmdiag.errors import UsageError
from ebmdiag_trainers.data import Dataset
from ebmdiag_trainers.engines import choose_engine
from ebmdiag_trainers.engines.selection import with_engine
from ebmdiag_trainers.recipe import Recipe
from ebmdiag_trainers.samplers import SamplerOptions
from ebmdiag_trainers.samplers.options import LANGEVIN
from ebmdiag_trainers.sampling.plan import Plan, ShortRun
from ebmdiag_trainers.sampling.source import Source

DRAWS = 200
WARMUP = 1000
_DEFAULTS: Mapping[str, Any] = {
    "init": "data",
    "steps": 100_000,
    "chains": 100,
    "copies": 2,
    "temperature": 1.0,
    "dtype": "float32",
    "seed": 0,
}
_OF_SAMPLER = ("step_size", "leapfrog", "friction", "splitting", "expansions", "temperatures")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What was asked for; None where nothing was. ``short`` and ``data`` say whether there are such phases."""

    sampler: str | None = None
    init: str | None = None
    steps: int | None = None
    thin: int | None = None
    chains: int | None = None
    copies: int | None = None
    temperature: float | None = None
    warmup: int | None = None
    step_size: float | None = None
    leapfrog: int | None = None
    friction: float | None = None
    splitting: str | None = None
    expansions: int | None = None
    temperatures: tuple[float, ...] | None = None
    dtype: str | None = None
    seed: int | None = None
    device: str | None = None
    short: bool | None = None
    data: bool | None = None

    def begun_with(self, facts: Mapping[str, Any]) -> Asked:
        """What was asked for, the rest as an earlier sitting was planned."""
        sampler: Mapping[str, Any] = facts.get("sampler", {})
        before: dict[str, Any] = {
            **{name: facts.get(name) for name in ("thin", "warmup", "device", *_DEFAULTS)},
            **{name: sampler.get(name) for name in _OF_SAMPLER},
            "sampler": sampler.get("name"),
            "temperatures": tuple(sampler.get("temperatures", ())),
            "short": facts.get("short") is not None,
            "data": facts.get("compare"),
        }
        missing: dict[str, Any] = {name: value for name, value in before.items() if getattr(self, name) is None}
        return replace(self, **missing)

    def completed(self) -> Asked:
        """With defaults, steps rounded up to a multiple of thin; warm-up and phases are still open."""
        values = {name: value for name, value in _DEFAULTS.items() if getattr(self, name) is None}
        asked = replace(self, sampler=self.sampler or LANGEVIN, **values)
        assert asked.steps is not None
        thin = asked.thin or max(1, asked.steps // DRAWS)
        return replace(asked, thin=thin, steps=-(-asked.steps // thin) * thin)

    def options(self) -> SamplerOptions:
        """Of the long run's sampler.

        Raises:
            RecipeError: an unknown sampler, or an option out of range.
            UsageError: an option of another sampler.
        """
        given = {name: getattr(self, name) for name in _OF_SAMPLER if getattr(self, name) is not None}
        options = SamplerOptions(name=self.sampler or LANGEVIN, **given)
        foreign = [name for name in given if name not in options.facts() and given[name]]
        if foreign:
            raise UsageError(
                f"--{foreign[0].replace('_', '-')} belongs to another sampler than '{options.name}'; leave it out."
            )
        return options


def plan_of(
    asked: Asked, source: Source, dataset: Dataset | None, shape: tuple[int, ...], device: torch.device
) -> Plan:
    """The plan of a completed wish.

    Raises:
        UsageError, RecipeError, CheckpointError: it cannot be done; see :class:`~ebmdiag_trainers.sampling.plan.Plan`.
    """
    net = source.net(shape, device)
    if source.bank is not None and tuple(source.bank.shape[1:]) != shape:
        raise UsageError(f"the bank holds states of shape {tuple(source.bank.shape[1:])}, but the data have {shape}.")
    plan = training_plan(
        _with_engine(source.recipe, shape, device),
        net=net,
        dataset=dataset,
        shape=shape,
        device=device,
        steps=asked.steps,
        thin=asked.thin,
        chains=asked.chains,
        options=asked.options(),
        temperature=asked.temperature,
        init=asked.init,
        copies=asked.copies,
        compare=asked.data is not False,
        apart=trained_on(source, dataset),
        bank=source.bank,
        seed=asked.seed,
        training_step=source.step,
        short=short_run(source.recipe) if _short_can_run(asked, source, dataset) else None,
    )
    if asked.dtype == "float64":
        doubled = copy.deepcopy(net).double()
        plan = replace(plan, net=doubled, dtype=torch.float64, engine=None, engine_name="")
    return replace(plan, warmup=_warmup(asked, plan))


def _with_engine(recipe: Recipe, shape: tuple[int, ...], device: torch.device) -> Recipe:
    """The engine that plain Langevin steps of this net run on, whatever the training ran."""
    plain = replace(recipe.langevin, sampler=LANGEVIN, step_size=0.0, temperatures=())
    chosen = with_engine(replace(recipe, langevin=plain), shape, device).langevin
    return replace(recipe, langevin=replace(recipe.langevin, engine=chosen.engine))


def training_plan(recipe: Recipe, *, shape: tuple[int, ...], device: torch.device, **facts: Any) -> Plan:
    """A plan with what a recipe decides whose engine has been chosen: ε, noise, engine.

    ``facts`` are the other fields of a :class:`~ebmdiag_trainers.sampling.plan.Plan`.
    """
    langevin = recipe.langevin
    kind = {"persistent": langevin.bank_start, "data": "uniform"}.get(langevin.start, langevin.start)
    return Plan(
        shape=shape,
        device=device,
        epsilon=langevin.epsilon,
        data_noise=recipe.data.noise,
        noise=(kind, langevin.scale),
        engine=choose_engine(langevin.engine, langevin.precision),
        engine_name=f"{langevin.engine}, {langevin.precision}",
        **facts,
    )


def short_run(recipe: Recipe) -> ShortRun:
    """The training's own chains."""
    langevin = recipe.langevin
    return ShortRun(langevin.steps, langevin.start, SamplerOptions.of_recipe(langevin))


def why_no_short_run(source: Source, dataset: Dataset | None) -> str | None:
    """What keeps the training's short run from being run; None if nothing does."""
    start = source.recipe.langevin.start
    if start == "persistent" and source.bank is None:
        return "it begins in the bank of persistent chains, which a file of weights does not hold"
    if start == "data" and dataset is None:
        return "it begins at data, and none are loaded"
    return None


def trained_on(source: Source, dataset: Dataset | None) -> bool:
    """Whether it is known that the net was trained on just these images, and so on none that they hold out."""
    return bool(source.fingerprint) and source.fingerprint == getattr(dataset, "fingerprint", None)


def why_other_data(source: Source, dataset: Dataset | None) -> str | None:
    """What a person should know of data that may be others than those of the training; None if there is nothing."""
    if dataset is None or trained_on(source, dataset):
        return None
    apart = getattr(dataset, "held_out", None) is not None
    doubt = ", and the images held out may be among those" if apart else ""
    if source.fingerprint is not None:
        return f"these are not the data that the net was trained on{doubt}"
    return f"the weights do not say which images the net was trained on{doubt}" if apart else None


def why_other_law(source: Source) -> str | None:
    """That ε, and with it the temperature of U = F / (ε²/2), is not the training's; None where it is."""
    trained, now = source.trained_epsilon, source.recipe.langevin.epsilon
    if trained is None or not trained > 0 or now == trained:
        return None
    return (
        f"langevin.epsilon is {now:g}, but the net was trained with {trained:g}: U = F / (ε²/2), so these chains "
        f"follow the trained density to the power of {(trained / now) ** 2:.3g}, another law; --step-size keeps the law"
    )


def _short_can_run(asked: Asked, source: Source, dataset: Dataset | None) -> bool:
    return asked.short is not False and why_no_short_run(source, dataset) is None


def _warmup(asked: Asked, plan: Plan) -> int:
    """As asked; else none for a sampler that refuses nothing, or whose step size was given."""
    if asked.warmup is not None:
        return asked.warmup
    return WARMUP if plan.long_sampler.adjusted and not asked.step_size else 0


def check_numbers(asked: Asked) -> None:
    """Refuse numbers that are none.

    Raises:
        UsageError: a value is not finite.
    """
    for item in fields(asked):
        value = getattr(asked, item.name)
        if isinstance(value, float) and not math.isfinite(value) and item.name != "friction":
            raise UsageError(f"--{item.name.replace('_', '-')} must be finite, but is {value}.")
