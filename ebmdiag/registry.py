"""Finding recipes, analyses and commands: built-in and third-party ones alike, through entry points."""

from __future__ import annotations

import ast
from functools import cache
from importlib.abc import InspectLoader
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import Any

from ebmdiag.errors import EbmdiagError, UsageError
from ebmdiag.names import nearest

RECIPES = "ebmdiag.recipes"
ANALYSES = "ebmdiag.analyses"
COMMANDS = "ebmdiag.commands"
VERDICTS = "ebmdiag.verdicts"


@cache
def registered(group: str) -> dict[str, EntryPoint]:
    """The entry points of a group by name, in the order of their names."""
    return {point.name: point for point in sorted(entry_points(group=group), key=lambda point: point.name)}


def load(group: str, name: str) -> Any:
    """Import what is registered under a name.

    Raises:
        UsageError: nothing is registered under it.
        EbmdiagError: what is registered cannot be imported.
    """
    points = registered(group)
    if name not in points:
        kind = group.removeprefix("ebmdiag.").removesuffix("s").replace("analyse", "analysis")
        raise UsageError(f"unknown {kind} '{name}'{nearest(name, points)} Known: {', '.join(points)}.")
    try:
        return points[name].load()
    except Exception as error:  # a plugin may fail in any way; the user needs its name, not a traceback
        raise EbmdiagError(
            f"'{name}' is registered in {group} as {points[name].value}, but cannot be imported: {error}."
        ) from error


def headline(group: str, name: str) -> str:
    """The first line of the docstring of the module that an entry point names, without importing the module.

    So that ``ebmdiag --help`` need not import every analysis; empty where there is no source to read.
    """
    try:
        spec = find_spec(registered(group)[name].module)
    except ImportError:
        return ""
    loader = spec.loader if spec else None
    source = loader.get_source(spec.name) if spec and isinstance(loader, InspectLoader) else None
    docstring = ast.get_docstring(ast.parse(source)) if source else None
    return (docstring or "").partition("\n")[0]
