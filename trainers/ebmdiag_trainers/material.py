"""What a recipe is made of: its data, loaded as it says, and the shape of a state where no data are to be loaded."""

from __future__ import annotations

from pathlib import Path

from ebmdiag.errors import RecipeError
from ebmdiag_trainers.data import Dataset, ImageSet, load_dataset
from ebmdiag_trainers.data.sources import TOYS, image_source
from ebmdiag_trainers.recipe import Data

_SIDE = 32


def load_data(table: Data, *, progress: bool = False) -> Dataset:
    """The data to train on; an :class:`ImageSet` says which of its images were held out.

    Raises:
        RecipeError: items of a density are to be held out.
        UsageError, DataError: see :func:`~ebmdiag_trainers.data.load_dataset`.
    """
    dataset = load_dataset(
        table.source,
        path=Path(table.path) if table.path else None,
        channels=table.channels,
        precisions=table.precisions,
        coordinates=table.coordinates,
        progress=progress,
    )
    if isinstance(dataset, ImageSet):
        return dataset.holding_out(table.held_out)
    if table.held_out:
        raise RecipeError(
            f"data.held_out = {table.held_out}, but '{table.source}' is a density: what is drawn from it is new each "
            "time; leave held_out at 0."
        )
    return dataset


def shape_of(table: Data) -> tuple[int, ...]:
    """One state, without reading any file."""
    if table.source in TOYS:
        return load_data(table).shape
    return (table.channels or image_source(table.source).channels, _SIDE, _SIDE)
