"""``ebmdiag report``: one page, complete in itself, for good runs and bad ones, from friends and strangers."""

import json
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from ebmdiag import Estimate, Finding, Result, TraceMetadata, TraceWriter
from ebmdiag.analysis import Analysis, Drawing
from ebmdiag.cli import report as command
from ebmdiag.cli.main import call
from ebmdiag.errors import TraceError
from ebmdiag.report import gather
from ebmdiag.result import Table

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


@pytest.fixture
def analyses(monkeypatch):
    """Give the report these analyses instead of the registered ones."""

    def install(*chosen: Analysis) -> None:
        known = {analysis.name: analysis for analysis in chosen}
        monkeypatch.setattr(gather, "registered", lambda group: known)
        monkeypatch.setattr(gather, "load", lambda group, name: known[name])

    return install


def make(*arguments: str, out: str = "page.html") -> str:
    assert call(["report", *arguments, "-o", out, "--force"]) == 0
    return Path(out).read_text(encoding="utf-8")


def add_folder(name: str) -> None:
    from test_report_parts import png, save

    for folder in ("samples", "landscape"):
        Path(name, folder).mkdir(parents=True)
    for step in (1, 20, 40):
        Path(name, "samples", f"step_{step:07d}.png").write_bytes(png())
    save(Path(name, "landscape", "step_0000040.npz"))
    Path(name, "environment.json").write_text(json.dumps({"threads": 2, "note": EVIL}))


def full_page(analyses) -> str:
    analyses(fake_analysis("one"), fake_analysis("two", "error"))
    write_trace("a", recipe={"net": {"name": EVIL}, EVIL: {EVIL: EVIL}}, versions={EVIL: EVIL}, message=EVIL)
    add_folder("a")
    return make("a.parquet")


def test_the_page_is_well_formed_and_safe(workplace, analyses):
    source = full_page(analyses)
    page = Page(source)
    assert page.problems == []
    assert page.all("html") == [{"lang": "en"}]
    assert not page.all("script")
    assert not page.all("link")
    assert source.count("alert(") > 10  # it is all there, as text
    for _, attributes in page.elements:
        assert "style" not in attributes
        assert not any(name.startswith("on") for name in attributes)


def test_the_page_loads_nothing(workplace, analyses):
    for tag, attributes in Page(full_page(analyses)).elements:
        for name in ("src", "href", "xlink:href", "srcset", "data", "action", "poster"):
            if name in attributes:
                assert attributes[name].startswith(("#", "data:image/png;base64,")), (tag, attributes[name][:80])


def test_the_content_policy_allows_the_one_style_and_nothing_else(workplace, analyses):
    import base64
    import hashlib

    source = full_page(analyses)
    style = source[source.index("<style>") + 7 : source.index("</style>")]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policies = [meta["content"] for meta in Page(source).all("meta") if "http-equiv" in meta]
    assert len(policies) == 1
    assert policies[0].startswith("default-src 'none'; img-src data:; ")
    assert f"style-src 'sha256-{digest}'" in policies[0]
    assert source.count("<style") == 1
    assert "url(" not in style


def test_every_picture_has_words_and_every_figure_its_numbers(workplace, analyses):
    page = Page(full_page(analyses))
    images = page.all("img")
    assert len(images) == 3
    assert all(image["alt"] for image in images)
    pictures = page.all("svg")
    assert len(pictures) == 3 + 2 + 1  # traces, analyses, landscape
    assert page.children_of_svg() == [["title", "desc"]] * len(pictures)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    for picture in pictures:
        assert picture["role"] == "img"
        assert set(picture["aria-labelledby"].split()) <= set(ids)
    assert len(page.all("figure")) == len(page.all("figcaption")) == len(pictures) + len(images)
    assert page.words_in["summary"].count("The numbers") == len(pictures)


def test_ids_are_unique_and_every_link_inside_the_page_leads_somewhere(workplace, analyses):
    page = Page(full_page(analyses))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {link["href"].removeprefix("#") for link in page.all("a")}
    assert {"content", "findings", "traces", "one", "two", "landscape", "samples", "recipe", "glossary"} <= targets
    assert targets <= set(ids)


def test_findings_stand_worst_first_with_value_limit_advice_and_source(workplace, analyses):
    source = full_page(analyses)
    assert source.index("two: &lt;script") < source.index("one: &lt;script")
    assert "value 2, limit 1" in source
    assert "advice &lt;script" in source


