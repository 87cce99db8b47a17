"""Numbers, tables and the glossary, as a reader sees them."""

import doctest
import re
from pathlib import Path

import numpy as np
import pytest

from ebmdiag.report import glossary, wording
from ebmdiag.report.tables import estimates_view, nested_views, table_view
from ebmdiag.result import Estimate, Table
from ebmdiag.statistics import STATISTICS

ROOT = Path(__file__).parents[2]


def test_the_examples_of_the_docstrings():
    assert doctest.testmod(wording).failed == 0
    assert doctest.testmod(wording).attempted == 6


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (True, "True"),
        (np.float64("nan"), "–"),
        (np.int64(-1234567), "−1,234,567"),
        (1e6, "10⁶"),
        (999999.0, "999,999"),
        (-2.5e-7, "−2.5×10⁻⁷"),
        (0.1 + 0.2, "0.3"),
    ],
)
def test_numbers(value, text):
    assert wording.number(value) == text


def test_any_json_value_fits_a_cell():
    assert wording.plain(["a", "b"]) == "a, b"
    assert wording.plain([1, {"x": None}]) == '[1, {"x": null}]'
    assert wording.plain(None) == "–"
    assert len(wording.plain("x" * 10_000)) < 500


def test_an_estimate_that_is_not_reliable_says_why():
    estimates = {"good": Estimate(1.5, 1.0, 2.0), "bad": Estimate(7.0, reliable=False, reason="too short")}
    view = estimates_view(estimates)
    texts = [[cell.text for cell in row] for row in view.rows]
    assert texts == [["good", "1.5", "1 to 2", ""], ["bad", "7", "", "Not reliable: too short"]]
    assert [row[1].doubtful for row in view.rows] == [False, True]


def test_estimates_of_several_columns_have_a_row_each():
    doubtful = Estimate(7.0, reliable=False, reason="too short")
    view = estimates_view({"d:mean": Estimate(1.5, 1.0, 2.0), "d:sd": Estimate(3.0), "r:mean": doubtful})
    assert list(view.header) == ["column", "mean", "sd"]
    assert [[cell.text for cell in row] for row in view.rows] == [["d", "1.5 (1 to 2)", "3"], ["r", "7", ""]]
    assert [cell.doubtful for cell in view.rows[1]] == [False, True, False]
    assert view.notes == ["In grey, not reliable: r: too short."]


def test_empty_columns_are_left_out():
    assert list(estimates_view({"good": Estimate(1.5)}).header) == ["quantity", "value"]


def test_long_tables_are_cut_and_say_so():
    view = table_view(Table("lags", {"lag": np.arange(1000)}))
    assert len(view.rows) == 200
    assert view.notes == ["The first 200 of 1,000 rows."]


def test_nested_recipes_become_tables():
    views = nested_views("recipe", {"net": {"name": "toy"}, "note": "x", "empty": {}})
    assert [view.title for view in views] == ["recipe", "net"]


def test_the_page_on_the_trace_holds_the_table_of_statistics():
    page = (ROOT / "docs" / "trace.md").read_text(encoding="utf-8")
    between = page[page.index(glossary.BEGIN) : page.index(glossary.END) + len(glossary.END)]
    assert between == glossary.statistics_markdown()


def test_every_statistic_is_a_row_of_the_table():
    rows = glossary.statistics_markdown().splitlines()[3:-1]
    assert [row.split("`")[1] for row in rows] == [statistic.column for statistic in STATISTICS]
    assert {len(re.split(r"(?<!\\)\|", row)) for row in rows} == {9}


def test_only_columns_that_are_there_are_explained():
    assert [entry.column for entry in glossary.entries(["r_t", "mine", "d_s_t"])] == ["d_s_t", "r_t"]
