"""Series by what became of them, worse, better or neither, and the words for a change that all reports share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from math import log

from bench.history.series import Change, Point, Series
from bench.text import percent_change, percent_interval

KINDS = ("worse", "better", "unsure", "quiet", "same")  # of a series, the first being news
LEAST_P = 1e-6  # below it no noise was ever looked at


def kind_of(series: Series) -> str:
    """Return the kind of a series; what is acknowledged, or older than asked for, is quiet."""
    change = main_change(series)
    if change and not is_quiet(change):
        return word_of(change)
    return "unsure" if series.unsure else "quiet" if change else "same"


def main_change(series: Series) -> Change | None:
    """Return the change that a series is listed by: the newest for the worse that is news, else the newest."""
    news = [change for change in series.changes if change.worse and not is_quiet(change)]
    changes = news or series.changes
    return changes[-1] if changes else None


def groups_of(every: Sequence[Series]) -> Iterator[tuple[str, str, list[Series]]]:
    """Yield series that are of a kind by the same commit, the newest first, and in each the largest change first.

    Each group has its kind, what is to be said of all of it, and its series.
    """
    groups: dict[tuple[str, ...], list[Series]] = defaultdict(list)
    for one in sorted(every, key=lambda one: -size_of(main_change(one))):
        change = main_change(one)
        commits = (change.before.sha, change.after.sha, marks(change), versions(change)) if change else ()
        groups[kind_of(one), *commits].append(one)
    newest_first = sorted(groups.items(), key=lambda item: _last(item[1]), reverse=True)
    for kind in KINDS:
        yield from ((kind, _heading(kind, group), group) for (of, *_), group in newest_first if of == kind)


def _last(group: Sequence[Series]) -> float:
    changes = filter(None, map(main_change, group))
    return max((float(change.after.when.timestamp()) for change in changes), default=0.0)


def _heading(kind: str, group: Sequence[Series]) -> str:
    if not (change := main_change(group[0])):
        return "without a change" if kind == "same" else "cannot be told yet"
    software = "".join(f"; {text}" for text in [versions(change)] if text)
    between = f"{word_of(change)} at {at_commit(change.after)}, after {short_sha(change.before.sha)}"
    return ("cannot be told yet; before, " if kind == "unsure" else "") + between + marks(change) + software


def word_of(change: Change) -> str:
    """Return a change in a word."""
    return "worse" if change.worse else "better"


def size_of(change: Change | None) -> float:
    """Return the distance of two levels, in logarithms; 0 without a change."""
    return abs(log(change.ratio.value)) if change else 0.0


def versions(change: Change) -> str:
    """Return the software that changed with a level, in words."""
    return in_words(change.software)


def in_words(software: Mapping[str, tuple[str, str]]) -> str:
    return "; ".join(f"{name} {old}, then {new}" for name, (old, new) in software.items())


def is_quiet(change: Change) -> bool:
    return bool(change.acknowledged or change.mended or change.old)


def marks(change: Change) -> str:
    """Return what makes a change no news, each part after a semicolon."""
    parts = [f"acknowledged: {' '.join(change.acknowledged.split())}"] if change.acknowledged else []
    parts += [f"mended at {short_sha(change.mended)}"] if change.mended else []
    parts += ["older than --since"] if change.old else []
    return "".join(f"; {part}" for part in parts)


def change_size(change: Change) -> str:
    """Return how far a level moved, in percent of the one before."""
    return f"{percent_change(change.ratio.value)} %"


def size_and_interval(change: Change) -> str:
    """Return how far a level moved, in percent of the one before, with its interval."""
    low, high = change.ratio.low, change.ratio.high
    interval = "" if low is None or high is None else f" ({percent_interval(low, high)})"
    return change_size(change) + interval


def p_words(change: Change) -> str:
    """Return the p-value; one below LEAST_P is printed as that."""
    return f"p {change.p:.2g}" if change.p >= LEAST_P else "p <1e-6"


def at_commit(point: Point) -> str:
    """Return a point's commit with the day on which it was first measured."""
    return f"{short_sha(point.sha)} ({str(point.when)[:10]})"


def short_sha(sha: str) -> str:
    return sha[:10]
