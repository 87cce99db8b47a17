"""Planar densities written out once more, exact samples of them, and runs whose landscapes are planted."""

from pathlib import Path

import numpy as np
from scipy.special import logsumexp

from ebmdiag.runfolder import RunFolder

NAMES = tuple(f"mode {k}" for k in range(8))
CENTRES = np.array([(np.cos(2 * np.pi * k / 8), np.sin(2 * np.pi * k / 8)) for k in range(8)])
WIDTH = 0.15


def square(extent=1.9, points=121):
    """The grid, shape (G,), and its points, shape (G, G, 2)."""
    grid = np.linspace(-extent, extent, points)
    return grid, np.stack(np.meshgrid(grid, grid), axis=-1)


def log_gaussians(points, weights=(1 / 8,) * 8, shift=(0.0, 0.0), width=WIDTH):
    """Log density of eight Gaussians on the unit circle; their weights may be uneven, all may be shifted."""
    squares = ((points[..., None, :] - CENTRES - np.array(shift)) ** 2).sum(-1)
    terms = np.log(np.array(weights)) - squares / (2 * width**2) - np.log(2 * np.pi * width**2)
    return logsumexp(terms, axis=-1)


def log_rings(points, width=WIDTH):
    """Log density of four rings, as the paper states it: it misses a mass of 1 by less than 1e-13."""
    radius = np.linalg.norm(points, axis=-1)[..., None]
    rings = np.arange(1.0, 5.0)
    terms = -0.5 * ((radius - rings) / width) ** 2 - np.log(width * np.sqrt(2 * np.pi)) - np.log(rings)
    return logsumexp(terms, axis=-1) - np.log(8 * np.pi)


def nearest_centre(points):
    return np.linalg.norm(points[..., None, :] - CENTRES, axis=-1).argmin(-1).astype(np.int8)


def nearest_ring(points):
    return np.abs(np.linalg.norm(points, axis=-1)[..., None] - np.arange(1.0, 5.0)).argmin(-1).astype(np.int8)


def draw_gaussians(count, seed=0, modes=tuple(range(8))):
    """Exact samples, of some modes only if wanted."""
    rng = np.random.default_rng(seed)
    return CENTRES[rng.choice(modes, count)] + WIDTH * rng.standard_normal((count, 2))


def draw_rings(count, seed=0):
    """Exact samples: a radius of ring m has a density proportional to r Normal(r; m, width²)."""
    rng = np.random.default_rng(seed)
    ring = rng.integers(1, 5, 3 * count)
    radius = ring + WIDTH * rng.standard_normal(3 * count)
    kept = rng.random(3 * count) * 2 < radius / ring
    radius, angle = radius[kept][:count], rng.uniform(0, 2 * np.pi, count)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)


def arrays(log_model, samples, step, **changes):
    """What a landscape file of the eight Gaussians holds; None leaves an array out."""
    grid, points = square()
    known = {
        "grid": grid,
        "log_true": log_gaussians(points),
        "energy": 321.0 - log_model(points),
        "samples": samples,
        "step": np.int64(step),
        "modes": nearest_centre(points),
        "sample_modes": nearest_centre(samples),
        "mode_names": np.array(NAMES),
    }
    return {name: array for name, array in (known | changes).items() if array is not None}


def write_landscape(folder, step, log_model=log_gaussians, samples=None, **changes):
    """One file in the run ``folder``; by default model and samples are exact."""
    samples = draw_gaussians(2000, step) if samples is None else samples
    place = Path(folder, "landscape")
    place.mkdir(parents=True, exist_ok=True)
    np.savez(place / f"step_{step:010d}.npz", **arrays(log_model, samples, step, **changes))
    return RunFolder.of(Path(f"{folder}.parquet"))
