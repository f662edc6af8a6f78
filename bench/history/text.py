"""The history of cases for a reader: a sparkline and the changes of each series, Markdown, JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.commands import command_line
from bench.history.accepted import FILE as USUAL_FILE
from bench.history.history import FAMILY_ALPHA, History, Movement, fewest_commits, following, sparkline
from bench.history.segments import MIN_SEGMENT
from bench.history.series import Change, Series
from bench.text import WORDS, markdown_table, percent_change, percent_interval, plural
from bench.verdicts.metrics import METRICS

LEAST_P = 1e-6
LEGEND = (
    "A change is the level after over the level before, with its 95 % confidence interval; p: computed for the noise "
    "of the series, corrected for all series and all places in them. The chance of any change in series without one is "
    f"at most {FAMILY_ALPHA:.0%} a report, if their noise is of a kind that docs/METHODOLOGY.md lists. {WORDS}"
)


def summary(history: History) -> str:
    """Return sentences on how many series there are, how many of them changed, and what is no news."""
    series = history.series
    changed = [one for one in series if one.changes]
    count = len({point.sha for one in series for point in one.points})
    worse = sum(any(change.worse for change in one.changes) for one in series)
    text = (
        f"{len(series)} series over {count} {plural(count, 'commit')}: {len(changed)} changed, {worse} for the worse."
    )
    if history.movements:
        moves = len(history.movements)
        text += f" {moves} {plural(moves, 'change')} of all series of a machine together."
    changes = [change for _, change in history.changes]
    if old := sum(change.old for change in changes):
        text += f" {old} of {len(changes)} changes {plural(old, 'is', 'are')} older than --since."
    if accepted := sum(bool(change.acknowledged) for change in changes):
        text += f" {accepted} {plural(accepted, 'is', 'are')} acknowledged."
    return text


def power_sentences(history: History) -> list[str]:
    """Return sentences on the least change that would be found, and on series that are too short for any."""
    longest = max(len(series.points) for series in history.series)
    fewest = fewest_commits()
    if longest < fewest:
        have = f"The longest series has {longest} {plural(longest, 'commit')}"
        return [f"{have}; a change can show from {fewest} on, {MIN_SEGMENT} on either side."]
    sizes = sorted((one.detectable, one.name, one.metric) for one in history.series if one.detectable is not None)
    if not sizes:
        return []
    middle, (largest, name, metric) = median(size for size, _, _ in sizes), sizes[-1]
    after = following(longest)
    text = (
        f"With {after} commits after it, a change of {_size(middle)} would be found in nine of ten in a typical series"
    )
    if len(sizes) > 1:
        text += f", one of {_size(largest)} in the noisiest ({name}, {metric})"
    short = sum(len(one.points) < fewest for one in history.series)
    lines = [text + "."]
    if short:
        lines.append(f"{short} {plural(short, 'series', 'series')} with fewer than {fewest} commits can show none.")
    return lines


def _size(share: float) -> str:
    return f"{100 * share:.1f} %" if share < 10 else "more than 1000 %"


def movement_sentence(move: Movement) -> str:
    """Return a sentence on what moved all series alike, with the software that changed with it."""
    change = move.change
    software = ", ".join(f"{name} {old} -> {new}" for name, (old, new) in change.software.items())
    word = "slower" if change.worse else "faster"
    shared = f"the machine or what they share{f' ({software})' if software else ''}"
    return (
        f"all of {move.series} series ({', '.join(move.metrics)}) moved alike, {word}, {_size_cell(change)} in time, "
        f"between {_sha(change.before.sha)} and {_sha(change.after.sha)}: {shared}; {_p(change)}"
    )


def order_sentence(series: Sequence[Series], order: Mapping[str, int]) -> str:
    """Return a sentence where the order of the commits is not the repository's; else an empty text."""
    commits = {point.sha for one in series for point in one.points}
    if len(commits) < 2 or commits <= order.keys():
        return ""
    return (
        f"this checkout has none of these {len(commits)} commits: they are in the order in which they were first "
        "measured, which need not be that of the history; a checkout that has them knows it"
    )


def history_markdown(history: History) -> str:
    """Return the summary and a table of the changes as Markdown."""
    lines = [summary(history), "", *power_sentences(history), ""]
    for move in history.movements:
        lines += [f"- {movement_sentence(move)}{_marks(move.change)}"]
    lines += [""] if history.movements else []
    rows = []
    for series in history.series:
        for change in series.changes:
            words, size, between, p = (cell.strip() for cell in _cells(change))
            note = _marks(change).removeprefix("; ")
            rows.append((f"`{series.name}`", series.metric, words, size, f"`{between}`", p.removeprefix("p "), note))
    titles = ("case", "metric", "", "change", "between", "p", "news")
    words_at = ("case", "metric", "", "between", "news")
    return "\n".join(lines + (markdown_table(titles, rows, words_at) if rows else []))


