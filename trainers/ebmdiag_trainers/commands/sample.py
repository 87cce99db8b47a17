"""``ebmdiag sample``: long chains of a trained net, with data and the training's short run to compare them with."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ebmdiag.cli.options import force_option, json_option, print_json
from ebmdiag_trainers.commands.common import memory_told, path_setting

if TYPE_CHECKING:
    from ebmdiag.chains import ChainFiles, ChainsMetadata
    from ebmdiag_trainers.sampling.asking import Asked
    from ebmdiag_trainers.sampling.plan import Plan
    from ebmdiag_trainers.sampling.recording import Recording
    from ebmdiag_trainers.sampling.source import Source

_COUNT = click.IntRange(min=1)


class _Temperatures(click.ParamType["tuple[float, ...]"]):
    """``1,1.5,2``."""

    name = "T1,T2,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        if isinstance(value, tuple):
            return value
        try:
            return tuple(float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"'{value}' is no list of numbers such as 1,1.5,2.", param, ctx)


@click.command()
@click.argument("source", metavar="CHECKPOINT|RUN", type=click.Path(path_type=Path))
@click.option("--sampler", metavar="NAME", help="langevin, mala, hmc, underdamped, gibbs, …  [default: langevin]")
@click.option("--init", type=click.Choice(["data", "noise", "bank"]), help="Where chains begin.  [default: data]")
@click.option("--steps", type=_COUNT, metavar="N", help="Of the sampler.  [default: 100000]")
@click.option("--chains", type=_COUNT, metavar="N", help="[default: 100]")
@click.option("--copies", type=_COUNT, metavar="M", help="Chains that share each start.  [default: 2]")
@click.option("--thin", type=_COUNT, metavar="K", help="Record every K-th step.  [default: steps / 200]")
@click.option("--temperature", type=float, metavar="TAU", help="Sample exp(-U / TAU).  [default: 1]")
@click.option("--step-size", type=float, metavar="H", help="[default: that of the training]")
@click.option(
    "--warmup",
    type=click.IntRange(min=0),
    metavar="N",
    help="Steps that adapt the step size.  [default: 1000 for samplers that refuse steps and no --step-size, else 0]",
)
@click.option("--leapfrog", type=_COUNT, metavar="N", help="hmc: leapfrog steps in one step.  [default: 10]")
@click.option("--friction", type=float, metavar="G", help="underdamped: per unit of time.  [default: 1]")
@click.option("--splitting", type=click.Choice(["baoab", "obabo"]), help="underdamped.  [default: baoab]")
@click.option("--expansions", type=_COUNT, metavar="N", help="gibbs: widths that a slice may take.  [default: 8]")
@click.option("--temperatures", type=_Temperatures(), help="Parallel tempering: 1, then rising.")
@click.option("--dtype", type=click.Choice(["float32", "float64"]), help="[default: float32]")
@click.option("--no-short", is_flag=True, help="Leave out the training's own short run.")
@click.option("--no-data", is_flag=True, help="Load no data, and compare with none.")
@click.option("--recipe", metavar="NAME", help="What a file of bare weights was trained with.")
@click.option("--data", "data_path", type=click.Path(path_type=Path), help="Archive, folder or file of the data.")
@click.option("--step", type=click.IntRange(min=0), metavar="N", help="Of a run: the checkpoint of this iteration.")
@click.option("--set", "settings", multiple=True, metavar="TABLE.KEY=VALUE", help="Override one key of the recipe.")
@click.option("--seed", type=click.IntRange(min=0), help="All random numbers follow from it.  [default: 0]")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), metavar="FILE", help="The table  [default: RUN/chains/….parquet]"
)
@click.option("--resume", is_flag=True, help="Go on, exactly, where the chains stopped; with --steps, further.")
@force_option
@click.option("-q", "--quiet", is_flag=True, help="No progress, no closing words.")
@json_option
def sample(
    source: Path,
    no_short: bool,
    no_data: bool,
    recipe: str | None,
    data_path: Path | None,
    step: int | None,
    settings: tuple[str, ...],
    device: str,
    out: Path | None,
    resume: bool,
    force: bool,
    quiet: bool,
    as_json: bool,
    **asked: Any,
) -> int:
    """Run long chains of a trained net and write them as a table for 'ebmdiag convergence'.

    CHECKPOINT is a .pt of ours or a published .pth (with --recipe), RUN a trace or the folder beside it (its newest
    checkpoint). Beside the long run, the table holds data and the short run that the net was trained by.

    \b
    ebmdiag sample runs/sec4_1.parquet
    ebmdiag sample runs/sec4_1 --sampler mala --init noise --steps 20000
    ebmdiag sample rings.pth --recipe rings
    ebmdiag sample runs/sec4_1 --resume --steps 200000     go on after Ctrl-C, or further
    """
    from ebmdiag.errors import UsageError
    from ebmdiag_trainers.sampling.asking import Asked
    from ebmdiag_trainers.sampling.source import open_source
    from ebmdiag_trainers.sampling.summary import summary_of

    if resume and force:
        raise UsageError("--resume goes on with chains and --force replaces them; give one of them.")
    given = [*settings, *([path_setting(data_path)] if data_path else [])]
    wanted = None if device == "auto" else device
    wish = Asked(**asked, device=wanted, short=False if no_short else None, data=False if no_data else None)
    opened = open_source(source, recipe=recipe, settings=given, step=step)
    wish, files = _completed(wish, opened, out, resume=resume, quiet=quiet)
    with memory_told():
        recording = _recording(opened, wish, files, resume=resume, force=force, quiet=quiet)
        metadata = _run(recording, quiet=quiet)
    if metadata is None:
        return 130
    if as_json:
        print_json(summary_of(files, metadata))
    if not quiet:
        _tell(recording, opened)
    return 0


def _completed(wish: Asked, source: Source, out: Path | None, *, resume: bool, quiet: bool) -> tuple[Asked, ChainFiles]:
    """What is to be done, and where: a resumed run remembers what it was begun with."""
    import torch

    from ebmdiag_trainers.sampling.asking import check_numbers
    from ebmdiag_trainers.sampling.places import files_of
    from ebmdiag_trainers.sampling.state import load_state

    check_numbers(wish)
    files = files_of(out, source, wish, resume=resume)
    if resume and files.state.exists():
        wish = wish.begun_with(load_state(files.state, torch.device("cpu")).facts)
    completed = wish.completed()
    if wish.steps not in (None, completed.steps) and not quiet:
        _say(f"{wish.steps} steps are rounded up to {completed.steps}, a multiple of thin = {completed.thin}.")
    return completed, files


def _recording(source: Source, wish: Asked, files: ChainFiles, *, resume: bool, force: bool, quiet: bool) -> Recording:
    import math

    from ebmdiag_trainers.environment import choose_device, choose_threads
    from ebmdiag_trainers.material import load_data, shape_of
    from ebmdiag_trainers.sampling.asking import plan_of, why_no_short_run, why_other_data, why_other_law
    from ebmdiag_trainers.sampling.recording import Recording

    dataset = load_data(source.recipe.data, progress=not quiet) if wish.data is not False else None
    shape = shape_of(source.recipe.data) if dataset is None else dataset.shape
    choose_threads(math.prod(shape))
    plan = plan_of(wish, source, dataset, shape, choose_device(wish.device or "auto"))
    reason = why_no_short_run(source, dataset)
    if reason and wish.short is not False and not quiet:
        _say(f"the training's short run is left out: {reason}.")
    doubt = why_other_data(source, dataset) if plan.compare else None
    if doubt and not quiet:
        _say(f"{doubt}.")
    other = why_other_law(source)
    if other:
        _say(f"warning: {other}.")
    return Recording.resumed(plan, files) if resume else Recording.new(plan, files, force=force)


def _run(recording: Recording, *, quiet: bool) -> ChainsMetadata | None:
    """To the end, or to where it is interrupted (None)."""
    from ebmdiag.errors import DivergenceError, WriteError
    from ebmdiag_trainers.interrupts import Interrupts
    from ebmdiag_trainers.sampling.telling import telling

    table = recording.files.table
    try:
        with Interrupts() as interrupts, telling(recording, quiet=quiet) as told:
            return recording.record(interrupts.allowed, told)
    except KeyboardInterrupt:
        saved = f"{table} is saved. Add --resume to go on." if recording.files.state.exists() else "nothing was begun."
        _say(f"interrupted; {saved}")
        return None
    except WriteError as error:
        error.add_note(f"What was written before is kept; then go on with --resume (table: {table}).")
        raise
    except DivergenceError as error:
        error.add_note(f"The draws up to there are kept in {table}.")
        raise


def _tell(recording: Recording, source: Source) -> None:
    plan: Plan = recording.plan
    table = recording.files.table
    done = f"{table}: {plan.chains} chains, {plan.steps} steps of {plan.options.name}."
    found = table.parent.resolve() == source.home.chains.resolve()
    named = [str(source.home.folder), "--table", table.stem] if found else [str(table)]
    _say(f"{done} Next: {shlex.join(['ebmdiag', 'convergence', *named])}")


def _say(text: str) -> None:
    from ebmdiag.terminal import printable

    click.echo(printable(f"ebmdiag: {text}", sys.stderr.encoding), err=True)
