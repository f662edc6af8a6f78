"""Cases that take turns: a process each, all alive, of which one works at a time, so that their windows interleave.

What disturbs the machine for a while meets all cases alike, and two cases are compared by windows of the same moments.
A disturbed window is taken again, once the machine is quiet.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import count
from statistics import median
from typing import Any

from bench.machine.limits import busy_share, free_memory
from bench.plans.case import Case
from bench.plans.settings import Settings
from bench.records.baseline import BASELINE
from bench.records.fields import Attempt, Window
from bench.records.record import Record
from bench.records.speed import Turn, disturbed_turns, speed_ratio, turn_rates
from bench.runs.process import Answer, Child
from bench.runs.wire import Command, Json, MessageError, Paused, parse_message
from resnet.variants import find_variant

# The least turns before an order may be settled: by chance all of them agree in one case of 128.
LEAST = 8
# A window is taken this often at most, as long as it is disturbed; each time after the machine has become quiet.
TAKES = 3
# The share of the processors' time that others may take of a quiet machine, read over so many seconds.
QUIET_SHARE, QUIET_S = 0.1, 0.1
WAIT_S = 3.0  # for quiet, at most, before one window
PATIENCE = 0.25  # of the group's time, for waiting
TURNS_SHARE = 0.2  # of the group's time, for turns at least, however long its processes took to prepare
FINISH_S = 1.0  # the gate and the answer of a case after its turns
# Memory that must be free for another process: that of the largest so far, twice, as preparing takes more than running.
ROOM_FACTOR, ROOM_BYTES = 2.0, 1 << 28


class Events:
    """The events of a running sweep; the command line overrides them to show progress."""

    def planned(self, total: int) -> None:
        """`total` cases are about to run, without skipped ones."""

    def starts(self, case: Case | str) -> None:
        """This case is now running, or what is done before any."""

    def stage(self, name: str) -> None:
        """The running case is now in this stage."""

    def ready(self, case: Case, p50_ns: float) -> None:
        """This case has its latency, of this median, and now waits for its turns."""

    def turn(self, case: Case, number: int) -> None:
        """This case now takes this turn."""

    def ended(self, record: Record) -> None:
        """A record is on disk."""

    def so_far(self, records: Sequence[Record], to_come: int) -> None:
        """Cases that are compared with each other have these records, some not yet checked again; others follow."""


@dataclass(frozen=True)
class Ended:
    """A case that has ended: when its process started, its answer, and its earlier attempts."""

    case: Case
    started: str  # ISO 8601, UTC
    answer: Answer[Any]
    attempts: list[Attempt] = field(default_factory=list)


@dataclass
class Member:
    """A case whose process is alive and has paused, and the windows that it has taken."""

    case: Case
    child: Child
    started: str
    resident_bytes: int = 0
    windows: list[Window] = field(default_factory=list)
    so_far: Json = field(default_factory=dict)  # the fields of its record, when it last paused
    wrong: str = ""  # the fault in a message of its process

    def hear(self, words: Json | None) -> Paused | None:
        """Return the words of the process as it pauses; None if it has ended, or is not to be understood."""
        try:
            paused = None if words is None else parse_message(Paused, words)
            self.so_far = paused["so_far"] if paused else self.so_far
            return paused
        except MessageError as error:
            self.wrong = f"its process paused with a wrong message: {error}"
            return None

    def answer(self) -> Answer[Json]:
        """End the process, and return its answer."""
        answer = self.child.answer()
        return Answer("crash", self.wrong, {}, answer.wall_s) if self.wrong else answer


@dataclass
class Group:
    """Cases that are compared, in the order in which they are prepared; `start` starts a case's process.

    A case that is `over`, with so many seconds after it, is left out, and one that is `late` comes after the others;
    turns end when no seconds are `left_s`; the other functions ask this machine.
    """

    cases: Sequence[Case]
    start: Callable[[Case], AbstractContextManager[Child]]
    settings: Settings
    draw: random.Random
    numbers: Iterator[int] = field(default_factory=lambda: count(1))  # of turns, see `next_turn`
    free_memory: Callable[[], int] = free_memory
    busy_share: Callable[[float], float] = busy_share
    over: Callable[[Case, float], bool] = lambda case, more_s: False
    left_s: Callable[[], float] = lambda: float("inf")
    late: Callable[[Case], bool] = lambda case: find_variant(case.variant).compiles_long
    events: Events = field(default_factory=Events)
    live: list[Member] = field(default_factory=list)

    def run(self) -> Iterator[Ended | list[Member]]:
        """Yield each case as it ends; and after a part of them, if other groups have room, the members that stay alive.

        Those that are `late` are parts of their own, and where memory is short there are more. Baselines stay for all,
        and as long as there is room what may be the fastest. A case that ran out of memory beside others is run again
        alone.
        """
        self._begun, self._patience_s, self._turn = (
            time.monotonic(),
            PATIENCE * min(self.settings.group_s, self.left_s()),
            0,
        )
        self._vain_turn = 0  # the last in which the machine did not become quiet
        self._attempts: dict[Case, Attempt] = {}  # those that ran out of memory
        waiting = deque(sorted(self.cases, key=lambda case: (case.variant != BASELINE, self.late(case))))
        with ExitStack() as stack:
            live = self.live
            while waiting or live:
                before = len(live)
                yield from self._admit(waiting, live, stack)
                if grew := len(live) > before:
                    yield from self._take_turns(live)
                stay = self._staying(live, grew) if waiting else []
                for member in [member for member in live if member not in stay]:
                    live.remove(member)
                    yield from self._finish(member)
                if stay and grew and self._has_room(live):
                    left = time.monotonic()
                    yield stay
                    self._begun += time.monotonic() - left
            for case in list(self._attempts):
                yield from self._admit(deque([case]), live, stack)
                while live:
                    yield from self._finish(live.pop())

    def _staying(self, live: list[Member], grew: bool) -> list[Member]:
        """Return the members that stay for the next part: fewer where none had room beside them."""
        others = any(member.case.variant != BASELINE for member in live)
        fastest = (open_members(live, self.settings.ratio) or [_fastest(live)]) if grew and live else []
        return [one for one in live if one in fastest or (one.case.variant == BASELINE and (grew or others))]

    def _admit(self, waiting: deque[Case], live: list[Member], stack: ExitStack) -> Iterator[Ended]:
        """Prepare a part's cases, as long as there is room beside those of `live`; yield those that end."""
        late = bool(waiting) and self.late(waiting[0])
        while waiting and self.late(waiting[0]) == late and self._has_room(live):
            case = waiting.popleft()
            if self.over(case, FINISH_S * len(live)):
                continue
            child = stack.enter_context(self.start(case))
            member = Member(case, child, datetime.now(UTC).isoformat(timespec="seconds"))
            if words := member.hear(member.child.work(self.settings.limit_s)):
                self.events.ready(case, words["p50_ns"])
                member.resident_bytes = words["resident_bytes"]
                live.append(member)
            else:
                yield from self._ended(member)
                if case in self._attempts:  # for want of memory: no more beside these
                    return

    def _has_room(self, live: list[Member]) -> bool:
        largest = max((member.resident_bytes for member in live), default=0)
        return not live or self.free_memory() > ROOM_FACTOR * largest + ROOM_BYTES

    def _take_turns(self, live: list[Member]) -> Iterator[Ended]:
        """Go round the cases that are open, in another order each time, until none is or the time is up."""
        now, share_s, left_s = time.monotonic(), self.settings.group_s, max(0.0, self.left_s())
        until = min(self._begun + share_s, now + left_s) - FINISH_S * len(live)
        until = max(until, now + TURNS_SHARE * min(share_s, left_s))
        for _ in range(self.settings.turns):
            begun = all(member.windows for member in live)  # else the fastest may be one that has none yet
            due = [] if len(live) < 2 else open_members(live, self.settings.ratio) if begun else list(live)
            if not due or time.monotonic() > until:
                return
            self._turn = next(self.numbers)
            self.draw.shuffle(due)
            for member in due:
                self.events.turn(member.case, self._turn)
                if not self._take(member):
                    live.remove(member)
                    yield from self._ended(member)

    def _take(self, member: Member) -> bool:
        """Have a case take a window of this turn, again if it was disturbed; False if its process has ended."""
        for _ in range(TAKES):
            command = asdict(Command(self._turn))
            words = member.hear(member.child.go_on(command, self.settings.limit_s))
            if words is None:
                return False
            member.windows += words["windows"]
            if not any("disturbed" in window for window in words["windows"]) or not self._wait_for_quiet():
                break
        return True

    def _wait_for_quiet(self) -> bool:
        """Wait until this machine's processors have nothing to do, as no process of the group works; False if not.

        After a wait in vain there is none before the next turn.
        """
        waited_s = 0.0
        while self._vain_turn < self._turn and waited_s < min(WAIT_S, self._patience_s):
            if self.busy_share(QUIET_S) <= QUIET_SHARE:
                self._patience_s -= waited_s
                return True
            waited_s += QUIET_S
        self._vain_turn, self._patience_s = self._turn, self._patience_s - waited_s
        return False

    def _finish(self, member: Member) -> Iterator[Ended]:
        member.hear(member.child.go_on(asdict(Command()), self.settings.limit_s))
        yield from self._ended(member)

    def _ended(self, member: Member) -> Iterator[Ended]:
        """End a case's process and yield its end, unless it is for want of memory and the first time."""
        answer, earlier = member.answer(), self._attempts.get(member.case)
        if answer.status == "memory" and not earlier:
            self._attempts[member.case] = {"status": answer.status, "reason": answer.reason}
        else:
            yield Ended(member.case, member.started, answer, [earlier] if earlier else [])


