"""`bench pieces`: do the pieces work that networks are made of? Before any network, in seconds."""

from __future__ import annotations

import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.cli.console import FAILED, STOPPED, UNABLE, Json, out, print_json, stop, tell
from bench.experiments.lists import PIECES, Piece, chosen
from bench.experiments.parts import Outcome, each, first_cause
from bench.files import ANOTHER, write_json
from bench.machine.environment import environment, no_cuda
from bench.machine.facts import Environment
from bench.runs.job import PiecesJob
from bench.runs.process import HERE, Home
from kernels.cards.places import RESULTS, card_folder

SCHEMA = 1
BUDGET_S = 120.0
COLOURS = {"ok": "green", "wrong": "red", "error": "red", "timeout": "red", "skipped": "dim"}

Names = Annotated[list[str] | None, typer.Argument(metavar="[NAME...]", help="Of the list.  \\[default: all]")]
Budget = Annotated[
    float, typer.Option(min=1, metavar="SECONDS", help="For all together; what is not begun then is skipped.")
]


def pieces(
    names: Names = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Kept there.  \\[default: results/<card>/pieces.json]"),
    ] = None,
    budget: Budget = BUDGET_S,
    as_json: Json = False,
    dry: Annotated[
        bool, typer.Option("--dry", help="On the CPU, interpreted, on small shapes; so with TRITON_INTERPRET=1.")
    ] = False,
) -> None:
    """The pieces of a network, each alone: dependent launches, graphs, each kind of kernel, held against float64.

    A line each as it comes; a piece that hangs, or takes its process down, costs itself alone. The file is rewritten
    behind each.
    """
    wanted = asked(PIECES, names)
    dry = dry or os.environ.get("TRITON_INTERPRET") == "1"
    facts = environment()
    usual = place_of(facts, "pieces", dry)
    path = output or usual
    kept = Kept(path, facts, [])
    try:
        each(
            PiecesJob("cpu" if dry else "cuda"),
            wanted,
            budget,
            lambda name, outcome: kept.add(name, outcome, as_json),
            Home(variables={"TRITON_INTERPRET": "1"}) if dry else HERE,
        )
    except KeyboardInterrupt:
        tell(f"Stopped. What is known is in {path}")
        raise typer.Exit(STOPPED) from None
    if as_json:
        print_json(kept.data)
    else:
        out.print(f"Kept: {path}", markup=False, soft_wrap=True)
    raise typer.Exit(FAILED if failed(kept.found) else 0)


def asked(every: Any, names: list[str] | None) -> Any:
    try:
        return chosen(every, names or ())
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def place_of(facts: Environment, what: str, dry: bool) -> Path:
    """The file of this card; ends the command where there is none."""
    if dry:
        return RESULTS / "local" / f"{what}-dry.json"
    if reason := no_cuda(facts):
        stop(f"this machine has no CUDA device: {reason}; --dry walks the same on the CPU", UNABLE)
    return card_folder(facts["gpu"]["name"]) / f"{what}.json"


def provenance(facts: Environment) -> dict[str, Any]:
    return {"date": datetime.now(UTC).isoformat(timespec="seconds"), "environment": facts}


def show(name: str, outcome: Outcome) -> None:
    """A line: status, name, seconds, the first cause."""
    status, reason = outcome["status"], first_cause(outcome["reason"])
    line = f"{status:8}{name:16}{outcome['seconds']:6.1f} s  {reason}".rstrip()
    out.print(line, style=COLOURS[status], markup=False, soft_wrap=True)


def failed(found: list[dict[str, Any]]) -> bool:
    return any(one["status"] not in ("ok", "skipped") for one in found)


class Kept:
    """What is known so far, on disk."""

    def __init__(self, path: Path, facts: Environment, found: list[dict[str, Any]]) -> None:
        self.path, self.found = path, found
        self.data = {
            "schema": SCHEMA, "pieces": found, "gpu": facts["gpu"].get("name"), "provenance": provenance(facts),
        }  # fmt: skip
        write_json(path, self.data, ANOTHER)  # where that is no use, before anything runs

    def add(self, name: str, outcome: Outcome, quiet: bool) -> None:
        piece: Piece = next(one for one in PIECES if one.name == name)
        told = asdict(piece)
        self.found.append({key: told[key] for key in ("name", "kind", "precision")} | outcome)
        write_json(self.path, self.data, ANOTHER)
        if not quiet:
            show(name, outcome)
