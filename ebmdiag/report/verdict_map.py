"""The two axes of Nijkamp et al. 2020 (arXiv:1903.12370) as a map of places, with the runs on it.

Columns: stability, from collapse to balance; rows: convergence of the short runs to the model's law.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ebmdiag.analysis import Drawing
from ebmdiag.report.style import GRID, INK, SERIES, house_style
from ebmdiag.report.wording import number
from ebmdiag.result import Table
from ebmdiag.verdict import CONVERGENCES, Verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = ("collapsing", "diverging", "strongly oscillating", "weakly oscillating", "stable", "undetermined")
WANTED = (("weakly oscillating", "converged"), ("stable", "converged"))

_PLACES = 4, 2  # marks side by side, and lines of them, in one field
_SIZE = 5.6, 2.15  # inches; narrow, so that a phone shows all of it


def draw_map(runs: Sequence[tuple[str, Verdict | None]]) -> tuple[Drawing, Table]:
    """The map with a mark for each run, and the places as a table.

    Args:
        runs: the name of each run and its verdict; several are numbered from 1 in this order. One without a verdict
            is left out, and keeps its number.
    """
    from matplotlib.figure import Figure

    placed = [Placed(number, name, verdict) for number, (name, verdict) in enumerate(runs, 1) if verdict]
    fields: dict[tuple[str, str], list[int]] = {}
    for run in placed:
        fields.setdefault((run.verdict.stability.place, run.verdict.convergence.place), []).append(run.number)
    with house_style():
        figure = Figure(figsize=_SIZE)
        axes = figure.subplots(gridspec_kw={"left": 0.16, "right": 0.995, "top": 0.985, "bottom": 0.19})
        _grid(axes)
        for (stability, convergence), numbers in fields.items():
            corner = COLUMNS.index(stability), len(CONVERGENCES) - 1 - CONVERGENCES.index(convergence)
            _marks(axes, corner, numbers if len(runs) > 1 else [])
    caption = f"{_SEVERAL if len(runs) > 1 else _ONE} The shaded places are the wanted ones."
    return Drawing("map", figure, caption, f"{_ALTERNATIVE} {_words(placed, len(runs))}"), _table(placed)


class Placed(NamedTuple):
    """A run on the map."""

    number: int
    name: str
    verdict: Verdict


_ONE = "Where this run stands on the two axes: stability of learning, convergence of the short runs."
_SEVERAL = (
    "Where the runs stand on the two axes, by their numbers: stability of learning, convergence of the short runs."
)
_ALTERNATIVE = (
    f"A grid of places. Columns, stability: {', '.join(COLUMNS)}. Rows, convergence: {', '.join(CONVERGENCES)}. "
    "Shaded: weakly oscillating or stable, and converged."
)


def _words(placed: Sequence[Placed], runs: int) -> str:
    said = [
        f"{f'{run.number} ({run.name})' if runs > 1 else 'This run'}: "
        f"{run.verdict.stability.place}; {run.verdict.convergence.place}."
        for run in placed
    ]
    return " ".join(said)


def _table(placed: Sequence[Placed]) -> Table:
    return Table(
        "places on the map",
        {
            "number": np.array([run.number for run in placed]),
            "run": np.array([run.name for run in placed]),
            "stability": np.array([run.verdict.stability.place for run in placed]),
            "convergence": np.array([run.verdict.convergence.place for run in placed]),
        },
    )


def _grid(axes: Axes) -> None:
    from matplotlib.patches import Rectangle

    rows = CONVERGENCES[::-1]
    for stability, convergence in WANTED:
        corner = COLUMNS.index(stability), rows.index(convergence)
        axes.add_patch(Rectangle(corner, 1, 1, facecolor=SERIES[2], alpha=0.18, linewidth=0))
    axes.hlines(range(len(rows) + 1), 0, len(COLUMNS), color=GRID, linewidth=0.8)
    axes.vlines(range(len(COLUMNS) + 1), 0, len(rows), color=GRID, linewidth=0.8)
    axes.set_xticks(np.arange(len(COLUMNS)) + 0.5, [name.replace(" ", "\n") for name in COLUMNS])
    axes.set_yticks(np.arange(len(rows)) + 0.5, [name.replace("-run ", "-run\n") for name in rows])
    axes.tick_params(length=0, labelsize=7.5)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set(xlim=(0, len(COLUMNS)), ylim=(0, len(rows)))


def _marks(axes: Axes, corner: tuple[int, int], runs: Sequence[int]) -> None:
    """One disc, or as many numbered rings as there is room for; what is left over is counted."""
    if not runs:
        axes.scatter([corner[0] + 0.5], [corner[1] + 0.5], s=130, color=SERIES[0], linewidths=0)
        return
    across, lines = _PLACES
    room = across * lines
    shown = runs if len(runs) <= room else runs[: room - 1]
    texts = [number(run) for run in shown] + ([f"+{len(runs) - len(shown)}"] if len(shown) < len(runs) else [])
    for place, text in enumerate(texts):
        line, column = divmod(place, across)
        x = corner[0] + (column + 0.5) / min(across, len(texts))
        y = corner[1] + 1 - (line + 0.5) / -(-len(texts) // across)
        if not text.startswith("+"):
            axes.scatter([x], [y], s=150, facecolor="none", edgecolor=SERIES[0], linewidths=1.5)
        axes.text(x, y, text, ha="center", va="center_baseline", fontsize=7.5, color=INK)
