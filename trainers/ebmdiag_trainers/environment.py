"""What a run was made with: versions, device, code, for the trace's metadata and ``environment.json``."""

from __future__ import annotations

import platform
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

import torch

from ebmdiag.errors import UsageError
from ebmdiag_trainers.engines.precision import forbid_tf32

_WORTH_TWO_THREADS = 1000


def choose_device(name: str) -> torch.device:
    """``auto``: a GPU if there is one. On a GPU, TF32 is switched off.

    Raises:
        UsageError: cuda is asked for and absent.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: PyTorch sees no CUDA device here; use --device cpu or auto.")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        forbid_tf32()  # float32 means float32; langevin.precision = "tf32" asks for it inside the chains
    return torch.device(name)


def choose_threads(coordinates: int) -> None:
    """Compute states of few coordinates on one thread.

    On two they gain nothing, and on a busy machine they lose twentyfold, since each tiny operation waits for the
    slower thread. It also makes the numbers independent of the number of cores.
    """
    if coordinates < _WORTH_TWO_THREADS:
        torch.set_num_threads(1)


def describe_device(device: torch.device) -> str:
    """The device in words."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return f"cpu ({torch.get_num_threads()} threads, {platform.machine()})"


def versions() -> dict[str, str]:
    """Versions that can change a number."""
    found = {"python": platform.python_version()}
    for name in ("ebmdiag", "torch", "numpy", "pyarrow", "numba"):
        with suppress(PackageNotFoundError):  # numba is not there on a Python that it does not know yet
            found[name] = version(name)
    return found


def git_commit() -> str | None:
    """The commit of the current folder; None outside a repository."""
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607 - whichever git the user has
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None if answer.returncode == 0 else None
