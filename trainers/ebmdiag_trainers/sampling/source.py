"""A net to be sampled: from a run, from one of our checkpoints, or from a published state dict and a recipe."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ebmdiag.errors import UsageError
from ebmdiag.runfolder import RunFolder
from ebmdiag_trainers.checkpoints import (
    checkpoint_path,
    checkpoint_paths,
    load_checkpoint,
    load_plain,
    load_weights,
)
from ebmdiag_trainers.nets import build_net
from ebmdiag_trainers.recipe import Recipe, load_recipe, with_settings

_FILES = (".pt", ".pth")
_FOLDER = "checkpoints"


@dataclass(frozen=True)
class Source:
    """What is known of the net.

    Attributes:
        weights: the file that holds them.
        recipe: of its training.
        step: iteration; 0 where it is not known.
        bank: persistent chains, (n, *shape), or None.
        fingerprint: of the data that it was trained on, or None.
        home: the run that its chains belong to.
        trained_epsilon: langevin.epsilon before any setting; None where it is not known.
    """

    weights: Path
    recipe: Recipe
    step: int
    bank: Tensor | None
    fingerprint: str | None
    home: RunFolder
    trained_epsilon: float | None = None

    def net(self, shape: tuple[int, ...], device: torch.device) -> nn.Module:
        """The net with its weights.

        Raises:
            CheckpointError: the weights are another net's.
            RecipeError: the recipe's net cannot be built.
        """
        net = build_net(self.recipe.net.factory, self.recipe.net.arguments, shape)
        load_weights(net, self.weights)
        return net.to(device)


def open_source(path: Path, *, recipe: str | None, settings: Sequence[str] = (), step: int | None = None) -> Source:
    """Find the weights and the recipe of a run (its trace or folder) or of a file of weights.

    Args:
        path: ``….pt`` or ``….pth``, or a run.
        recipe: name or TOML file, for a bare state dict.
        settings: ``table.key=value``, on top of the recipe.
        step: of a run: the iteration whose checkpoint is wanted; the newest if None.

    Raises:
        UsageError: there is no such checkpoint, or recipe and step are given where they do not belong or missing, or
            the checkpoint names code of its own that no setting names.
        CheckpointError: it cannot be read.
    """
    if path.suffix in _FILES:
        if step is not None:
            raise UsageError(f"--step chooses among the checkpoints of a run, and {path} is one file; leave it out.")
        return _of_file(path, recipe, settings)
    run = RunFolder.of(path)
    weights = _checkpoint_of(run, step)
    refuse_recipe(recipe, weights)
    return _of_checkpoint(weights, settings, run)


def refuse_recipe(recipe: str | None, path: Path) -> None:
    """A checkpoint of ours brings its own recipe.

    Raises:
        UsageError: another one is given.
    """
    if recipe is not None:
        raise UsageError(f"{path} holds its own recipe; leave --recipe out (--set overrides single keys).")


def _checkpoint_of(run: RunFolder, step: int | None) -> Path:
    known = checkpoint_paths(run.checkpoints)
    if not known:
        raise UsageError(_no_checkpoint(run))
    if step is None:
        return known[-1]
    wanted = checkpoint_path(run.checkpoints, step)
    if wanted not in known:
        steps = ", ".join(str(int(path.stem.removeprefix("step_"))) for path in known)
        raise UsageError(f"{run.checkpoints} holds no checkpoint of iteration {step}. Known: {steps}.")
    return wanted


def _no_checkpoint(run: RunFolder) -> str:
    """What was looked for, and what to name instead."""
    instead = "name a run of 'ebmdiag train', or a .pt or .pth file"
    if not run.folder.is_dir() and not run.trace.exists():
        return f"{run.folder}: no such run (no folder {run.folder}, no trace {run.trace}); {instead}."
    inside = sorted(run.folder.glob("*.parquet"))[:1]
    if inside and not run.trace.exists():
        instead = f"the folder holds runs, so name one of them, such as {inside[0]}"
    return (
        f"{run.folder} is no run with a net to sample: {run.checkpoints} holds no checkpoints (step_*.pt); {instead}."
    )


def _of_file(path: Path, recipe: str | None, settings: Sequence[str]) -> Source:
    values = load_plain(path)
    if isinstance(values, dict) and {"format", "recipe"} <= values.keys():
        refuse_recipe(recipe, path)
        inside = path.resolve().parent
        run = RunFolder.of(inside.parent) if inside.name == _FOLDER else _own_home(path)
        return _of_checkpoint(path, settings, run)
    if recipe is None:
        raise UsageError(
            f"{path} holds weights only; name the recipe that they were trained with: --recipe rings, say."
        )
    others = [setting for setting in settings if setting.partition("=")[0].strip() != "langevin.epsilon"]
    trained = load_recipe(recipe, others).langevin.epsilon
    return Source(path, load_recipe(recipe, settings), 0, None, None, _own_home(path), trained)


def _own_home(path: Path) -> RunFolder:
    """A place in the current folder, named after the file."""
    return RunFolder(Path(f"{path.stem}.parquet"))


def _refuse_unnamed_code(recipe: Recipe, path: Path, settings: Sequence[str]) -> None:
    """Import what a person names, and never what only a file names: checkpoints come from strangers too.

    The rest of a checkpoint's recipe is plain values; its own statistics and probes are not looked at here.

    Raises:
        UsageError: the net is ``module:factory``, and no setting says so.
    """
    factory = recipe.net.factory
    named = any(setting.partition("=")[0].strip() == "net.factory" for setting in settings)
    if ":" in factory and not named:
        raise UsageError(
            f"{path} asks to import and run '{factory}' as its net, which is done only if you name it yourself; if you "
            f"trust that code, add --set net.factory={shlex.quote(factory)}."
        )


def _of_checkpoint(path: Path, settings: Sequence[str], run: RunFolder) -> Source:
    checkpoint = load_checkpoint(path)
    tables = dict(checkpoint.recipe)
    fingerprint = tables.pop("data_fingerprint", None)
    recipe = with_settings(tables, path.stem, settings)
    _refuse_unnamed_code(recipe, path, settings)
    bank = checkpoint.values["bank"]
    chains = bank.get("chains") if isinstance(bank, dict) else None
    return Source(
        path,
        recipe,
        checkpoint.step,
        chains if isinstance(chains, Tensor) else None,
        fingerprint if isinstance(fingerprint, str) else None,
        run,
        _epsilon(tables),
    )


def _epsilon(tables: Mapping[str, Any]) -> float | None:
    """ε of a checkpoint's recipe as it was saved."""
    langevin = tables.get("langevin")
    found = langevin.get("epsilon") if isinstance(langevin, dict) else None
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None
