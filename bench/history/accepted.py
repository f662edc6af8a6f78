"""Which changes of a history are news: those since a commit or a day that no one has acknowledged, or mended.

The file of acknowledgements is TOML, committed beside the code:

    [[change]]
    commit = "0123abc"        # one of those that may have begun the change
    cases = ["*/fused/*"]     # globs; none stands for every case
    metrics = ["latency"]     # none stands for every metric
    up_to = 1.08              # times worse than before, at the most; none stands for any
    reason = "fp32 accumulation, on purpose"

It covers changes for the worse alone, so that a later one, the way back and a larger one are news again.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from math import inf
from pathlib import Path
from typing import Any

from bench.errors import ArgumentError, RevisionError, StoreError
from bench.files import write_file
from bench.history.history import History, Movement
from bench.history.series import Change, Series
from bench.plans.words import matches
from bench.runs.worktree import resolve_commit
from bench.verdicts.metrics import METRICS

FILE = Path("results/acknowledged.toml")
KEYS = {"commit": str, "cases": list, "metrics": list, "up_to": float, "reason": str}
HEAD = "# Changes for the worse that are accepted: `bench history --acknowledge` adds to it.\n"
SHORTEST = 7  # digits of a commit's name


@dataclass(frozen=True)
class Accepted:
    """An acknowledgement: a commit, what it is of, and why."""

    commit: str
    reason: str
    cases: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    up_to: float | None = None  # times worse

    def covers(self, subject: Series | Movement, change: Change, order: Mapping[str, int]) -> bool:
        """Return whether a change for the worse may have begun at this commit, is of its cases, and is no larger.

        What moved all series is covered by an acknowledgement of every case alone.
        """
        metrics = subject.metrics if isinstance(subject, Movement) else (subject.metric,)
        cases = not self.cases if isinstance(subject, Movement) else matches(subject.case, self.cases)
        if not change.worse or not cases or (self.metrics and not set(metrics) <= set(self.metrics)):
            return False
        return (self.up_to is None or times_worse(change) <= self.up_to) and may_begin(change, self.commit, order)


def times_worse(change: Change) -> float:
    """Return how many times worse it became: its ratio, or the inverse for a metric of which more is better."""
    return max(change.ratio.value, 1 / change.ratio.value)


def may_begin(change: Change, commit: str, order: Mapping[str, int]) -> bool:
    """Return whether a change may have begun at a commit: after the last that surely has it not, by the order.

    Without an order, the commit must be the first measured after the change, or either end of what may be.
    """
    names = [sha for sha in order if sha.startswith(commit)] if len(commit) < 40 else [commit]
    if len(names) == 1 and names[0] in order and change.earliest.sha in order and change.latest.sha in order:
        return order[change.earliest.sha] < order[names[0]] <= order[change.latest.sha]
    return any(point.sha.startswith(commit) for point in (change.after, change.latest))


def read_accepted(path: Path) -> list[Accepted]:
    """Return the acknowledgements of a file; none where it is missing. Raises StoreError for one of another form."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: {error}") from None
    entries = data.get("change", [])
    if set(data) - {"change"} or not isinstance(entries, list):
        raise StoreError(f"{path}: it has [[change]] tables alone, with {', '.join(KEYS)}")
    return [_accepted(path, entry) for entry in entries]


def _accepted(path: Path, entry: Any) -> Accepted:
    for key, value in entry.items() if isinstance(entry, dict) else ():
        wanted = KEYS.get(key)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        fits = (is_number and 1 <= value < inf) if wanted is float else wanted and isinstance(value, wanted)
        if not fits:
            raise StoreError(f"{path}: {key} = {value!r} is none of a change's {', '.join(KEYS)}, or not of its type")
        if isinstance(value, list) and not all(isinstance(word, str) for word in value):
            raise StoreError(f"{path}: {key} = {value!r} has more than texts")
    if not isinstance(entry, dict) or not re.fullmatch(rf"[0-9a-f]{{{SHORTEST},40}}", entry.get("commit", "")):
        raise StoreError(f"{path}: a [[change]] needs a commit of {SHORTEST} to 40 digits")
    if not entry.get("reason", "").strip():
        raise StoreError(f"{path}: the change at {entry['commit'][:10]} needs a reason")
    if unknown := set(entry.get("metrics", ())) - METRICS.keys():
        raise StoreError(f"{path}: {min(unknown)} is no metric; allowed: {', '.join(METRICS)}")
    globs, metrics = tuple(entry.get("cases", ())), tuple(entry.get("metrics", ()))
    return Accepted(entry["commit"], entry["reason"], globs, metrics, entry.get("up_to"))


