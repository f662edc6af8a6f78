"""The options of the commands that end in verdicts: `bench compare` and `bench ab`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from bench.verdicts.metrics import METRICS, metric_named


class FailOn(StrEnum):
    nothing = "nothing"
    slower = "slower"
    ambiguous = "ambiguous"
    missing = "missing"


Minimum = Annotated[
    list[str] | None,
    typer.Option("--minimum", metavar="METRIC=PERCENT", help="The least change of a metric that is one."),
]
Fails = Annotated[
    list[FailOn] | None,
    typer.Option("--fail-on", help="Exit 1 for this, and for slower; repeat for more.  \\[default: slower]"),
]
Every = Annotated[bool, typer.Option("-a", "-v", "--all", help="List what is SAME, too.")]
Markdown = Annotated[bool, typer.Option("--markdown", help="Print Markdown.")]


def names(given: list[str] | None) -> list[str]:
    """The metrics that words of `--metric` mean, in METRICS' order; all for none."""
    chosen = set(map(metric_named, given or METRICS))
    return [name for name in METRICS if name in chosen]


def minimums(given: list[str] | None) -> dict[str, float]:
    """The least changes, relative, that words of `--minimum` mean."""
    found = {}
    for text in given or ():
        name, _, percent = text.partition("=")
        try:
            value = float(percent.removesuffix("%"))
        except ValueError:
            raise typer.BadParameter(f"--minimum wants METRIC=PERCENT, as in latency=3; not {text!r}") from None
        if not 0 <= value < 1000:
            raise typer.BadParameter(f"--minimum {text}: a percentage is from 0 to 1000")
        found[metric_named(name)] = value / 100
    return found
