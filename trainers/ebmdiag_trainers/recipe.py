"""Recipes: flat TOML tables, each a frozen dataclass whose fields state their rule.

A recipe is resolved once (defaults, file, ``--set``), checked as a whole, saved beside the run and in the trace.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import MISSING, Field, asdict, dataclass, field, fields
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from ebmdiag.errors import EbmdiagError, RecipeError
from ebmdiag.names import nearest
from ebmdiag.registry import RECIPES, load, registered

Rule = tuple[str, Callable[[Any], bool]]

_POSITIVE: Rule = ("above 0", lambda value: value > 0)
_NOT_NEGATIVE: Rule = ("at least 0", lambda value: value >= 0)
_COUNT: Rule = ("at least 1", lambda value: value >= 1)
_AT_LEAST_TWO: Rule = ("at least 2", lambda value: value >= 2)
_SHARE: Rule = ("above 0 and at most 1", lambda value: 0 < value <= 1)
_MOMENTUM: Rule = ("at least 0 and below 1", lambda value: 0 <= value < 1)
_FILLED: Rule = ("not empty", lambda value: value != "")
_SEED: Rule = ("between 0 and 2^63 - 1", lambda value: 0 <= value < 2**63)


def _one_of(*names: str) -> Rule:
    return f"one of {', '.join(names)}", lambda value: value in names


def _value(default: Any, rule: Rule | None = None, comment: str = "") -> Any:
    return field(default=default, metadata={"rule": rule, "comment": comment})


def _needed(rule: Rule | None = None, comment: str = "") -> Any:
    return field(metadata={"rule": rule, "comment": comment})


@dataclass(frozen=True, kw_only=True)
class Training:
    """[training]: the loop itself."""

    iterations: int = _needed(_COUNT, "updates of the parameters")
    batch: int = _value(100, _COUNT, "positives, and chains, in one iteration")
    seed: int = _value(0, _SEED, "all random numbers follow from it")
    output: str = _value("", None, "stem of the trace in runs/; empty: the recipe's name")
    divergence_limit: float = _value(1e8, _POSITIVE, "stop when |d| exceeds it")


@dataclass(frozen=True, kw_only=True)
class Data:
    """[data]: the positives."""

    source: str = _needed(_FILLED, "rings, gmm, gaussian, flowers, mnist, cifar10 or images")
    path: str = _value("", None, "archive, folder or file; empty: download or compute")
    channels: int | None = _value(None, _COUNT, "colours of an image; left out: as the source has them")
    noise: float = _value(0.0, _NOT_NEGATIVE, "standard deviation of the Gaussian noise added to positives")
    held_out: int = _value(0, _NOT_NEGATIVE, "items kept from training, for 'ebmdiag convergence' to compare with")
    precisions: tuple[float, ...] = _value((), None, "gaussian only: of the coordinates, repeated in turn")
    coordinates: int | None = _value(None, _COUNT, "gaussian only; left out: as many as there are precisions")


@dataclass(frozen=True, kw_only=True)
class Net:
    """[net]: the energy; further keys are arguments of the factory."""

    factory: str = _needed(_FILLED, "ToyNet, VanillaNet, NonlocalNet or module:factory")
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """[optimizer]: SGD's rates are multiplied by ε²/2 (by 1 for ε = 0), Adam's are not."""

    name: str = _needed(_one_of("sgd", "adam"))
    learning_rate: float = _needed(_POSITIVE, "before any scaling")
    decay: float = _value(1.0, _SHARE, "factor on the rate after each iteration")
    floor: float = _value(0.0, _NOT_NEGATIVE, "the rate decays no further; before any scaling")
    momentum: float = _value(0.0, _MOMENTUM, "SGD only")
    beta1: float = _value(0.9, _MOMENTUM, "Adam only")
    beta2: float = _value(0.999, _MOMENTUM, "Adam only")


@dataclass(frozen=True, kw_only=True)
class Langevin:
    """[langevin]: the chains."""

    epsilon: float = _needed(_NOT_NEGATIVE, "noise of one step; the step size is epsilon^2 / 2")
    steps: int = _needed(_COUNT, "L")
    start: str = _needed(_one_of("persistent", "data", "uniform", "gaussian"))
    scale: float = _value(1.0, _POSITIVE, "of the starting noise: uniform on [-scale, scale], or Normal(0, scale^2)")
    bank: int = _value(0, _NOT_NEGATIVE, "persistent chains; 0: one for each item of the data")
    bank_start: str = _value("uniform", _one_of("uniform", "gaussian"), "noise that the bank is filled with at first")
    engine: str = _value("auto", _FILLED, "auto (the fastest), reference, fused, image, graphed or triton")
    precision: str = _value(
        "float32", _one_of("float32", "bfloat16", "tf32"), "inside the net, during the chain; tf32 on GPUs only"
    )
    sampler: str = _value("langevin", _FILLED, "what the L steps are: langevin, mala, hmc, underdamped, gibbs, …")
    step_size: float = _value(0.0, _NOT_NEGATIVE, "of other samplers than langevin; 0: epsilon")
    leapfrog: int = _value(10, _COUNT, "hmc: leapfrog steps in one of its L steps")
    friction: float = _value(1.0, _POSITIVE, "underdamped: per unit of time, where a step lasts step_size")
    splitting: str = _value("baoab", _one_of("baoab", "obabo"), "underdamped: order of kicks, drifts and noise")
    expansions: int = _value(8, _COUNT, "gibbs: widths that a slice may take")
    temperatures: tuple[float, ...] = _value((), None, "parallel tempering: 1, then rising; empty: none")

    @property
    def is_plain(self) -> bool:
        """Whether the chains are those of the paper: unadjusted Langevin steps of size epsilon, no hotter copies."""
        return self.sampler == "langevin" and not self.temperatures


@dataclass(frozen=True, kw_only=True)
class TraceOptions:
    """[trace]: what is written, and when."""

    flush_rows: int = _value(100, _COUNT, "rows held in memory at most")
    flush_seconds: float = _value(5.0, _POSITIVE, "or for so long")
    checkpoint_seconds: float = _value(60.0, _POSITIVE, "time between checkpoints")
    checkpoint_every: int = _value(0, _NOT_NEGATIVE, "and every so many iterations; these are kept; 0: never")
    samples_every: int = _value(0, _NOT_NEGATIVE, "pictures of short-run samples; 0: only at the end")
    statistics: tuple[str, ...] = _value((), None, "your own, as module:function")


@dataclass(frozen=True, kw_only=True)
class Probe:
    """[probe]: costly statistics, now and then, on some of the chains; they leave the training untouched."""

    every: int = _value(0, _NOT_NEGATIVE, "iterations from one probe to the next; 0: never")
    chains: int = _value(50, _AT_LEAST_TWO, "of the batch, at most")
    copies: int = _value(5, _AT_LEAST_TWO, "nested R-hat: chains from each start")
    kernel_scale: float = _value(1.0, _POSITIVE, "kernel Stein discrepancy: width of the kernel in units of sqrt(N)")
    statistics: tuple[str, ...] = _value((), None, "which; or your own, as module:function; empty: all that fit")


@dataclass(frozen=True, kw_only=True)
class LongRun:
    """[long_run]: chains from the data that run on far beyond L, now and then; they leave the training untouched."""

    every: int = _value(0, _NOT_NEGATIVE, "iterations from one long run to the next; 0: never")
    steps: int = _value(100_000, _COUNT, "of the sampler, in a long run")
    chains: int = _value(100, _AT_LEAST_TWO, "in a long run")
    probe_every: int = _value(0, _NOT_NEGATIVE, "iterations from one cheap probe to the next; 0: never")
    probe_steps: int = _value(2_000, _COUNT, "in a cheap probe")
    probe_chains: int = _value(16, _AT_LEAST_TWO, "in a cheap probe")
    copies: int = _value(2, _COUNT, "chains that share each start")
    draws: int = _value(200, _AT_LEAST_TWO, "recorded of each chain, at most, evenly apart")
    init: str = _value("data", _one_of("data", "noise", "bank"), "where the chains begin")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that decides a run, apart from the machine."""

    name: str
    description: str
    training: Training
    data: Data
    net: Net
    optimizer: Optimizer
    langevin: Langevin
    trace: TraceOptions
    probe: Probe
    long_run: LongRun

    def to_tables(self) -> dict[str, Any]:
        """Plain tables for TOML or JSON: the resolved recipe, None left out, net arguments back in [net]."""
        tables: dict[str, Any] = {"name": self.name, "description": self.description}
        for table in TABLES:
            values = asdict(getattr(self, table))
            values.update(values.pop("arguments", {}))
            tables[table] = {key: _toml(value) for key, value in values.items() if value not in (None, ())}
        return tables


