"""The command ``ebmdiag``: finds its subcommands and turns every known fault into one sentence and an exit code.

Exit codes: 0 done or healthy; 1 the verdict is at or above --fail-on, or a training run diverged; 2 wrong usage;
3 input that cannot be read or output that cannot be written; 4 undetermined under --strict; 130 interrupted.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import click

from ebmdiag._version import VERSION
from ebmdiag.errors import EbmdiagError
from ebmdiag.names import nearest
from ebmdiag.registry import ANALYSES, COMMANDS, headline, load, registered

_BUILT_IN = {
    "diagnose": "ebmdiag.cli.diagnose:diagnose",
    "report": "ebmdiag.cli.report:report",
    "statistics": "ebmdiag.cli.statistics:statistics",
    "validate": "ebmdiag.cli.validate:validate",
    "import": "ebmdiag.cli.importing:import_",
}


class LazyGroup(click.Group):
    """Subcommands from the table above, from plugins, and one for each registered analysis."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, sorted."""
        return sorted({*_BUILT_IN, *registered(COMMANDS), *registered(ANALYSES)})

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import and return one command."""
        if name in _BUILT_IN:
            module, attribute = _BUILT_IN[name].split(":")
            command: click.Command = getattr(importlib.import_module(module), attribute)
            return command
        if name in registered(COMMANDS):
            plugin: click.Command = load(COMMANDS, name)
            return plugin
        if name in registered(ANALYSES):
            from ebmdiag.cli.analyses import analysis_command

            return analysis_command(load(ANALYSES, name))
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands with a line each; an analysis is described by its module, which is not imported for it."""
        names = self.list_commands(ctx)
        width = formatter.width - max(map(len, names)) - 6
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._line(ctx, name, width)) for name in names])

    def _line(self, ctx: click.Context, name: str, width: int) -> str:
        if name in registered(ANALYSES):
            return headline(ANALYSES, name)
        command = self.get_command(ctx, name)
        return command.get_short_help_str(width) if command else ""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with a hint at the nearest name."""
        if args and not args[0].startswith("-") and args[0] not in self.list_commands(ctx):
            hint = nearest(args[0], self.list_commands(ctx))
            ctx.fail(f"no such command '{args[0]}'{hint}")
        return super().resolve_command(ctx, args)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(VERSION, prog_name="ebmdiag")
def main() -> None:
    """Diagnose energy-based models trained by MCMC.

    \b
    ebmdiag train rings                 train, and write runs/sec4_1.parquet
    ebmdiag acf runs/sec4_1.parquet     analyse any trace
    ebmdiag diagnose runs/sec4_1.parquet
    ebmdiag report runs/sec4_1.parquet -o report.html
    """


def run(arguments: list[str] | None = None) -> None:
    """Entry point of the console script; always ends by ``sys.exit``."""
    sys.exit(call(arguments))


def call(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    try:
        outcome: Any = main.main(args=arguments, prog_name="ebmdiag", standalone_mode=False)
    except click.exceptions.Exit as stop:
        return int(stop.exit_code)
    except SystemExit as stop:  # click's way to say that the reader of a pipe has left; 1 means a verdict here
        return 0 if stop.code == 1 else int(stop.code or 0)
    except click.ClickException as error:
        error.show()
        return 2
    except EbmdiagError as error:
        _say(str(error))
        for note in getattr(error, "__notes__", ()):
            _say(note)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        _say("interrupted.")
        return 130
    except MemoryError as error:
        _say(f"out of memory ({str(error) or 'no details'}); use fewer rows, lags or chains.")
        return 3
    except BrokenPipeError:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # the reader of the pipe has left: nothing to say
        return 0
    except OSError as error:
        _say(f"{error.filename or 'the operating system'}: {error.strerror or error}.")
        return 3
    return outcome if isinstance(outcome, int) and not isinstance(outcome, bool) else 0


def _say(message: str) -> None:
    from ebmdiag.terminal import printable

    click.echo(printable(f"ebmdiag: {message}", sys.stderr.encoding), err=True)


if __name__ == "__main__":
    run()
