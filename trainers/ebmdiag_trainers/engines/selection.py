"""Which engine a recipe runs on: ``auto`` becomes a name before anything is stored, so the trace says what ran."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import click
import torch
from torch import nn

from ebmdiag.errors import RecipeError
from ebmdiag_trainers.engines import AUTO, choose_engine
from ebmdiag_trainers.engines.gpu_selection import GPU_ENGINES, gpu_choice
from ebmdiag_trainers.engines.image import LEAST_COORDINATES, check_agreement
from ebmdiag_trainers.engines.perceptron import UnfitError, perceptron_of
from ebmdiag_trainers.nets import build_net
from ebmdiag_trainers.recipe import Recipe

_SMALL = 64  # coordinates, from which on nobody expects the fused engine
_FUSED, _IMAGE, _REFERENCE = "fused", "image", "reference"


def with_engine(recipe: Recipe, shape: tuple[int, ...], device: torch.device) -> Recipe:
    """The recipe with its engine by name: for ``auto`` the fused one where it can run, for images on the CPU and for
    less precision there ``image``, else the reference.

    Raises:
        RecipeError: there is no such engine, or the one asked for cannot run this net here, or not in this precision;
            the message says why.
    """
    name, precision = recipe.langevin.engine, recipe.langevin.precision
    if name != AUTO:
        choose_engine(name)
    if not recipe.langevin.is_plain:  # engines run plain Langevin steps; samplers call the net itself
        return replace(recipe, langevin=replace(recipe.langevin, engine=_REFERENCE))
    _refuse_precision(precision, device)
    if name in GPU_ENGINES or (name == AUTO and device.type == "cuda"):
        build = partial(build_net, recipe.net.factory, recipe.net.arguments, shape)
        choice = gpu_choice(name, build, shape, device, precision)
        if choice.note:
            click.echo(choice.note, err=True)
        return replace(recipe, langevin=replace(recipe.langevin, engine=choice.engine))
    if name == _FUSED or (name == AUTO and precision == "float32"):
        reason = _why_not_fused(recipe, shape, device, aloud=name == AUTO)
        if reason and name == _FUSED:
            raise RecipeError(
                f"[langevin] engine = '{_FUSED}' cannot run here: {reason}. Set it to '{AUTO}' or '{_REFERENCE}'."
            )
        name = name if reason else _FUSED
    if name == _IMAGE or (name == AUTO and _is_for_images(shape, precision, device)):
        reason = _why_not_image(recipe, shape, device)
        if reason and (name == _IMAGE or precision != "float32"):
            raise RecipeError(
                f"[langevin] engine = '{_IMAGE}' cannot run here: {reason}. Set it to '{_REFERENCE}', "
                f"with precision = 'float32'."
            )
        if reason:
            click.echo(f"ebmdiag: the image engine is not taken: {reason}.", err=True)
        name = name if reason else _IMAGE
    name = _REFERENCE if name == AUTO else name
    choose_engine(name, precision)
    return replace(recipe, langevin=replace(recipe.langevin, engine=name))


def _refuse_precision(precision: str, device: torch.device) -> None:
    if precision == "tf32" and device.type != "cuda":
        raise RecipeError(
            "[langevin] precision = 'tf32' is a mode of NVIDIA GPUs, and the run is on the CPU; "
            "set it to 'float32' or 'bfloat16'."
        )


def _is_for_images(shape: tuple[int, ...], precision: str, device: torch.device) -> bool:
    large = len(shape) == 3 and math.prod(shape) >= LEAST_COORDINATES
    return device.type == "cpu" and (large or precision != "float32")


def _why_not_image(recipe: Recipe, shape: tuple[int, ...], device: torch.device) -> str | None:
    """Why the image engine cannot run; None if it can."""
    if device.type != "cpu":
        return f"it computes on the CPU, and the run is on {device.type}"
    with torch.random.fork_rng(devices=[]):
        try:
            check_agreement(build_net(recipe.net.factory, recipe.net.arguments, shape), shape)
        except UnfitError as error:
            return f"of {recipe.net.factory} it finds that {error}"
    return None


def _why_not_fused(recipe: Recipe, shape: tuple[int, ...], device: torch.device, aloud: bool) -> str | None:
    """Why the fused engine cannot run; None if it can."""
    if device.type != "cpu":
        return f"it computes on the CPU, and the run is on {device.type}"
    with torch.random.fork_rng(devices=[]):
        net = build_net(recipe.net.factory, recipe.net.arguments, shape)
        try:
            perceptron_of(net)
        except UnfitError as error:
            if aloud and math.prod(shape) <= _SMALL and any(isinstance(part, nn.Linear) for part in net.modules()):
                click.echo(
                    f"ebmdiag: 'reference' runs this net, not 'fused', since {error}; see docs/speed.md.", err=True
                )
            return _of_net(recipe, error)
        try:
            return _disagreement(recipe, net, shape)
        except ImportError as error:
            if aloud:
                click.echo(
                    f"ebmdiag: the fused engine would run this net many times faster, but Numba cannot be imported "
                    f"({error}); install it with 'pip install numba'.",
                    err=True,
                )
            return f"Numba cannot be imported ({error})"


def _disagreement(recipe: Recipe, net: nn.Module, shape: tuple[int, ...]) -> str | None:
    from ebmdiag_trainers.engines.fused import check_agreement

    try:
        check_agreement(net, shape)
    except UnfitError as error:
        return _of_net(recipe, error)
    return None


def _of_net(recipe: Recipe, error: UnfitError) -> str:
    return f"it takes small perceptrons only, and of {recipe.net.factory} it finds that {error}"
