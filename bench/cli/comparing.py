"""The options of the commands that end in verdicts: `bench compare` and `bench ab`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Option

from bench.files import OTHER, check_writable, write_file
from bench.kinds import PICTURES
from bench.verdicts.metrics import metric_named

if TYPE_CHECKING:
    from bench.verdicts.compare import Comparison


class FailOn(StrEnum):
    nothing = "nothing"
    slower = "slower"
    ambiguous = "ambiguous"
    missing = "missing"


Minimum = Annotated[
    list[str] | None,
    Option("--minimum", metavar="METRIC=PERCENT", help="Least change of a metric that counts, as latency=3; repeat."),
]
Fails = Annotated[
    list[FailOn] | None,
    Option("--fail-on", help="What ends in exit code 1, beside slower; repeat.  \\[default: slower]"),
]
Every = Annotated[bool, Option("-a", "-v", "--all", help="List what is SAME, too.")]

Picture = Annotated[
    Path | None, Option(metavar="FILE", help="Write the changes with their intervals as a picture: FILE.svg or .png.")
]


def check_picture(path: Path | None) -> None:
    """Raise BadParameter or BenchError, before minutes of work, where a picture could not be made or written."""
    if path is None:
        return
    from bench.report.page.document import require_libraries

    if path.suffix not in PICTURES:
        raise typer.BadParameter(f"--picture {path}: a picture's name ends in {' or '.join(PICTURES)}")
    require_libraries()
    check_writable(path, PICTURES[path.suffix], f"{OTHER} with --picture")


def draw(path: Path | None, comparison: Comparison, sides: str) -> None:
    """Write the picture of a comparison, if one is asked for; `sides` names base and head."""
    if path is not None:
        from bench.report.compared.intervals import picture

        write_file(path, picture(comparison, sides, path.suffix), kind=PICTURES[path.suffix])


def as_json_object(comparison: Comparison, **more: Any) -> dict[str, Any]:
    """Return what `--json` prints: the finding, the sentences, what else a command has to say, and the comparison."""
    from bench.verdicts.shown.finding import finding
    from bench.verdicts.summary import summary

    return {"finding": finding(comparison).text, "summary": summary(comparison)} | more | comparison.as_json()


def parse_minimums(words: list[str] | None) -> dict[str, float]:
    """Return the smallest relative change of each metric that `--minimum` names."""
    minimums = {}
    for text in words or ():
        name, _, percent = text.partition("=")
        try:
            value = float(percent.removesuffix("%"))
        except ValueError:
            raise typer.BadParameter(f"--minimum wants METRIC=PERCENT, as in latency=3; not {text!r}") from None
        if not 0 <= value < 1000:
            raise typer.BadParameter(f"--minimum {text}: a percentage is from 0 to 1000")
        minimums[metric_named(name)] = value / 100
    return minimums
