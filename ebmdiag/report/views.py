"""From the records of a run to what the template prints: strings, tables of strings and finished figures."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from markupsafe import Markup

from ebmdiag.analysis import Analysis, Drawing
from ebmdiag.errors import EbmdiagError
from ebmdiag.report import landscape, series
from ebmdiag.report.answers import SEVERITIES, Answer
from ebmdiag.report.gather import Run
from ebmdiag.report.glossary import entries
from ebmdiag.report.pictures import Folder, Picture
from ebmdiag.report.svg import inline_svg
from ebmdiag.report.tables import TableView, estimates_view, nested_views, pairs_view, table_view
from ebmdiag.report.verdict_map import draw_map
from ebmdiag.report.verdict_view import AxisView, MethodsView, axes_view, methods_view
from ebmdiag.report.wording import duration, moment, number, plain
from ebmdiag.result import Finding, Result, Table
from ebmdiag.statistics import Statistic
from ebmdiag.verdict import Verdict

_WORDS = {"error": "Error", "warning": "Warning", "info": "Note"}


@dataclass(frozen=True)
class Plot:
    """A finished figure with the numbers behind it."""

    markup: Markup
    caption: str
    tables: Sequence[TableView] = ()


@dataclass(frozen=True)
class FindingView:
    """One finding and where it comes from."""

    severity: str
    word: str
    finding: Finding
    section: str
    anchor: str
    numbers: str


@dataclass(frozen=True)
class Section:
    """One part of a run's page; ``says`` is its numbers in one sentence, ``tone`` how grave that is."""

    anchor: str
    title: str
    summary: str = ""
    says: str = ""
    tone: str = "info"
    failure: str = ""
    notes: Sequence[str] = ()
    plots: Sequence[Plot] = ()
    estimates: TableView | None = None
    tables: Sequence[TableView] = ()
    settings: str = ""
    findings: Sequence[FindingView] = ()


@dataclass(frozen=True)
class RunView:
    """One run's page."""

    anchor: str
    suffix: str
    name: str
    state: str
    message: str
    facts: Sequence[tuple[str, str]]
    notes: Sequence[str]
    findings: Sequence[FindingView]
    sections: Sequence[Section]
    axes: Sequence[AxisView] = ()
    undecided: str = ""
    map: Plot | None = None
    methods: MethodsView | None = None
    images: Sequence[tuple[str, str, Picture]] = ()
    image_note: str = ""
    chains: Sequence[tuple[str, str, Picture]] = ()
    chains_note: str = ""
    recipe: Sequence[TableView] = ()
    environment: Sequence[TableView] = ()
    glossary: Sequence[Statistic] = field(default_factory=list)


def view(run: Run, suffix: str = "", *, whole: bool = True) -> RunView:
    """Everything about one run, or, not whole, all but its figures and the numbers of the analyses.

    ``suffix`` keeps its anchors apart from those of other runs on the page.
    """
    metadata = run.trace.metadata
    common = common_notes(run)
    sections = _sections(run, suffix, common) if whole else []
    return RunView(
        anchor=f"run{suffix}",
        suffix=suffix,
        name=run.name,
        state=metadata.state,
        message="" if metadata.message is None else str(metadata.message),
        facts=facts(run),
        notes=(*run.notes, *common, *([] if whole else [f"Its figures: 'ebmdiag report {run.path}'."])),
        findings=[_finding(answer, finding, suffix, linked=whole) for answer, finding in run.findings],
        sections=sections,
        axes=axes_view(run),
        undecided=run.undecided,
        map=None if suffix or run.verdict is None else map_plot([(run.name, run.verdict)]),
        methods=methods_view(run),
        images=[_image(picture) for picture in run.images.images] if whole else (),
        image_note=_further(run.images, "Further grids") if whole else "",
        chains=[_chains(picture) for picture in run.chains.images] if whole else (),
        chains_note=_further(run.chains, "Older pictures") if whole else "",
        recipe=nested_views("recipe", metadata.recipe),
        environment=_environment(run),
        glossary=entries(run.trace.columns),
    )


def _sections(run: Run, suffix: str, common: Sequence[str]) -> list[Section]:
    sections = [
        _traces(run, suffix),
        *(_section(answer, suffix, common, _leading(run, answer)) for answer in run.answers),
    ]
    return [*sections, *([_landscapes(run, suffix)] if run.landscapes.files else [])]


def comparison(answer: Answer) -> Section:
    """What one analysis of several runs says, with its findings, which no run's own list has."""
    found = sorted(answer.findings, key=lambda finding: SEVERITIES.index(finding.severity))
    section = _section(answer, "", (), found[0] if found else None)
    return replace(section, findings=[_finding(answer, finding, "") for finding in found])


def facts(run: Run) -> list[tuple[str, str]]:
    """The run in a few words and numbers; what is not known is left out."""
    metadata, steps = run.trace.metadata, run.trace.steps
    elapsed = last_elapsed(run)
    found = [
        ("rows", number(len(run.trace))),
        ("steps", f"{number(int(steps[0]))} to {number(int(steps[-1]))}"),
        ("ε", number(metadata.epsilon)),
        ("temperature", number(metadata.temperature)),
        ("seed", "" if metadata.seed is None else str(metadata.seed)),
        ("device", "" if metadata.device is None else str(metadata.device)),
        ("elapsed", "" if elapsed is None else duration(elapsed)),
        ("started", moment(str(metadata.started_at or ""))),
        ("written by", metadata.producer),
    ]
    return [(name, value) for name, value in found if value]


def last_elapsed(run: Run) -> float | None:
    """Seconds of training at the last row that has them."""
    if "elapsed_s" not in run.trace.columns:
        return None
    known = run.trace.values("elapsed_s")
    known = known[~np.isnan(known)]
    return float(known[-1]) if len(known) else None


