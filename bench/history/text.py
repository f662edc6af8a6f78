"""The history of cases for a reader: a sparkline and the changes of each series, Markdown, JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.commands import command_line
from bench.history.accepted import FILE as USUAL_FILE
from bench.history.history import (
    FAMILY_ALPHA,
    History,
    Movement,
    Newest,
    fewest_commits,
    following,
    off_level,
    sparkline,
)
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
    if mended := sum(bool(change.mended) for change in changes):
        text += f" {mended} for the worse {plural(mended, 'was', 'were')} mended later."
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
    timed = _is_time(move.metrics)
    word = ("slower" if timed else "worse") if change.worse else "faster" if timed else "better"
    size = _size_cell(change) + " in time" * timed
    shared = f"the machine or what they share{f' ({software})' if software else ''}"
    return (
        f"all of {move.series} series ({', '.join(move.metrics)}) moved alike, {word}, {size}, "
        f"between {_sha(change.before.sha)} and {_sha(change.after.sha)}: {shared}; {p_words(change)}"
    )


def newest_sentence(one: Newest) -> str:
    """Return a sentence on newest commits at which all series left their level alike, too few for a change."""
    off, timed = off_level(one.far, one.commits), " in time" * _is_time(one.metrics)
    return f"all of {one.series} series ({', '.join(one.metrics)}) moved alike{timed}: {off}"


def _is_time(metrics: Sequence[str]) -> bool:
    return all(METRICS[name].timed and METRICS[name].unit != "J" for name in metrics)


def ended_sentence(series: Sequence[Series]) -> str:
    """Return a sentence on series that end before others of their machine do; else an empty text."""
    followed = {(one.machine, point.sha) for one in series for point in one.points[:-1]}
    ended = [one for one in series if (one.machine, one.points[-1].sha) in followed]
    if not ended:
        return ""
    first = min(ended, key=lambda one: one.points[-1].when)
    which = f"{len(ended)} of {len(series)} series {plural(len(ended), 'has', 'have')} no point at the newest commit"
    return f"{which}, failed or not measured there: {first.name}, {first.metric}, ends at {_sha(first.points[-1].sha)}."


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
    lines = [summary(history), "", *power_sentences(history), ended_sentence(history.series), ""]
    for move in history.movements:
        lines += [f"- {movement_sentence(move)}{_marks(move.change)}"]
    lines += [f"- {newest_sentence(one)} ({one.machine})" for one in history.newest]
    lines += [""] if history.movements or history.newest else []
    rows = []
    for series in history.series:
        for change in series.changes:
            words, size, between, p = (cell.strip() for cell in _cells(change))
            versions = [f"{name} {old}, then {new}" for name, (old, new) in change.software.items()]
            note = "; ".join([text for text in (_marks(change).removeprefix("; "), *versions) if text])
            rows.append((f"`{series.name}`", series.metric, words, size, f"`{between}`", p.removeprefix("p "), note))
    titles = ("case", "metric", "", "change", "between", "p", "news")
    words_at = ("case", "metric", "", "between", "news")
    lines += [*markdown_table(titles, rows, words_at), ""] if rows else []
    unsure = [f"- `{one.name}` {one.metric}: {one.unsure}" for one in history.series if one.unsure]
    lines += [*unsure, ""] if unsure else []
    commands = {
        change.confirm(one.case): None for one in history.series for change in one.changes if not _quiet(change)
    }
    commands |= dict.fromkeys(one.confirm for one in history.series if one.unsure)
    lines += ["To confirm:", "", "```", *commands, "```", ""] if commands else []
    return "\n".join([*lines, LEGEND])


def print_history(out: Console, history: History, every: bool) -> None:
    """Print the summary, what moved all series, and each that changed or may have; with `every`, the others too."""
    out.print(f"[bold]{summary(history)}[/]")
    for sentence in power_sentences(history):
        out.print(sentence, markup=False)
    if ended := ended_sentence(history.series):
        out.print(ended, markup=False)
    for move in history.movements:
        out.print(f"\n{movement_sentence(move)}{_marks(move.change)}", markup=False, soft_wrap=True)
        out.print(f"  {escape(move.machine)}", style="dim", soft_wrap=True)
    for one in history.newest:
        out.print(f"\n{newest_sentence(one)}", markup=False, soft_wrap=True)
        out.print(f"  {escape(one.machine)}", style="dim", soft_wrap=True)
    for series in history.series:
        if series.changes or series.unsure or series.flips or every:
            _print_series(out, series)
    out.print(LEGEND, style="dim")


def gate_sentence(
    history: History, news: Sequence[tuple[Series | Movement, Change]], file: Path, stores: Sequence[Path]
) -> str:
    """Return a sentence on what got worse in some stores, with the command that accepts the first of it.

    Without such news the sentence says if the histories are too short for any; it is empty if they are not.
    """
    if not news:
        short = all(len(series.points) < fewest_commits() for series in history.series)
        return f"nothing could have been found yet: {power_sentences(history)[0]}" if short else ""
    subject, change = min(news, key=lambda pair: pair[1].p)
    what = "all series together" if isinstance(subject, Movement) else subject.case
    words: list[str | Path] = ["--acknowledge", change.after.sha[:12], "--reason", "TEXT"]
    if isinstance(subject, Series):
        words += ["-f", subject.case, "--metric", subject.metric]
    words += ["--acknowledged", file] if file != USUAL_FILE else []
    more = f", and {len(news) - 1} more" if len(news) > 1 else ""
    command = command_line("history", *stores, *words)
    return f"worse: {what} at {_sha(change.after.sha)}{more}; what is meant to be so, this accepts: {command}"


def _print_series(out: Console, series: Series) -> None:
    unit = METRICS[series.metric].unit
    first, last = series.values[0], series.values[-1]
    out.print(f"\n{series.name}  {series.metric}, {unit}", markup=False, soft_wrap=True)
    machine = f"[dim]{escape(series.machine)}[/]"
    out.print(f"  {sparkline(series.values)}  {first:.4g} .. {last:.4g}  {machine}", soft_wrap=True)
    grid = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for change in series.changes:
        grid.add_row(
            *map(escape, _cells(change)), style="dim" if _quiet(change) else "red" if change.worse else "green"
        )
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
        out.print(f"  {series.unsure}; confirm: {series.confirm}", markup=False, soft_wrap=True)


def _quiet(change: Change) -> bool:
    return bool(change.acknowledged or change.mended or change.old)


def _marks(change: Change) -> str:
    """Return what makes a change no news, each part after a semicolon."""
    parts = [f"acknowledged: {' '.join(change.acknowledged.split())}"] if change.acknowledged else []
    parts += [f"mended at {_sha(change.mended)}"] if change.mended else []
    parts += ["older than --since"] if change.old else []
    return "".join(f"; {part}" for part in parts)


def _size_cell(change: Change) -> str:
    low, high = change.ratio.low, change.ratio.high
    interval = "" if low is None or high is None else f" ({percent_interval(low, high)})"
    return f"{percent_change(change.ratio.value)} %{interval}"


def _cells(change: Change) -> tuple[str, ...]:
    word = "worse" if change.worse else "better"
    between = f"{_sha(change.before.sha)}..{_sha(change.after.sha)}"
    return f"  {word}", _size_cell(change), between, p_words(change)


def p_words(change: Change) -> str:
    """Return the p-value; a smaller one than the noise was ever looked at for is printed as below LEAST_P."""
    return f"p {change.p:.2g}" if change.p >= LEAST_P else f"p <{LEAST_P:.0e}"


def _sha(sha: str) -> str:
    return sha[:10]
