"""A user's own code, named in a recipe as ``module:attribute``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ebmdiag.errors import EbmdiagError


def import_named(name: str, role: str) -> Any:
    """Import it; the current folder is searched too. ``role`` says in an error what it was meant to be.

    Raises:
        EbmdiagError: it cannot be imported, for whatever reason.
    """
    module, _, attribute = name.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return getattr(importlib.import_module(module), attribute)
    except Exception as error:  # it is the user's code, and may fail in any way
        raise EbmdiagError(f"{role} '{name}' cannot be imported: {_said(error)}.") from error


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, ImportError | AttributeError) else f"{type(error).__name__}: {error}"


def import_function(name: str, role: str) -> Callable[..., Any]:
    """Import something that can be called.

    Raises:
        EbmdiagError: it cannot be imported, or is no function.
    """
    function = import_named(name, role)
    if not callable(function):
        raise EbmdiagError(f"{role} '{name}' is no function, but {type(function).__name__}.")
    return function  # type: ignore[no-any-return]


def number_or_none(value: Any) -> float | None:
    """What a user's statistic returned, as a plain number.

    Raises:
        TypeError: it is neither a number nor None.
    """
    if value is None:
        return None
    if isinstance(value, str | bytes):
        raise TypeError(f"a statistic must return a number or None, but returned {value!r}")
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"a statistic must return one number or None, but returned {type(value).__name__}") from error
