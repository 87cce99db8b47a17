"""Saving and restoring the whole state of a run, bit for bit.

A checkpoint is a ``torch.save`` of plain containers and tensors and is loaded with ``weights_only=True``, since
checkpoints come from strangers too. It is written beside its place and renamed, so a half-written one is never seen.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from ebmdiag.errors import CheckpointError
from ebmdiag.files import replacing
from ebmdiag_trainers.record import Aftermath
from ebmdiag_trainers.training import State

FORMAT = 2


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds: the recipe that it belongs to, and the state as plain values."""

    path: Path
    recipe: dict[str, Any]
    values: dict[str, Any]

    @property
    def step(self) -> int:
        """Iterations done when it was saved."""
        return int(self.values["step"])


def checkpoint_path(folder: Path, step: int) -> Path:
    """``step_0000000030.pt`` in the folder."""
    return folder / f"step_{step:010d}.pt"


def checkpoint_paths(folder: Path) -> list[Path]:
    """All checkpoints, oldest first; other files in the folder are not ours."""
    return sorted(path for path in folder.glob("step_*.pt") if re.fullmatch(r"step_\d{10}\.pt", path.name))


def save_checkpoint(path: Path, state: State, recipe: dict[str, Any]) -> None:
    """Write the state.

    Raises:
        WriteError: the operating system refused; nothing half-written is left.
    """
    values = {
        "format": FORMAT,
        "recipe": json.dumps(recipe),
        "step": state.step,
        "net": state.net.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "bank": None if state.bank is None else state.bank.tensors(),
        "generators": list(state.generator_states()),
        "last": None if state.last is None else asdict(state.last),
    }
    save_plain(path, values)


def save_plain(path: Path, values: Any) -> None:
    """Write plain containers and tensors beside their place, and rename them into it.

    Raises:
        WriteError: the operating system refused; nothing half-written is left.
    """
    with replacing(path) as beside, beside.open("wb") as handle:
        try:
            torch.save(values, handle)
        except RuntimeError as error:  # torch hides the operating system's error behind its own
            raise _as_os_error(error) from error


def _as_os_error(error: RuntimeError) -> Exception:
    cause = error.__cause__ or error.__context__
    return cause if isinstance(cause, OSError) else error


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint's plain values.

    Raises:
        CheckpointError: missing, damaged, of another kind, or holding anything but plain values and tensors.
    """
    values = load_plain(path, "; delete it to resume from the checkpoint before")
    needed = {"format", "recipe", "step", "net", "optimizer", "bank", "generators", "last"}
    if isinstance(values, dict) and values.get("format", FORMAT) != FORMAT:
        raise CheckpointError(
            f"{path} has checkpoint format {values['format']}, this ebmdiag reads {FORMAT}; resume with the version "
            "that wrote it (environment.json names it), or start another run with --out."
        )
    if not isinstance(values, dict) or not needed <= values.keys():
        raise CheckpointError(f"{path} is not a checkpoint of ebmdiag: it lacks some of {', '.join(sorted(needed))}.")
    try:
        recipe, step = json.loads(values["recipe"]), int(values["step"])
    except (ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{path}: its recipe or step cannot be read ({error}).") from error
    if not isinstance(recipe, dict) or step < 0:
        raise CheckpointError(f"{path}: its recipe or step is not what a checkpoint holds.")
    return Checkpoint(path, recipe, values)


def load_plain(path: Path, advice: str = "") -> Any:
    """Plain values and tensors of a file that ``torch.save`` wrote; nothing else is ever unpickled.

    ``advice`` ends the sentence about a damaged file.

    Raises:
        CheckpointError: missing, damaged, or holding anything else.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror or error}.") from error
    except Exception as error:  # damaged bytes raise whatever they happen to spell
        raise CheckpointError(
            f"{path} cannot be read: damaged, not written by torch.save, or holding more than plain tensors{advice}."
        ) from error


def restore(state: State, checkpoint: Checkpoint) -> None:
    """Overwrite a fresh state with the checkpoint's.

    Raises:
        CheckpointError: the shapes do not fit this recipe's net, optimizer or bank.
    """
    values = checkpoint.values
    try:
        state.net.load_state_dict(values["net"])
        state.optimizer.load_state_dict(values["optimizer"])
        state.set_generator_states(tuple(values["generators"]))
        if (state.bank is None) != (values["bank"] is None):
            raise ValueError("one of the two has no bank of chains")
        if state.bank is not None:
            state.bank.load(values["bank"])
        state.last = None if values["last"] is None else Aftermath(**values["last"])
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{checkpoint.path} does not fit this run: {error}.") from error
    state.step = checkpoint.step


def load_weights(net: torch.nn.Module, path: Path) -> None:
    """Load a net's parameters from one of our checkpoints or from a bare state dict (a published ``.pth``).

    Raises:
        CheckpointError: missing, damaged, or of another net.
    """
    values = load_plain(path)
    weights = values["net"] if isinstance(values, dict) and "net" in values else values
    try:
        net.load_state_dict(weights)
    except (RuntimeError, AttributeError, TypeError) as error:
        first = str(error).splitlines()[0]
        raise CheckpointError(f"{path} does not fit {type(net).__name__}: {first}") from error