def test_doubtful_numbers_say_so(workplace, analyses):
    source = full_page(analyses)
    assert "Not reliable: too short" in source
    assert 'class="n doubtful">1</td>' in source


def test_the_same_trace_gives_the_same_bytes(workplace, analyses):
    source = full_page(analyses)
    assert make("a.parquet", out="again.html") == source
    assert make("a.parquet", "--until", "20", out="less.html") != source  # negative control


def test_the_registered_analyses_are_the_sections(workplace):
    """The real ones, on a run in which nothing is wrong; also the default place."""
    from ebmdiag.registry import ANALYSES, registered

    write_trace("a", rows=300)
    assert call(["report", "a.parquet"]) == 0
    page = Page(Path("a/report.html").read_text(encoding="utf-8"))
    assert page.problems == []
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert set(registered(ANALYSES)) <= set(ids)
    assert "Incomplete." not in page.text


def test_an_analysis_that_cannot_be_done_is_a_note(workplace, analyses):
    def refuse(trace, options):
        raise TraceError("this trace has no column 'v'.")

    analyses(replace(fake_analysis("broken"), analyse=refuse), fake_analysis("fine"))
    write_trace("a")
    source = make("a.parquet")
    assert "this trace has no column" in source
    assert "Incomplete." in source
    assert 'id="fine"' in source


def test_a_figure_that_cannot_be_drawn_leaves_the_numbers(workplace, analyses):
    def refuse(result):
        raise TraceError("nothing to draw.")

    analyses(replace(fake_analysis("blind"), draw=refuse))
    write_trace("a")
    source = make("a.parquet")
    assert "nothing to draw." in source
    assert '<th scope="row">rows</th>' in source


def test_a_note_of_several_analyses_is_said_once(workplace, analyses):
    source = full_page(analyses)
    assert source.count('<p class="note">&lt;script') == 1


@pytest.mark.parametrize("state", ["finished", "interrupted", "diverged"])
def test_the_state_of_the_run_and_its_message_are_shown(workplace, analyses, state):
    analyses()
    write_trace("a", state=state, message="because of that")
    source = make("a.parquet")
    assert f'<span class="pill {state}">{state}</span> because of that' in source


def test_a_run_that_is_alive_can_be_reported(workplace, analyses):
    analyses(fake_analysis())
    writer = TraceWriter("a.parquet", epsilon=0.1, flush_rows=1)
    writer.append({"step": 1, "d_s_t": 1.0})
    source = make("a.parquet")
    writer.close()
    assert '<span class="pill running">running</span>' in source


def test_only_some_rows(workplace, analyses):
    analyses(fake_analysis())
    write_trace("a")
    source = make("a.parquet", "--from", "11", "--until", "20")
    assert "A line up to 10." in source
    assert "Only steps 11 to 20: 10 of 40 rows are used." in source
    assert call(["report", "a.parquet", "-o", "x.html", "--from", "41"]) == 2


def test_several_runs_on_one_page(workplace, analyses):
    analyses(fake_analysis())
    Path("other").mkdir()
    for seed, name in enumerate(("a", "b", "other/a")):
        write_trace(name, seed=seed)
    page = Page(make("a.parquet", "b.parquet", "other/a.parquet"))
    assert page.problems == []
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {"run-1", "run-2", "run-3", "fake-1", "fake-3", "glossary-2"} <= set(ids)
    assert "3 runs compared" in page.text
    assert "other/a" in page.words_in["h2"]
    assert "Estimates side by side" in page.words_in["summary"]


def test_the_comparison_holds_the_medians_of_the_later_half(workplace, analyses):
    from ebmdiag import read_trace
    from ebmdiag.report.compare import later_median

    analyses()
    run = gather.gather(write_trace("a", rows=31))
    expected = np.median(read_trace("a.parquet").series("d_s_t")[15:])
    assert later_median(run, "d_s_t") == expected
    assert later_median(run, "z_t") is None


def test_several_runs_need_a_place(workplace, capsys):
    assert call(["report", "a.parquet", "b.parquet"]) == 2
    assert "-o report.html" in capsys.readouterr().err


