"""A command repeats itself in a hint: with what it was given, and what it needs to go on."""

import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer import Argument, Option
from typer.testing import CliRunner

from bench.cli.again import Command, again
from bench.commands import command_line


class Size(StrEnum):
    small = "small"
    large = "large"


app = typer.Typer()


@app.callback()
def group() -> None:
    """Makes `sweep` a command of several."""


@app.command(cls=Command)
def sweep(
    plan: str,
    more: Annotated[list[Path] | None, Argument()] = None,
    filter: Annotated[list[str] | None, Option("-f", "--filter")] = None,
    output: Annotated[Path | None, Option("-o", "--output")] = None,
    size: Size = Size.small,
    limit: float = 3.0,
    resume: Annotated[bool, Option("--resume")] = False,
    quiet: Annotated[bool, Option("--quiet", "-q")] = False,
    strict: Annotated[bool | None, Option("--strict/--lenient")] = None,
) -> None:
    typer.echo(again(output=Path("my results"), resume=True))


@pytest.mark.parametrize(
    ("given", "repeated"),
    [
        ("a.toml", "a.toml -o 'my results' --resume"),
        ("a.toml b c", "a.toml b c -o 'my results' --resume"),
        ("a.toml --lenient", "a.toml -o 'my results' --resume --lenient"),
        ("--lenient a.toml --strict", "a.toml -o 'my results' --resume --strict"),
        ("--quiet a.toml -o elsewhere --resume", "a.toml -o 'my results' --resume --quiet"),
        (
            "'my plan' --filter 'b1/*' -f $x --size large --limit 0.5",
            "'my plan' -f 'b1/*' -f '$x' -o 'my results' --size large --limit 0.5 --resume",
        ),
    ],
)
def test_it_has_what_was_given_and_what_it_needs_then(given: str, repeated: str) -> None:
    result = CliRunner().invoke(app, ["sweep", *shlex.split(given)])
    assert result.output.strip() == f"{command_line('sweep')} {repeated}"
    again_ = shlex.split(result.output)[len(shlex.split(command_line())) :]
    assert CliRunner().invoke(app, again_).output == result.output
