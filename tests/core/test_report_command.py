"""``ebmdiag report``: any run in any state, several at once, and what may be overwritten."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from report_files import EVIL, Page, fake_analysis, fake_rules, install_analyses, make, write_trace

from ebmdiag import TraceWriter
from ebmdiag.cli import report as command
from ebmdiag.cli.main import call
from ebmdiag.errors import UsageError
from ebmdiag.report import answers, gather
from ebmdiag.result import Finding, Result


@pytest.fixture
def analyses(monkeypatch):
    """A function that gives the report other analyses than the registered ones."""
    return partial(install_analyses, monkeypatch)


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


def counting_runs(name="counted", failing=False):
    """An analysis of several runs, whose every word is hostile."""

    def analyse(readers, options):
        if failing:
            raise UsageError(f"these cannot be compared {EVIL}")
        names = ", ".join(read(["d_s_t"]).name for read in readers)
        return Result(name, names, sum(len(read(["step"])) for read in readers), {"names": names})

    def judge(result):
        return [Finding("told", "info", f"{result.rows} rows {EVIL}"), Finding("grave", "warning", f"mind {EVIL}")]

    return replace(fake_analysis(name), analyse=analyse, judge=judge, draw=lambda result: [], subject="runs")


def test_an_analysis_of_several_runs_is_a_section_of_its_own(workplace, analyses):
    analyses(fake_analysis(), counting_runs())
    for name in ("a", "b"):
        write_trace(name)
    source = make("a.parquet", "b.parquet", "--until", "30")
    page = Page(source)
    assert page.problems == []
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert ids.count("counted") == 1
    assert ids.index("overview") < ids.index("counted") < ids.index("run-1")
    section = source[source.index('id="counted"') : source.index('id="run-1"')]
    assert section.index("Mind") < section.index("60 rows")  # worst first
    assert EVIL not in source
    alone = Page(make("a.parquet"))
    assert "counted" not in [attributes.get("id") for _, attributes in alone.elements]


def test_one_that_fails_costs_nothing_else(workplace, analyses):
    analyses(fake_analysis(), counting_runs(failing=True))
    for name in ("a", "b"):
        write_trace(name)
    page = Page(make("a.parquet", "b.parquet"))
    assert page.problems == []
    assert any("these cannot be compared" in text for text in page.text)


def test_its_numbers_are_in_the_twin(workplace, analyses, capsys):
    analyses(fake_analysis(), counting_runs())
    for name in ("a", "b"):
        write_trace(name)
    assert call(["report", "a.parquet", "b.parquet", "-o", "page.html", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["comparisons"]
    assert (found["name"], found["result"]["rows"]) == ("counted", 80)


def test_runs_of_one_recipe_are_counted_together(workplace, analyses):
    analyses(fake_analysis(), rules=fake_rules("stable", "converged", words="w"))
    for seed, (name, steps) in enumerate([("a", 5), ("b", 5), ("c", 9)]):
        write_trace(name, recipe={"langevin": {"steps": steps}, "training": {"seed": seed}})
    source = make("a.parquet", "b.parquet", "c.parquet")
    overview = source[source.index('id="overview"') : source.index('id="run-1"')]
    assert "Recipes: where their runs stand" in overview
    assert "steps 5" in overview
    assert "2 stable" in overview
    assert "Recipes: where" not in make("a.parquet", "c.parquet")  # no recipe has two runs


def test_many_runs_are_shown_without_their_figures(workplace, analyses):
    """So that a page of many seeds stays small; the names of the runs lead on."""
    analyses(fake_analysis())
    names = [f"run{place}" for place in range(5)]
    for name in names:
        write_trace(name)
    source = make(*(f"{name}.parquet" for name in names))
    page = Page(source)
    assert page.problems == []
    assert "fake-1" not in [attributes.get("id") for _, attributes in page.elements]
    assert "ebmdiag report run3.parquet" in source
    targets = {attributes["href"][1:] for attributes in page.all("a") if attributes["href"].startswith("#")}
    assert targets <= {attributes.get("id") for _, attributes in page.elements}
    assert "fake-1" in make(*(f"{name}.parquet" for name in names[:4]))


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


@pytest.mark.slow
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
    assert answers.section_order(["zeta", "ccf", "alpha", "acf", "summary"]) == [
        "summary",
        "acf",
        "ccf",
        "alpha",
        "zeta",
    ]
