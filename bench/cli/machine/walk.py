"""How `bench pieces` and `bench constants` go through their list: a line as each comes, all of it on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.cli.console import STOPPED, UNABLE, out, stop, tell
from bench.experiments.lists import select_named
from bench.experiments.parts import Outcome, Part, first_cause, run_parts
from bench.machine.environment import no_cuda
from bench.machine.facts import Environment
from bench.paths import LOCAL
from bench.runs.job import PartsJob
from bench.runs.process import HERE, Home
from kernels.cards.places import card_folder

COLOURS = {"ok": "green", "wrong": "red", "error": "red", "timeout": "red", "skipped": "dim"}

Names = Annotated[list[str] | None, typer.Argument(metavar="[NAME...]", help="Of the list.  \\[default: all]")]
Seconds = Annotated[
    float, typer.Option(min=1, metavar="SECONDS", help="For all together; what is not begun then is skipped.")
]


def asked(parts: Any, names: list[str] | None) -> Any:
    """The parts of a list that names mean; all for none."""
    try:
        return select_named(parts, names or ())
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def place_of(facts: Environment, what: str, dry: bool) -> Path:
    """The file of this card; ends the command where there is none."""
    if dry:
        return LOCAL / f"{what}-dry.json"
    if reason := no_cuda(facts):
        stop(f"this machine has no CUDA device: {reason}; --dry walks the same on the CPU", UNABLE)
    return card_folder(facts["gpu"]["name"]) / f"{what}.json"


def walk(
    job: PartsJob,
    parts: Sequence[Part],
    budget_s: float,
    path: Path,
    add: Callable[[str, Outcome], None],
    quiet: bool,
    home: Home = HERE,
) -> None:
    """Run the parts in children; `add` keeps each outcome in `path`, and a line tells it unless `quiet`."""

    def ended(name: str, outcome: Outcome) -> None:
        add(name, outcome)
        if not quiet:
            show(name, outcome)

    try:
        run_parts(job, parts, budget_s, ended, home)
    except KeyboardInterrupt:
        tell(f"Stopped. What is known is in {path}")
        raise typer.Exit(STOPPED) from None


def show(name: str, outcome: Outcome) -> None:
    """A line: status, name, seconds, the first cause."""
    status, reason = outcome["status"], first_cause(outcome["reason"])
    line = f"{status:8}{name:16}{outcome['seconds']:6.1f} s  {reason}".rstrip()
    out.print(line, style=COLOURS[status], markup=False, soft_wrap=True)
