"""The Arrow schema of a trace, made from the table of statistics."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

import pyarrow as pa

from ebmdiag.errors import TraceError, UsageError
from ebmdiag.metadata import KEY, TraceMetadata
from ebmdiag.statistics import BY_COLUMN, STATISTICS

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


def trace_schema(metadata: TraceMetadata, extra: Iterable[str] = ()) -> pa.Schema:
    """All columns of :data:`~ebmdiag.statistics.STATISTICS`, then the user's own as nullable float64.

    Raises:
        UsageError: an extra column's name is not lower_snake_case or is taken.
    """
    known = [
        pa.field(s.column, pa.type_for_alias(s.kind), nullable=not s.required, metadata=s.metadata())
        for s in STATISTICS
    ]
    own = [pa.field(check_column_name(name), pa.float64()) for name in extra]
    names = [field.name for field in own]
    if len(set(names)) < len(names):
        raise UsageError(f"extra columns must have different names, but are {', '.join(names)}.")
    return pa.schema(known + own, metadata={KEY: metadata.to_bytes()})


def check_column_name(name: str) -> str:
    """The name itself, if it may name a column of the user's own."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"column name {name!r} must be lower_snake_case: a letter, then letters, digits, underscores (63 at most)."
        )
    if name in BY_COLUMN:
        raise UsageError(f"column name {name!r} is one of the trace's own; choose another.")
    return name


def check_schema(schema: pa.Schema, where: str) -> None:
    """Refuse a Parquet file that is not a trace.

    Raises:
        TraceError: no ``ebmdiag`` metadata, a missing column, or a column of the wrong type.
    """
    metadata_of(schema, where)
    names = Counter(schema.names)  # the schema makes a new list whenever it is asked
    twice = sorted(name for name, times in names.items() if times > 1)
    if twice:
        raise TraceError(f"{where}: the column '{twice[0]}' is there more than once.")
    for statistic in STATISTICS:
        if statistic.required and statistic.column not in names:
            raise TraceError(f"{where}: the required column '{statistic.column}' is missing.")
    for field in schema:
        kind = BY_COLUMN[field.name].kind if field.name in BY_COLUMN else "float64"
        if field.type != pa.type_for_alias(kind):
            raise TraceError(f"{where}: column '{field.name}' must be {kind}, but is {field.type}.")


def metadata_of(schema: pa.Schema, where: str) -> TraceMetadata:
    """What a trace says of itself.

    Raises:
        TraceError: it says nothing, or something that cannot be.
    """
    raw = (schema.metadata or {}).get(KEY)
    if raw is None:
        raise TraceError(
            f"{where} is a Parquet file but not a trace: it has no 'ebmdiag' metadata. "
            "Write it with ebmdiag.TraceWriter, or export it as CSV and use 'ebmdiag import'."
        )
    return TraceMetadata.from_bytes(raw, where)
