"""Figures as SVG inside a page: words, ids, colours, no style of their own."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from ebmdiag.errors import EbmdiagError
from ebmdiag.report.style import GRID, INK, SERIES, house_style, panels
from ebmdiag.report.svg import inline_svg


def drawn_figure():
    with house_style():
        figure, (axes,) = panels()
        axes.plot([0, 1, 2], [1, 0, 1], color=SERIES[0], marker="o")
        axes.fill_between([0, 1], [0, 0], [1, 1], color=SERIES[1], alpha=0.3)
        axes.imshow(np.eye(2), extent=(0, 1, 0, 1))
        axes.set_xlabel("a <b> & c")
    return figure


def test_svg_has_title_description_and_no_style_of_its_own():
    svg = str(inline_svg(drawn_figure(), "one", 'the "title"', "numbers < 3 & more"))
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img"
    assert root.get("aria-labelledby") == "one-title one-desc"
    assert root.find("title").text == 'the "title"'
    assert root.find("desc").text == "numbers < 3 & more"
    assert "style=" not in svg
    assert "<style" not in svg
    assert "<metadata" not in svg
    assert "a &lt;b&gt; &amp; c" in svg  # text stays text


def test_sentinel_colours_become_variables():
    svg = str(inline_svg(drawn_figure(), "one", "t", "d"))
    for sentinel in (INK, GRID, *SERIES):
        assert sentinel not in svg
    for variable in ("--ink", "--grid", "--s1", "--s2"):
        assert f"var({variable})" in svg


def test_two_figures_share_no_id_and_every_reference_is_met():
    first, second = (str(inline_svg(drawn_figure(), name, "t", "d")) for name in ("one", "two"))
    ids = [set(re.findall(r'\bid="([^"]+)"', svg)) for svg in (first, second)]
    assert ids[0]
    assert not ids[0] & ids[1]
    for svg, known in zip((first, second), ids, strict=True):
        targets = set(re.findall(r"url\(#([^)]+)\)", svg)) | set(re.findall(r'href="#([^"]+)"', svg))
        assert targets
        assert targets <= known


def test_the_same_figure_gives_the_same_bytes():
    assert inline_svg(drawn_figure(), "one", "t", "d") == inline_svg(drawn_figure(), "one", "t", "d")
    assert inline_svg(drawn_figure(), "one", "t", "d") != inline_svg(drawn_figure(), "two", "t", "d")


def test_what_matplotlib_cannot_draw_is_an_error_with_a_sentence():
    with house_style():
        figure, (axes,) = panels()
        axes.plot([0, 1], [-1.7e308, 1.7e308])
    with pytest.raises(EbmdiagError, match="matplotlib cannot draw it"):
        inline_svg(figure, "one", "t", "d")
