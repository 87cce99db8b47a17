"""``ebmdiag recipes``: what can be trained by name."""

from __future__ import annotations

import click

from ebmdiag.cli.options import json_option, print_json


@click.group()
def recipes() -> None:
    """List the recipes, or show one as TOML."""


@recipes.command("list")
@json_option
def list_recipes(as_json: bool) -> None:
    """List the recipes with a line each."""
    from ebmdiag.registry import RECIPES, registered
    from ebmdiag_trainers.recipe import load_recipe

    described = {name: load_recipe(name).description for name in registered(RECIPES)}
    if as_json:
        print_json(described)
        return
    width = max(map(len, described))
    for name, description in described.items():
        click.echo(f"{name:<{width}}  {description}")


@recipes.command("show")
@click.argument("name")
@json_option
def show_recipe(name: str, as_json: bool) -> None:
    """Print one recipe, all defaults filled in, as TOML to start your own from."""
    import tomli_w

    from ebmdiag_trainers.recipe import load_recipe

    tables = load_recipe(name).to_tables()
    if as_json:
        print_json(tables)
    else:
        click.echo(tomli_w.dumps(tables), nl=False)
