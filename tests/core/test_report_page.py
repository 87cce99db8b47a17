"""The page: well-formed, complete in itself, safe, with words for every picture."""

import json
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from report_files import Page, fake_analysis, full_page, install_analyses, make, write_trace

from ebmdiag import report
from ebmdiag.cli.main import call
from ebmdiag.errors import TraceError


@pytest.fixture
def analyses(monkeypatch):
    """A function that gives the report other analyses than the registered ones."""
    return partial(install_analyses, monkeypatch)


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
    assert {"content", "findings", "traces", "one", "two", "densities", "samples", "recipe", "glossary"} <= targets
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
    """The real ones, on a run in which nothing is wrong; also the default place.

    An analysis of what lies beside the trace has no section where nothing does.
    """
    from ebmdiag.registry import ANALYSES, load, registered

    write_trace("a", rows=300)
    assert call(["report", "a.parquet"]) == 0
    page = Page(Path("a/report.html").read_text(encoding="utf-8"))
    assert page.problems == []
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    subjects = {name: load(ANALYSES, name).subject for name in registered(ANALYSES)}
    assert {name for name, subject in subjects.items() if subject == "trace"} <= set(ids)
    assert not {name for name, subject in subjects.items() if subject == "run"} & set(ids)
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


def test_the_twin_of_a_strangers_recipe_is_still_json(workplace, analyses, capsys):
    import pyarrow.parquet as pq

    analyses()
    table = pq.read_table(write_trace("a", recipe={"net": {"scale": 1.5}}))
    raw = table.schema.metadata[b"ebmdiag"].replace(b"1.5", b"NaN")
    pq.write_table(table.replace_schema_metadata({b"ebmdiag": raw}), "a.parquet")
    assert call(["report", "a.parquet", "-o", "b.html", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["runs"][0]["metadata"]["recipe"] == {"net": {"scale": None}}


# the look


def variables(css: str) -> dict[str, str]:
    return dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6})", css))


def contrast(first: str, second: str) -> float:
    """The contrast ratio of WCAG 2.2 (relative luminance of sRGB), from 1 to 21."""

    def luminance(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    brighter, darker = sorted((luminance(first), luminance(second)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


def test_contrast_is_what_the_standard_says():
    """Its own examples: black on white is 21, #767676 the lightest grey that passes on white."""
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark", "print"])
def test_words_and_lines_stand_out_in_every_scheme(scheme):
    """4.5 for text on each ground that it stands on, 3 for lines (WCAG 2.2, 1.4.3 and 1.4.11)."""
    css = (Path(report.__file__).parent / "templates" / "report.css").read_text(encoding="utf-8")
    dark, printed = css.index("prefers-color-scheme: dark"), css.index("@media print")
    colours = variables(css[:dark])
    if scheme == "dark":
        colours |= variables(css[dark:printed])
    if scheme == "print":
        colours |= variables(css[printed:])
    grounds = [colours["ground"], *(colours[f"{tone}-ground"] for tone in ("error", "warning", "good", "info"))]
    for ground in grounds:
        assert contrast(colours["ink"], ground) >= 4.5
        assert contrast(colours["soft"], ground) >= 4.5
        assert contrast(colours["link"], ground) >= 4.5
    for tone in ("error", "warning", "good", "info"):
        assert contrast(colours[tone], colours[f"{tone}-ground"]) >= 4.5
    for line in ("s1", "s2", "s3", "band"):
        assert contrast(colours[line], colours["ground"]) >= 3


def test_a_table_with_long_texts_becomes_a_list_on_a_phone_and_stays_a_table(workplace, analyses):
    page = Page(full_page(analyses))
    stacked = [attributes for attributes in page.all("table") if "stack" in (attributes.get("class") or "").split()]
    assert stacked
    assert all(attributes["role"] == "table" for attributes in stacked)
    cells = [attributes for attributes in page.all("td") if "data-name" in attributes]
    assert {attributes["role"] for attributes in cells} == {"cell"}
    assert {"value", "remark"} <= {attributes["data-name"] for attributes in cells}
