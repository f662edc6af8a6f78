"""The history of cases for a reader: what got worse, and where. The verdict stands last, and first in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import cast

from rich.console import Console
from rich.markup import escape

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
from bench.history.kinds import (
    at_commit,
    change_size,
    groups_of,
    kind_of,
    main_change,
    marks,
    p_words,
    short_sha,
    size_and_interval,
    size_of,
    versions,
    word_of,
)
from bench.history.segments import MIN_SEGMENT
from bench.history.series import Change, Series
from bench.text import WORDS, digits, markdown_cell, markdown_table, plural
from bench.verdicts.metrics import METRICS

MOST = 10  # series of a commit that are listed unasked
LEGEND = (
    "A change is the level after over the level before, with its 95 % confidence interval; p: computed for the noise "
    "of the series, corrected for all series and all places in them. The chance of any change in series without one is "
    f"at most {FAMILY_ALPHA:.0%} a report, if their noise is of a kind that docs/METHODOLOGY.md lists. {WORDS}"
)


def summary(history: History) -> str:
    """Return sentences on how many series there are, how many changed, the worst of them, and what is no news."""
    series = history.series
    changed = [one for one in series if one.changes]
    count = len({point.sha for one in series for point in one.points})
    worse = sum(any(change.worse for change in one.changes) for one in series)
    text = (
        f"{len(series)} series over {count} {plural(count, 'commit')}: {len(changed)} changed, {worse} for the worse."
    )
    if news := [one for one in series if kind_of(one) == "worse"]:
        one = max(news, key=lambda one: size_of(main_change(one)))
        change = cast(Change, main_change(one))
        text += f" The worst: {one.name}, {one.metric}, {change_size(change)} at {at_commit(change.after)}."
    if unsure := sum(kind_of(one) == "unsure" for one in series):
        text += f" {unsure} {plural(unsure, 'is', 'are')} off the level at the newest commits, too few to tell."
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
    software = versions(change)
    timed = _is_time(move.metrics)
    word = ("slower" if timed else "worse") if change.worse else "faster" if timed else "better"
    size = size_and_interval(change) + " in time" * timed
    shared = f"the machine or what they share{f' ({software})' if software else ''}"
    return (
        f"all of {move.series} series ({', '.join(move.metrics)}) moved alike, {word}, {size}, "
        f"between {short_sha(change.before.sha)} and {short_sha(change.after.sha)}: {shared}; {p_words(change)}"
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
    end = short_sha(first.points[-1].sha)
    return f"{which}, failed or not measured there: {first.name}, {first.metric}, ends at {end}."


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
    """Return the summary, and a table of each commit at which series changed, as Markdown."""
    lines = [f"**{summary(history)}**", "", *power_sentences(history), ended_sentence(history.series), ""]
    for move in history.movements:
        lines += [f"- {movement_sentence(move)}{marks(move.change)}"]
    lines += [f"- {newest_sentence(one)} ({one.machine})" for one in history.newest]
    lines += [""] if history.movements or history.newest else []
    commands: dict[str, None] = {}
    for kind, heading, group in groups_of(history.series):
        if kind in ("worse", "better", "quiet"):
            table = [*_markdown_table(group), ""]
            folded = kind != "worse" and len(group) > MOST
            around = ("<details><summary>", "</summary>", "</details>") if folded else ("**", "**", "")
            title = markdown_cell(f"{len(group)} {heading}")
            lines += [f"{around[0]}{title}{around[1]}", "", *table, *([around[2], ""] if folded else [])]
            commands |= {} if kind == "quiet" else {_confirm(group[0]): None}
    unsure = [one for one in history.series if one.unsure]
    lines += [*(f"- `{one.name}` {one.metric}: {one.unsure}" for one in unsure), *[""][: len(unsure)]]
    commands |= dict.fromkeys(one.confirm for one in unsure)
    lines += ["To confirm:", "", "```", *commands, "```", ""] if commands else []
    return "\n".join([*lines, LEGEND])


def _markdown_table(group: Sequence[Series]) -> list[str]:
    """Return a table of series that changed at one commit, of 800 pixels at the most where names are usual."""
    rows = []
    for one in group:
        change = cast(Change, main_change(one))
        newest = f"{one.metric} {digits(one.values[-1])} {METRICS[one.metric].unit}"
        rows.append((f"`{one.name}`", newest, size_and_interval(change), p_words(change).removeprefix("p ")))
        for other in _others(one):
            rows.append(("", f"also {word_of(other)}", size_and_interval(other), f"at `{short_sha(other.after.sha)}`"))
    return markdown_table(("case", "newest", "change", "p"), rows, ("case", "newest"))


def _confirm(series: Series) -> str:
    return cast(Change, main_change(series)).confirm(series.case)


def _others(series: Series) -> list[Change]:
    """Return the changes of a series that it is not listed by."""
    main = main_change(series)
    return [change for change in series.changes if change is not main]


def print_history(out: Console, history: History, every: bool) -> None:
    """Print what changed or may have, what got worse last, and the verdict; with `every`, the other series too."""
    groups = [group for group in groups_of(history.series) if every or group[0] != "same" or _flips(group[2])]
    machines = dict.fromkeys(one.machine for one in history.series)
    named = len(machines) > 1
    if not named:
        out.print(*machines, style="dim", markup=False)
    for kind, heading, group in reversed(groups):
        out.print(f"\n{len(group)} {heading}", style="bold", markup=False)
        listed = group if every else _flips(group) if kind == "same" else group[:MOST]
        for series in listed:
            _print_series(out, series, kind, series.machine if named else "")
        if more := len(group) - len(listed):
            out.print(f"  and {more} more: --all lists them", style="dim")
        if kind in ("worse", "better"):
            out.print(
                f"  confirm{' the largest' * (len(group) > 1)}: {_confirm(group[0])}", markup=False, soft_wrap=True
            )
    for sentence, machine in [
        *((f"{movement_sentence(move)}{marks(move.change)}", move.machine) for move in history.movements),
        *((newest_sentence(one), one.machine) for one in history.newest),
    ]:
        out.print(f"\n{sentence}", markup=False, soft_wrap=True)
        out.print(f"  {machine}", style="dim", markup=False, soft_wrap=True)
    out.print()
    for sentence in filter(None, [LEGEND, *power_sentences(history), ended_sentence(history.series)]):
        out.print(sentence, style="dim", markup=False)
    out.print(summary(history), style="bold", markup=False)


def _flips(group: Sequence[Series]) -> list[Series]:
    return [one for one in group if one.flips]


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
    return f"worse: {what} at {short_sha(change.after.sha)}{more}; what is meant to be so, this accepts: {command}"


def _print_series(out: Console, series: Series, kind: str, machine: str) -> None:
    """Print a series: its name, then its values and its newest change, and what else is to be said of it."""
    unit, style = METRICS[series.metric].unit, {"worse": "red", "better": "green"}.get(kind, "")
    of = f"  [dim]{escape(machine)}[/]" if machine else ""
    out.print(f"  {escape(series.name)}, {series.metric}{of}", soft_wrap=True)
    main = main_change(series)
    size = f"  {size_and_interval(main)}  {p_words(main)}" if main else ""
    values = f"{sparkline(series.values)}  {digits(series.values[-1])} {unit}"
    out.print(f"    {values}[{style or 'default'}]{size}[/]", soft_wrap=True)
    for change in _others(series):
        at = f"{at_commit(change.after)}, {p_words(change)}{marks(change)}"
        out.print(f"    also {word_of(change)}, {size_and_interval(change)}, at {at}", markup=False, soft_wrap=True)
    if series.spikes:
        commits = ", ".join(short_sha(point.sha) for point in series.spikes)
        out.print(f"    left out, as a single point far from both neighbours: {commits}", soft_wrap=True)
    if series.flips:
        out.print(f"    flips between two levels, {series.flips} times: taken for its noise, not for changes")
    if series.unsure:
        out.print(f"    {series.unsure}; confirm: {series.confirm}", markup=False, soft_wrap=True)
