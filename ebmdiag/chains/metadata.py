"""What a table of chains says about itself: the JSON under the key ``ebmdiag_chains`` of the Parquet file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, Self, get_args

from ebmdiag.errors import TraceError

KEY = b"ebmdiag_chains"
CHAINS_VERSION = 1
ChainsState = Literal["running", "finished", "interrupted", "diverged"]


@dataclass(frozen=True)
class ChainsMetadata:
    """The facts that a reader needs; every field is plain JSON, and none depends on when or where it was made.

    Attributes:
        sampler: name and options of the sampler of the long run, with the step size that it used after its warm-up.
        epsilon: ε of the training; U = F / (ε²/2).
        temperature: τ; the long chains follow exp(-U / τ).
        init: where the long chains began: data, noise or bank.
        steps, thin: steps of the long run, and from one recorded draw to the next.
        chains, copies: long chains, and how many of them share each start.
        warmup: steps before draw 0 in which the step size was adapted.
        short_steps, short_start: L and the start of the training's short run.
        training_step: iteration of the net; 0 where it is not known.
        weights: sha256 of the net's parameters.
        source: data set, empty where there is none.
        held_out: whether the data compared with were kept from training (or drawn anew from a known density).
        gradients, energies: evaluations for one long chain, warm-up included; an evaluation of a gradient gives the
            energy too.
    """

    producer: str
    sampler: dict[str, Any]
    epsilon: float
    temperature: float = 1.0
    seed: int = 0
    init: str = "data"
    steps: int = 0
    thin: int = 1
    chains: int = 0
    copies: int = 1
    warmup: int = 0
    short_steps: int = 0
    short_start: str = ""
    training_step: int = 0
    weights: str = ""
    shape: list[int] = field(default_factory=list)
    source: str = ""
    held_out: bool = False
    gradients: int = 0
    energies: int = 0
    state: ChainsState = "running"
    message: str | None = None
    schema_version: int = CHAINS_VERSION

    def with_facts(self, **facts: Any) -> Self:
        """The same with some facts replaced."""
        return replace(self, **facts)

    def to_bytes(self) -> bytes:
        """JSON, sorted, for the Parquet footer."""
        return json.dumps(asdict(self), sort_keys=True, allow_nan=False).encode()

    @classmethod
    def from_bytes(cls, raw: bytes, where: str) -> Self:
        """Parse the footer's JSON; ``where`` names the file in error messages.

        Raises:
            TraceError: not JSON, of a newer schema, or a fact of the wrong kind.
        """
        try:
            facts = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise TraceError(f"{where}: the 'ebmdiag_chains' metadata is not JSON ({error}).") from error
        if not isinstance(facts, dict):
            raise TraceError(f"{where}: the 'ebmdiag_chains' metadata must be a JSON object.")
        version = facts.get("schema_version")
        if type(version) is not int or not 1 <= version <= CHAINS_VERSION:
            raise TraceError(
                f"{where}: chains of schema {version!r}, but this ebmdiag reads up to {CHAINS_VERSION}; "
                "upgrade ebmdiag."
            )
        known = {item.name: item.type for item in fields(cls)}
        chosen = {name: value for name, value in facts.items() if name in known}
        for name in ("producer", "sampler", "epsilon"):
            if name not in chosen:
                raise TraceError(f"{where}: metadata '{name}' is missing.")
        for name, value in chosen.items():
            _check(name, known[name], value, where)
        return cls(**chosen)


_KINDS: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "list[int]": (list,),
    "dict[str, Any]": (dict,),
    "str | None": (str, type(None)),
    "ChainsState": (str,),
}


def _check(name: str, kind: Any, value: Any, where: str) -> None:
    expected = _KINDS[str(kind)]
    if not isinstance(value, expected) or (isinstance(value, bool) and bool not in expected):
        raise TraceError(f"{where}: metadata '{name}' must be {kind}, but is {value!r}.")
    if isinstance(value, int | float) and name in ("epsilon", "temperature") and not 0 <= value < 1e300:
        raise TraceError(f"{where}: metadata '{name}' must be a number, at least 0, but is {value!r}.")
    if name == "state" and value not in get_args(ChainsState):
        raise TraceError(f"{where}: metadata 'state' must be one of {', '.join(get_args(ChainsState))}.")
