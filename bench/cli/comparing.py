"""The options of the commands that end in verdicts: `bench compare` and `bench ab`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer
from typer import Option

from bench.verdicts.metrics import metric_named


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