def append_accepted(path: Path, accepted: Accepted) -> None:
    """Add an acknowledgement to a file, which it makes where there is none. Raises StoreError as `read_accepted`."""
    read_accepted(path)
    before = path.read_text(encoding="utf-8").rstrip("\n") + "\n" if path.exists() else HEAD
    lines = ["", "[[change]]", f"commit = {json.dumps(accepted.commit)}"]
    lines += [f"cases = {json.dumps(list(accepted.cases))}"] if accepted.cases else []
    lines += [f"metrics = {json.dumps(list(accepted.metrics))}"] if accepted.metrics else []
    lines += [f"up_to = {accepted.up_to}"] if accepted.up_to is not None else []
    lines += [f"reason = {json.dumps(accepted.reason)}"]
    write_file(path, before + "\n".join(lines) + "\n")


def acknowledge(
    history: History, order: Mapping[str, int], commit: str, cases: Sequence[str], metrics: Sequence[str], reason: str
) -> tuple[Accepted, int]:
    """Return an acknowledgement of every change for the worse that may have begun at a commit, and how many these are.

    It holds up to the upper end of the interval of the largest. Raises ArgumentError where there is no such change
    that is not acknowledged already (`mark_news`).
    """
    names = {point.sha for series in history.series for point in series.points} | order.keys()
    full = [sha for sha in names if sha.startswith(commit)]
    if len(commit) < SHORTEST or len(full) != 1:
        raise ArgumentError(f"{commit!r} is no commit of these, or of several: write {SHORTEST} digits or more")
    wanted = Accepted(full[0], reason, tuple(cases), tuple(metrics))
    covered = [change for subject, change in history.changes if wanted.covers(subject, change, order)]
    if not covered:
        raise ArgumentError(f"no change for the worse may have begun at {commit}: a history shows the changes")
    covered = [change for change in covered if not change.acknowledged]
    if not covered:
        raise ArgumentError(f"every change for the worse that may have begun at {commit} is acknowledged already")
    most = max(max(change.ratio.high or 1, 1 / (change.ratio.low or 1)) for change in covered)
    return replace(wanted, up_to=round(most + 0.0005, 3)), len(covered)


def mark_news(
    history: History, accepted: Sequence[Accepted], order: Mapping[str, int], since: int | datetime | None = None
) -> list[tuple[Series | Movement, Change]]:
    """Mark the changes that are acknowledged, mended or older than `since`; return the others that are for the worse.

    `since` is the place of a commit, which itself is not in it, or the time when a commit was first measured. A change
    that may have begun since then counts as since then.
    """

    def marked(subject: Series | Movement, change: Change, later: Sequence[Change]) -> Change:
        reasons = [one.reason for one in accepted if one.covers(subject, change, order)]
        last = change.latest
        if isinstance(since, datetime):
            old = last.when < since
        else:
            old = since is not None and order.get(last.sha, since + 1) <= since
        mended = _mended(subject, change, later)
        return replace(change, acknowledged=reasons[0] if reasons else "", old=old, mended=mended)

    moves = history.movements
    alike = [
        [two.change for two in moves[place:] if two.metrics == one.metrics and two.machine == one.machine]
        for place, one in enumerate(moves)
    ]
    history.movements = [
        replace(one, change=marked(one, one.change, later[1:])) for one, later in zip(moves, alike, strict=True)
    ]
    for series in history.series:
        series.changes = [
            marked(series, change, series.changes[place + 1 :]) for place, change in enumerate(series.changes)
        ]
    news = (pair for pair in history.changes if pair[1].worse and not (pair[1].old or pair[1].acknowledged))
    return [pair for pair in news if not pair[1].mended]


def _mended(subject: Series | Movement, change: Change, later: Sequence[Change]) -> str:
    """Return the commit of the later change after which the level was as before this one, which was for the worse.

    What is left of it then is at most the least change that matters. Without such a commit the text is empty.
    """
    metrics = subject.metrics if isinstance(subject, Movement) else (subject.metric,)
    most = 1 + max(METRICS[name].minimum for name in metrics)
    left = times_worse(change)
    for one in later if change.worse else ():
        left *= times_worse(one) if one.worse else 1 / times_worse(one)
        if left <= most:
            return one.after.sha
    return ""


def parse_since(text: str, order: Mapping[str, int], now: datetime | None = None) -> int | datetime:
    """Return what `--since` names: days (`7d`), a date, or a commit-ish of this checkout, as its place in `order`.

    Raises ArgumentError for another word.
    """
    if days := re.fullmatch(r"(\d{1,5})d", text):
        return (now or datetime.now(UTC)) - timedelta(days=int(days[1]))
    try:
        day = datetime.fromisoformat(text)
    except ValueError:
        try:
            sha = resolve_commit(text)
        except RevisionError as error:
            raise ArgumentError(f"--since {text!r} is neither days (7d), a date (2026-01-31), nor: {error}") from None
        if sha not in order:
            raise ArgumentError(f"--since {text!r}: the place of {sha[:10]} is not known") from None
        return order[sha]
    return day if day.tzinfo else day.replace(tzinfo=UTC)
