"""``ebmdiag train``: a recipe, from the first iteration or from where it stopped."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ebmdiag.cli.options import force_option
from ebmdiag_trainers.commands.common import memory_told, path_setting

if TYPE_CHECKING:
    from ebmdiag.runfolder import RunFolder
    from ebmdiag_trainers.recipe import Recipe


@click.command()
@click.argument("recipe", metavar="RECIPE")
@click.option("--steps", type=click.IntRange(min=1), metavar="N", help="Iterations (training.iterations).")
@click.option("--data", "data_path", type=click.Path(path_type=Path), help="Archive, folder or file of the data.")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), metavar="FILE", help="The trace  [default: runs/….parquet]"
)
@click.option("--set", "settings", multiple=True, metavar="TABLE.KEY=VALUE", help="Override one key of the recipe.")
@click.option("--seed", type=click.IntRange(min=0), help="All random numbers follow from it (training.seed).")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--resume", is_flag=True, help="Go on, exactly, where the run stopped.")
@force_option
@click.option("--dry-run", is_flag=True, help="Print the resolved recipe and stop.")
@click.option("-q", "--quiet", is_flag=True, help="No progress, no closing words.")
def train(
    recipe: str,
    steps: int | None,
    data_path: Path | None,
    out: Path | None,
    settings: tuple[str, ...],
    seed: int | None,
    device: str,
    resume: bool,
    force: bool,
    dry_run: bool,
    quiet: bool,
) -> int:
    """Train RECIPE (a name from 'ebmdiag recipes list', or a TOML file) and write its trace.

    \b
    ebmdiag train rings --steps 1000
    ebmdiag train flowers --data 102flowers.tgz
    ebmdiag train rings --resume                 go on after Ctrl-C or a crash
    """
    from ebmdiag.errors import DivergenceError, UsageError, WriteError
    from ebmdiag_trainers.recipe import load_recipe

    if resume and force:
        raise UsageError("--resume goes on with a run and --force replaces it; give one of them.")
    given = [*settings, *_shorthands(steps, data_path, seed)]
    named = resolved = load_recipe(recipe, given)
    begun = _place(resolved, out).recipe
    if resume and begun.exists():  # what the run was begun with, so that it need not be typed again
        resolved = load_recipe(str(begun), given)
        _refuse_unnamed_code(resolved, named, begun)
    if dry_run:
        _print(resolved)
        return 0
    session = _session(resolved, out, device, resume=resume, force=force, quiet=quiet)
    trace = session.place.trace
    try:
        with memory_told():
            state = session.train()
    except KeyboardInterrupt:
        saved = f"{trace} is saved. Add --resume to go on." if session.place.exists() else "nothing was begun."
        click.echo(f"ebmdiag: interrupted; {saved}", err=True)
        return 130
    except WriteError as error:
        error.add_note(f"Rows and checkpoints written so far are kept; then go on with --resume (trace: {trace}).")
        raise
    except DivergenceError as error:
        error.add_note(f"The trace up to there is kept in {trace}; look at it with 'ebmdiag report {trace}'.")
        raise
    if not quiet:
        click.echo(f"{trace}: {state.step} iterations. Next: ebmdiag report {trace}", err=True)
    return 0


def _refuse_unnamed_code(found: Recipe, named: Recipe, where: Path) -> None:
    """A run's folder may be a stranger's: code that its recipe names is run only if the user names it too.

    Raises:
        UsageError: it names other code.
    """
    from ebmdiag.errors import UsageError
    from ebmdiag_trainers.recipe import own_code

    known = own_code(named)
    strange = [pair for pair in own_code(found) if pair not in known]
    if strange:
        key, name = strange[0]
        raise UsageError(
            f"--resume: {where} names code of your own, {key} = '{name}', which is run only if you name it again; "
            f"if you trust it, add --set {key}={name}."
        )


def _shorthands(steps: int | None, data_path: Path | None, seed: int | None) -> list[str]:
    """Options that are settings by another name; they win over --set."""
    given = []
    if steps is not None:
        given.append(f"training.iterations={steps}")
    if seed is not None:
        given.append(f"training.seed={seed}")
    if data_path is not None:
        given.append(path_setting(data_path))
    return given


def _print(recipe: Recipe) -> None:
    import tomli_w

    click.echo(tomli_w.dumps(recipe.to_tables()), nl=False)


def _place(recipe: Recipe, out: Path | None) -> RunFolder:
    """Where the run lies."""
    from ebmdiag.runfolder import RunFolder

    return RunFolder.of(out or Path("runs") / f"{recipe.training.output or recipe.name}.parquet")


def _session(recipe: Recipe, out: Path | None, device: str, *, resume: bool, force: bool, quiet: bool) -> Session:
    from ebmdiag_trainers.environment import choose_device, choose_threads
    from ebmdiag_trainers.material import load_data
    from ebmdiag_trainers.session import Session
    from ebmdiag_trainers.training import Algorithm

    if not (quiet or recipe.langevin.is_plain):
        name = recipe.langevin.sampler
        click.echo(
            f"'{name}' runs on a plain loop, in small nets some 30 times slower than langevin's engine.", err=True
        )
    dataset = load_data(recipe.data, progress=not quiet)
    choose_threads(math.prod(dataset.shape))
    return Session(
        Algorithm.of(recipe, dataset, choose_device(device)),
        _place(recipe, out),
        force=force,
        resume=resume,
        quiet=quiet,
        say=lambda text: None if quiet else click.echo(text, err=True),
    )


if TYPE_CHECKING:
    from ebmdiag_trainers.session import Session
