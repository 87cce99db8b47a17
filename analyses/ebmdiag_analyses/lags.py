"""Correlations by lag: the table, its lines for a terminal and its panel in a figure, for acf and ccf alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ebmdiag.result import Result, Table
from ebmdiag.statistics import BY_COLUMN
from ebmdiag.terminal import bar_scale, signed_bar

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BAR = 9
_LINES = 21
_MOST = 31  # all lags of a cross-correlation to ±15


def lag_table(title: str, lags: NDArray[np.int64], values: NDArray[np.float64], half: Any) -> Table:
    """Columns lag, correlation, band_low, band_high; ``half`` is the band's half-width, NaN where undefined."""
    width = np.broadcast_to(np.asarray(half, dtype=np.float64), values.shape)
    return Table(title, {"lag": lags, "correlation": values, "band_low": -width, "band_high": +width})


def outside(table: Table) -> NDArray[np.bool_]:
    """Which lags lie outside the band, shape (lags,)."""
    distance: NDArray[np.bool_] = np.abs(table.columns["correlation"]) > table.columns["band_high"]
    return distance


def lag_lines(tables: Mapping[str, Table]) -> list[str]:
    """Two tables side by side, further ones below; long ones are cut, and what is left out is said."""
    pairs = [list(tables.items())[start : start + 2] for start in range(0, len(tables), 2)]
    longest = max((len(table) for table in tables.values()), default=0)
    fits = len(pairs) == 1 and longest <= _MOST
    room = _MOST if fits else max(5, _LINES // max(1, len(pairs)))
    return [line for pair in pairs for line in _side_by_side(dict(pair), room)]


def _side_by_side(tables: Mapping[str, Table], room: int) -> list[str]:
    blocks = [_block(name, table, room) for name, table in tables.items()]
    first = next(iter(tables.values()))
    lags = ["lag", *(str(lag) for lag in _shown(first, room).columns["lag"])]
    lines = ["  ".join([lag.rjust(4), *row]).rstrip() for lag, *row in zip(lags, *blocks, strict=True)]
    return lines + _left_out(tables, room)


def _shown(table: Table, room: int) -> Table:
    """Without lag 0 of an autocorrelation, which is always 1, and at most ``room`` lags, nearest to 0."""
    lags = table.columns["lag"]
    kept = lags != 0 if lags.min() == 0 else np.ones(len(lags), dtype=bool)
    nearest = np.sort(np.argsort(np.abs(np.where(kept, lags, 10**9)), kind="stable")[: min(room, kept.sum())])
    return Table(table.title, {name: values[nearest] for name, values in table.columns.items()})


def _block(name: str, table: Table, room: int) -> list[str]:
    shown = _shown(table, room)
    values, half = shown.columns["correlation"], shown.columns["band_high"]
    scale = bar_scale(np.concatenate((values, half)))
    rows = [_row(float(value), float(band), scale) for value, band in zip(values, half, strict=True)]
    width = max(len(row) for row in rows)
    return [f"{name} (bar: ±{scale:g})".ljust(width), *rows]


def _row(value: float, half: float, scale: float) -> str:
    if not np.isfinite(value):
        return "     –" + " " * 9 + signed_bar(None, _BAR)
    star = "*" if abs(value) > half else " "
    return f"{value:+.3f}{star} ±{half:.3f} {signed_bar(value, _BAR, half, scale)}"


def _left_out(tables: Mapping[str, Table], room: int) -> list[str]:
    lines = []
    for name, table in tables.items():
        shown = set(_shown(table, room).columns["lag"].tolist()) | {0}
        rest = [lag for lag in table.columns["lag"].tolist() if lag not in shown]
        if rest:
            stars = [str(lag) for lag in table.columns["lag"][outside(table)].tolist() if lag in set(rest)]
            said = f"outside the band at {', '.join(stars[:12])}" if stars else "all within the band"
            more = f" and {len(stars) - 12} more" if len(stars) > 12 else ""
            lines.append(f"      {name}: {len(rest)} further lags, up to {rest[-1]}, {said}{more}")
    return lines


def lag_unit(settings: Mapping[str, Any]) -> str:
    """What a lag counts: iterations if each row is one, else rows."""
    return "iterations" if settings["iterations_per_row"] == 1 else "rows"


def plot_lags(axes: Axes, table: Table, colours: Sequence[str]) -> None:
    """A stem at each lag over the band; ``colours`` one for each lag; points within the band are small."""
    from ebmdiag.report.style import BAND, BAND_ALPHA, INK

    lags, values = table.columns["lag"], table.columns["correlation"]
    edges = np.concatenate((lags - 0.5, lags[-1:] + 0.5))
    half = table.columns["band_high"]
    axes.stairs(half, edges, baseline=-half, fill=True, color=BAND, alpha=BAND_ALPHA, linewidth=0)
    axes.axhline(0, color=INK, linewidth=0.6)
    axes.vlines(lags, 0, values, colors=list(colours), linewidth=1.6)
    size = 22 if len(lags) <= _MOST else 12
    axes.scatter(lags, values, s=np.where(outside(table), size, size / 3), c=list(colours), lw=0, zorder=3)
    axes.set_xlim(edges[0], edges[-1])
    axes.use_sticky_edges = False
    axes.margins(y=0.06)
    axes.locator_params(axis="x", integer=True)


def panel_title(name: str) -> str:
    """A column's name, and what it is if the core knows it."""
    known = BY_COLUMN.get(name)
    return f"{name}: {known.title}" if known else name


def say_instead(axes: Axes, reason: str) -> None:
    """Where there is nothing to draw: an empty panel with the reason."""
    axes.text(0.5, 0.5, reason, ha="center", va="center", transform=axes.transAxes, wrap=True)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def percent(level: float) -> str:
    """A level as it is said: 95%, 99.9%."""
    return f"{100 * level:g}%"


def heading(result: Result) -> str:
    """The first line of an analysis in a terminal."""
    first, last = result.settings["first_step"], result.settings["last_step"]
    steps = f", steps {first} to {last}" if result.rows else ""
    return f"{result.analysis} of {result.trace}: {result.rows} rows{steps}"


def footnotes(result: Result) -> list[str]:
    """Notes, and each reason why a number is absent or doubtful, once."""
    reasons: dict[str, list[str]] = {}
    for name, estimate in result.estimates.items():
        if not estimate.reliable:
            word = "undefined" if estimate.value is None else "doubtful"
            reasons.setdefault(f"{word}: {estimate.reason}", []).append(name)
    said = [f"{reason} ({_names(names)})" for reason, names in reasons.items()]
    return [f"? {line}" for line in said] + [f"- {note}" for note in result.notes]


def _names(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
