"""Runs, pictures and a hostile analysis for the tests of the report, and a parser of its page."""

import json
import struct
import zlib
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import numpy as np

from ebmdiag import Estimate, Finding, Result, TraceMetadata, TraceWriter
from ebmdiag.analysis import Analysis, Drawing
from ebmdiag.cli.main import call
from ebmdiag.errors import UsageError
from ebmdiag.registry import ANALYSES, VERDICTS
from ebmdiag.report import answers, diagnosis
from ebmdiag.report.pictures import Landscape
from ebmdiag.result import Table
from ebmdiag.verdict import Evidence, Judgement, Verdict

EVIL = "<script>alert('x')</script><img src=x onerror=alert(1)>\"'&"
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """The page as a list of elements, each with its attributes and text, and the text as a whole."""

    def __init__(self, source: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.problems: list[str] = []
        self.words_in: dict[str, list[str]] = {}
        self.feed(source)
        self.close()
        self.problems += [f"<{tag}> is never closed" for tag in self.open]

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}> closes nothing, or too early")

    def handle_data(self, data):
        self.text.append(data)
        if self.open and data.strip():
            self.words_in.setdefault(self.open[-1], []).append(data.strip())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def children_of_svg(self) -> list[list[str]]:
        """The names of the first two elements inside each svg."""
        names = [name for name, _ in self.elements]
        return [names[i + 1 : i + 3] for i, name in enumerate(names) if name == "svg"]


def write_trace(name: str, rows: int = 40, state: str = "finished", seed: int = 1, **facts: object) -> Path:
    metadata = TraceMetadata.create(
        epsilon=0.1,
        producer="test",
        **({"recipe": {"net": {"name": "toy"}}, "versions": {"torch": "2.13.0"}, "started_at": ""} | facts),
    )
    rng = np.random.default_rng(seed)
    difference, magnitude = rng.normal(size=rows).tolist(), (1 + 0.1 * rng.random(rows)).tolist()
    writer = TraceWriter(f"{name}.parquet", metadata=metadata, flush_rows=50_000, flush_seconds=3600)
    for step in range(1, rows + 1):
        d, r = difference[step - 1], magnitude[step - 1]
        writer.append({"step": step, "d_s_t": d, "r_t": r, "v_t": r / metadata.temperature, "elapsed_s": float(step)})
    writer.close(state, facts.get("message"))
    return Path(f"{name}.parquet")


@dataclass(frozen=True)
class NoOptions:
    """No option at all."""


def fake_analysis(name: str = "fake", severity: str = "warning") -> Analysis:
    """An analysis that counts rows, and whose every word is hostile."""

    def analyse(trace, options):
        estimates = {"rows": Estimate(float(len(trace))), "bad": Estimate(1.0, reliable=False, reason="too short")}
        tables = {"picture": Table(EVIL, {"lag": np.arange(3), EVIL: np.array([0.1, np.nan, 0.3])})}
        return Result(name, trace.name, len(trace), {"level": 0.95}, estimates, tables, (EVIL,))

    def judge(result):
        return [Finding("code", severity, f"{name}: {EVIL}", 2.0, 1.0, f"advice {EVIL}", EVIL)]

    def draw(result):
        from ebmdiag.report.style import SERIES, house_style, panels

        with house_style():
            figure, (axes,) = panels()
            axes.plot([0, 1], [0, result.rows], color=SERIES[0])
            axes.set_title(EVIL)
        return [Drawing("picture", figure, EVIL, f"A line up to {result.rows}. {EVIL}")]

    return Analysis(name, f"Title of {name}", EVIL, NoOptions, analyse, judge, lambda result: [], draw)


def fake_rules(stability: str = "strongly oscillating", convergence: str = "undetermined", words: str = EVIL):
    """Rules that place every run alike; a limit of theirs is called ``known``."""

    def rules(results, findings, metadata, limits=None):
        if limits and set(limits) != {"known"}:
            raise UsageError(f"unknown limit '{min(limits)}'. Known: known.")
        doubtful = Estimate(-0.25, -0.5, 0.1, reliable=False, reason=f"short {words}")
        evidence = (
            Evidence(f"acf: rho_1 {words}", Estimate(-0.5, -0.6, -0.4), -0.3, stability, f"low {words}", words),
            Evidence("ccf: lead", doubtful, None, "undetermined", "not much."),
        )
        worst_first = sorted(
            (finding for found in findings.values() for finding in found), key=lambda one: one.severity == "info"
        )
        return Verdict(
            Judgement(stability, f"d swings {words}", f"turn it down {words}", evidence),
            Judgement(convergence, "no long chains", more_iterations=1200 if convergence == "undetermined" else None),
            tuple(worst_first),
            {"known": 0.5} | dict(limits or {}),
            ({"place": "stable", "false": 0.05, words: words}, {"place": "diverging", "false": 0.0}),
            (f"p-values by Benjamini and Yekutieli {words}",),
        )

    return rules


def install_analyses(monkeypatch, *chosen: Analysis, rules=None) -> None:
    """Give the report these analyses instead of the registered ones, and these rules for a verdict, or none."""
    known = {ANALYSES: {analysis.name: analysis for analysis in chosen}, VERDICTS: {"fake": rules} if rules else {}}
    for module in (answers, diagnosis):
        monkeypatch.setattr(module, "registered", lambda group: known[group])
        monkeypatch.setattr(module, "load", lambda group, name: known[group][name])


def make(*arguments: str, out: str = "page.html") -> str:
    assert call(["report", *arguments, "-o", out, "--force"]) == 0
    return Path(out).read_text(encoding="utf-8")


def add_folder(name: str) -> None:
    for folder in ("samples", "landscape"):
        Path(name, folder).mkdir(parents=True)
    for step in (1, 20, 40):
        Path(name, "samples", f"step_{step:07d}.png").write_bytes(png())
    save_landscape(Path(name, "landscape", "step_0000040.npz"))
    Path(name, "environment.json").write_text(json.dumps({"threads": 2, "note": EVIL}))


def full_page(analyses) -> str:
    """A page with everything on it; every word that a stranger could choose is hostile."""
    analyses(fake_analysis("one"), fake_analysis("two", "error"))
    write_trace("a", recipe={"net": {"name": EVIL}, EVIL: {EVIL: EVIL}}, versions={EVIL: EVIL}, message=EVIL)
    add_folder("a")
    return make("a.parquet")


def png(width: int = 2, height: int = 3) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = zlib.compress(b"".join(b"\0" + b"\x80" * width for _ in range(height)))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


GRID_POINTS = np.linspace(-4, 4, 161)
SQUARED_RADIUS = GRID_POINTS[:, None] ** 2 + GRID_POINTS[None, :] ** 2


def gaussian_landscape(true_sd: float = 0.7, model_sd: float = 0.7, samples: int = 50) -> Landscape:
    rng = np.random.default_rng(6)
    return Landscape(
        step=3,
        grid=GRID_POINTS,
        log_true=-SQUARED_RADIUS / (2 * true_sd**2) - np.log(2 * np.pi * true_sd**2),
        energy=SQUARED_RADIUS / (2 * model_sd**2) + 12345.0,
        samples=rng.normal(scale=0.7, size=(samples, 2)),
    )


def save_landscape(path: Path, **changes: object) -> Path:
    one = gaussian_landscape()
    arrays = {"grid": one.grid, "log_true": one.log_true, "energy": one.energy, "samples": one.samples}
    np.savez_compressed(path, **(arrays | {"step": np.int64(9)} | changes))
    return path
