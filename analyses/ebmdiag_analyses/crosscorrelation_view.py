"""The cross-correlation of two columns, in words and in a picture."""

from __future__ import annotations

from ebmdiag.analysis import Drawing
from ebmdiag.result import Result
from ebmdiag.terminal import number
from ebmdiag_analyses.lags import footnotes, heading, lag_lines, lag_unit, percent, plot_lags, say_instead

_BAND = {
    "bartlett": "independent series, each with its own memory",
    "white": "independent series, one of them white",
    "bootstrap": "the correlation's own error (block bootstrap)",
}


def text(result: Result) -> list[str]:
    """Values, band and bars by lag, then the estimates and notes."""
    x, y = result.settings["x"], result.settings["y"]
    lines = [f"{heading(result)}, {_how(result)}", ""]
    if result.estimates["lag0"].value is not None:
        lines += [
            *lag_lines({f"{x} with {y}": result.tables["ccf"]}),
            "",
            f"negative lags: {x} leads; * outside the {_band(result)}",
            _estimates_line(result),
            "",
        ]
    return lines + footnotes(result)


def _estimates_line(result: Result) -> str:
    found = {name: number(estimate.value, 3) for name, estimate in result.estimates.items()}
    return (
        f"lag 0: {found['lag0']}; highest {found['maximum']} at lag {found['maximum_lag']}, "
        f"lowest {found['minimum']} at lag {found['minimum_lag']}; antisymmetry {found['antisymmetry']}"
    )


def draw(result: Result) -> list[Drawing]:
    """One figure: stems by lag, the side where x leads in the second colour."""
    from ebmdiag.report.style import INK, SERIES, house_style, panels

    x, y = result.settings["x"], result.settings["y"]
    table, first = result.tables["ccf"], result.estimates["lag0"]
    with house_style():
        figure, (panel,) = panels()
        panel.set_xlabel(f"lag k ({lag_unit(result.settings)})")
        panel.set_ylabel(f"corr({x}[t+k], {y}[t])")
        if first.value is None:
            say_instead(panel, first.reason)
        else:
            plot_lags(panel, table, [SERIES[1] if lag < 0 else SERIES[0] for lag in table.columns["lag"]])
            panel.axvline(-0.5, color=INK, linewidth=0.6, linestyle=(0, (2, 3)))
            panel.set_title(f"{x} leads", color=SERIES[1])
            panel.set_title(f"{y} leads", color=SERIES[0], loc="right")
    return [Drawing("ccf", figure, _caption(result), _alternative(result))]


def _caption(result: Result) -> str:
    x, y = result.settings["x"], result.settings["y"]
    return (
        f"Cross-correlation of {x} with {y} over {result.rows} rows ({_how(result)}); "
        f"for negative lags {x} leads. Grey: {_band(result)}; large points lie outside. {_dotted(result)}"
    )


def _dotted(result: Result) -> str:
    if result.settings["prewhitened_by"] is not None:
        return "Dotted: lag -1/2, between the sides."
    return "Dotted: lag -1/2, about which one linear mode of the learning loop is antisymmetric."


def _how(result: Result) -> str:
    order = result.settings["prewhitened_by"]
    return f"{result.settings['convention']} convention" if order is None else f"prewhitened, order {order}"


def _band(result: Result) -> str:
    return f"{percent(result.settings['level'])} band of {_BAND[result.settings['bands']]}"


def _alternative(result: Result) -> str:
    first = result.estimates["lag0"]
    what = f"Stem plot of the cross-correlation of {result.settings['x']} with {result.settings['y']} by lag."
    return f"{what} {first.reason}." if first.value is None else f"{what} {_estimates_line(result)}."
