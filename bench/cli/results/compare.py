"""`bench compare`: two results folders to verdicts."""

from __future__ import annotations

import warnings
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.console import FAILED, USAGE, Filter, Json, out, print_json, stop, tell
from bench.records import comparable as alike
from bench.records.frame import Damage, load
from bench.verdicts.metrics import METRICS

if TYPE_CHECKING:
    from pandas import DataFrame

    from bench.verdicts.compare import Comparison


class FailOn(StrEnum):
    nothing = "nothing"
    slower = "slower"
    ambiguous = "ambiguous"
    missing = "missing"


# options that `bench ab` has, too
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


def compare(
    base: Annotated[Path, typer.Argument(metavar="BASE", help="Results folder: what is known.")],
    head: Annotated[Path, typer.Argument(metavar="HEAD", help="Results folder: what is in question.")],
    filter: Filter = None,
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", metavar="NAME", help=f"Only this one; repeat for more: {', '.join(METRICS)}."),
    ] = None,
    minimum: Minimum = None,
    fail_on: Fails = None,
    allow: Annotated[
        list[str] | None,
        typer.Option("--allow", metavar="FIELD", help="Compare although this differs, as in --allow torch."),
    ] = None,
    every: Every = False,
    as_markdown: Markdown = False,
    as_json: Json = False,
) -> None:
    """Did it get slower? Each case and metric of HEAD against BASE: SLOWER, FASTER, SAME or AMBIGUOUS.

    Exit codes: 0, or 1 if a case is SLOWER or fails that did not (see --fail-on); 2 if the two cannot be compared.
    """
    from bench.verdicts import text as compared
    from bench.verdicts.compare import compare as compare_frames

    metrics, least, allowed = names(metric), minimums(minimum), _allowed(allow)
    sides = _chosen(base, head, filter or [])
    differing, told = _differences((base, head), sides)
    refused = [one for one in differing if one.field not in allowed]
    if refused:
        flags = " ".join(f"--allow {field}" for field in alike.words(one.field for one in refused))
        said = "; ".join(map(str, refused))
        stop(f"base and head are not alike ({said}): measure both alike, or compare all the same with {flags}", USAGE)
    found = compare_frames(*sides, metrics, least)
    found.allowed, found.told = [str(one) for one in differing], told
    steps = compared.advice(found, _plan(sides[1]), str(head))
    if as_json:
        print_json({"summary": compared.sentences(found), "next": steps} | found.plain())
    elif as_markdown:
        print(compared.markdown(found, every), end="")
    else:
        compared.show(out, found, every)
        for step in steps:
            out.print(step, markup=False, soft_wrap=True)
    raise typer.Exit(FAILED if fails(found, fail_on or [FailOn.slower]) else 0)


def names(given: list[str] | None) -> list[str]:
    """The metrics that words of `--metric` mean, in METRICS' order; all for none."""
    for name in given or ():
        _known(name)
    return [name for name in METRICS if not given or name in given]


def _known(name: str) -> str:
    if name not in METRICS:
        raise typer.BadParameter(f"unknown metric {name!r}; allowed: {', '.join(METRICS)}")
    return name


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
        found[_known(name)] = value / 100
    return found


def _allowed(words: list[str] | None) -> set[str]:
    try:
        return alike.allowed(words or ())
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _chosen(base: Path, head: Path, globs: list[str]) -> tuple[DataFrame, DataFrame]:
    """Both frames, with the cases that match; ends the command where they have none in common."""
    if base.resolve() == head.resolve():
        stop(f"{base} and {head} are the same: name two results folders", USAGE)
    ours, theirs = (_matching(_load(folder), globs, folder) for folder in (base, head))
    cases = [set(frame["case"].unique()) for frame in (ours, theirs)]
    if not cases[0] & cases[1]:
        one, other = (sorted(found)[0] for found in cases)
        stop(f"{base} and {head} have no case in common: {one} and others; {other} and others", USAGE)
    return ours, theirs


def _load(folder: Path) -> DataFrame:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", Damage)
        frame = load(folder)
    for warning in caught:
        tell(f"bench: {warning.message}")
    if frame.empty:
        stop(f"{folder} holds no record", USAGE)
    return frame


def _matching(frame: DataFrame, globs: list[str], folder: Path) -> DataFrame:
    """The rows whose case matches a glob; as in a plan, it may leave out the ends."""
    if not globs:
        return frame
    cases = [str(case) for case in frame["case"].unique()]
    kept = [case for case in cases if any(fnmatchcase(case, g) or fnmatchcase(case, f"*{g}*") for g in globs)]
    if not kept:
        stop(f"no case of {folder} matches {', '.join(globs)}; it has {cases[0]} and {len(cases) - 1} more", USAGE)
    return frame[frame["case"].isin(kept)]


def _differences(
    folders: tuple[Path, Path], sides: tuple[DataFrame, DataFrame]
) -> tuple[list[alike.Difference], list[str]]:
    """What forbids the comparison, and what else differs."""
    base, head = (frame[frame["status"] == "ok"] for frame in sides)
    facts = alike.facts(folders[0], base), alike.facts(folders[1], head)
    return alike.differences(base, head, *facts), alike.told(*facts)


def _plan(frame: DataFrame) -> str:
    """The plan of all rows; empty if they are of several."""
    plans = frame["plan"].dropna().unique()
    return str(plans[0]) if len(plans) == 1 else ""


def fails(found: Comparison, asked: list[FailOn]) -> bool:
    """Whether the command ends with exit code 1."""
    if FailOn.nothing in asked:
        return False
    open_ = FailOn.ambiguous in asked and found.counts["AMBIGUOUS"] > 0
    return found.regressed or open_ or (FailOn.missing in asked and bool(found.missing))
