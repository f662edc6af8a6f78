"""The command line: a file a command, put together; what ends one is told here.

Exit codes: 0 ok; 1 a case failed; 2 bad usage; 3 this machine cannot run the plan; those of `bench.errors`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
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
from bench.cli.measure import list as cli_list
from bench.cli.measure import once as cli_once
from bench.cli.measure import run as cli_run
from bench.cli.measure import verify as cli_verify
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
COMMANDS: tuple[tuple[str, dict[str, Callable[..., None]]], ...] = (
    ("Measure", {
        "list": cli_list.list_,
        "run": cli_run.run,
        "verify": cli_verify.verify,
        "once": cli_once.once,
        "layers": cli_layers.layers,
        "ab": cli_ab.ab,
        "gpu": cli_gpu.gpu,
    }),
    ("Results", {
        "report": cli_report.report,
        "compare": cli_compare.compare,
        "recommend": cli_recommend.recommend,
        "load": cli_load.load,
        "history": cli_history.history,
        "export": cli_interop.export,
        "import": cli_interop.import_,
    }),
    ("Machine", {
        "env": cli_env.env,
        "ceilings": cli_ceilings.ceilings,
        "floors": cli_floors.floors,
        "selftest": cli_selftest.selftest,
        "pieces": cli_pieces.pieces,
        "constants": cli_constants.constants,
    }),
    ("Kernels", {
        "kernels": cli_kernels.kernels,
        "facts": cli_facts.facts,
        "tune": cli_tune.tune,
    }),
)  # fmt: skip
for panel, commands in COMMANDS:
    for name, command in commands.items():
        app.command(name, rich_help_panel=panel)(command)


def main() -> None:
    """The console script."""
    try:
        app()
    except BrokenPipeError:  # the reader of our output left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
