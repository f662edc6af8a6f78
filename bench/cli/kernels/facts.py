"""`bench facts`: what is counted of a plan's cases without a GPU, held against what was counted before."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer
from rich.table import Table

from bench.cli.console import FAILED, UNABLE, USAGE, Filter, Json, err, out, print_json, stop, tell
from bench.machine.provenance import this_commit
from bench.plans.case import Case
from bench.plans.plan import load as load_plan
from bench.runs.process import Answer, Home, ask
from bench.static.cases import (
    ELSEWHERE,
    FACTS,
    FASTER,
    GONE,
    HOW,
    NEW,
    SLOWER,
    UNCOUNTED,
    Change,
    Counted,
    Facts,
    amount,
    compare,
    failures,
)
from bench.static.cases import FAILED as BROKEN

LIMIT_S = 1800.0
DEATHS = 5  # of children, before the rest is given up
COLOURS = {BROKEN: "red", SLOWER: "red", GONE: "red", ELSEWHERE: "yellow", UNCOUNTED: "yellow", FASTER: "green"}
# in MB but for the first two and GFLOP
COLUMNS = {"launches": "kernels", "breaks": "breaks", "bytes": "moved", "flops": "GFLOP", "weights": "weights"}
COLUMNS |= {"activations": "active"}
SCALES = {"bytes": 1e6, "flops": 1e9, "weights": 1e6, "activations": 1e6}


def facts(
    plan: Annotated[str, typer.Argument(metavar="PLAN", help="A curated plan's name, or a TOML file.")] = "static",
    filter: Filter = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write the facts.")] = None,
    against: Annotated[
        Path | None, typer.Option("--against", metavar="FILE", help="Exit 1 if a fact is worse than in this file.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Also if it differs for another version of torch, or was not counted.")
    ] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
    as_json: Json = False,
) -> None:
    """Kernels launched, graph breaks, bytes, FLOPs of each case: exact, counted on a CPU, no GPU needed.

    Against a file of before, one kernel or one graph break more is SLOWER: exit code 1.
    """
    start = time.monotonic()
    if strict and not against:
        raise typer.BadParameter("--strict is for --against FILE")
    cases = load_plan(plan).only(*(filter or [])).cases
    if not cases:
        stop(f"no case of {plan} matches {' or '.join(filter or [])}; `bench list {plan}` shows them", USAGE)
    before = Facts.load(against) if against else None
    now = counted(cases)
    changes: list[Change] = []
    if before:
        changes = compare(before.only(case.name for case in cases) if filter else before, now)
    if as_json:
        told: dict[str, Any] = {"changes": [asdict(change) for change in changes]} if before else {}
        print_json(now.plain() | told)
    elif as_markdown:
        print("\n".join(markdown(now, changes, before)))
    else:
        _show(now, changes, before, time.monotonic() - start)
    if output:
        now.save(output)
        tell(f"Written: the facts of {len(now.cases)} cases at {now.commit}, in {output}")
    failed = failures(changes, strict) if before else [one for one in now.cases.values() if one.failed]
    raise typer.Exit(FAILED if failed else 0)


def counted(cases: Iterable[Case], module: str = "bench.worker") -> Facts:
    """The facts of cases, counted in a child that sees no GPU. What kills it fails its case; a new child goes on.

    Ends the command where this machine cannot count.
    """
    names, broken = [case.name for case in cases], dict[str, str]()
    with TemporaryDirectory(prefix="resnet-bench-facts-") as exports:
        home = Home(variables={"CUDA_VISIBLE_DEVICES": "", "RESNET_COMPILED": exports})
        while True:
            answer, name = _asked({"job": "facts", "cases": names, "broken": broken}, module, home)
            if answer.status in ("ok", "skipped", "error") or not name or len(broken) == DEATHS:
                break
            broken[name] = f"{answer.status}: {answer.reason}"
    if answer.status == "skipped":
        stop(f"this machine cannot count: {answer.reason}", UNABLE)
    if answer.status != "ok":
        stop(f"nothing could be counted: {answer.status}: {answer.reason}", FAILED)
    found = {name: Counted.of(data) for name, data in answer.data["cases"].items()}
    return Facts(found, answer.data["environment"], this_commit(), f"{datetime.now(UTC):%Y-%m-%d}")


def _asked(job: dict[str, Any], module: str, home: Home) -> tuple[Answer, str]:
    """The answer of a child, and which case it was at."""
    at = [""]
    with err.status("counting") if err.is_terminal else _Silent() as shown:

        def stage(text: str) -> None:
            done, _, rest = text.partition(" ")
            if done.isdigit():
                at[0] = rest.partition(" ")[2]
                shown.update(f"counting {done} of {rest.partition(' ')[0]}: {at[0]}"[: err.width - 4])

        return ask(job, LIMIT_S, stage, module, home), at[0]


class _Silent:
    """A status line where there is no terminal."""

    def __enter__(self) -> _Silent:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, text: str) -> None:
        pass


def sentences(now: Facts, changes: Sequence[Change], before: Facts | None) -> list[str]:
    """The answer first."""
    failed = sum(bool(counted.failed) for counted in now.cases.values())
    skipped = sum(bool(counted.skipped) for counted in now.cases.values())
    rest = [f"{number} {word}" for number, word in ((failed, "failed"), (skipped, "not counted here")) if number]
    number = len(now.cases) - failed - skipped
    said = [f"{number} case{'s' * (number != 1)} counted{''.join(f', {text}' for text in rest)}."]
    if before is None:
        return said
    words: dict[str, int] = {}
    for change in changes:
        words[change.word] = words.get(change.word, 0) + 1
    what = ", ".join(f"{number} {word}" for word, number in words.items()) or "nothing differs"
    said.insert(0, f"Against {before.commit} of {before.when}: {what}.")
    for word, text in (
        (ELSEWHERE, "ENVIRONMENT: what the count hangs on is another, so it tells nothing of the code."),
        (FASTER, "What is better becomes the new record with -o FILE."),
        (NEW, "What is new enters the record with -o FILE."),
    ):
        said += [text] if word in words and (word != NEW or FASTER not in words) else []
    return said


def _show(now: Facts, changes: Sequence[Change], before: Facts | None, seconds: float) -> None:
    first, *others = sentences(now, changes, before)
    out.print(f"[bold]{first}[/]", " ".join([*others, f"It took {seconds:.0f} s."]))
    for change in changes:
        out.print(f"[{COLOURS.get(change.word, 'dim')}]{change.word}[/]", end=" ")
        out.print(str(change), markup=False, soft_wrap=True)
    if before is not None:
        return
    out.print()
    grid = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for title in ("case", *COLUMNS.values()):
        grid.add_column(title, justify="left" if title == "case" else "right", no_wrap=title == "case")
    for name, found in now.cases.items():
        if found.facts:
            grid.add_row(_brief(name), *(_cell(found, fact) for fact in COLUMNS))
    out.print(grid)
    for text in _without(now):
        out.print(text, markup=False, soft_wrap=True)
    for text in _legend(now):
        out.print(text, style="dim", markup=False, soft_wrap=True)


def _brief(name: str) -> str:
    return name.removesuffix("/i224/stream")


def _cell(found: Counted, fact: str) -> str:
    if fact not in found.facts:
        return "-"
    value = found.facts[fact].value
    assert isinstance(value, int)
    return f"{value / SCALES[fact]:.1f}" if fact in SCALES else str(value)


def _without(now: Facts) -> list[str]:
    """Cases without a fact, with the reason, those of one reason together."""
    reasons: dict[str, list[str]] = {}
    for name, found in now.cases.items():
        if found.failed or found.skipped:
            reasons.setdefault("failed: " + found.failed if found.failed else found.skipped, []).append(name)
    return [f"{', '.join(names)}: {reason}" for reason, names in reasons.items()]


def _legend(now: Facts) -> list[str]:
    """How each fact was counted, and why one is absent."""
    said = []
    if any(name.endswith("/i224/stream") for name in now.cases):
        said.append("A name without image and launch means i224/stream.")
    said.append("moved, weights, active: MB. --json has exact numbers and the digests.")
    for fact, title in FACTS.items():
        ways: dict[str, set[str]] = {}
        for name, found in now.cases.items():
            if fact in found.facts:
                ways.setdefault(HOW[found.facts[fact].how].words, set()).add(name.split("/")[1])
            elif fact in found.absent:
                ways.setdefault(f"absent: {found.absent[fact]}", set()).add(name.split("/")[1])
        if ways:
            every = len(ways) == 1
            told = "; ".join(f"{way}{'' if every else f' ({_list(names)})'}" for way, names in ways.items())
            said.append(f"{title}: {told}.")
    return said


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def markdown(now: Facts, changes: Sequence[Change], before: Facts | None) -> list[str]:
    """The answer, then what differs; without a record to hold it against, the table."""
    first, *others = sentences(now, changes, before)
    lines = [f"**{first}** {' '.join(others)}", ""]
    if before is not None:
        if changes:
            lines += ["| verdict | case | fact | before | now | why |", "|---|---|---|---:|---:|---|"]
        for change in changes:
            cells = (change.word, f"`{change.case}`", FACTS.get(change.fact, "the case"))
            values = (amount(change.before), amount(change.after)) if change.fact else ("", "")
            lines.append(f"| {' | '.join((*cells, *values, _plain(change.why)))} |")
        return lines
    lines += [f"| case | {' | '.join(COLUMNS.values())} |", "|---|" + "---:|" * len(COLUMNS)]
    for name, found in now.cases.items():
        if found.facts:
            lines.append(f"| `{name}` | {' | '.join(_cell(found, fact) for fact in COLUMNS)} |")
    return [*lines, "", *(f"- {_plain(text)}" for text in (*_without(now), *_legend(now)))]


def _plain(text: str) -> str:
    return " ".join(text.split()).replace("<", "&lt;").replace("|", "\\|")