def own_code(recipe: Recipe) -> list[tuple[str, str]]:
    """(key, ``module:name``) of all code of a user's own that the recipe would import and run."""
    named = [("net.factory", recipe.net.factory)]
    named += [("trace.statistics", name) for name in recipe.trace.statistics]
    named += [("probe.statistics", name) for name in recipe.probe.statistics]
    return [(key, name) for key, name in named if ":" in name]


def _toml(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


TABLES: Mapping[str, type[Any]] = {
    "training": Training,
    "data": Data,
    "net": Net,
    "optimizer": Optimizer,
    "langevin": Langevin,
    "trace": TraceOptions,
    "probe": Probe,
    "long_run": LongRun,
}


def load_recipe(name: str, settings: Iterable[str] = ()) -> Recipe:
    """A registered recipe or a ``.toml`` file, with ``table.key=value`` settings on top.

    Raises:
        UsageError: no such recipe.
        RecipeError: an unknown key, a wrong type, or a value out of range.
        EbmdiagError: the file cannot be read.
    """
    tables, title = _read(name)
    return with_settings(tables, title, settings)


def with_settings(tables: Mapping[str, Any], title: str, settings: Iterable[str]) -> Recipe:
    """Plain tables with ``table.key=value`` settings on top, checked.

    Raises:
        RecipeError: an unknown key, a wrong type, or a value out of range.
    """
    own = deepcopy(dict(tables))
    for setting in settings:
        _apply(own, setting)
    return recipe_from_tables(own, title)


def _read(name: str) -> tuple[dict[str, Any], str]:
    if name in registered(RECIPES):
        source, title = load(RECIPES, name), name
    elif name.endswith(".toml"):
        source, title = Path(name), Path(name).stem
    else:
        raise RecipeError(
            f"unknown recipe '{name}'{nearest(name, registered(RECIPES))} "
            f"Known: {', '.join(registered(RECIPES))}, or your own file ending in .toml."
        )
    try:
        return tomllib.loads(source.read_text(encoding="utf-8")), title
    except OSError as error:
        raise EbmdiagError(f"recipe {name}: {error.strerror or error}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"recipe {name} is not valid TOML: {error}.") from error


def _apply(tables: dict[str, Any], setting: str) -> None:
    """Put one ``table.key=value`` into the tables; the value is read as TOML, else as a string."""
    place, equals, text = setting.partition("=")
    table, dot, key = place.strip().partition(".")
    if not (equals and dot and table and key):
        raise RecipeError(f"--set takes table.key=value, such as langevin.steps=50, but got '{setting}'.")
    _check_table(table)
    holder = tables.setdefault(table, {})
    if not isinstance(holder, dict):
        raise RecipeError(f"[{table}] must be a table.")
    holder[key] = _parse(text.strip())


def _parse(text: str) -> Any:
    """A value as TOML reads it, else a number as Python reads it (``.5``), else the text itself."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        pass
    try:
        return float(text)
    except ValueError:
        return text


def _check_table(table: str) -> None:
    if table not in TABLES:
        raise RecipeError(f"unknown table [{table}]{nearest(table, TABLES)} Known: {', '.join(TABLES)}.")


def recipe_from_tables(tables: Mapping[str, Any], title: str) -> Recipe:
    """Check plain tables and make a recipe of them.

    Raises:
        RecipeError: an unknown or missing key, a wrong type, or a value out of range.
    """
    for key in tables:
        if key not in ("name", "description"):
            _check_table(key)
    built = {name: _table(name, kind, tables.get(name, {})) for name, kind in TABLES.items()}
    recipe = Recipe(name=str(tables.get("name", title)), description=str(tables.get("description", "")), **built)
    _check_together(recipe)
    return recipe


def _table(name: str, kind: type[Any], values: Any) -> Any:
    if not isinstance(values, Mapping):
        raise RecipeError(f"[{name}] must be a table, but is {values!r}.")
    known = {item.name: item for item in fields(kind) if item.name != "arguments"}
    own = {key: value for key, value in values.items() if key in known}
    other = {key: value for key, value in values.items() if key not in known}
    if other and kind is not Net:
        key = next(iter(other))
        raise RecipeError(f"[{name}] unknown key '{key}'{nearest(key, known)} Known: {', '.join(known)}.")
    types = get_type_hints(kind)
    checked = {key: _checked(f"[{name}] {key}", known[key], types[key], value) for key, value in own.items()}
    missing = [key for key, item in known.items() if item.default is MISSING and key not in checked]
    if missing:
        raise RecipeError(f"[{name}] the key '{missing[0]}' is missing.")
    return kind(**checked, arguments=other) if kind is Net else kind(**checked)


def _checked(where: str, item: Field[Any], expected: Any, value: Any) -> Any:
    if get_origin(expected) is tuple:
        return _list(where, get_args(expected)[0], value)
    kinds = [kind for kind in get_args(expected) or (expected,) if kind is not NoneType]
    if float in kinds and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) not in kinds:
        names = " or ".join({int: "a whole number", float: "a number", str: "a string"}[kind] for kind in kinds)
        raise RecipeError(f"{where} must be {names}, but is {value!r}.")
    if isinstance(value, float) and not math.isfinite(value):
        raise RecipeError(f"{where} must be finite, but is {value}.")
    rule: Rule | None = item.metadata["rule"]
    if rule and not rule[1](value):
        raise RecipeError(f"{where} must be {rule[0]}, but is {value!r}.")
    return value


def _list(where: str, kind: type[Any], value: Any) -> tuple[Any, ...]:
    items = list(value) if isinstance(value, list | tuple) else [value]
    if kind is float:
        items = [float(item) if type(item) is int else item for item in items]
    if not all(type(item) is kind for item in items):
        raise RecipeError(f"{where} must be a list of {'numbers' if kind is float else 'strings'}, but is {value!r}.")
    return tuple(items)


def _check_together(recipe: Recipe) -> None:
    """Rules that involve more than one key."""
    optimizer, langevin = recipe.optimizer, recipe.langevin
    if optimizer.floor > optimizer.learning_rate:
        raise RecipeError(
            f"[optimizer] floor must not exceed learning_rate, but {optimizer.floor} > {optimizer.learning_rate}."
        )
    if optimizer.name == "adam" and optimizer.momentum:
        raise RecipeError("[optimizer] momentum belongs to sgd; with adam set beta1.")
    defaults = {item.name: item.default for item in fields(Optimizer)}
    if optimizer.name == "sgd" and (optimizer.beta1, optimizer.beta2) != (defaults["beta1"], defaults["beta2"]):
        raise RecipeError("[optimizer] beta1 and beta2 belong to adam; with sgd set momentum.")
    if langevin.bank and langevin.start != "persistent":
        raise RecipeError("[langevin] bank belongs to start = 'persistent'.")
    if langevin.bank_start != "uniform" and langevin.start != "persistent":
        raise RecipeError("[langevin] bank_start belongs to start = 'persistent'.")
    if 0 < langevin.bank < recipe.training.batch:
        raise RecipeError(
            f"[langevin] bank must hold at least one batch ({recipe.training.batch}), but holds {langevin.bank}."
        )
    _check_sampler(recipe.langevin)
    for key, stem in (("[training] output", recipe.training.output or "x"), ("name", recipe.name)):
        if Path(stem).name != stem or stem in (".", "..", ""):
            raise RecipeError(f"{key} must be a plain file stem without folders, but is '{stem}'.")
    for key, value in recipe.net.arguments.items():
        numbers = value if isinstance(value, list) else [value]
        if any(isinstance(number, float) and not math.isfinite(number) for number in numbers):
            raise RecipeError(f"[net] {key} must be finite, but is {value}.")


OPTIONS_OF: Mapping[str, str] = {
    "leapfrog": "hmc",
    "friction": "underdamped",
    "splitting": "underdamped",
    "expansions": "gibbs",
}
"""Option of a sampler → what the names of the samplers that look at it begin with."""


def _check_sampler(langevin: Langevin) -> None:
    """Options of one sampler are not given to another; the names themselves are known to the samplers only."""
    defaults = {item.name: item.default for item in fields(Langevin)}
    for key, owner in OPTIONS_OF.items():
        if getattr(langevin, key) != defaults[key] and not langevin.sampler.startswith(owner):
            raise RecipeError(f"[langevin] {key} belongs to sampler = '{owner}', but it is '{langevin.sampler}'.")
    if langevin.is_plain:
        if langevin.step_size:
            raise RecipeError("[langevin] step_size belongs to other samplers; the step of langevin is epsilon.")
        return
    if langevin.epsilon == 0:
        raise RecipeError(f"[langevin] sampler = '{langevin.sampler}' needs epsilon above 0.")
    if langevin.engine not in ("auto", "reference") or langevin.precision != "float32":
        raise RecipeError(
            f"[langevin] engine = '{langevin.engine}' and precision = '{langevin.precision}' are for the plain "
            "Langevin sampler; leave them at 'auto' and 'float32'."
        )
