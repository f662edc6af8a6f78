"""Many items processed by child processes: a death costs the item in flight, and the rest goes on; or several at once.

A child reports which item it begins and which it has finished; the caller records that in an `InFlight`. The item in
flight when a process died is blamed for the death. If several were in flight, as in a pool of threads, the next process
does one at a time, so that the deadly one shows.

A case of which throttling, or a stop of its process, left too little is run again, and then gets no speed. Enough is at
least half of the samples and half of the windows, and as many samples as an interval of the median takes. Other work
spoils none: it may never end, and stands beside every number.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import chain
from math import inf
from threading import Event
from typing import Any, Generic, TypeVar

from bench.machine.watch import ENOUGH, OTHER_WORK
from bench.records.record import Record
from bench.runs.job import CaseAnswer
from bench.runs.process import Answer
from bench.stats import LEAST_SAMPLES

# An answer with one of these is about the work as a whole; any other is a death.
FINAL_STATUSES = ("ok", "skipped", "error")

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass
class InFlight(Generic[Item]):
    """The items that a process has begun, with their start on the monotonic clock, and the number it has finished."""

    items: dict[Item, float] = field(default_factory=dict)
    done: int = 0

    def begin(self, item: Item) -> None:
        self.items[item] = time.monotonic()

    def end(self, item: Item) -> None:
        self.items.pop(item, None)
        self.done += 1

    def begin_next(self, item: Item) -> None:
        """Begin an item and end the one before, for a process that reports beginnings alone."""
        self.done += len(self.items)
        self.items = {item: time.monotonic()}

    def clear(self) -> None:
        self.items.clear()
        self.done = 0


@dataclass(frozen=True)
class Ending:
    """The last process's answer, if there was one, and whether the work was given up."""

    answer: Answer[Any] | None
    gave_up: bool = False  # too many deaths, or processes that began nothing


def restart(
    start: Callable[[bool], Answer[Any] | None],
    in_flight: InFlight[Item],
    blame: Callable[[Item, Answer[Any]], None],
    *,
    deaths: float = inf,
    strikes: int = 1,
    final: Collection[str] = FINAL_STATUSES,
    until: float = inf,
    now: Callable[[], float] = time.monotonic,
) -> Ending:
    """Start processes until one answers with a status of `final`, or nothing is left to do.

    `start` runs one process for the remaining items and returns its answer, or None if no item is left; its argument
    says if the process is to do one item at a time. It keeps `in_flight` up to date meanwhile. `blame` is called with
    the item that a process died with. The work is given up after more than `deaths` deaths, or `strikes` processes in a
    row that made no progress. None is started later than `until` on the clock `now`. Exceptions in `start` end it.
    """
    answer: Answer[Any] | None = None
    one_at_a_time, deaths_so_far, idle = False, 0, 0
    while now() <= until:
        in_flight.clear()
        following = start(one_at_a_time)
        if following is None:
            break
        answer = following
        if answer.status in final:
            break
        idle = idle + 1 if _is_idle(in_flight, one_at_a_time, answer) else 0
        if answer.status != "ok":
            deaths_so_far += 1
            if deaths_so_far > deaths:
                return Ending(answer, gave_up=True)
            if len(in_flight.items) == 1:
                blame(next(iter(in_flight.items)), answer)
            one_at_a_time = one_at_a_time or len(in_flight.items) > 1
        if idle >= strikes:
            return Ending(answer, gave_up=True)
    return Ending(answer)


def _is_idle(in_flight: InFlight[Item], one_at_a_time: bool, answer: Answer[Any]) -> bool:
    """Return whether a process finished no item, and did not narrow down the one that kills it either."""
    narrowed = answer.status != "ok" and (len(in_flight.items) == 1 or (bool(in_flight.items) and not one_at_a_time))
    return not in_flight.done and not narrowed


def at_once(work: Iterator[tuple[Callable[[], Result], bool]], jobs: int, stop: Event) -> Iterator[Result]:
    """Yield the results of functions as they end, of which `jobs` run at a time, each in a thread.

    One that has True beside it runs alone. `stop` is set as this ends, by an exception too: it ends their processes.
    """
    running: set[Future[Result]] = set()
    stop.clear()
    with ThreadPoolExecutor(jobs) as pool:
        try:
            for function, exclusive in work:
                yield from _collect(running, 0 if exclusive else jobs - 1)
                running.add(pool.submit(function))
                yield from _collect(running, 0 if exclusive else jobs - 1)
            yield from _collect(running, 0)
        finally:
            stop.set()


def _collect(running: set[Future[Result]], limit: int) -> Iterator[Result]:
    """Yield the results of functions as they end, and remove these from `running`, until at most `limit` run."""
    while len(running) > limit:
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        running -= done
        for future in done:
            yield future.result()


def reason_to_retry(answer: Answer[CaseAnswer], timed: bool) -> str:
    """Return why a second, fresh process may do better; empty if it would not.

    Another process may have filled the GPU for a moment, or the machine may have throttled for a moment.
    """
    if answer.status == "memory":
        return answer.reason
    return describe_loss(answer.data) if timed and answer.status == "ok" else ""


def withhold(record: Record) -> None:
    """Set the status of a record to `throttled` if what is left is too little; the samples stay in it."""
    if record.status == "ok" and (reason := describe_loss(vars(record))):
        record.status, record.reason = "throttled", reason


def describe_loss(data: Mapping[str, Any]) -> str:
    """Return how much of a record's fields was spoilt, and by what, if too little is left; else an empty string."""
    throttled, windows = data.get("throttled", {}), data.get("windows", ())
    samples, throughput_s = len(data.get("latency_ns", ())), data.get("throughput", {}).get("ns", 0) / 1e9
    lost = sum(last - first + 1 for first, last in throttled.get("latency", ()))
    again = {window["turn"] for window in windows if window["turn"] and "disturbed" not in window}  # and well then
    reasons_of = [w.get("disturbed", "").split(", ") for w in windows if w["turn"] not in again]
    spoilt = [names for reasons in reasons_of if (names := [name for name in reasons if name not in ("", OTHER_WORK)])]
    if samples - lost < max(ENOUGH * samples, min(samples, LEAST_SAMPLES)):
        loss = f"{lost} of {samples} samples"
    elif len(spoilt) > (1 - ENOUGH) * len(windows):
        loss = f"{len(spoilt)} of {len(windows)} throughput windows"
    elif not windows and throttled.get("throughput_s", 0.0) > (1 - ENOUGH) * throughput_s:
        loss = "most of the throughput window"  # of a commit that had one
    else:
        return ""
    reasons = dict.fromkeys([*data.get("watch", {}).get("spoilt_s", ()), *chain.from_iterable(spoilt)])
    return f"{loss} spoilt by the machine ({', '.join(reasons) or 'see watch'})"
