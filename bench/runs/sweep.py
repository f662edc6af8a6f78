"""Rounds over the cases of a plan, each case a fresh process, each end a record on disk before the next one starts."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from functools import partial
from threading import Event, Lock
from typing import Any

from bench.errors import StoreError
from bench.machine.environment import device
from bench.machine.facts import Environment
from bench.plans.case import Case
from bench.plans.eligible import why_not
from bench.plans.plan import Plan
from bench.records.baseline import unsettled
from bench.records.fields import Attempt
from bench.records.record import Record
from bench.records.same import RESUME, SweepConditions, differences
from bench.records.store import Store
from bench.runs import largest, process
from bench.runs.job import REFERENCE_LIMIT_S, CaseAnswer, CaseJob, ReferenceAnswer, reference_job
from bench.runs.process import Ask
from bench.runs.request import request
from bench.runs.throttled import withhold, worth_another
from resnet.variants import VARIANTS

GOOD = ("ok", "skipped")
# What a case of a variant that compiles for minutes is taken to need before one of its like has run: no measurement,
# and enough that none starts when time is nearly up.
COMPILES_S = 60.0


class Events:
    """What a sweep tells while it runs; the command line overrides it to show progress."""

    def planned(self, total: int) -> None:
        """So many cases are about to run, skipped ones left out."""

    def starts(self, case: Case | str) -> None:
        """This case, or the references of a model, is now running."""

    def stage(self, name: str) -> None:
        """The running case is now in this stage."""

    def ended(self, record: Record) -> None:
        """A record is on disk."""


@dataclass(frozen=True)
class Turn:
    """A case that is due in a round; `run` runs it, and its record is on disk when that returns."""

    case: Case
    round: int
    place: int  # in the round's order; -1 of a case that is skipped
    run: Callable[[], Record]


@dataclass
class Sweep:
    """A plan on this machine. `run` yields each record when it is on disk."""

    plan: Plan
    store: Store
    env: Environment
    seed: int = 0
    source: str = "photos"
    resume: bool = False
    retry: bool = False  # resume, and run again what failed
    cold: bool = False  # every process finds its compile caches empty
    budget_s: float = float("inf")  # no case starts that would, by what its like took, end after this
    events: Events = field(default_factory=Events)
    ask: Ask = process.ask
    jobs: int = 1  # processes at once, for what is not timed
    left_out: list[Case] = field(default_factory=list)  # for want of budget

    def __post_init__(self) -> None:
        if self.jobs > 1 and self.plan.timed:
            raise ValueError("what is timed runs alone: several jobs are for a plan of the gate alone")
        self._lock, self._stop = Lock(), Event()

    def run(self) -> Iterator[Record]:
        """Each record when it is on disk; see `turns`."""
        with closing(self.turns()) as turns:
            if self.jobs > 1:
                yield from self._at_once(turns)
                return
            for turn in turns:
                yield turn.run()

    def _at_once(self, turns: Iterator[Turn]) -> Iterator[Record]:
        """Up to `jobs` turns at a time, each waited for by a thread; whatever ends this ends their processes."""
        running: set[Future[Record]] = set()
        self._stop.clear()
        with ThreadPoolExecutor(self.jobs) as pool:
            try:
                while turn := next(turns, None):
                    if turn.place >= 0:
                        self._reference(turn.case)  # by one alone, and before any needs it
                    alone = turn.case.largest  # a search for what fits has the memory to itself
                    yield from self._ended(running, 0 if alone else self.jobs - 1)
                    running.add(pool.submit(turn.run))
                    yield from self._ended(running, 0 if alone else self.jobs - 1)
                yield from self._ended(running, 0)
            finally:
                self._stop.set()  # where all have ended it stops nothing

    @staticmethod
    def _ended(running: set[Future[Record]], most: int) -> Iterator[Record]:
        """Records of turns that end, which are taken out of `running`, until no more than `most` run."""
        while len(running) > most:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            running -= done
            for future in done:
                yield future.result()

    def turns(self) -> Generator[Turn]:
        """What is due, one after the other: skipped cases first, then the rounds. Each is to be run before the next.

        Raises StoreError if a record cannot be kept, or the folder holds what this sweep cannot go on from.
        """
        self._start = time.monotonic()
        self._took: dict[str, float] = {}
        self._references: dict[tuple[str, int], process.Answer[ReferenceAnswer]] = {}
        skipped, self._able = self._sorted()
        with self.store.writing():
            self._records = self._earlier()
            done = {(r.case, r.round) for r in self._records if r.status in GOOD or not self.retry}
            for case, reason in skipped.items():
                if (case, 0) not in done:
                    yield Turn(case, 0, -1, partial(self._keep, Record(case, 0, "skipped", reason)))
            total = sum((case, number) not in done for case in self._able for number in range(self.plan.rounds))
            for number, cases in self._rounds():
                if number >= self.plan.rounds:  # which is known only now
                    total += sum((case, number) not in done for case in cases)
                self.events.planned(total)
                for place, case in enumerate(cases):
                    if (case, number) in done:
                        continue
                    if self._over_budget(case):
                        self.left_out.append(case)
                    else:
                        yield Turn(case, number, place, partial(self._run, case, number, place))

    def _earlier(self) -> list[Record]:
        """What the folder holds already, if this sweep may go on from it."""
        try:
            records = self.store.read()
        except StoreError:  # nothing there yet
            return []
        if records and not (self.resume or self.retry):
            raise StoreError(
                f"{self.store.folder} holds {len(records)} records already; "
                "go on from them with --resume, or choose another folder with -o"
            )
        differing = differences(records, SweepConditions.of(self.plan, self.env, self.seed, self.source), RESUME)
        if differing:
            raise StoreError(
                f"the records in {self.store.folder} were measured with another "
                f"{', another '.join(map(str, differing))}; "
                "choose another folder with -o"
            )
        return records

    def _sorted(self) -> tuple[dict[Case, str], list[Case]]:
        """Cases this machine cannot run, with the reasons, and the ones it can."""
        reasons = {case: why_not(case, self.env, self.plan.reserved) for case in self.plan.cases}
        skipped = {case: reason for case, reason in reasons.items() if reason}
        return skipped, [case for case in self.plan.cases if case not in skipped]

    def _rounds(self) -> Iterator[tuple[int, list[Case]]]:
        """Every case once a round, in an order shuffled by the seed: a drift meets others in the next round.

        Where time is short the first round goes in the plan's order, what compiles for minutes behind the rest: what it
        leaves out is then of least value, and a drift is for the rounds that follow to tell. After the plan's rounds,
        up to its limit, come those whose ratio to eager is not known well enough yet.
        """
        for number in range(max(self.plan.rounds, self.plan.rounds_limit)):
            cases = list(self._able)
            if number >= self.plan.rounds:
                open_ = unsettled(cases, self._records, self.plan.settings.ratio)
                cases = [case for case in cases if case in open_]
            if not cases:
                return
            if number == 0 and self.budget_s < float("inf"):
                cases.sort(key=lambda case: VARIANTS[case.variant].compiles_long)
            else:
                random.Random(f"{self.seed} {number}").shuffle(cases)
            yield number, cases

    def _reference(self, case: Case) -> process.Answer[ReferenceAnswer]:
        """Reference files of a model and image size, made at the first need: for all its cases in the plan at once."""
        key = case.model, case.image
        if key not in self._references:
            group = [other for other in self._able if (other.model, other.image) == key]
            self.events.starts(f"references for {case.model} at {case.image}")
            job = reference_job(group, self.plan.settings, device(self.env), self.seed, self.source)
            self._references[key] = request(job, REFERENCE_LIMIT_S, self.events.stage, self._asking())
        return self._references[key]

    def _run(self, case: Case, number: int, place: int) -> Record:
        return self._keep(self._one(case, number, place))

    def _one(self, case: Case, number: int, place: int) -> Record:
        reference = self._reference(case)
        with self._lock:
            self.events.starts(case)
        started = datetime.now(UTC).isoformat(timespec="seconds")
        if reference.status != "ok":
            reason = f"no reference to hold it against: {reference.reason}"
            return self._record(case, number, place, started, process.Answer(reference.status, reason, {}, 0.0))
        answer = self._asked(case, reference.data["paths"])
        again = worth_another(answer, self.plan.timed)
        attempts: list[Attempt] = []
        if again:
            attempts.append({"status": answer.status, "reason": again})
            answer = self._asked(case, reference.data["paths"])
        self._took[case.variant] = answer.wall_s
        record = self._record(case, number, place, started, answer)
        record.attempts = attempts
        if self.plan.timed:
            withhold(record, self.plan.settings.samples)
        return record

    def _asked(self, case: Case, paths: dict[str, str]) -> process.Answer[CaseAnswer]:
        """One process of the case; a cold one in compile caches of its own, which go when it does.

        A case that asks for the largest batch is a search, with many.
        """
        settings, ask = self.plan.settings, self._asking()
        job = CaseJob(case, settings, device(self.env), self.seed, self.source, paths)
        if case.largest:
            return largest.find(ask, job, self.events.stage)
        with tempfile.TemporaryDirectory(prefix="resnet-bench-cold-") if self.cold else nullcontext("") as caches:
            return request(replace(job, caches=caches), settings.limit_s, self.events.stage, ask)

    def _asking(self) -> Ask:
        """How a process is asked: by one of several threads, so that it can be stopped."""
        return partial(self.ask, stop=self._stop) if self.jobs > 1 else self.ask

    def _record(self, case: Case, number: int, place: int, started: str, answer: process.Answer[Any]) -> Record:
        known = {item.name for item in fields(Record)}
        told = {key: value for key, value in answer.data.items() if key in known}
        return Record(case, number, answer.status, answer.reason, place, started=started, wall_s=answer.wall_s, **told)

    def _keep(self, record: Record) -> Record:
        record.device = device(self.env)
        record.seed = self.seed
        record.plan = {"name": self.plan.name, "digest": self.plan.digest}
        record.settings = asdict(self.plan.settings)
        record.environment = self.env
        with self._lock:
            self.store.append(record)
            self._records.append(record)
            self.events.ended(record)
        return record

    def _over_budget(self, case: Case) -> bool:
        """Whether this case would end too late, if it takes what the last of its variant took (else the longest)."""
        least = COMPILES_S if VARIANTS[case.variant].compiles_long else 0.0
        expected = self._took.get(case.variant, max(*list(self._took.values()), least, 0.0))
        return time.monotonic() - self._start + expected > self.budget_s
