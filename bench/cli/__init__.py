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
from bench.cli.kernels import counts as cli_counts
from bench.cli.kernels import kernels as cli_kernels
from bench.cli.kernels import tune as cli_tune
from bench.cli.machine import ceilings as cli_ceilings
from bench.cli.machine import constants as cli_constants
from bench.cli.machine import env as cli_env
from bench.cli.machine import floors as cli_floors
from bench.cli.machine import pieces as cli_pieces
from bench.cli.machine import selftest as cli_selftest
from bench.cli.measure import ab as cli_ab
from bench.cli.measure import campaign as cli_campaign
from bench.cli.measure import layers as cli_layers
from bench.cli.measure import list as cli_list
from bench.cli.measure import once as cli_once
from bench.cli.measure import run as cli_run
from bench.cli.measure import verify as cli_verify
from bench.cli.results import capacity as cli_capacity
from bench.cli.results import compare as cli_compare
from bench.cli.results import formats as cli_interop
from bench.cli.results import history as cli_history
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


# Commands that had another name in the version before: the old one works for one version more, and --help has it not.
RENAMED = {"facts": "counts", "load": "capacity", "gpu": "campaign"}


class _Commands(TyperGroup):
    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if name := RENAMED.get(args[0]):
            tell(f"bench: `bench {args[0]}` is called `bench {name}` now; the next version has only that name")
            args = [name, *args[1:]]
        return super().resolve_command(ctx, args)

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
        "campaign": cli_campaign.campaign,
    }),
    ("Results", {
        "report": cli_report.report,
        "compare": cli_compare.compare,
        "recommend": cli_recommend.recommend,
        "capacity": cli_capacity.capacity,
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
        "counts": cli_counts.counts,
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
