"""``ebmdiag data``: fetch the official image sets, and say where they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ebmdiag.cli.options import json_option, print_json


@click.group()
def data() -> None:
    """Fetch image data sets, and find them.

    Downloads and prepared images are kept in a cache folder, which the environment variable EBMDIAG_CACHE moves.
    """


@data.command()
@click.argument("name", metavar="NAME")
@json_option
def fetch(name: str, as_json: bool) -> None:
    """Download and prepare NAME: flowers, mnist or cifar10.

    What is in the cache already is used as it is.
    """
    from ebmdiag_trainers.data.cache import cache_folder
    from ebmdiag_trainers.data.loading import load_images
    from ebmdiag_trainers.data.sources import downloadable

    downloadable(name)
    images = load_images(name, progress=True, cache=cache_folder())
    if as_json:
        print_json({"name": name, "images": images.size, "shape": list(images.shape), "file": images.origin})
        return
    click.echo(f"{images.origin}: {images.size} images, prepared as {_product(images.shape)}.")


@data.command()
@click.argument("name", metavar="[NAME]", required=False)
@json_option
def path(name: str | None, as_json: bool) -> None:
    """Print the cache folder, or where the file of NAME belongs and whether it is there."""
    from ebmdiag_trainers.data.cache import cache_folder

    cache = cache_folder()
    if name is not None:
        _print_file(name, cache, as_json)
    elif as_json:
        print_json({"cache": str(cache)})
    else:
        click.echo(cache)


def _print_file(name: str, cache: Path, as_json: bool) -> None:
    from ebmdiag_trainers.data.download import expected_file, is_there
    from ebmdiag_trainers.data.sources import downloadable

    official, file = downloadable(name), expected_file(name, cache)
    facts: dict[str, Any] = {"name": name, "file": str(file), "there": is_there(name, cache)}
    if as_json:
        print_json({**facts, "url": official.url, "md5": official.md5})
        return
    click.echo(file)
    click.echo(_state(name, file, facts["there"]), err=True)


def _state(name: str, file: Path, there: bool) -> str:
    if there:
        return "The file is there, and its md5 is right."
    if file.exists():
        return f"A file is there, but its md5 is wrong; 'ebmdiag data fetch {name}' replaces it."
    return f"The file is not there; 'ebmdiag data fetch {name}' downloads it."


def _product(shape: tuple[int, ...]) -> str:
    return "x".join(str(side) for side in shape)
