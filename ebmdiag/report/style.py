"""The look of every figure, in one place; matplotlib is imported only when a figure is made.

Figures go into a page with a light and a dark scheme. Each colour here is a sentinel that no figure uses for
anything else, so that the report can replace it in the SVG by a CSS variable. Faces are transparent; a figure
that is saved to a file of its own gets a white ground.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#101112"
GRID = "#d0d1d2"
SERIES = ("#1f5fa1", "#b3541e", "#2f7d4f")
BAND = "#8a8b8c"
BAND_ALPHA = 0.25

WIDTH = 7.5
HEIGHT = 3.0
FORMATS = ("png", "svg", "pdf")

_METADATA: dict[str, dict[str, str | None]] = {
    "svg": {"Date": None, "Creator": "ebmdiag"},
    "pdf": {"CreationDate": None, "Creator": "ebmdiag"},
    "png": {"Software": "ebmdiag"},
}


def _settings() -> Any:  # matplotlib's own type lists every key by name
    return {
        "font.family": "sans-serif",
        "font.size": 9,
        "axes.titlesize": 9,
        "axes.titlelocation": "left",
        "axes.titlepad": 8,
        "axes.labelsize": 9,
        "xtick.labelsize": 8,
        "ytick.labelsize": 8,
        "legend.fontsize": 8,
        "text.color": INK,
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "axes.titlecolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "axes.linewidth": 0.6,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "xtick.major.size": 3,
        "ytick.major.size": 3,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "axes.axisbelow": True,
        "grid.color": GRID,
        "grid.linewidth": 0.6,
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "legend.frameon": False,
        "lines.solid_capstyle": "round",
        "svg.hashsalt": "ebmdiag",
    }


@contextmanager
def house_style() -> Iterator[None]:
    """All that is drawn inside has the fonts, colours and axes of the house."""
    import matplotlib

    with matplotlib.rc_context(_settings()):
        yield


def panels(rows: int = 1, columns: int = 1, *, height: float = HEIGHT) -> tuple[Figure, list[Axes]]:
    """A figure 7.5 inches wide with a grid of axes, row by row; call it inside :func:`house_style`.

    Args:
        rows, columns: the grid.
        height: of one row, in inches.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    return figure, list(grid.flat)


def literal(text: str) -> str:
    """A stranger's words as matplotlib has to be told them: printable, no mathematics, never hidden from a legend.

    Example:
        >>> literal("_a$b$")
        ' _a\\\\$b\\\\$'
    """
    from ebmdiag.terminal import printable

    escaped = printable(text, "utf-8").replace("$", r"\$")
    return f" {escaped}" if escaped.startswith("_") else escaped


def save(figure: Figure, path: Path, kind: str) -> None:
    """Write a figure on white ground; the same figure gives the same bytes.

    Args:
        figure: as made by an analysis.
        path: any name.
        kind: one of :data:`FORMATS`.
    """
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "ebmdiag"}):
        figure.savefig(path, format=kind, dpi=200, facecolor="white", metadata=_METADATA[kind])