def map_plot(runs: Sequence[tuple[str, Verdict | None]]) -> Plot:
    """The map of places with these runs on it."""
    drawing, table = draw_map(runs)
    return plot(drawing, "verdict", "The map of verdicts", [table])


def _leading(run: Run, answer: Answer) -> Finding | None:
    """The gravest finding of an analysis, as the verdict left it."""
    return next((finding for owner, finding in run.findings if owner is answer), None)


def _finding(answer: Answer | None, finding: Finding, suffix: str, *, linked: bool = True) -> FindingView:
    numbers = [
        f"{word} {number(value)}"
        for word, value in (("value", finding.value), ("limit", finding.limit))
        if value is not None
    ]
    return FindingView(
        severity=finding.severity,
        word=_WORDS[finding.severity],
        finding=finding,
        section=answer.title if answer else "Verdict",
        anchor=f"{(answer.name if answer else 'verdict') if linked else 'run'}{suffix}",
        numbers=", ".join(numbers),
    )


def plot(drawing: Drawing, anchor: str, title: str, tables: Iterable[Table]) -> Plot:
    """A drawing as inline SVG with its tables."""
    identity = "".join(c if c.isalnum() else "-" for c in f"{anchor}-{drawing.name}")
    markup = inline_svg(drawing.figure, identity, title, drawing.alt)
    return Plot(markup, drawing.caption, [table_view(table) for table in tables])


def common_notes(run: Run) -> tuple[str, ...]:
    """Notes that more than one analysis makes: said once, in front."""
    made = [note for answer in run.answers if answer.result is not None for note in dict.fromkeys(answer.result.notes)]
    return tuple(dict.fromkeys(note for note in made if made.count(note) > 1))


_NOTHING_TO_JUDGE = "Nothing in these numbers had to be judged."


def _section(answer: Answer, suffix: str, said: Sequence[str], leading: Finding | None) -> Section:
    anchor = f"{answer.name}{suffix}"
    if answer.analysis is None or answer.result is None:
        return Section(anchor, answer.title, answer.summary, failure=answer.failure)
    result = answer.result
    plots, rest, failure = _plots(answer.analysis, result, anchor)
    return Section(
        anchor,
        answer.title,
        answer.summary,
        leading.statement if leading else _NOTHING_TO_JUDGE,
        leading.severity if leading else "info",
        failure,
        notes=[note for note in result.notes if note not in said],
        plots=plots,
        estimates=estimates_view(result.estimates),
        tables=[table_view(table) for table in rest],
        settings=", ".join(f"{name} {plain(value)}" for name, value in result.settings.items()),
    )


def _plots(analysis: Analysis, result: Result, anchor: str) -> tuple[list[Plot], list[Table], str]:
    """Figures with their tables, the tables that belong to none, and why figures are missing.

    A table belongs to the drawing of its name; a single drawing gets them all.
    """
    try:
        drawings = analysis.draw(result)
        names = set(result.tables) if len(drawings) == 1 else {drawing.name for drawing in drawings}
        plots = []
        for drawing in drawings:
            own = [table for name, table in result.tables.items() if len(drawings) == 1 or name == drawing.name]
            plots.append(plot(drawing, anchor, f"{analysis.title}: {drawing.name}", own))
    except EbmdiagError as error:
        return [], list(result.tables.values()), str(error)
    return plots, [table for name, table in result.tables.items() if name not in names], ""


def _traces(run: Run, suffix: str) -> Section:
    anchor = f"traces{suffix}"
    plots = [plot(series.draw(one), anchor, f"{one.column} over the steps", [series.table(one)]) for one in run.series]
    return Section(
        anchor,
        "Traces",
        "The energy difference, the gradient strength and the Langevin gradient magnitude as recorded.",
        plots=plots,
        tables=[] if run.columns is None else [table_view(run.columns)],
    )


def _landscapes(run: Run, suffix: str) -> Section:
    anchor = f"densities{suffix}"
    plots = []
    for place, one in enumerate(run.landscapes.landscapes):
        drawing, table = landscape.draw(one)
        title = f"Landscape at step {number(one.step)}"
        plots.append(plot(drawing, f"{anchor}-{place}", title, [table]))
    return Section(
        anchor,
        "Densities",
        "The density of the data, the learned density and where short runs end.",
        notes=run.landscapes.notes,
        plots=plots,
    )


def _image(picture: Picture) -> tuple[str, str, Picture]:
    source = "data:image/png;base64," + base64.b64encode(picture.content).decode()
    alternative = (
        f"Grid of short-run samples at step {number(picture.step)}, {picture.width} by {picture.height} pixels."
    )
    return source, alternative, picture


def _chains(picture: Picture) -> tuple[str, str, Picture]:
    source, _, _ = _image(picture)
    alternative = (
        f"Side by side: where short runs end, where long runs end, and data; table of chains {picture.name}, step "
        f"{number(picture.step)}, {picture.width} by {picture.height} pixels."
    )
    return source, alternative, picture


def _further(folder: Folder, what: str) -> str:
    left_out = folder.files - len(folder.images) - len(folder.notes)
    said = [f"{what} in the run's folder: {number(left_out)}."] if left_out else []
    return " ".join([*said, *folder.notes])


def _environment(run: Run) -> list[TableView]:
    """Versions, then what the run's folder says; the same versions are not said twice."""
    metadata = run.trace.metadata
    versions = dict(metadata.versions) | ({"git commit": metadata.git_commit} if metadata.git_commit else {})
    further = {name: value for name, value in run.environment.items() if value != metadata.versions}
    views = [pairs_view("versions", versions)] if versions else []
    return views + nested_views("environment.json", further)
