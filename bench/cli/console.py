"""What every command shares: exit codes, where it prints, the options that several of them take."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from bench.errors import FAILED as FAILED
from bench.errors import STOPPED as STOPPED
from bench.errors import UNABLE as UNABLE
from bench.errors import USAGE as USAGE
from bench.errors import BenchError
from bench.files import ANOTHER, write_json
from bench.lines import Line
from bench.machine.environment import device, hardware, no_cuda
from bench.machine.facts import Environment
from bench.report.views import VIEWS

out = Console(highlight=False, soft_wrap=False)
err = Console(stderr=True, highlight=False)

PlanName = Annotated[str, typer.Argument(metavar="PLAN", help="A curated plan's name, or a TOML file's path.")]
Filter = Annotated[
    list[str] | None, typer.Option("-f", "--filter", metavar="GLOB", help="Only the cases that match; repeat for more.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Input = Annotated[str, typer.Option("--input", metavar="photos|noise|DIR", help="What the model looks at.")]
Seed = Annotated[int, typer.Option("--seed", help="Of the weights, the pictures and the order of cases.")]
ViewName = Annotated[
    str | None, typer.Option("--view", metavar="|".join(VIEWS), help="Which columns.  \\[default: speed]")
]
Budget = Annotated[float | None, typer.Option(min=1, metavar="SECONDS", help="Start no case that would end later.")]
Output = Annotated[Path | None, typer.Option("-o", "--output", metavar="DIR", help="Where the records go.")]


def tell(text: str) -> None:
    """A sentence beside the results: not markup, and not broken, so that a path in it can be copied."""
    err.print(text, markup=False, soft_wrap=True)


def show(lines: Iterable[Line]) -> None:
    """Print what a room has to say."""
    for line in lines:
        out.print(line.content, style=line.style, markup=line.markup, soft_wrap=line.whole)


@contextmanager
def damage_told() -> Iterator[None]:
    """Tells of lines that a load left out, a sentence each."""
    from bench.records.frame import Damage

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", Damage)
        try:
            yield
        finally:
            for warning in caught:
                tell(f"bench: {warning.message}")


def stop(text: str, code: int) -> NoReturn:
    """End the command: a sentence on stderr, and its exit code."""
    raise BenchError(text, code)


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=1))


def device_line(facts: Environment) -> str:
    cpu, where = facts["cpu"], device(facts)
    name = hardware(where, facts["gpu"].get("name"), cpu["name"], cpu["cores"])
    return name if where == "cuda" else f"{name} (no GPU: {no_cuda(facts)})"


def known_view(name: str) -> str:
    if name not in VIEWS:
        raise typer.BadParameter(f"unknown view {name!r}; allowed: {', '.join(VIEWS)}")
    return name


def input_of(word: str) -> str:
    """A word of `--input` as a process of another checkout understands it: a folder by its whole path."""
    return word if word in ("photos", "noise") else str(Path(word).resolve())


def shares(option: str, text: str) -> list[float]:
    """The percentages of an option, with commas between them, as shares of one."""
    try:
        levels = [float(word) / 100 for word in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"{option} wants percentages with commas, as in 0.5,1,2; not {text!r}") from None
    if any(not 0 < level < 1 for level in levels):
        raise typer.BadParameter(f"{option} {text}: each is more than 0 and less than 100 %")
    return levels


def keep(value: Any, path: Path | None) -> None:
    """Write JSON where -o says, if it says; ends the command where that cannot be written."""
    if path is not None:
        write_json(path, value, ANOTHER, FAILED)