def print_history(out: Console, history: History, every: bool) -> None:
    """Print the summary, what moved all series, and each that changed or may have; with `every`, the others too."""
    out.print(f"[bold]{summary(history)}[/]")
    for sentence in power_sentences(history):
        out.print(sentence, markup=False)
    for move in history.movements:
        out.print(f"\n{movement_sentence(move)}{_marks(move.change)}", markup=False, soft_wrap=True)
        out.print(f"  {escape(move.machine)}", style="dim", soft_wrap=True)
    for series in history.series:
        if series.changes or series.unsure or series.flips or every:
            _print_series(out, series)
    out.print(LEGEND, style="dim")


def gate_sentence(news: Sequence[tuple[Series | Movement, Change]], file: Path) -> str:
    """Return a sentence on what got worse, with the command that accepts the first of it."""
    subject, change = min(news, key=lambda pair: pair[1].p)
    what = "all series together" if isinstance(subject, Movement) else subject.case
    words: list[str | Path] = ["--acknowledge", change.after.sha[:12], "--reason", "TEXT"]
    if isinstance(subject, Series):
        words += ["-f", subject.case, "--metric", subject.metric]
    words += ["--acknowledged", file] if file != USUAL_FILE else []
    more = f", and {len(news) - 1} more" if len(news) > 1 else ""
    command = command_line("history", "STORE", *words)
    return f"worse: {what} at {_sha(change.after.sha)}{more}; what is meant to be so, this accepts: {command}"


def _print_series(out: Console, series: Series) -> None:
    unit = METRICS[series.metric].unit
    first, last = series.values[0], series.values[-1]
    out.print(f"\n{series.name}  {series.metric}, {unit}", markup=False, soft_wrap=True)
    machine = f"[dim]{escape(series.machine)}[/]"
    out.print(f"  {sparkline(series.values)}  {first:.4g} .. {last:.4g}  {machine}", soft_wrap=True)
    grid = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for change in series.changes:
        quiet = change.acknowledged or change.old
        grid.add_row(*map(escape, _cells(change)), style="dim" if quiet else "red" if change.worse else "green")
    if series.changes:
        out.print(grid)
    for change in series.changes:
        if marks := _marks(change).removeprefix("; "):
            out.print(f"  {_sha(change.after.sha)}: {marks}", markup=False, soft_wrap=True)
        for name, (old, new) in change.software.items():
            out.print(f"  {name} was another, too: {old}, then {new}", markup=False)
        out.print(f"  confirm: {change.confirm(series.case)}", markup=False, soft_wrap=True)
    if series.spikes:
        commits = ", ".join(_sha(point.sha) for point in series.spikes)
        out.print(f"  left out, as a single point far from both neighbours: {commits}")
    if series.flips:
        out.print(f"  flips between two levels, {series.flips} times: taken for its noise, not for changes")
    if series.unsure:
        out.print(f"  {series.unsure}", markup=False)


def _marks(change: Change) -> str:
    """Return what makes a change no news, each part after a semicolon."""
    reason = f"; acknowledged: {change.acknowledged}" if change.acknowledged else ""
    return f"{reason}; older than --since" if change.old else reason


def _size_cell(change: Change) -> str:
    low, high = change.ratio.low, change.ratio.high
    interval = "" if low is None or high is None else f" ({percent_interval(low, high)})"
    return f"{percent_change(change.ratio.value)} %{interval}"


def _cells(change: Change) -> tuple[str, ...]:
    word = "worse" if change.worse else "better"
    between = f"{_sha(change.before.sha)}..{_sha(change.after.sha)}"
    return f"  {word}", _size_cell(change), between, _p(change)


def _p(change: Change) -> str:
    """Return the p-value; a smaller one than the noise was ever looked at for is printed as below LEAST_P."""
    return f"p {change.p:.2g}" if change.p >= LEAST_P else f"p <{LEAST_P:.0e}"


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
        row |= {"p": change and change.p, "worse": change and change.worse}
        rows.append(row | {"acknowledged": change and change.acknowledged, "old": change and change.old})
    return rows


def as_json(series: Series, history: History) -> dict[str, Any]:
    """Return a series as `--json` prints it, with what moved it and all others of its machine alike."""
    return _about(series) | {
        "points": [
            {"sha": point.sha, "when": str(point.when), "value": point.value, "rounds": point.rounds}
            for point in series.points
        ],
        "spikes": [point.sha for point in series.spikes],
        "unsure": series.unsure,
        "flips": series.flips,
        "noise": series.noise,
        "detectable": series.detectable,
        "changes": [_change_as_json(change) | {"confirm": change.confirm(series.case)} for change in series.changes],
        "moved_with_all": [
            _change_as_json(move.change) | {"series": move.series}
            for move in history.movements
            if move.machine == series.machine and series.metric in move.metrics
        ],
    }


def _change_as_json(change: Change) -> dict[str, Any]:
    return {
        "before": change.before.sha, "after": change.after.sha, "ratio": change.ratio.value,
        "low": change.ratio.low, "high": change.ratio.high, "p": change.p, "worse": change.worse,
        "software": change.software, "earliest": change.earliest.sha, "latest": change.latest.sha,
        "old": change.old, "acknowledged": change.acknowledged,
    }  # fmt: skip
