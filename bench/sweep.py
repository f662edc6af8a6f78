"""Rounds over the cases of a plan, each case a fresh process, each end a record on disk before the next one starts."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

from bench import process
from bench.case import Case
from bench.eligible import why_not
from bench.environment import device
from bench.job import REFERENCE_LIMIT_S, case_job, reference_job
from bench.plan import Plan
from bench.record import Record
from bench.store import Store

# On a GPU that another process filled for a moment, a second, fresh process may fit.
RETRIED = "memory"
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


@dataclass
class Sweep:
    """A plan on this machine. `run` yields each record when it is on disk."""

    plan: Plan
    store: Store
    env: dict[str, Any]
    seed: int = 0
    source: str = "photos"
    resume: bool = False
    budget_s: float = float("inf")  # no case starts that would, by what its like took, end after this
    events: Events = field(default_factory=Events)
    ask: Ask = process.ask
    left_out: list[Case] = field(default_factory=list)  # for want of budget

    def run(self) -> Iterator[Record]:
        """Skipped cases first, then the references, then the rounds. Raises StoreError if a record cannot be kept."""
        self._start = time.monotonic()
        self._took: dict[str, float] = {}
        done = self._done() if self.resume else Counter()
        skipped, able = self._sorted()
        with self.store.writing():
            for case, reason in skipped.items():
                if not done[case.name]:
                    yield self._keep(Record(case, 0, "skipped", reason))
            order = [(number, case) for number, case in self._rounds(able) if number >= done[case.name]]
            self.events.planned(len(order))
            references = self._references({case: None for _, case in order})
            for place, (number, case) in enumerate(order):
                if self._over_budget(case):
                    self.left_out.append(case)
                    continue
                self.events.starts(case)
                yield self._keep(self._one(case, number, place, references))

    def _done(self) -> Counter[str]:
        """How many rounds of each case are on disk already."""
        try:
            records = self.store.load()
        except OSError:  # nothing there yet
            return Counter()
        return Counter(record.case.name for record in records)

    def _sorted(self) -> tuple[dict[Case, str], list[Case]]:
        """Cases this machine cannot run, with the reasons, and the ones it can."""
        reasons = {case: why_not(case, self.env, self.plan.reserved) for case in self.plan.cases}
        skipped = {case: reason for case, reason in reasons.items() if reason}
        return skipped, [case for case in self.plan.cases if case not in skipped]

    def _rounds(self, cases: list[Case]) -> Iterator[tuple[int, Case]]:
        """Every case once a round, in an order shuffled by the seed: a drift meets others in the next round."""
        for number in range(self.plan.rounds):
            order = list(cases)
            random.Random(f"{self.seed} {number}").shuffle(order)
            yield from ((number, case) for case in order)

    def _references(self, cases: dict[Case, None]) -> dict[tuple[str, int], process.Answer]:
        """Reference files per model and image size, made for the largest batch, all precisions at once."""
        wanted: dict[tuple[str, int], list[Case]] = {}
        for case in cases:
            wanted.setdefault((case.model, case.image), []).append(case)
        answers = {}
        for (model, image), group in wanted.items():
            self.events.starts(f"references for {model} at {image}")
            job = reference_job(group, self.plan.settings, device(self.env), self.seed, self.source)
            answers[model, image] = self.ask(job, REFERENCE_LIMIT_S, self.events.stage)
        return answers

    def _one(self, case: Case, number: int, place: int, references: dict[tuple[str, int], process.Answer]) -> Record:
        reference = references[case.model, case.image]
        started = datetime.now(UTC).isoformat(timespec="seconds")
        if reference.status != "ok":
            reason = f"no reference to hold it against: {reference.reason}"
            return self._record(case, number, place, started, process.Answer(reference.status, reason, {}, 0.0))
        paths = reference.data["paths"]
        job = case_job(case, self.plan.settings, device(self.env), self.seed, self.source, paths)
        limit = self.plan.settings.limit_s
        answer = self.ask(job, limit, self.events.stage)
        if answer.status == RETRIED:
            answer = self.ask(job, limit, self.events.stage)
        self._took[case.variant] = answer.wall_s
        return self._record(case, number, place, started, answer)

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
        self.events.ended(record)
        return record

    def _over_budget(self, case: Case) -> bool:
        """Whether this case would end too late, if it takes what the last of its variant took (else the longest)."""
        expected = self._took.get(case.variant, max(self._took.values(), default=0.0))
        return time.monotonic() - self._start + expected > self.budget_s
