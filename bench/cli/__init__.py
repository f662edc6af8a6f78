"""The command line: a file a command, put together; what ends one is told here.

Exit codes: 0 ok; 1 a case failed; 2 bad usage; 3 this machine cannot run the plan; those of `bench.errors`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

from bench.cli.console import tell
from bench.cli.kernels import facts as cli_facts
from bench.cli.kernels import kernels as cli_kernels
from bench.cli.kernels import tune as cli_tune
from bench.cli.machine import ceilings as cli_ceilings
from bench.cli.machine import constants as cli_constants
from bench.cli.machine import env as cli_env
from bench.cli.machine import floors as cli_floors
from bench.cli.machine import pieces as cli_pieces
from bench.cli.machine import selftest as cli_selftest
from bench.cli.measure import ab as cli_ab
from bench.cli.measure import gpu as cli_gpu
from bench.cli.measure import layers as cli_layers
from bench.cli.measure import run as cli_run
from bench.cli.results import compare as cli_compare
from bench.cli.results import formats as cli_interop
from bench.cli.results import history as cli_history
from bench.cli.results import load as cli_load
from bench.cli.results import recommend as cli_recommend
from bench.cli.results import report as cli_report
from bench.errors import USAGE, BenchError
from kernels.cards.constants import ConstantsError


@contextmanager
def _plain_errors() -> Iterator[None]:
    """The one place where an error ends a command: its sentence on stderr, and its exit code."""
    try:
        yield
    except BenchError as error:
        code = error.exit_code
        tell(f"bench: {error}")
    except ConstantsError as error:  # of kernels/, which knows nothing of bench
        code = USAGE
        tell(f"bench: {error}")
    else:
        return
    raise typer.Exit(code)


class _Commands(TyperGroup):
    def invoke(self, ctx: Any) -> Any:  # a context of typer's or of click's, as the version has it
        with _plain_errors():
            return super().invoke(ctx)


app = typer.Typer(
    cls=_Commands,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Which way of running a ResNet is fastest on this machine, by how much, and is the answer still right?",
)

# in the order of `bench --help`: what a newcomer does first, first
app.command("list")(cli_run.list_)
app.command()(cli_run.run)
app.command()(cli_run.verify)
app.command()(cli_run.once)
app.command()(cli_env.env)
app.command()(cli_report.report)
app.command()(cli_compare.compare)
app.command()(cli_ab.ab)
app.command()(cli_recommend.recommend)
app.command()(cli_load.load)
app.command()(cli_history.history)
app.command()(cli_interop.export)
app.command("import")(cli_interop.import_)
app.command()(cli_gpu.gpu)
app.command()(cli_pieces.pieces)
app.command()(cli_constants.constants)
app.command()(cli_selftest.selftest)
app.command()(cli_kernels.kernels)
app.command()(cli_facts.facts)
app.command()(cli_tune.tune)
app.command()(cli_floors.floors)
app.command()(cli_ceilings.ceilings)
app.command()(cli_layers.layers)


def main() -> None:
    """The console script."""
    try:
        app()
    except BrokenPipeError:  # the reader of our output left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
