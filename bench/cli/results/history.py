"""`bench history`: cases over commits."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from bench.cli.console import FAILED, UNABLE, USAGE, Filter, Json, out, print_json, stop
from bench.machine.environment import ROOT
from bench.runs.worktree import order
from bench.verdicts.metrics import METRICS

if TYPE_CHECKING:
    from bench.verdicts.history import Change, Series

USUAL = ("latency", "throughput")


def history(
    stores: Annotated[list[Path] | None, typer.Argument(metavar="[DIR...]", help="[default: results/local]")] = None,
    filter: Filter = None,
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", metavar="NAME", help=f"Of {', '.join(METRICS)}.  \\[default: {', '.join(USUAL)}]"),
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Series without a change, too.")] = False,
    fail: Annotated[bool, typer.Option("--fail-on-change", help="Exit 1 where something got worse.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
    as_json: Json = False,
) -> None:
    """Every case over commits: where its level changed, between which commits, how sure that is.

    A store is a folder of results folders, as a nightly `bench run PLAN -o STORE/$(date +%F)` leaves it.
    """
    from bench.verdicts.history import history as read  # numpy and pandas, for those who want them

    names = metric or list(USUAL)
    if unknown := [name for name in names if name not in METRICS]:
        raise typer.BadParameter(f"unknown metric {unknown[0]!r}; allowed: {', '.join(METRICS)}")
    try:
        found = read(stores or [ROOT / "results" / "local"], names, order())
    except ModuleNotFoundError as error:
        stop(f"change points need {error.name}: pip install ruptures", UNABLE)
    found = [one for one in found if not filter or any(fnmatchcase(one.case, f"*{glob}*") for glob in filter)]
    if not found:
        stop("no case that matches was measured at a commit", USAGE)
    if as_json:
        print_json([_plain(series) for series in found])
    elif markdown:
        print(_markdown(found))
    else:
        _show(found, all_)
    if fail and any(change.worse for series in found for change in series.changes):
        raise typer.Exit(FAILED)


def _summary(found: list[Series]) -> str:
    changed = [series for series in found if series.changes]
    commits = {point.sha for series in found for point in series.points}
    worse = sum(any(change.worse for change in series.changes) for series in found)
    return f"{len(found)} series over {len(commits)} commits: {len(changed)} changed, {worse} for the worse."


def _markdown(found: list[Series]) -> str:
    lines = [_summary(found), ""]
    changes = [(series, change) for series in found for change in series.changes]
    if changes:
        lines += ["| case | metric | | change | between | p |", "|---|---|---|---:|---|---:|"]
    for series, change in changes:
        words, size, between, p = (cell.strip() for cell in _cells(change))
        lines.append(f"| `{series.case}` | {series.metric} | {words} | {size} | `{between}` | {p.removeprefix('p ')} |")
    return "\n".join(lines)


def _show(found: list[Series], every: bool) -> None:
    from bench.verdicts.history import LEAST

    out.print(f"[bold]{_summary(found)}[/]")
    longest = max(len(series.points) for series in found)
    if longest < 2 * LEAST:
        out.print(f"The longest has {longest} commits; a change shows from {2 * LEAST} on, {LEAST} on either side.")
    for series in found:
        if series.changes or series.unsure or every:
            _show_one(series)


def _show_one(series: Series) -> None:
    from bench.verdicts.history import sparkline

    unit = METRICS[series.metric].unit
    first, last = series.values[0], series.values[-1]
    out.print(f"\n{series.case}  {series.metric}, {unit}", markup=False, soft_wrap=True)
    out.print(
        f"  {sparkline(series.values)}  {first:.4g} .. {last:.4g}  [dim]{escape(series.machine)}[/]", soft_wrap=True
    )
    grid = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for change in series.changes:
        grid.add_row(*map(escape, _cells(change)), style="red" if change.worse else "green")
    if series.changes:
        out.print(grid)
    for change in series.changes:
        for name, (old, new) in change.software.items():
            out.print(f"  {name} was another, too: {old}, then {new}", markup=False)
        out.print(f"  confirm: {change.confirm(series.case)}", markup=False, soft_wrap=True)
    if series.spikes:
        out.print(
            f"  left out, as a single point far from both neighbours: {', '.join(_sha(p.sha) for p in series.spikes)}"
        )
    if series.unsure:
        out.print(f"  {series.unsure}", markup=False)


def _cells(change: Change) -> tuple[str, ...]:
    low, high = change.ratio.low, change.ratio.high
    span = "" if low is None or high is None else f" ({100 * (low - 1):+.1f} to {100 * (high - 1):+.1f})"
    return (
        f"  {'worse' if change.worse else 'better'}",
        f"{100 * (change.ratio.value - 1):+.1f} %{span}",
        f"{_sha(change.before.sha)}..{_sha(change.after.sha)}",
        f"p {change.p:.2g}",
    )


def _sha(sha: str) -> str:
    return sha[:10]


def _plain(series: Series) -> dict[str, Any]:
    def point(one: Any) -> dict[str, Any]:
        return {"sha": one.sha, "when": str(one.when), "value": one.value, "rounds": one.rounds}

    return {
        "case": series.case,
        "metric": series.metric,
        "unit": METRICS[series.metric].unit,
        "machine": series.machine,
        "points": [point(one) for one in series.points],
        "spikes": [one.sha for one in series.spikes],
        "unsure": series.unsure,
        "changes": [
            {
                "before": change.before.sha, "after": change.after.sha, "ratio": change.ratio.value,
                "low": change.ratio.low, "high": change.ratio.high, "p": change.p, "worse": change.worse,
                "software": change.software, "confirm": change.confirm(series.case),
            }
            for change in series.changes
        ],
    }  # fmt: skip
