"""Two commits in one sitting: the same cases, round by round, each case of both sides one after the other.

Which side goes first is drawn anew for every case, so that a machine that drifts, warms up or is lent to others does
the same to both. A pair is what the two left in the same round. Each side's processes run its own commit's code, the
measuring included: where that differs between the two, the difference may be the harness's, and is told.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from pathlib import Path

from bench.errors import StoreError
from bench.machine.facts import Environment
from bench.machine.provenance import sha_of
from bench.plans.plan import Plan
from bench.records.record import Record
from bench.records.store import Store
from bench.runs import process
from bench.runs.sweep import Events, Sweep, Turn
from bench.runs.worktree import Checkout

SIDES = ("base", "head")
# Verdicts are looked at after these rounds alone. Each look may be wrong, so that the error allowed is shared out among
# them (Bonferroni): whatever the data, the chance of a false alarm over all looks is at most that of one look.
LOOKS = (6, 8, 11, 15, 21, 30)


def looks(rounds: int) -> list[int]:
    """After which rounds it may stop; the last is `rounds`."""
    return sorted({look for look in LOOKS if look < rounds} | {rounds})


@dataclass
class Duel:
    """A plan on two checkouts. `enough` is asked after each look whether every case is decided."""

    plan: Plan
    sides: tuple[Checkout, Checkout]
    folder: Path  # base/ and head/ in it hold the records
    env: Environment
    enough: Callable[[], bool] = lambda: False
    rounds: int = LOOKS[-1]
    seed: int = 0
    source: str = "photos"
    resume: bool = False
    budget_s: float = float("inf")  # no round starts that would, by what the last one took, end later
    events: Events = field(default_factory=Events)
    done: int = 0  # rounds that both sides have whole
    stopped: str = ""  # why it ended

    def run(self) -> Iterator[tuple[str, Record]]:
        """Each side's record when it is on disk. Raises StoreError as `Sweep.turns` does."""
        start = time.monotonic()
        draw = random.Random(f"ab {self.seed}")
        with ExitStack() as stack:
            turns = {side: stack.enter_context(closing(self._sweep(side).turns())) for side in SIDES}
            due = {side: next(turns[side], None) for side in SIDES}
            took = 0.0
            for number in count():
                began = time.monotonic()
                while key := _first(due, number):
                    pair = [side for side in SIDES if _key(due[side]) == key]
                    for side in draw.sample(pair, len(pair)):
                        turn = due[side]
                        assert turn
                        yield side, turn.run()
                        due[side] = next(turns[side], None)
                self.done = number + 1
                took = max(time.monotonic() - began, took / 2)
                if not any(due.values()):
                    self.stopped = self.stopped or f"all {self.rounds} rounds"
                    return
                if self.done in looks(self.rounds) and self.enough():
                    self.stopped = "every case is decided"
                    return
                if time.monotonic() - start + took > self.budget_s:
                    self.stopped = "the budget is spent"
                    return

    def _sweep(self, side: str) -> Sweep:
        checkout = self.sides[SIDES.index(side)]
        store = Store(self.folder / side)
        if self.resume:
            _same_commit(store, checkout)
        plan = replace(self.plan, rounds=self.rounds, rounds_limit=0)
        ask = partial(process.ask, home=checkout.home)
        return Sweep(
            plan,
            store,
            {**self.env, "git": {"sha": checkout.sha, "dirty": False}},
            self.seed,
            self.source,
            self.resume,
            events=_Both(self.events),
            ask=ask,
        )


class _Both(Events):
    """What one of two sweeps tells: the total is of both."""

    def __init__(self, events: Events) -> None:
        self.starts, self.stage, self.ended = events.starts, events.stage, events.ended  # type: ignore[method-assign]
        self._planned = events.planned

    def planned(self, total: int) -> None:
        self._planned(2 * total)


def _key(turn: Turn | None) -> tuple[int, int] | None:
    return (turn.round, turn.place) if turn else None


def _first(due: dict[str, Turn | None], number: int) -> tuple[int, int] | None:
    """The next place of a round at which a side has something to run."""
    return min((key for turn in due.values() if (key := _key(turn)) and key[0] <= number), default=None)


def _same_commit(store: Store, checkout: Checkout) -> None:
    try:
        found = {sha_of(record.environment) for record in store.load()}
    except StoreError:  # nothing there yet
        return
    if found - {checkout.sha}:
        raise StoreError(f"the records in {store.folder} are of another commit than {checkout.rev}; choose -o anew")