def test_what_lies_in_the_folder_but_is_unfit_becomes_a_note(workplace, analyses):
    analyses()
    write_trace("a")
    for folder, name in (("samples", "step_1.png"), ("landscape", "step_1.npz")):
        Path("a", folder).mkdir()
        Path("a", folder, name).write_bytes(b"<script>")
    Path("a/environment.json").write_bytes(b"[1")
    source = make("a.parquet")
    assert "step_1.png is not a PNG file" in source
    assert "step_1.npz cannot be read as a landscape" in source
    assert "environment.json cannot be read" in source
    assert "<img" not in source


def test_columns_of_ones_own_have_a_row_in_the_table_of_other_columns(workplace, analyses):
    analyses()
    with TraceWriter("a.parquet", epsilon=0.1, extra=["mine"]) as writer:
        for step in (1, 2, 3):
            writer.append({"step": step, "d_s_t": 0.5, "mine": step * 10.0})
    page = Page(make("a.parquet"))
    assert "mine" in page.words_in["th"]
    assert "All other columns of the trace" in page.words_in["summary"]


def test_the_json_twin_has_the_numbers_of_the_page(workplace, analyses, capsys):
    full_page(analyses)
    capsys.readouterr()
    assert call(["report", "a.parquet", "-o", "b.html", "--json"]) == 0
    said = capsys.readouterr()
    run = json.loads(said.out)["runs"][0]
    assert (run["name"], run["rows"], run["first_step"], run["last_step"]) == ("a", 40, 1, 40)
    assert [finding["analysis"] for finding in run["findings"]] == ["two", "one"]
    assert run["analyses"][0]["result"]["estimates"]["rows"]["value"] == 40
    assert run["analyses"][0]["result"]["tables"]["picture"]["columns"]["lag"] == [0, 1, 2]
    assert len(run["series"]["d_s_t"]["low"]) == 40
    assert run["landscapes"][0]["total_variation"] == pytest.approx(0, abs=1e-12)
    assert "wrote b.html" in said.err


def test_a_long_run_stays_small(workplace):
    write_trace("a", rows=200_000)
    assert len(make("a.parquet").encode()) < 5 * 1024**2


def test_a_page_above_the_budget_is_told(workplace, analyses, capsys, monkeypatch):
    analyses()
    write_trace("a")
    make("a.parquet")
    assert "larger than" not in capsys.readouterr().err
    monkeypatch.setattr(command, "SIZE_BUDGET", 1000)
    make("a.parquet")
    assert "larger than" in capsys.readouterr().err


def test_our_own_page_in_its_usual_place_is_made_anew(workplace, analyses):
    analyses()
    write_trace("a")
    assert call(["report", "a.parquet"]) == 0
    assert call(["report", "a.parquet"]) == 0
    Path("a/report.html").write_text("my own notes")
    assert call(["report", "a.parquet"]) == 2
    assert Path("a/report.html").read_text() == "my own notes"
    assert call(["report", "a.parquet", "--force"]) == 0


def test_no_other_file_is_replaced_without_force(workplace, analyses, capsys):
    analyses()
    write_trace("a")
    assert call(["report", "a.parquet", "-o", "page.html"]) == 0
    assert call(["report", "a.parquet", "-o", "page.html"]) == 2
    assert "--force" in capsys.readouterr().err
    before = Path("a.parquet").read_bytes()
    assert call(["report", "a.parquet", "-o", "a.parquet", "--force"]) == 2
    assert "is the trace itself" in capsys.readouterr().err
    assert Path("a.parquet").read_bytes() == before
    assert call(["report", "a.parquet", "-o", "."]) == 2


def test_bad_input_is_one_sentence(workplace, analyses, capsys):
    analyses()
    assert call(["report", "absent.parquet"]) == 3
    assert "no such trace" in capsys.readouterr().err
    Path("a.parquet").write_bytes(b"hello")
    assert call(["report", "a.parquet"]) == 3
    assert "cannot be read as Parquet" in capsys.readouterr().err
    TraceWriter("empty.parquet", epsilon=0.1).close()
    assert call(["report", "empty.parquet"]) == 3
    assert "holds no row yet" in capsys.readouterr().err
    assert not Path("a/report.html").exists()


def test_sections_come_in_a_sensible_order():
    assert gather.section_order(["zeta", "ccf", "alpha", "acf", "summary"]) == [
        "summary",
        "acf",
        "ccf",
        "alpha",
        "zeta",
    ]
