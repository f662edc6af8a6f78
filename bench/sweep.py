"""Rounds over the cases of a plan, each case a fresh process, each end a record on disk before the next one starts."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from functools import partial
from typing import Any

from bench import largest, process
from bench.baseline import unsettled
from bench.case import Case
from bench.eligible import why_not
from bench.environment import device
from bench.job import REFERENCE_LIMIT_S, case_job, reference_job
from bench.plan import Plan
from bench.record import Record
from bench.resume import differences
from bench.store import Store, StoreError

# The share of a case's samples, or of its throughput window, that may fall to throttling before it is run again.
TOO_MANY = 0.2
# and of the window, for it to have a speed after that
USELESS = 0.5
GOOD = ("ok", "skipped")
Ask = Callable[..., process.Answer]


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
    place: int  # in the round's shuffled order; -1 of a case that is skipped
    run: Callable[[], Record]


@dataclass
class Sweep:
    """A plan on this machine. `run` yields each record when it is on disk."""

    plan: Plan
    store: Store
    env: dict[str, Any]
    seed: int = 0
    source: str = "photos"
    resume: bool = False
    retry: bool = False  # resume, and run again what failed
    cold: bool = False  # every process finds its compile caches empty
    budget_s: float = float("inf")  # no case starts that would, by what its like took, end after this
    events: Events = field(default_factory=Events)
    ask: Ask = process.ask
    left_out: list[Case] = field(default_factory=list)  # for want of budget

    def run(self) -> Iterator[Record]:
        """Each record when it is on disk; see `turns`."""
        with closing(self.turns()) as turns:
            for turn in turns:
                yield turn.run()

    def turns(self) -> Generator[Turn]:
        """What is due, one after the other: skipped cases first, then the rounds. Each is to be run before the next.

        Raises StoreError if a record cannot be kept, or the folder holds what this sweep cannot go on from.
        """
        self._start = time.monotonic()
        self._took: dict[str, float] = {}
        self._references: dict[tuple[str, int], process.Answer] = {}
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
            records = self.store.load()
        except StoreError:  # nothing there yet
            return []
        if records and not (self.resume or self.retry):
            raise StoreError(
                f"{self.store.folder} holds {len(records)} records already; "
                "go on from them with --resume, or choose another folder with -o"
            )
        differing = differences(records, self.env, asdict(self.plan.settings), self.seed, self.source)
        if differing:
            raise StoreError(
                f"the records in {self.store.folder} were measured with another {', another '.join(differing)}; "
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

        After the plan's rounds, up to its limit, those whose ratio to eager is not known well enough yet.
        """
        for number in range(max(self.plan.rounds, self.plan.rounds_limit)):
            cases = list(self._able)
            if number >= self.plan.rounds:
                open_ = unsettled(cases, self._records, self.plan.settings.ratio)
                cases = [case for case in cases if case in open_]
            if not cases:
                return
            random.Random(f"{self.seed} {number}").shuffle(cases)
            yield number, cases

    def _reference(self, case: Case) -> process.Answer:
        """Reference files of a model and image size, made at the first need: for all its cases in the plan at once."""
        key = case.model, case.image
        if key not in self._references:
            group = [other for other in self._able if (other.model, other.image) == key]
            self.events.starts(f"references for {case.model} at {case.image}")
            job = reference_job(group, self.plan.settings, device(self.env), self.seed, self.source)
            self._references[key] = self.ask(job, REFERENCE_LIMIT_S, self.events.stage)
        return self._references[key]

    def _run(self, case: Case, number: int, place: int) -> Record:
        return self._keep(self._one(case, number, place))

    def _one(self, case: Case, number: int, place: int) -> Record:
        reference = self._reference(case)
        self.events.starts(case)
        started = datetime.now(UTC).isoformat(timespec="seconds")
        if reference.status != "ok":
            reason = f"no reference to hold it against: {reference.reason}"
            return self._record(case, number, place, started, process.Answer(reference.status, reason, {}, 0.0))
        answer = self._asked(case, reference.data["paths"])
        again = _worth_another(answer)
        attempts = []
        if again:
            attempts.append({"status": answer.status, "reason": again})
            answer = self._asked(case, reference.data["paths"])
        self._took[case.variant] = answer.wall_s
        record = self._record(case, number, place, started, answer)
        record.attempts = attempts
        _withhold(record, self.plan.settings.samples)
        return record

    def _asked(self, case: Case, paths: dict[str, str]) -> process.Answer:
        """One process of the case; a cold one in compile caches of its own, which go when it does.

        A case that asks for the largest batch is a search, with many.
        """
        settings, where = self.plan.settings, device(self.env)
        if case.largest:
            return largest.find(self.ask, case, settings, where, self.seed, self.source, paths, self.events.stage)
        with tempfile.TemporaryDirectory(prefix="resnet-bench-cold-") if self.cold else nullcontext("") as caches:
            job = case_job(case, settings, where, self.seed, self.source, paths, caches)
            return self.ask(job, settings.limit_s, self.events.stage)

    def _record(self, case: Case, number: int, place: int, started: str, answer: process.Answer) -> Record:
        known = {item.name for item in fields(Record)}
        told = {key: value for key, value in answer.data.items() if key in known}
        return Record(case, number, answer.status, answer.reason, place, started=started, wall_s=answer.wall_s, **told)

    def _keep(self, record: Record) -> Record:
        record.device = device(self.env)
        record.seed = self.seed
        record.plan = {"name": self.plan.name, "digest": self.plan.digest}
        record.settings = asdict(self.plan.settings)
        record.environment = self.env
        self.store.append(record)
        self._records.append(record)
        self.events.ended(record)
        return record

    def _over_budget(self, case: Case) -> bool:
        """Whether this case would end too late, if it takes what the last of its variant took (else the longest)."""
        expected = self._took.get(case.variant, max(self._took.values(), default=0.0))
        return time.monotonic() - self._start + expected > self.budget_s


def _worth_another(answer: process.Answer) -> str:
    """Why a second, fresh process may do better; empty if it would not.

    On a GPU that another process filled for a moment it may fit; on a machine that throttled for a moment it may not.
    """
    if answer.status == "memory":
        return answer.reason
    if answer.status != "ok" or fallen(answer.data) <= TOO_MANY:
        return ""
    return _throttled(answer.data)


def fallen(data: dict[str, Any]) -> float:
    """The larger of two shares: of the latency samples, and of the throughput window, that fell to throttling."""
    told, samples, window = data.get("throttled", {}), data.get("latency_ns", ()), data.get("throughput", {})
    lost = sum(last - first + 1 for first, last in told.get("latency", ()))
    return max(lost / max(1, len(samples)), told.get("throughput_s", 0.0) * 1e9 / window.get("ns", 1e9))


def _throttled(data: dict[str, Any]) -> str:
    reasons = ", ".join(data.get("watch", {}).get("spoilt_s", ())) or "see watch"
    return (
        f"{fallen(data):.0%} of the samples, or of the throughput window, fell while the machine throttled ({reasons})"
    )


def _withhold(record: Record, samples: int) -> None:
    """No speed for what throttling left fewer than `samples` of; what was sampled stays."""
    if record.status != "ok" or not record.throttled:
        return
    data = {name: getattr(record, name) for name in ("throttled", "latency_ns", "throughput", "watch")}
    few = len(record.kept("latency_ns")) < min(len(record.latency_ns), samples)
    window = record.throttled.get("throughput_s", 0.0) * 1e9 > USELESS * record.throughput.get("ns", float("inf"))
    if few or window:
        record.status, record.reason = "throttled", _throttled(data)
