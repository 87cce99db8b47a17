"""The density of the data, the learned density and the short-run law of a two-dimensional run, side by side.

As in Nijkamp et al. 2020 (arXiv:1903.12370), section 4.1: densities in the upper row, their logarithms in the
lower one, where it shows what an energy does between and outside of the modes. How they are computed and compared:
:mod:`ebmdiag.numerics.planar`, :mod:`ebmdiag.numerics.planar_kernel`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ebmdiag.analysis import Drawing
from ebmdiag.numerics import planar
from ebmdiag.numerics.planar import Comparison
from ebmdiag.numerics.planar_kernel import BANDWIDTH, LOWEST, MOST_SAMPLES, kernel_density
from ebmdiag.report.pictures import Landscape
from ebmdiag.report.style import house_style, panels
from ebmdiag.report.wording import number
from ebmdiag.result import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]

COLOURS = "viridis"
DEPTH = 12.0
"""How far below its highest value a log density is shown, in nats."""


def compare(landscape: Landscape) -> Comparison:
    """The learned density exp(-U) against the truth, both normalized on the square."""
    return planar.compare(landscape.grid, landscape.log_true, -landscape.energy)


def compare_short_run(landscape: Landscape) -> Comparison | None:
    """The kernel density of the first 2,000 short-run samples against the truth.

    None where there is none: fewer than three samples, all on a line, or none whose kernel reaches the square.
    """
    law = kernel_density(landscape.samples[:MOST_SAMPLES], landscape.grid)
    if law is None or law.max() <= LOWEST:
        return None
    return planar.compare(landscape.grid, landscape.log_true, law)


def draw(landscape: Landscape) -> tuple[Drawing, Table]:
    """Two rows of three panels, and the numbers behind their comparison."""
    learned, short = compare(landscape), compare_short_run(landscape)
    samples = landscape.samples[:MOST_SAMPLES]
    logs = (learned.log_true, learned.log_model, None if short is None else short.log_model)
    with house_style():
        figure, axes = panels(2, 3, height=2.6)
        for place, (log_density, title) in enumerate(zip(logs, _TITLES, strict=True)):
            upper, lower = axes[place], axes[place + 3]
            if log_density is not None:
                _image(upper, landscape.grid, np.exp(log_density))
                _image(lower, landscape.grid, np.maximum(log_density - log_density.max(), -DEPTH))
            _frame(upper, landscape.grid, title)
            _frame(lower, landscape.grid, f"log of it, {DEPTH:g} nats deep" if place == 0 else "log of it")
            lower.set_xlabel("x0")
        colour = "#5b7ea8" if short is None else "white"
        axes[2].scatter(samples[:, 0], samples[:, 1], s=1.2, color=colour, alpha=0.55, linewidths=0, rasterized=True)
        axes[0].set_ylabel("x1")
        axes[3].set_ylabel("x1")
    caption = _caption(landscape, learned, short, len(samples))
    drawing = Drawing(
        f"landscape-{landscape.step}", figure, caption, _alternative(landscape, learned, short, len(samples))
    )
    return drawing, _table(landscape, learned, short)


_TITLES = ("data: true density", "model: exp(−U)", "short-run samples")


def _table(landscape: Landscape, learned: Comparison, short: Comparison | None) -> Table:
    numbers = {
        "total variation": learned.total_variation,
        "KL(truth, model), nats": learned.divergence,
        "total variation, short-run kernel density": np.nan if short is None else short.total_variation,
        "KL(truth, short-run kernel density), nats": np.nan if short is None else short.divergence,
        "mass of the truth in the square": learned.true_mass,
        "samples outside": planar.outside(landscape.samples, landscape.grid),
    }
    columns = {"quantity": np.array(list(numbers)), "value": np.array(list(numbers.values()), dtype=np.float64)}
    return Table(f"Landscape at step {number(landscape.step)}", columns)


def _caption(landscape: Landscape, learned: Comparison, short: Comparison | None, shown: int) -> str:
    density = f"with their kernel density (Gaussian, {BANDWIDTH} × Scott's bandwidth)" if short else "without a density"
    cut = f", the first of {number(len(landscape.samples))}" if shown < len(landscape.samples) else ""
    doubt = f" (doubtful: {learned.doubt})" if learned.doubt else ""
    from_short = f"; of the kernel density from the left: {number(short.total_variation, 3)}" if short else ""
    return (
        f"Step {number(landscape.step)}. Left: density of the data. Middle: exp(−U), normalized on the square. Right: "
        f"{number(shown)} short-run samples{cut}, {density}. Below: the logarithms; all that lies {DEPTH:g} nats or "
        "more below a panel's highest value has the darkest colour. Each panel has its own colour scale. Total "
        f"variation between left and middle: {number(learned.total_variation, 3)}{doubt}{from_short}."
    )


def _alternative(landscape: Landscape, learned: Comparison, short: Comparison | None, shown: int) -> str:
    density = (
        f" with their kernel density (highest {number(short.model.max())}; total variation "
        f"{number(short.total_variation)} from the truth, KL divergence {number(short.divergence)})"
        if short
        else ""
    )
    return (
        f"Three panels over the square from {number(landscape.grid[0])} to {number(landscape.grid[-1])} at step "
        f"{number(landscape.step)}: the true density (highest {number(learned.true.max())}), the learned density "
        f"(highest {number(learned.model.max())}; total variation {number(learned.total_variation)} from the truth, "
        f"KL divergence {number(learned.divergence)}), and {number(shown)} short-run samples{density}. Below them "
        f"the logarithms of the densities, from their highest values down to {DEPTH:g} nats below. Lowest shown on the "
        f"square: {_lowest(learned.log_true)} below for the truth, {_lowest(learned.log_model)} for the model"
        f"{f', {_lowest(short.log_model)} for the short runs' if short else ''}."
    )


def _lowest(log_density: Floats) -> str:
    depth = float(log_density.max() - log_density.min())
    return f"{number(depth, 3)} nats" if depth < DEPTH else f"{DEPTH:g} nats or more"


def _image(axes: Axes, grid: Floats, values: Floats) -> None:
    half = (grid[-1] - grid[0]) / (len(grid) - 1) / 2
    edges = (grid[0] - half, grid[-1] + half)
    axes.imshow(values, origin="lower", extent=(*edges, *edges), cmap=COLOURS, interpolation="nearest")


def _frame(axes: Axes, grid: Floats, title: str) -> None:
    axes.set(title=title, xlim=(grid[0], grid[-1]), ylim=(grid[0], grid[-1]), aspect="equal")
    axes.grid(visible=False)
    axes.locator_params(nbins=5)
