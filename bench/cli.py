"""The command line: one file per command or family, `cli_*.py`, put together.

Exit codes: 0 ok; 1 a case failed; 2 bad usage; 3 this machine cannot run the plan.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from bench import (
    cli_ab,
    cli_ceilings,
    cli_compare,
    cli_constants,
    cli_env,
    cli_facts,
    cli_floors,
    cli_gpu,
    cli_history,
    cli_interop,
    cli_kernels,
    cli_layers,
    cli_load,
    cli_pieces,
    cli_recommend,
    cli_report,
    cli_run,
    cli_selftest,
    cli_tune,
)
from bench.case import CaseError
from bench.console import USAGE, tell
from bench.plan import PlanError
from bench.store import StoreError
from bench.worktree import RevisionError

app = typer.Typer(
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
    with _plain_errors():
        app()


@contextmanager
def _plain_errors() -> Iterator[None]:
    try:
        yield
    except (PlanError, CaseError, StoreError, RevisionError) as error:
        tell(f"bench: {error}")
        sys.exit(USAGE)
    except BrokenPipeError:  # the reader of our output left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
