"""Short-run samples as files: a grid of images, or a two-dimensional landscape as numbers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from ebmdiag.files import replacing
from ebmdiag.rows import temperature

_MOST = 64
_GRID = 121


@runtime_checkable
class PlanarDensity(Protocol):
    """Data of two coordinates whose density is known."""

    extent: float

    def log_density(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """log q of points, shape (..., 2) → (...)."""
        ...


@runtime_checkable
class WithModes(Protocol):
    """A planar density that can say to which of its modes a point belongs."""

    mode_names: tuple[str, ...]

    def modes(self, points: NDArray[np.float64]) -> NDArray[np.int8]:
        """The nearest mode's place among ``mode_names``, shape (..., 2) → (...)."""
        ...


def image_grid(samples: Tensor, most: int = _MOST) -> NDArray[np.uint8]:
    """Up to ``most`` images of shape (C, H, W) on [-1, 1] as one picture, a line of grey between them.

    Returns:
        Array (rows (H+2) + 2, columns (W+2) + 2, 3). Values outside [-1, 1] are clipped.
    """
    images = samples[:most].detach().cpu().float()
    pixels = ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    count, height, width, channels = pixels.shape
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    canvas = np.full((rows * (height + 2) + 2, columns * (width + 2) + 2, 3), 128, np.uint8)
    for index in range(count):
        top, left = 2 + index // columns * (height + 2), 2 + index % columns * (width + 2)
        canvas[top : top + height, left : left + width] = pixels[index, :, :, : min(channels, 3)]
    return canvas


def save_image_grid(path: Path, samples: Tensor) -> None:
    """Write the grid as PNG, enlarged twofold without smoothing."""
    picture = Image.fromarray(image_grid(samples))
    with replacing(path) as beside:
        picture.resize((picture.width * 2, picture.height * 2), Image.Resampling.NEAREST).save(beside, "PNG")


def save_landscape(
    path: Path, net: nn.Module, density: PlanarDensity, samples: Tensor, step: int, epsilon: float
) -> None:
    """Write what a landscape picture needs, as npz.

    ``grid`` (G,): coordinates along both axes. ``log_true``, ``energy`` (G, G): log q and U, row = x1, column = x0.
    ``samples`` (M, 2): short-run samples. ``step``: the iteration. Of a density :class:`WithModes` also ``modes``
    (G, G) and ``sample_modes`` (M,), int8, counted from 0, and ``mode_names``.
    """
    grid = np.linspace(-density.extent, density.extent, _GRID)
    points = np.stack(np.meshgrid(grid, grid), axis=-1)
    device = next(net.parameters()).device
    states = torch.as_tensor(points.reshape(-1, 2, 1, 1), dtype=torch.float32, device=device)
    with torch.no_grad():
        energy = net(states).double().cpu().numpy().reshape(_GRID, _GRID) / temperature(epsilon)
    ends = samples.detach().cpu().double().numpy().reshape(-1, 2)
    arrays: dict[str, Any] = {
        "grid": grid,
        "log_true": density.log_density(points),
        "energy": energy,
        "samples": ends,
        "step": np.int64(step),
        **_modes(density, points, ends),
    }
    with replacing(path) as beside, beside.open("wb") as handle:
        np.savez_compressed(handle, **arrays)


def _modes(
    density: PlanarDensity, points: NDArray[np.float64], samples: NDArray[np.float64]
) -> dict[str, NDArray[Any]]:
    if not isinstance(density, WithModes):
        return {}
    names = np.array(density.mode_names)
    return {"modes": density.modes(points), "sample_modes": density.modes(samples), "mode_names": names}
