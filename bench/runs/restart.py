"""Work of many items in child processes, one after the other: a death costs the item at hand, and the rest goes on.

A child tells which item it begins and which it has seen through; the caller keeps that in a `Hand`. What a process had
in hand as it died is blamed for the death. Where it had several, as a pool of threads has, the next process is asked
to do one at a time, so that the deadly one shows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from math import inf
from typing import Any, Generic, TypeVar

from bench.runs.process import Answer

# An answer of one of these is about the work as a whole, and no death.
FINAL = ("ok", "skipped", "error")

Item = TypeVar("Item")


@dataclass
class Hand(Generic[Item]):
    """What a process is at, and since when on the monotonic clock; how many items it has seen through."""

    items: dict[Item, float] = field(default_factory=dict)
    done: int = 0

    def begin(self, item: Item) -> None:
        self.items[item] = time.monotonic()

    def end(self, item: Item) -> None:
        self.items.pop(item, None)
        self.done += 1

    def turn_to(self, item: Item) -> None:
        """Begin an item, which ends the one before: of a process that tells beginnings alone."""
        self.done += len(self.items)
        self.items = {item: time.monotonic()}

    def clear(self) -> None:
        self.items.clear()
        self.done = 0


@dataclass(frozen=True)
class Ending:
    """Why no other process was started: the last one's answer, if there was one, and whether it was given up."""

    answer: Answer[Any] | None
    gave_up: bool = False  # too many deaths, or processes that began nothing


def restart(
    start: Callable[[bool], Answer[Any] | None],
    hand: Hand[Item],
    blame: Callable[[Item, Answer[Any]], None],
    *,
    deaths: float = inf,
    strikes: int = 1,
    final: Collection[str] = FINAL,
    until: float = inf,
    now: Callable[[], float] = time.monotonic,
) -> Ending:
    """Start processes until one answers with a status of `final`, or nothing is left to do.

    `start` runs one process for what is left and gives its answer, or None if nothing is left; it is told whether to do
    one item at a time, and keeps `hand` up to date meanwhile. `blame` hears of the item that a process died with. So
    many `deaths` are survived, and it takes `strikes` processes in a row that did nothing to give up. None is started
    later than `until` on the clock `now`. Whatever `start` raises ends it.
    """
    answer: Answer[Any] | None = None
    alone, died, idle = False, 0, 0
    while now() <= until:
        hand.clear()
        following = start(alone)
        if following is None:
            break
        answer = following
        if answer.status in final:
            break
        idle = idle + 1 if _idle(hand, alone, answer) else 0
        if answer.status != "ok":
            died += 1
            if died > deaths:
                return Ending(answer, gave_up=True)
            if len(hand.items) == 1:
                blame(next(iter(hand.items)), answer)
            alone = alone or len(hand.items) > 1
        if idle >= strikes:
            return Ending(answer, gave_up=True)
    return Ending(answer)


def _idle(hand: Hand[Item], alone: bool, answer: Answer[Any]) -> bool:
    """Whether a process brought the work no further: nothing done, and nothing learnt about what kills it."""
    learnt = answer.status != "ok" and (len(hand.items) == 1 or (bool(hand.items) and not alone))
    return not hand.done and not learnt
