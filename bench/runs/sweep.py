"""Rounds over the cases of a plan: each case is a fresh process, and its record is on disk before the next starts."""

from __future__ import annotations

import random
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
from bench.files import owned_folder
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
from bench.runs.throttled import reason_to_retry, withhold
from resnet.variants import find_variant

GOOD = ("ok", "skipped")
# The assumed seconds of a case of a variant that compiles for minutes, until one has run. It is a guess, large enough
# that none starts when time is nearly up.
COMPILE_S = 60.0


class Events:
    """The events of a running sweep; the command line overrides them to show progress."""

    def planned(self, total: int) -> None:
        """`total` cases are about to run, without skipped ones."""

    def starts(self, case: Case | str) -> None:
        """This case, or the references of a model, is now running."""

    def stage(self, name: str) -> None:
        """The running case is now in this stage."""

    def ended(self, record: Record) -> None:
        """A record is on disk."""


@dataclass(frozen=True)
class Turn:
    """A case that is due in a round; `run` runs it and returns its record, which is then on disk."""

    case: Case
    round: int
    place: int  # in the round's order; -1 for a skipped case
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
    cold: bool = False  # every process starts with empty compile caches
    budget_s: float = float("inf")  # no case starts that would end later, going by the time of others of its variant
    events: Events = field(default_factory=Events)
    ask: Ask = process.ask
    jobs: int = 1  # processes at once, for what is not timed
    left_out: list[Case] = field(default_factory=list)  # as they would exceed the budget

    def __post_init__(self) -> None:
        if self.jobs > 1 and self.plan.timed:
            raise ValueError("timed cases run one at a time: several jobs are for a plan of the gate alone")
        self._lock, self._stop = Lock(), Event()

    def run(self) -> Iterator[Record]:
        """Yield each record when it is on disk; see `turns`."""
        with closing(self.turns()) as turns:
            if self.jobs > 1:
                yield from self._at_once(turns)
                return
            for turn in turns:
                yield turn.run()

    def _at_once(self, turns: Iterator[Turn]) -> Iterator[Record]:
        """Run up to `jobs` turns at a time, each in a thread; their processes end when this does."""
        running: set[Future[Record]] = set()
        self._stop.clear()
        with ThreadPoolExecutor(self.jobs) as pool:
            try:
                while turn := next(turns, None):
                    if turn.place >= 0:
                        self._reference(turn.case)  # computed once, before any thread needs it
                    exclusive = turn.case.largest  # a search for what fits has the memory to itself
                    yield from self._collect(running, 0 if exclusive else self.jobs - 1)
                    running.add(pool.submit(turn.run))
                    yield from self._collect(running, 0 if exclusive else self.jobs - 1)
                yield from self._collect(running, 0)
            finally:
                self._stop.set()  # ends the processes that still run after an exception

    @staticmethod
    def _collect(running: set[Future[Record]], limit: int) -> Iterator[Record]:
        """Yield the records of turns as they end, and remove these from `running`, until at most `limit` run."""
        while len(running) > limit:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            running -= done
            for future in done:
                yield future.result()

    def turns(self) -> Generator[Turn]:
        """Yield the turns that are due: skipped cases first, then the rounds. Each must be run before the next.

        Raises StoreError if a record cannot be written, or the folder has records that this sweep cannot continue, and
        PlanError where the plan's checkpoint cannot be read.
        """
        self._start = time.monotonic()
        self._took: dict[str, float] = {}
        self._references: dict[tuple[str, int], process.Answer[ReferenceAnswer]] = {}
        self._now = SweepConditions.of(self.plan, self.env, self.seed, self.source)
        skipped, self._runnable = self._split_cases()
        with self.store.writing():
            self._records = self._earlier_records()
            done = self._done(self._records)
            for case, reason in skipped.items():
                if (case, 0) not in done:
                    yield Turn(case, 0, -1, partial(self._append, Record(case, 0, "skipped", reason)))
            total = sum((case, number) not in done for case in self._runnable for number in range(self.plan.rounds))
            for number, cases in self._rounds():
                if number >= self.plan.rounds:  # an added round, whose cases depend on the results so far
                    total += sum((case, number) not in done for case in cases)
                self.events.planned(total)
                for place, case in enumerate(cases):
                    if (case, number) in done:
                        continue
                    if self._over_budget(case):
                        self.left_out.append(case)
                    else:
                        yield Turn(case, number, place, partial(self._run, case, number, place))

    def due(self) -> list[Case]:
        """Return the case of each execution that `run` would do now, without those of added rounds; nothing is written.

        Raises as `turns`.
        """
        self._now = SweepConditions.of(self.plan, self.env, self.seed, self.source)
        _, runnable = self._split_cases()
        done = self._done(self._earlier_records())
        return [case for number in range(self.plan.rounds) for case in runnable if (case, number) not in done]

    def _done(self, records: list[Record]) -> set[tuple[Case, int]]:
        return {(record.case, record.round) for record in records if record.status in GOOD or not self.retry}

    def _earlier_records(self) -> list[Record]:
        """Return the records that the folder has already. Raises StoreError if this sweep must not continue them."""
        try:
            records = self.store.read()
        except StoreError:  # nothing there yet
            return []
        if records and not (self.resume or self.retry):
            raise StoreError(
                f"{self.store.folder} holds {len(records)} records already; "
                "go on from them with --resume, or choose another folder with -o"
            )
        differing = differences(records, self._now, RESUME)
        if differing:
            raise StoreError(
                f"the records in {self.store.folder} were measured with another "
                f"{', another '.join(differing)}; "
                "choose another folder with -o"
            )
        return records

    def _split_cases(self) -> tuple[dict[Case, str], list[Case]]:
        """Return the cases that this machine cannot run, with the reasons, and those that it can."""
        reasons = {case: why_not(case, self.env, self.plan.reserved) for case in self.plan.cases}
        skipped = {case: reason for case, reason in reasons.items() if reason}
        return skipped, [case for case in self.plan.cases if case not in skipped]

    def _rounds(self) -> Iterator[tuple[int, list[Case]]]:
        """Yield the number and the cases of each round, shuffled by the seed against drift.

        With a budget the first round is in the plan's order, with variants that compile for minutes at the end, so that
        the cases that are left out are worth least. After the plan's rounds, up to its limit, come rounds of the cases
        whose ratio to eager is not settled.
        """
        for number in range(max(self.plan.rounds, self.plan.rounds_limit)):
            cases = list(self._runnable)
            if number >= self.plan.rounds:
                open_cases = unsettled(cases, self._records, self.plan.settings.ratio)
                cases = [case for case in cases if case in open_cases]
            if not cases:
                return
            if number == 0 and self.budget_s < float("inf"):
                cases.sort(key=lambda case: find_variant(case.variant).compiles_long)
            else:
                random.Random(f"{self.seed} {number}").shuffle(cases)
            yield number, cases

    def _reference(self, case: Case) -> process.Answer[ReferenceAnswer]:
        """Return the reference files of the case's model and image size; computes them once, for all its cases."""
        key = case.model, case.image
        if key not in self._references:
            group = [other for other in self._runnable if (other.model, other.image) == key]
            self.events.starts(f"references for {case.model} at {case.image}")
            job = reference_job(group, self.plan.settings, device(self.env), self.seed, self.source, self.plan.build)
            self._references[key] = request(job, REFERENCE_LIMIT_S, self.events.stage, self._ask_stoppable())
        return self._references[key]

    def _run(self, case: Case, number: int, place: int) -> Record:
        return self._append(self._run_case(case, number, place))

    def _run_case(self, case: Case, number: int, place: int) -> Record:
        reference = self._reference(case)
        with self._lock:
            self.events.starts(case)
        started = datetime.now(UTC).isoformat(timespec="seconds")
        if reference.status != "ok":
            reason = f"no reference to hold it against: {reference.reason}"
            return self._record(case, number, place, started, process.Answer(reference.status, reason, {}, 0.0))
        answer = self._measure(case, reference.data["paths"])
        retry_reason = reason_to_retry(answer, self.plan.timed)
        attempts: list[Attempt] = []
        if retry_reason:
            attempts.append({"status": answer.status, "reason": retry_reason})
            answer = self._measure(case, reference.data["paths"])
        self._took[case.variant] = answer.wall_s
        record = self._record(case, number, place, started, answer)
        record.attempts = attempts
        if self.plan.timed:
            withhold(record, self.plan.settings.samples)
        return record

    def _measure(self, case: Case, paths: dict[str, str]) -> process.Answer[CaseAnswer]:
        """Run one process of the case; a cold one gets empty compile caches, which are removed after it.

        A case with batch `max` is a search, with many processes.
        """
        settings, ask = self.plan.settings, self._ask_stoppable()
        job = CaseJob(case, settings, device(self.env), self.seed, self.source, paths, build=self.plan.build)
        if case.largest:
            return largest.search_largest(ask, job, self.events.stage)
        with owned_folder("cold") if self.cold else nullcontext("") as caches:
            return request(replace(job, caches=str(caches)), settings.limit_s, self.events.stage, ask)

    def _ask_stoppable(self) -> Ask:
        """Return `ask`, which in a sweep with threads also ends its process when `_stop` is set."""
        return partial(self.ask, stop=self._stop) if self.jobs > 1 else self.ask

    def _record(self, case: Case, number: int, place: int, started: str, answer: process.Answer[Any]) -> Record:
        names = {field.name for field in fields(Record)}
        measured = {key: value for key, value in answer.data.items() if key in names}
        return Record(
            case, number, answer.status, answer.reason, place, started=started, wall_s=answer.wall_s, **measured
        )

    def _append(self, record: Record) -> Record:
        record.device = device(self.env)
        record.seed = self.seed
        record.plan = {"name": self.plan.name, "digest": self.plan.digest}
        record.settings = asdict(self.plan.settings)
        record.environment = self.env
        record.network = {**self._now.network, **record.network}
        with self._lock:
            self.store.append(record)
            self._records.append(record)
            self.events.ended(record)
        return record

    def _over_budget(self, case: Case) -> bool:
        """Return whether this case would end too late if it takes as long as its variant's last, else the longest."""
        minimum = COMPILE_S if find_variant(case.variant).compiles_long else 0.0
        expected = self._took.get(case.variant, max([minimum, *self._took.values()]))
        return time.monotonic() - self._start + expected > self.budget_s
