"""What a trace says about itself: the JSON under the key ``ebmdiag`` of the Parquet file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from ebmdiag.errors import TraceError
from ebmdiag.rows import temperature

KEY = b"ebmdiag"
SCHEMA_VERSION = 1
ENERGY_SIGN = "p(x) proportional to exp(-U(x)); low energy is likely"

RunState = Literal["running", "finished", "interrupted", "diverged"]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class TraceMetadata:
    """The facts that a reader needs to interpret the rows; every field is plain JSON."""

    epsilon: float
    temperature: float
    producer: str
    state: RunState = "running"
    recipe: dict[str, Any] = field(default_factory=dict)
    seed: int | None = None
    versions: dict[str, str] = field(default_factory=dict)
    device: str | None = None
    git_commit: str | None = None
    started_at: str = field(default_factory=_now)
    message: str | None = None
    energy_sign: str = ENERGY_SIGN
    schema_version: int = SCHEMA_VERSION

    @classmethod
    def create(cls, *, epsilon: float, producer: str, **facts: Any) -> TraceMetadata:
        """Metadata with the temperature that belongs to ``epsilon``."""
        return cls(epsilon=float(epsilon), temperature=temperature(epsilon), producer=producer, **facts)

    def with_state(self, state: RunState, message: str | None = None) -> TraceMetadata:
        """The same facts in another state of the run."""
        return replace(self, state=state, message=message)

    def to_bytes(self) -> bytes:
        """JSON, sorted, for the Parquet footer."""
        return json.dumps(asdict(self), sort_keys=True, allow_nan=False).encode()

    @classmethod
    def from_bytes(cls, raw: bytes, where: str) -> TraceMetadata:
        """Parse the footer's JSON; ``where`` names the file in error messages.

        Raises:
            TraceError: not JSON, of a newer schema, or without a needed fact.
        """
        try:
            facts = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise TraceError(f"{where}: the 'ebmdiag' metadata is not JSON ({error}).") from error
        if not isinstance(facts, dict):
            raise TraceError(f"{where}: the 'ebmdiag' metadata must be a JSON object.")
        version = facts.get("schema_version")
        if not isinstance(version, int) or isinstance(version, bool) or version < 1:
            raise TraceError(f"{where}: 'schema_version' must be a whole number from 1, but is {version!r}.")
        if version > SCHEMA_VERSION:
            raise TraceError(
                f"{where}: written with trace schema {version}, this ebmdiag reads up to {SCHEMA_VERSION}; "
                "upgrade ebmdiag."
            )
        known = {item.name for item in fields(cls)}
        chosen = {name: value for name, value in facts.items() if name in known}
        _check_types(chosen, where)
        return cls(**chosen)


def _check_types(facts: dict[str, Any], where: str) -> None:
    for name in ("epsilon", "temperature"):
        value = facts.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e300:
            raise TraceError(f"{where}: metadata '{name}' must be a number, at least 0, but is {value!r}.")
    if facts["temperature"] == 0:
        raise TraceError(f"{where}: metadata 'temperature' must be above 0.")
    if not isinstance(facts.get("producer"), str):
        raise TraceError(f"{where}: metadata 'producer' must be a string.")
    if facts.get("state", "running") not in get_args(RunState):
        raise TraceError(f"{where}: metadata 'state' must be one of {', '.join(get_args(RunState))}.")
    for name in ("recipe", "versions"):
        if not isinstance(facts.get(name, {}), dict):
            raise TraceError(f"{where}: metadata '{name}' must be a JSON object.")
