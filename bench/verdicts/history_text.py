"""The history of cases for a reader: a sparkline and the changes of each series, Markdown, JSON."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.text import WORDS, markdown_table, percent_change, percent_interval, plural
from bench.verdicts.history import Change, Series, least_points, sparkline
from bench.verdicts.metrics import METRICS
from bench.verdicts.segments import MIN_SEGMENT

LEGEND = (
    "A change is the level after over the level before, with its 95 % confidence interval; p: of a permutation test, "
    f"corrected for the number of series. {WORDS}"
)


def summary(history: list[Series]) -> str:
    """Return a sentence on how many series there are, and how many of them changed."""
    changed = [series for series in history if series.changes]
    count = len({point.sha for series in history for point in series.points})
    worse = sum(any(change.worse for change in series.changes) for series in history)
    commits = f"{count} {plural(count, 'commit')}"
    return f"{len(history)} series over {commits}: {len(changed)} changed, {worse} for the worse."


def history_markdown(history: list[Series]) -> str:
    """Return the summary and a table of the changes as Markdown."""
    lines = [summary(history), ""]
    changes = [(series, change) for series in history for change in series.changes]
    rows = []
    for series, change in changes:
        words, size, between, p = (cell.strip() for cell in _cells(change))
        rows.append((f"`{series.name}`", series.metric, words, size, f"`{between}`", p.removeprefix("p ")))
    titles = ("case", "metric", "", "change", "between", "p")
    return "\n".join(lines + (markdown_table(titles, rows, ("case", "metric", "", "between")) if rows else []))


def print_history(out: Console, history: list[Series], every: bool) -> None:
    """Print the summary and each series that changed or may have; with `every`, the others too."""
    out.print(f"[bold]{summary(history)}[/]")
    longest = max(len(series.points) for series in history)
    if longest < (least := least_points(len(history))):
        fewest = f"even a large change in one of {len(history)} shows from {least} on, {MIN_SEGMENT} on either side"
        out.print(f"The longest has {longest} {plural(longest, 'commit')}; {fewest}.")
    for series in history:
        if series.changes or series.unsure or every:
            _print_series(out, series)
    out.print(LEGEND, style="dim")


def _print_series(out: Console, series: Series) -> None:
    unit = METRICS[series.metric].unit
    first, last = series.values[0], series.values[-1]
    out.print(f"\n{series.name}  {series.metric}, {unit}", markup=False, soft_wrap=True)
    machine = f"[dim]{escape(series.machine)}[/]"
    out.print(f"  {sparkline(series.values)}  {first:.4g} .. {last:.4g}  {machine}", soft_wrap=True)
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
        commits = ", ".join(_sha(point.sha) for point in series.spikes)
        out.print(f"  left out, as a single point far from both neighbours: {commits}")
    if series.unsure:
        out.print(f"  {series.unsure}", markup=False)


def _cells(change: Change) -> tuple[str, ...]:
    low, high = change.ratio.low, change.ratio.high
    interval = "" if low is None or high is None else f" ({percent_interval(low, high)})"
    word, change_text = "worse" if change.worse else "better", f"{percent_change(change.ratio.value)} %{interval}"
    return f"  {word}", change_text, f"{_sha(change.before.sha)}..{_sha(change.after.sha)}", f"p {change.p:.2g}"


def _sha(sha: str) -> str:
    return sha[:10]


def _about(series: Series) -> dict[str, Any]:
    row = {"case": series.case, "choices": series.choices or None, "metric": series.metric}
    return row | {"unit": METRICS[series.metric].unit, "machine": series.machine}


def as_rows(series: Series) -> list[dict[str, Any]]:
    """Return a row for each commit of a series, as `--csv` prints it: where the level changed, over the one before."""
    changed = {change.after.sha: change for change in series.changes}
    spikes = {point.sha for point in series.spikes}
    rows = []
    for point in series.points:
        change = changed.get(point.sha)
        row = _about(series) | {"commit": point.sha, "when": str(point.when), "value": point.value}
        row |= {"rounds": point.rounds, "left_out": point.sha in spikes, "change": change and change.ratio.value}
        row |= {"change_low": change and change.ratio.low, "change_high": change and change.ratio.high}
        rows.append(row | {"p": change and change.p, "worse": change and change.worse})
    return rows


def as_json(series: Series) -> dict[str, Any]:
    """Return a series as `--json` prints it."""
    return _about(series) | {
        "points": [
            {"sha": point.sha, "when": str(point.when), "value": point.value, "rounds": point.rounds}
            for point in series.points
        ],
        "spikes": [point.sha for point in series.spikes],
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
