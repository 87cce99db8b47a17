"""The density of the data, the learned density and the short-run samples of a two-dimensional run, side by side.

On a grid of spacing h the learned density is exp(-U) / (h² Σ exp(-U)): normalized on the square that is shown, as
the true one is for comparing. Total variation is ½ h² Σ |p - q|, the Kullback-Leibler divergence
h² Σ q log(q / p), q the truth; both count only what lies in the square.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ebmdiag.analysis import Drawing
from ebmdiag.report.pictures import Landscape
from ebmdiag.report.style import house_style, panels
from ebmdiag.report.wording import number
from ebmdiag.result import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]

COLOURS = "viridis"
MOST_SAMPLES = 2000
BANDWIDTH = 0.35  # times Scott's, which is made for one mode and blurs rings
_KDE_GRID = 120


@dataclass(frozen=True)
class Comparison:
    """Truth and model on the grid, both of mass 1 there, shape (G, G), and how far apart they are."""

    true: Floats
    learned: Floats
    true_mass: float
    total_variation: float
    divergence: float


def compare(landscape: Landscape) -> Comparison:
    """Normalize both densities on the grid and measure their distance."""
    cell = _cell(landscape.grid)
    log_q, log_mass = _normalized(landscape.log_true, cell)
    log_p, _ = _normalized(-landscape.energy, cell)
    q, p = np.exp(log_q), np.exp(log_p)
    inside = q > 0
    divergence = float(np.sum(cell[inside] * q[inside] * (log_q[inside] - log_p[inside])))
    return Comparison(
        true=q,
        learned=p,
        true_mass=float(np.exp(log_mass)),
        total_variation=float(0.5 * np.sum(cell * np.abs(p - q))),
        divergence=divergence,
    )


def _cell(grid: Floats) -> Floats:
    """Area that each grid point stands for, shape (G, G); half a cell at the edges (trapezoidal rule)."""
    width = np.zeros_like(grid)
    width[:-1] += np.diff(grid) / 2
    width[1:] += np.diff(grid) / 2
    return np.outer(width, width)


def _normalized(log_density: Floats, cell: Floats) -> tuple[Floats, float]:
    """The log density less the log of its mass, and that log."""
    top = log_density.max()
    log_mass = float(top + np.log(np.sum(cell * np.exp(log_density - top))))
    return log_density - log_mass, log_mass


def draw(landscape: Landscape) -> tuple[Drawing, Table]:
    """Three panels and the numbers behind their comparison."""
    found = compare(landscape)
    with house_style():
        figure, axes = panels(1, 3, height=2.75)
        _density(axes[0], landscape.grid, found.true, "data: true density")
        _density(axes[1], landscape.grid, found.learned, "model: exp(−U)")
        shown, drawn = _samples(axes[2], landscape)
    axes[0].set_ylabel("x1")
    caption = _caption(landscape, found, shown, drawn)
    outside = _outside(landscape)
    table = Table(
        f"Landscape at step {number(landscape.step)}",
        {
            "quantity": np.array(
                ["total variation", "KL(truth, model)", "mass of the truth in the square", "samples outside"]
            ),
            "value": np.array([found.total_variation, found.divergence, found.true_mass, outside]),
        },
    )
    alternative = (
        f"Three panels over the square from {number(landscape.grid[0])} to {number(landscape.grid[-1])} at step "
        f"{number(landscape.step)}: the true density (highest {number(found.true.max())}), the learned density "
        f"(highest {number(found.learned.max())}; total variation {number(found.total_variation)} from the truth, "
        f"KL divergence {number(found.divergence)}), and {number(shown)} short-run samples"
        f"{' with their kernel density' if drawn else ''}."
    )
    return Drawing(f"landscape-{landscape.step}", figure, caption, alternative), table


def _caption(landscape: Landscape, found: Comparison, shown: int, drawn: bool) -> str:
    density = f"with their kernel density (Gaussian, {BANDWIDTH} × Scott's bandwidth)" if drawn else "without a density"
    cut = f", the first of {number(len(landscape.samples))}" if shown < len(landscape.samples) else ""
    return (
        f"Step {number(landscape.step)}. Left: density of the data. Middle: exp(−U), normalized on the square; each "
        f"panel has its own colour scale. Right: {number(shown)} short-run samples{cut}, {density}. Total variation "
        f"between left and middle: {number(found.total_variation, 3)}."
    )


def _outside(landscape: Landscape) -> float:
    low, high = landscape.grid[0], landscape.grid[-1]
    return float(((landscape.samples < low) | (landscape.samples > high)).any(axis=1).sum())


def _density(axes: Axes, grid: Floats, density: Floats, title: str) -> None:
    half = (grid[-1] - grid[0]) / (len(grid) - 1) / 2
    edges = (grid[0] - half, grid[-1] + half)
    axes.imshow(density, origin="lower", extent=(*edges, *edges), cmap=COLOURS, interpolation="nearest")
    _frame(axes, grid, title)


def _frame(axes: Axes, grid: Floats, title: str) -> None:
    axes.set(title=title, xlabel="x0", xlim=(grid[0], grid[-1]), ylim=(grid[0], grid[-1]), aspect="equal")
    axes.grid(visible=False)
    axes.locator_params(nbins=5)


def _samples(axes: Axes, landscape: Landscape) -> tuple[int, bool]:
    """Draw samples over their kernel density; tell how many, and whether a density could be drawn."""
    samples = landscape.samples[:MOST_SAMPLES]
    low, high = landscape.grid[0], landscape.grid[-1]
    drawable = len(samples) >= 3 and np.linalg.matrix_rank(np.cov(samples.T)) == 2
    if drawable:
        import matplotlib
        import seaborn

        axes.set_facecolor(matplotlib.colormaps[COLOURS](0.0))
        options: dict[str, Any] = {"fill": True, "levels": 40, "thresh": 0.01, "cmap": COLOURS, "rasterized": True}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # all samples far from the square: nothing to contour
            seaborn.kdeplot(
                x=samples[:, 0],
                y=samples[:, 1],
                ax=axes,
                bw_adjust=BANDWIDTH,
                gridsize=_KDE_GRID,
                clip=((low, high), (low, high)),
                **options,
            )
    colour = "white" if drawable else "#5b7ea8"
    axes.scatter(samples[:, 0], samples[:, 1], s=1.2, color=colour, alpha=0.55, linewidths=0, rasterized=True)
    _frame(axes, landscape.grid, "short-run samples")
    axes.set_ylabel("")
    return len(samples), drawable
