"""Which engine a recipe runs on: ``auto`` becomes a name before anything is stored, so the trace says what ran."""

from __future__ import annotations

from dataclasses import replace

import click
import torch
from torch import nn

from ebmdiag.errors import RecipeError
from ebmdiag_trainers.engines import AUTO, choose_engine
from ebmdiag_trainers.engines.perceptron import UnfitError, perceptron_of
from ebmdiag_trainers.nets import build_net
from ebmdiag_trainers.recipe import Recipe

_FUSED, _REFERENCE = "fused", "reference"


def with_engine(recipe: Recipe, shape: tuple[int, ...], device: torch.device) -> Recipe:
    """The recipe with its engine by name: for ``auto`` the fused one where it can run, else the reference.

    Raises:
        RecipeError: there is no such engine, or the one asked for cannot run this net here; the message says why.
    """
    name = recipe.langevin.engine
    if name != AUTO:
        choose_engine(name)
    if name in (AUTO, _FUSED):
        reason = _why_not_fused(recipe, shape, device, aloud=name == AUTO)
        if reason and name == _FUSED:
            raise RecipeError(
                f"[langevin] engine = '{_FUSED}' cannot run here: {reason}. Set it to '{AUTO}' or '{_REFERENCE}'."
            )
        name = _REFERENCE if reason else _FUSED
    return replace(recipe, langevin=replace(recipe.langevin, engine=name))


def _why_not_fused(recipe: Recipe, shape: tuple[int, ...], device: torch.device, aloud: bool) -> str | None:
    """Why the fused engine cannot run; None if it can."""
    if device.type != "cpu":
        return f"it computes on the CPU, and the run is on {device.type}"
    with torch.random.fork_rng(devices=[]):
        net = build_net(recipe.net.factory, recipe.net.arguments, shape)
        try:
            perceptron_of(net)
        except UnfitError as error:
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