def open_members(live: Sequence[Member], target: float) -> list[Member]:
    """Return the members that another turn may say more of: the fastest, and those that are not settled against it.

    A case is settled if every one of LEAST turns or more has it slower, or if the interval of the ratio is within
    `target`, relative. It is empty where all are settled.
    """
    records, without, rates = _rates(live)
    best = rates[id(fastest := _fastest(live))]

    def settled(member: Member) -> bool:
        ours = rates[id(member)]
        common = ours.keys() & best.keys()
        if len(common) < LEAST:
            return False
        ratio = speed_ratio([records[id(member)]], [records[id(fastest)]], without)
        width = ratio.half_width if ratio else None
        return all(best[turn] > ours[turn] for turn in common) or (width is not None and width <= target)

    still_open = [member for member in live if member is not fastest and not settled(member)]
    return [fastest, *still_open] if still_open else []


def _rates(live: Sequence[Member]) -> tuple[dict[int, Record], set[Turn], dict[int, dict[Turn, float]]]:
    """Return each member's record by its id, the turns that do not count, and each one's rate by turn in the others."""
    records = {id(member): Record(member.case, 0, "ok", windows=member.windows) for member in live}
    without = disturbed_turns(records.values())
    rates = {
        key: {turn: rate for turn, rate in turn_rates(record).items() if turn not in without}
        for key, record in records.items()
    }
    return records, without, rates


def _fastest(live: Sequence[Member]) -> Member:
    rates = _rates(live)[2]
    return max(live, key=lambda member: median(rates[id(member)].values() or [0.0]))


def next_turn(records: Iterable[Record], number: int) -> int:
    """Return the first turn of a sitting in a round: later than those of its records, which are of other moments.

    Turn 0 is what a case has that measured alone.
    """
    return 1 + max((window.get("turn", 0) for r in records if r.round == number for window in r.windows), default=0)
