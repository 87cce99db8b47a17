"""A user's own code, named in a recipe as ``module:attribute``."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from ebmdiag.errors import EbmdiagError


def import_named(name: str, role: str) -> Any:
    """Import it; the current folder is searched too. ``role`` says in an error what it was meant to be.

    Raises:
        EbmdiagError: it cannot be imported.
    """
    module, _, attribute = name.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise EbmdiagError(f"{role} '{name}' cannot be imported: {error}.") from error
