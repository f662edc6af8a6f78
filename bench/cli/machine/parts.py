"""How `bench pieces` and `bench constants` run their parts: a line for each, and the file rewritten after each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from bench.cli.console import stop, tell
from bench.cli.tables import out
from bench.errors import STOPPED, UNABLE
from bench.experiments.lists import Experiment, Piece
from bench.experiments.parts import Outcome, first_cause, run_each_part
from bench.machine.environment import no_cuda
from bench.machine.facts import Environment
from bench.paths import LOCAL
from bench.runs.job import PartsJob
from bench.runs.process import HERE, Home
from kernels.cards.places import card_folder

COLOURS = {"ok": "green", "wrong": "red", "error": "red", "timeout": "red", "skipped": "dim"}

Names = Annotated[list[str] | None, Argument(metavar="[NAME...]", help="Which ones.  \\[default: all]")]
Seconds = Annotated[
    float, Option(min=1, metavar="SECONDS", help="For all together; what has not begun by then is skipped.")
]


def default_file(env: Environment, name: str, dry: bool) -> Path:
    """Return the file `name`.json of this card, of a dry run another; end the command where there is no card."""
    if dry:
        return LOCAL / f"{name}-dry.json"
    if reason := no_cuda(env):
        stop(f"this machine has no CUDA device: {reason}; --dry tries the same on the CPU", UNABLE)
    return card_folder(env["gpu"]["name"]) / f"{name}.json"


def run_parts(
    job: PartsJob,
    parts: Sequence[Piece | Experiment],
    budget_s: float,
    path: Path,
    add: Callable[[str, Outcome], None],
    quiet: bool,
    home: Home = HERE,
) -> None:
    """Run the parts in child processes: `add` keeps each outcome in `path`, and unless `quiet` a line is printed."""

    def ended(name: str, outcome: Outcome) -> None:
        add(name, outcome)
        if not quiet:
            _print_outcome(name, outcome)

    try:
        run_each_part(job, parts, budget_s, ended, home)
    except KeyboardInterrupt:
        tell(f"Stopped. The outcomes so far are in {path}")
        raise typer.Exit(STOPPED) from None


def _print_outcome(name: str, outcome: Outcome) -> None:
    status, reason = outcome["status"], first_cause(outcome["reason"])
    line = f"{status:8}{name:16}{outcome['seconds']:6.1f} s  {reason}".rstrip()
    out.print(line, style=COLOURS[status], markup=False, soft_wrap=True)
