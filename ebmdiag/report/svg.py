"""A matplotlib figure as SVG that may stand inside a page with others, under a strict content policy.

matplotlib writes style attributes, a style element that reaches the whole page, and ids that are alike in any two
figures. Here styles become presentation attributes (which no content policy forbids), ids that nothing refers to
are dropped and the others get the figure's own prefix, the sentinel colours of
:mod:`ebmdiag.report.style` become CSS variables, and title and description are added for those who cannot see.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
from markupsafe import Markup

from ebmdiag.errors import EbmdiagError
from ebmdiag.report import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SVG = "{http://www.w3.org/2000/svg}"
_HREF = "{http://www.w3.org/1999/xlink}href"
_DOTS_PER_INCH = 144
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_DROPPED_STYLES = {"font-family", "font", "white-space", "font-stretch", "font-variant"}  # the page's own type holds
_LONG_DECIMAL = re.compile(r"-?\d+\.\d{3,}")
_FONT_SIZE = re.compile(r"(\d+(?:\.\d+)?)px")

COLOURS = {
    style.INK: "var(--ink)",
    style.GRID: "var(--grid)",
    style.BAND: "var(--band)",
    **{colour: f"var(--s{number})" for number, colour in enumerate(style.SERIES, 1)},
}


def inline_svg(figure: Figure, prefix: str, title: str, description: str) -> Markup:
    """The figure as an SVG element.

    Args:
        figure: drawn in the colours of :mod:`ebmdiag.report.style`.
        prefix: begins every id in it; unique on the page.
        title: what it is, in a few words.
        description: what it shows, in numbers.

    Returns:
        The element, the same bytes for the same figure. Text stays text.

    Raises:
        EbmdiagError: matplotlib cannot draw the values, for they are too large.
    """
    try:
        root = _parsed(figure)
    except (OverflowError, ValueError) as error:  # as it says of values near the largest float
        raise EbmdiagError(f"A figure is left out, since matplotlib cannot draw it ({error}).") from error
    for unwanted in (f"{_SVG}metadata", f"{_SVG}defs/{_SVG}style/.."):
        for child in root.findall(unwanted):
            root.remove(child)
    _style_to_attributes(root)
    _own_ids(root, prefix)
    _describe(root, prefix, title, description)
    for element in root.iter():
        _slim(element)
    text = ElementTree.tostring(root, encoding="unicode")
    return Markup(text)  # noqa: S704 - ElementTree has escaped it


def _slim(element: ElementTree.Element) -> None:
    """Drop the namespace and white space; a hundredth of a point is precise enough for a path."""
    element.tag = element.tag.removeprefix(_SVG)
    element.tail = None
    if element.text is not None and not element.text.strip():
        element.text = None
    if "d" in element.attrib:
        path = _LONG_DECIMAL.sub(lambda found: f"{float(found[0]):.2f}", element.attrib["d"])
        element.set("d", " ".join(path.split()))


def _parsed(figure: Figure) -> ElementTree.Element:
    import matplotlib

    buffer = io.BytesIO()
    settings: Any = {"svg.fonttype": "none", "svg.hashsalt": "ebmdiag", "svg.image_inline": True}
    with matplotlib.rc_context(settings), np.errstate(over="ignore", invalid="ignore"):  # ticks at 1e308
        figure.savefig(
            buffer, format="svg", dpi=_DOTS_PER_INCH, transparent=False, metadata={"Date": None, "Creator": None}
        )
    return ElementTree.fromstring(buffer.getvalue())  # noqa: S314 - written by matplotlib just above


def _style_to_attributes(root: ElementTree.Element) -> None:
    root.set("stroke-linejoin", "round")  # what matplotlib's style element says for all elements
    root.set("stroke-linecap", "butt")
    for element in root.iter():
        for declaration in element.attrib.pop("style", "").split(";"):
            name, _, value = (part.strip() for part in declaration.partition(":"))
            if name == "font" and (size := _FONT_SIZE.search(value)):
                element.set("font-size", size[1])
            if name and name not in _DROPPED_STYLES:
                element.set(name, value)
        for name in ("fill", "stroke"):
            if (value := element.get(name, "").lower()) in COLOURS:
                element.set(name, COLOURS[value])


def _own_ids(root: ElementTree.Element, prefix: str) -> None:
    """Prefix the ids that are referred to, with every reference; drop the rest."""
    used = set()
    for element in root.iter():
        if (target := element.attrib.pop(_HREF, None)) is not None:
            element.set("href", target)
            used.add(target.removeprefix("#"))
        used.update(name for value in element.attrib.values() for name in _REFERENCE.findall(value))
    for element in root.iter():
        for name, value in list(element.attrib.items()):
            if name == "id" and value not in used:
                del element.attrib["id"]
            elif name == "id":
                element.set("id", f"{prefix}-{value}")
            elif name == "href" and value.startswith("#"):
                element.set("href", f"#{prefix}-{value[1:]}")
            else:
                element.set(name, _REFERENCE.sub(rf"url(#{prefix}-\1)", value))


def _describe(root: ElementTree.Element, prefix: str, title: str, description: str) -> None:
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.set("role", "img")
    root.set("aria-labelledby", f"{prefix}-title {prefix}-desc")
    for place, (tag, text) in enumerate((("title", title), ("desc", description))):
        element = ElementTree.Element(f"{_SVG}{tag}", {"id": f"{prefix}-{tag}"})
        element.text = text
        root.insert(place, element)
