"""The verdict in the report: first on the page, a map, evidence, methods; hostile words stay words."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from matplotlib.collections import PathCollection
from report_files import EVIL, Page, fake_analysis, fake_rules, install_analyses, make, png, write_trace

from ebmdiag import TraceMetadata
from ebmdiag.cli.main import call
from ebmdiag.errors import TraceError
from ebmdiag.report.answers import Answer, origin
from ebmdiag.report.diagnosis import Diagnosis
from ebmdiag.report.tables import estimates_view, interval
from ebmdiag.report.verdict_map import COLUMNS, draw_map
from ebmdiag.report.verdict_view import methods_view
from ebmdiag.report.wording import opening
from ebmdiag.result import Estimate, Finding
from ebmdiag.verdict import CONVERGENCES, STABILITIES, Judgement, Verdict


@pytest.fixture
def analyses(monkeypatch):
    """A function that gives the report other analyses, and rules, than the registered ones."""
    return partial(install_analyses, monkeypatch)


def judged(stability: str, convergence: str) -> Verdict:
    return Verdict(Judgement(stability, "why"), Judgement(convergence, "why"))


def diagnosed() -> Diagnosis:
    metadata = TraceMetadata.create(epsilon=0.1, producer="test")
    return Diagnosis(name="a", path=Path("a.parquet"), metadata=metadata, rows=1, first_step=1, last_step=1, answers=())


def full_page(analyses, **places: str) -> str:
    analyses(fake_analysis("one"), fake_analysis("two", "error"), rules=fake_rules(**places))
    write_trace("a")
    return make("a.parquet")


def test_the_page_with_a_verdict_is_well_formed_and_safe(workplace, analyses):
    source = full_page(analyses)
    page = Page(source)
    assert page.problems == []
    assert not page.all("script")
    assert not any("style" in attributes for _, attributes in page.elements)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {link["href"].removeprefix("#") for link in page.all("a")}
    assert {"verdict", "methods"} <= targets <= set(ids)
    assert page.words_in["summary"].count("The numbers") == len(page.all("svg"))


def test_the_verdict_comes_first_the_methods_late(workplace, analyses):
    source = full_page(analyses)
    order = ['id="verdict"', 'id="findings"', 'id="traces"', 'id="one"', 'id="methods"', 'id="glossary"']
    places = [source.index(mark) for mark in order]
    assert places == sorted(places)
    card = source[places[0] : places[1]]
    for words in ("strongly oscillating", "d swings &lt;script", "Turn it down", "About 1,200 more rows", "<svg"):
        assert words in card
    methods = source[places[4] : places[5]]
    for words in ("Benjamini and Yekutieli", "Measured error rates", "Limits that were used", "known", "0.05"):
        assert words in methods


def test_the_evidence_marks_what_is_doubtful(workplace, analyses):
    page = Page(full_page(analyses))
    assert "Evidence: stability" in page.words_in["summary"]
    assert any(text.startswith("Not much. Not reliable: short <script>") for text in page.words_in["td"])
    assert "−0.6 to −0.4" in page.words_in["td"]
    assert "Evidence: convergence" not in page.words_in["summary"]  # negative control: there is none


@pytest.mark.parametrize(
    ("place", "tone"),
    [("stable", "good"), ("strongly oscillating", "warning"), ("diverging", "error"), ("undetermined", "info")],
)
def test_a_place_has_its_colour(workplace, analyses, place, tone):
    assert f'<div class="axis {tone}">\n<p class="small">Stability</p>' in full_page(analyses, stability=place)


def test_each_analysis_says_its_numbers_in_one_sentence(workplace, analyses):
    source = full_page(analyses)
    assert '<p class="says warning">one: &lt;script' in source
    assert '<p class="says error">two: &lt;script' in source
    assert source.count('<p class="says') == 2


def test_without_rules_there_is_no_verdict(workplace, analyses):
    analyses(fake_analysis())
    write_trace("a")
    source = make("a.parquet")
    assert 'id="verdict"' not in source
    assert 'id="methods"' not in source
    assert '<p class="says warning">fake:' in source


def test_rules_that_fail_leave_a_note_and_the_rest(workplace, analyses):
    def refuse(*_):
        raise TraceError(f"cannot judge {EVIL}")

    write_trace("a")
    for rules, words in ((refuse, "cannot judge &lt;script"), (lambda *_: 1 / 0, "failed: ZeroDivisionError")):
        analyses(fake_analysis(), rules=rules)
        source = make("a.parquet")
        assert words in source
        assert "No verdict." in source
        assert 'id="fake"' in source


def test_an_unknown_limit_is_wrong_usage(workplace, analyses, capsys):
    analyses(rules=fake_rules())
    write_trace("a")
    assert call(["report", "a.parquet", "-o", "x.html", "--limit", "unheard=1"]) == 2
    assert "unknown limit 'unheard'" in capsys.readouterr().err
    assert "0.75" in make("a.parquet", "--limit", "known=0.75")
    analyses()
    assert call(["report", "a.parquet", "-o", "x.html", "--limit", "known=1"]) == 2
    assert "no rules for a verdict are installed" in capsys.readouterr().err


def test_several_runs_share_one_map(workplace, analyses):
    analyses(fake_analysis(), rules=fake_rules("stable", "converged", words="w"))
    for name in ("a", "b"):
        write_trace(name)
    source = make("a.parquet", "b.parquet")
    page = Page(source)
    assert page.problems == []
    maps = [words for words in page.words_in["desc"] if words.startswith("A grid of places")]
    assert len(maps) == 1
    assert "1 (a): stable; converged. 2 (b): stable; converged." in maps[0]
    overview = source[source.index('id="overview"') : source.index('id="run-1"')]
    assert "convergence</th>" in overview
    assert "2.\N{NO-BREAK SPACE}b" in page.words_in["th"]
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {"verdict-1", "verdict-2", "methods-1"} <= set(ids)


def test_the_same_verdict_gives_the_same_bytes(workplace, analyses):
    source = full_page(analyses)
    assert make("a.parquet", out="again.html") == source
    analyses(fake_analysis("one"), fake_analysis("two", "error"), rules=fake_rules("stable"))
    assert make("a.parquet") != source  # negative control


def test_the_twin_has_the_verdict(workplace, analyses, capsys):
    full_page(analyses)
    capsys.readouterr()
    assert call(["report", "a.parquet", "-o", "b.html", "--json"]) == 0
    run = json.loads(capsys.readouterr().out)["runs"][0]
    assert run["verdict"]["stability"]["place"] == "strongly oscillating"
    assert run["verdict"]["convergence"]["more_iterations"] == 1200
    assert run["verdict"]["stability"]["evidence"][0]["estimate"]["value"] == -0.5
    assert run["verdict"]["limits"] == {"known": 0.5}
    assert {finding["analysis"] for finding in run["findings"]} == {"one", "two"}


# the map


def test_the_map_has_all_places():
    assert set(COLUMNS) == set(STABILITIES)


def test_every_place_has_a_mark_of_its_own():
    found = set()
    for stability in STABILITIES:
        for convergence in CONVERGENCES:
            drawing, table = draw_map([("a", judged(stability, convergence))])
            (mark,) = [c for c in drawing.figure.axes[0].collections if isinstance(c, PathCollection)]
            x, y = mark.get_offsets()[0]
            assert (COLUMNS[int(x)], CONVERGENCES[2 - int(y)]) == (stability, convergence)
            assert f"This run: {stability}; {convergence}." in drawing.alt
            assert table.rows() == [(1, "a", stability, convergence)]
            found.add((x, y))
    assert len(found) == 18


def test_more_runs_than_a_field_holds_are_counted():
    drawing, table = draw_map([(f"$run {i}$", judged("stable", "converged")) for i in range(1, 13)])
    texts = [text.get_text() for text in drawing.figure.axes[0].texts]
    assert texts == ["1", "2", "3", "4", "5", "6", "7", "+5"]
    assert len(table) == 12
    assert "12 ($run 12$): stable; converged." in drawing.alt


def test_a_run_without_a_verdict_keeps_its_number_and_equal_names_stay_two():
    _, table = draw_map([("a", judged("stable", "converged")), ("b", None), ("a", judged("diverging", "converged"))])
    assert table.rows() == [(1, "a", "stable", "converged"), (3, "a", "diverging", "converged")]


# whose finding it is


def test_a_finding_is_traced_to_its_analysis_also_when_the_verdict_has_changed_it():
    first, second = Finding("code", "warning", "d swings"), Finding("other", "info", "r settles")
    given = (Answer("one", "", "", findings=(first,)), Answer("two", "", "", findings=(second, first)))
    assert origin(second, given) is given[1]
    assert origin(Finding("other", "info", "in other words"), given) is given[1]
    assert origin(Finding("code", "info", "d swings"), given) is given[0]
    assert origin(Finding("code", "info", "in other words"), given) is None  # two have it
    assert origin(Finding("new", "info", "the verdict's own"), given) is None


# pictures of chains


def chains(*names: str) -> None:
    Path("a/chains").mkdir(parents=True)
    for name in names:
        Path("a/chains", name).write_bytes(png(9, 3))


def test_the_newest_pictures_of_chains_are_shown(workplace, analyses):
    analyses()
    write_trace("a")
    chains(*(f"step_{step:010d}-langevin-data.png" for step in (1, 200, 30, 4)), 'step_1-x".png', "other.png")
    page = Page(make("a.parquet"))
    shown = [image["alt"] for image in page.all("img")]
    assert [words.split("step_")[1][:10] for words in shown] == ["0000000200", "0000000030", "0000000004"]
    assert all("short runs end, where long runs end, and data" in words for words in shown)
    assert "Older pictures in the run's folder: 1." in page.words_in["p"]
    assert "chains" in {link["href"].removeprefix("#") for link in page.all("a")}


def test_a_damaged_picture_of_chains_is_a_note(workplace, analyses):
    analyses()
    write_trace("a")
    chains("step_0000000001-a.png")
    Path("a/chains/step_0000000001-a.png").write_bytes(b"<script>")
    source = make("a.parquet")
    assert "step_0000000001-a.png is not a PNG file" in source
    assert "<img" not in source


# tables of estimates


def test_a_reason_that_many_estimates_share_is_said_once():
    doubted = Estimate(1.0, reliable=False, reason="too short")
    view = estimates_view({"a": doubted, "b": doubted, "c": doubted, "d": Estimate(2.0, reliable=False, reason="odd")})
    assert view.notes == ["In grey, not reliable, 3 numbers without a remark: too short."]
    assert [row[-1].text for row in view.rows] == ["", "", "", "Not reliable: odd"]
    assert all(cell.doubtful for row in view.rows for cell in row)
    few = estimates_view({"a": doubted, "b": doubted, "c": Estimate(2.0)})
    assert few.notes == []
    assert [row[-1].text for row in few.rows] == ["Not reliable: too short", "Not reliable: too short", ""]


@pytest.mark.parametrize(("rows", "stacked"), [(8, True), (9, False)])
def test_a_table_of_many_columns_becomes_a_list_only_if_it_is_short(rows, stacked):
    estimates = {f"c{row}:{key}": Estimate(1.0) for row in range(rows) for key in ("mean", "sd")}
    assert estimates_view(estimates).stacked is stacked


@pytest.mark.parametrize(
    ("low", "high", "words"), [(1.0, 2.0, "1 to 2"), (1.0, None, "from 1"), (None, 2.0, "up to 2"), (None, None, "")]
)
def test_an_interval_may_be_open_on_a_side(low, high, words):
    assert interval(Estimate(1.5, low, high)) == words


def test_rates_of_any_kind_have_a_row():
    rows = ({"place": "stable", "false_alarms": 0, "interval": (0.0, 0.0153)}, {"place": "diverging", "found": 0.5})
    verdict = replace(judged("stable", "converged"), rates=rows)
    (view,) = methods_view(replace(diagnosed(), verdict=verdict)).tables
    assert list(view.header) == ["place", "false alarms", "interval", "found"]
    assert [[cell.text for cell in row] for row in view.rows] == [
        ["stable", "0", "0 to 0.0153", "–"],
        ["diverging", "–", "–", "0.5"],
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a burst dominates d_s_t", "A burst dominates d_s_t"),
        ("virial is 1", "Virial is 1"),
        ("d_s_t has settled", "d_s_t has settled"),
        ("d falls", "d falls"),
        ("0.05 at lag 8", "0.05 at lag 8"),
        ("KL is 0.4", "KL is 0.4"),
        ("", ""),
    ],
)
def test_a_sentence_begins_large_but_a_symbol_stays(text, words):
    assert opening(text) == words


def test_many_notes_are_folded_and_warnings_are_not(workplace, analyses):
    analyses(fake_analysis("bad", "warning"), *(fake_analysis(f"mild{k}", "info") for k in range(7)), rules=None)
    write_trace("a")
    source = make("a.parquet")
    assert Page(source).problems == []
    found = source[source.index('<section id="findings"') :]
    found = found[: found.index("</section>")]
    before, _, folded = found.partition("<summary>7 notes</summary>")
    assert before.count('<li class="warning">') == 1
    assert '<li class="info">' not in before
    assert folded.count('<li class="info">') == 7
