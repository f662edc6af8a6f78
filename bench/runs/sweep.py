"""Rounds over the cases of a plan: each case is a fresh process, and its record is on disk before the next starts."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from functools import partial
from itertools import chain, count, groupby
from threading import Event, Lock

from bench.files import owned_folder
from bench.machine.environment import device
from bench.machine.facts import Environment
from bench.plans.case import Case
from bench.plans.eligible import why_none
from bench.plans.plan import Plan
from bench.plans.scored import labels_in
from bench.records.fields import Attempt
from bench.records.record import Record
from bench.records.same import SweepConditions
from bench.records.store import Store
from bench.runs import largest, process
from bench.runs.ahead import Ahead, compile_ahead, to_compile
from bench.runs.estimate import Budget
from bench.runs.forks import Forks
from bench.runs.job import REFERENCE_LIMIT_S, CaseAnswer, CaseJob, ReferenceAnswer, reference_job
from bench.runs.process import Ask, checked, request
from bench.runs.restart import at_once, reason_to_retry, withhold
from bench.runs.standing import References, Turn, compared, earlier_records, rounds_of, standing, without
from bench.runs.turns import Ended, Events, Group, Member, next_turn
from bench.text import at_pixels
from resnet.variants import find_variant


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
    data: str = ""  # a folder of labelled pictures, on which cases are scored
    left_out: list[Case] = field(default_factory=list)  # as they would exceed the budget

    def __post_init__(self) -> None:
        if self.jobs > 1 and self.plan.timed:
            raise ValueError("timed cases run one at a time: several jobs are for a plan of the gate alone")
        self._lock, self._stop, self._forks = Lock(), Event(), Forks()
        self._to_compile: list[Ahead] = []
        self.records: list[Record] = []  # of the folder
        self._live: list[tuple[int, list[Member]]] = []  # of each group the round, and the cases that are alive

    def run(self) -> Iterator[Record]:
        """Yield each record when it is on disk; see `groups`."""
        with closing(self.groups()) as groups:
            if self.jobs > 1:
                yield from self._at_once(chain.from_iterable(groups))
                return
            for group in groups:
                yield from self._run_group(group) if len(group) > 1 else [group[0].run()]

    def _at_once(self, turns: Iterator[Turn]) -> Iterator[Record]:
        """Run up to `jobs` turns at a time; each model's references are computed before any thread needs them."""

        def due() -> Iterator[tuple[Callable[[], Record], bool]]:
            for turn in turns:
                if turn.place >= 0:
                    self._references.of(turn.case, turn.round)
                yield turn.run, turn.case.largest  # a search for what fits has the memory to itself

        yield from at_once(due(), self.jobs, self._stop)

    def turns(self) -> Generator[Turn]:
        """Yield the turns of `groups`, each of which must be run before the next, alone."""
        with closing(self.groups()) as groups:
            yield from chain.from_iterable(groups)

    def groups(self) -> Generator[list[Turn]]:
        """Yield the groups of cases that are due: skipped ones first, then the rounds. Each must run before the next.

        A case that measures alone is a group. Raises StoreError if a record cannot be written, or the folder has
        records that this sweep cannot continue, and PlanError where the plan's checkpoint cannot be read.
        """
        self._budget = Budget(self.budget_s)
        self._now = SweepConditions.of(self.plan, self.env, self.seed, self.source)
        skipped, self._runnable = self._split_cases()
        self._references = References(self._runnable, self._in_turns, self._make_references)
        with self.store.writing(), closing(self._forks):
            self.records = earlier_records(self.store, self._now, self.resume or self.retry, self.data)
            done = standing(self.records, self.retry)
            for case, reason in skipped.items():
                if (case, 0) not in done:
                    yield [Turn(case, 0, -1, partial(self._append, Record(case, 0, "skipped", reason)))]
            short = self.budget_s < float("inf")
            total = sum((case, number) not in done for case in self._runnable for number in range(self.plan.rounds))
            self._to_compile = self.ahead(case for case in self._runnable if (case, 0) not in done)
            for number, cases in rounds_of(self.plan, self._runnable, self.records, self.seed, short, self._in_turns):
                if number >= self.plan.rounds:  # an added round, whose cases depend on the results so far
                    total += sum((case, number) not in done for case in cases)
                self.events.planned(total)
                self._forks.close()  # each round has other addresses
                due = [
                    Turn(case, number, place, partial(self._run, case, number, place))
                    for place, case in enumerate(cases)
                    if (case, number) not in done
                ]
                for _, group in groupby(due, lambda t: "" if self._in_turns and not t.case.largest else t.case.name):
                    if within := [turn for turn in group if not self._over_budget(turn.case)]:
                        yield within

    def ahead(self, cases: Iterable[Case]) -> list[Ahead]:
        """Return what is to be compiled ahead: nothing for cold starts, several jobs, or another checkout."""
        cases = () if self.cold or self.jobs > 1 or self.ask is not process.ask else dict.fromkeys(cases)
        return to_compile((self._job(case, {}) for case in cases), self.env)

    def due(self) -> list[Case]:
        """Return the case of each execution that `run` would do now, but of added rounds. Raises as `turns`."""
        self._now = SweepConditions.of(self.plan, self.env, self.seed, self.source)
        _, runnable = self._split_cases()
        done = standing(earlier_records(self.store, self._now, self.resume or self.retry, self.data), self.retry)
        return [case for number in range(self.plan.rounds) for case in runnable if (case, number) not in done]

    def _over_budget(self, case: Case, more_s: float = 0.0) -> bool:
        """Return whether this case is left out, as it would end too late, with `more_s` seconds after it."""
        over = self._budget.over(case, more_s)
        self.left_out += [case] if over else []
        return over

    def _split_cases(self) -> tuple[dict[Case, str], list[Case]]:
        """Return the cases that this machine cannot run, with the reasons, and those that it can."""
        reasons = why_none(self.plan.cases, self.env, self.plan.reserved)
        skipped = {case: reason for case, reason in reasons.items() if reason}
        return skipped, [case for case in self.plan.cases if case not in skipped]

    @property
    def _in_turns(self) -> bool:
        """True where cases take turns: on a GPU each process has the device to itself."""
        return self.plan.settings.turns > 1 and self.plan.timed and device(self.env) == "cpu"

    def _run(self, case: Case, number: int, place: int) -> Record:
        reference = self._references.of(case, number)
        self._compile_ahead(case)
        with self._lock:
            self.events.starts(case)
        started = datetime.now(UTC).isoformat(timespec="seconds")
        if reference.status != "ok":
            return self._append(self._record(Ended(case, started, without(reference)), number, place))
        paths = reference.data["paths"]
        ended = Ended(case, started, self._measure(case, paths))
        if reason := reason_to_retry(ended.answer, self.plan.timed):
            ended = self._try_again(ended, reason, paths)
        return self._keep(ended, number, place)

    def _try_again(self, ended: Ended, reason: str, paths: dict[str, str]) -> Ended:
        """Return the end of a second process of the case, which has the first as an attempt."""
        attempt: Attempt = {"status": ended.answer.status, "reason": reason}
        return replace(ended, answer=self._measure(ended.case, paths), attempts=[attempt])

    def unfinished(self) -> list[Record]:
        """Return records of the cases that are between turns: of what they have measured, and not yet checked again."""
        return [
            self._complete(self._record(Ended(m.case, m.started, process.Answer("ok", "", m.so_far, 0.0)), number, 0))
            for number, live in self._live
            for m in live
            if m.windows
        ]

    def _keep(self, ended: Ended, number: int, place: int) -> Record:
        self._budget.took[ended.case.variant] = ended.answer.wall_s
        return self._append(self._record(ended, number, place))

    def _run_group(self, turns: list[Turn]) -> Iterator[Record]:
        """Run cases in turns; yield each record when it is on disk. What compiles long comes after the first answers.

        The processes that such cases are held against sleep meanwhile.
        """
        with ExitStack() as stack:
            alike = [list(part) for _, part in groupby(turns, lambda turn: compared(turn.case))]
            numbers = count(next_turn(self.records, turns[0].round))
            groups = [stack.enter_context(closing(self._run_alike(part, numbers))) for part in alike]
            while groups:
                for group in list(groups):
                    for record in group:
                        if record is None:  # a part is over, and another follows
                            break
                        yield record
                    else:
                        groups.remove(group)

    def _run_alike(self, turns: list[Turn], numbers: Iterator[int]) -> Generator[Record | None]:
        """Run cases that are compared with each other; yield each record, and None after each part but the last."""
        number, places, before = turns[0].round, {turn.case: turn.place for turn in turns}, len(self.left_out)
        reference = self._references.of(turns[0].case, number)
        if reference.status != "ok":
            yield from (turn.run() for turn in turns)  # none has a process
            return
        start, chance = partial(self._start, reference.data["paths"]), random.Random(f"turns {self.seed} {number}")
        group = Group(
            list(places), start, self.plan.settings, chance, numbers,
            over=self._over_budget, left_s=self._budget.left_s, events=self.events,
        )  # fmt: skip
        kept: list[Record] = []
        again: list[tuple[Ended, str]] = []  # alone, when no other process of the group is left
        self._live.append((number, group.live))
        for member in group.run():
            if isinstance(member, list):
                ran = [*kept, *(one for one in self.unfinished() if one.case in places)]
                self.events.so_far(ran, len(places.keys() - {one.case for one in ran} - set(self.left_out[before:])))
                yield None
                continue
            ended = replace(member, answer=checked(self._job(member.case, {}), member.answer))
            if not ended.attempts and (reason := reason_to_retry(ended.answer, self.plan.timed)):
                again.append((ended, reason))
            else:
                kept.append(self._keep(ended, number, places[ended.case]))
                yield kept[-1]
        for ended, reason in again:
            ended = self._try_again(ended, reason, reference.data["paths"])
            yield self._keep(ended, number, places[ended.case])

    @contextmanager
    def _start(self, paths: dict[str, str], case: Case) -> Iterator[process.Child]:
        """Start a process of the case, which takes turns."""
        self._compile_ahead(case)
        self.events.starts(case)
        with owned_folder("cold") if self.cold else nullcontext("") as caches:
            job = replace(self._job(case, paths), caches=str(caches), in_turns=True)
            with process.started(job.to_json(), self.events.stage, talks=True, forks=self._forks) as child:
                yield child

    def _measure(self, case: Case, paths: dict[str, str]) -> process.Answer[CaseAnswer]:
        """Run one process of the case; with batch `max` a search, which takes many."""
        ask, job = self._ask_stoppable(), self._job(case, paths)
        if case.largest:
            return largest.search_largest(ask, job, self.events.stage)
        if ask is process.ask:
            ask = partial(ask, forks=self._forks)
        with owned_folder("cold") if self.cold else nullcontext("") as caches:
            return request(replace(job, caches=str(caches)), job.settings.limit_s, self.events.stage, ask)

    def _job(self, case: Case, paths: dict[str, str]) -> CaseJob:
        settings, build, data = self.plan.settings, self.plan.build, labels_in(case.model, self.data)
        return CaseJob(case, settings, device(self.env), self.seed, self.source, paths, build=build, data=data)

    def _compile_ahead(self, case: Case) -> None:
        """Compile all that is to be compiled ahead, before the first case that compiles has a process."""
        if self._to_compile and find_variant(case.variant).compiles_long:
            ahead, self._to_compile = self._to_compile, []
            compile_ahead(ahead, self.env, self._budget.left_s(), self.events)

    def _make_references(self, cases: list[Case]) -> process.Answer[ReferenceAnswer]:
        whose = f"{cases[0].model}{at_pixels(cases[0].image)}"
        self.events.starts(f"float64 reference answers of {whose}, that every case is checked against")
        settings, data = self.plan.settings, labels_in(cases[0].model, self.data)
        job = reference_job(cases, settings, device(self.env), self.seed, self.source, self.plan.build)
        job = replace(job, data=data, scored=settings.score_pictures) if data else job
        return request(job, max(REFERENCE_LIMIT_S, settings.limit_s), self.events.stage, self._ask_stoppable())

    def _ask_stoppable(self) -> Ask:
        """Return `ask`, which in a sweep with threads also ends its process when `_stop` is set."""
        return partial(self.ask, stop=self._stop) if self.jobs > 1 else self.ask

    def _record(self, ended: Ended, number: int, place: int) -> Record:
        answer, names = ended.answer, {field.name for field in fields(Record)}
        measured = {key: value for key, value in answer.data.items() if key in names} | {"attempts": ended.attempts}
        how = answer.status, answer.reason, place, "", ended.started, answer.wall_s
        record = Record(ended.case, number, *how, **measured)
        if self.plan.timed:
            withhold(record)
        return record

    def _complete(self, record: Record) -> Record:
        """Add to a record what all of this sweep have in common."""
        record.device = device(self.env)
        record.seed = self.seed
        record.plan = {"name": self.plan.name, "digest": self.plan.digest}
        record.settings = asdict(self.plan.settings)
        record.environment = self.env
        record.network = {**self._now.network, **record.network}
        return record

    def _append(self, record: Record) -> Record:
        self._complete(record)
        with self._lock:
            self.store.append(record)
            self.records.append(record)
            self.events.ended(record)
        return record
