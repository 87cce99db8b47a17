"""Where a table of chains lies when no ``--out`` says so: a name for new chains, and the chains to go on with.

The name is ``step_XXXXXXXXXX-SAMPLER-INIT[-tau…][-tempered]``: it holds what tells the tables of one net apart.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ebmdiag.chains import ChainFiles
from ebmdiag.errors import UsageError
from ebmdiag_trainers.sampling.asking import Asked
from ebmdiag_trainers.sampling.plan import INITS
from ebmdiag_trainers.sampling.source import Source

_PARTS = re.compile(
    rf"(?P<net>step_\d{{10}})-(?P<sampler>.+)-(?P<init>{'|'.join(INITS)})(-tau(?P<tau>.+?))?(?P<tempered>-tempered)?"
)

_OF_TRAINING = ("long", "probe")


def files_of(out: Path | None, source: Source, asked: Asked, *, resume: bool) -> ChainFiles:
    """As ``--out`` says; else the chains to go on with, or a place for new ones.

    Raises:
        UsageError: ``out`` is no place for a table, or several chains could be gone on with, or the training's only.
    """
    if out is not None:
        return ChainFiles.of(out)
    return begun_files(source, asked) if resume else new_files(source, asked.completed())


def new_files(source: Source, asked: Asked) -> ChainFiles:
    """``RUN/chains/step_XXXXXXXXXX-sampler-init[-tau…][-tempered].parquet`` of a completed wish."""
    name = f"{_net(source)}-{asked.sampler}-{asked.init}"
    if asked.temperature != 1:
        name += f"-tau{asked.temperature:g}"
    if asked.temperatures:
        name += "-tempered"
    return ChainFiles.of(source.home.chains / f"{name}.parquet")


def begun_files(source: Source, asked: Asked) -> ChainFiles:
    """The chains of this net that are to go on: the only ones that fit what was asked for.

    Raises:
        UsageError: several do; or none, and there are only those that 'ebmdiag train' wrote, which are to be named.
    """
    states = sorted(source.home.chains.glob(f"{_net(source)}-*/state.pt"))
    places = [ChainFiles(state.parent.with_name(f"{state.parent.name}.parquet")) for state in states]
    fitting = [files for files in places if _fits(files.name, asked)]
    if len(fitting) > 1:
        raise UsageError(
            f"--resume: there are several chains to go on with; name one of them with --out: {_named(fitting)}."
        )
    if fitting:
        return fitting[0]
    new = new_files(source, asked.completed())
    of_training = [files for files in places if files.name in {f"{_net(source)}-{kind}" for kind in _OF_TRAINING}]
    if of_training and not new.state.exists():
        raise UsageError(
            f"--resume: there is no saved place in {new.folder}; the chains of the training's own [long_run] are gone "
            f"on with if you name them with --out: {_named(of_training)}."
        )
    return new


def _named(places: Sequence[ChainFiles]) -> str:
    return ", ".join(str(files.table) for files in places)


def _net(source: Source) -> str:
    return f"step_{source.step:010d}"


def _fits(name: str, asked: Asked) -> bool:
    """Whether a name is one of ours (and not that of a training's long run), with all that was asked for in it."""
    parts = _PARTS.fullmatch(name)
    if parts is None:
        return False
    temperature = None if asked.temperature is None else f"{asked.temperature:g}"
    return (
        asked.sampler in (None, parts["sampler"])
        and asked.init in (None, parts["init"])
        and temperature in (None, parts["tau"] or "1")
        and bool(parts["tempered"]) >= bool(asked.temperatures)
    )
