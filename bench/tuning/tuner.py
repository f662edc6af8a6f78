"""The tuner's parent, without torch: candidates tried in their order (`bench.tuning.order`), kept, ended in time.

Candidates run in child processes (`bench.worker.tune.search`), many in each, as a process takes seconds to start. One
that takes its process down is found by what was told last, and costs itself.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import islice

from bench.errors import TuningError
from bench.runs import process
from bench.runs.job import Empty
from bench.runs.kernel_jobs import TrialEnd, TryJob, VisitRow
from bench.runs.request import request
from bench.runs.restart import InFlight, restart
from bench.tuning.gpus import Gpu, predicted
from bench.tuning.networks import Network
from bench.tuning.order import Target, ordered, shares, turns
from bench.tuning.trials import Kept, Trial
from kernels.compiled.bundle import sources_digest
from kernels.table import Entry

CAP = 32  # candidates a layer where no time limit decides
BATCH = 128  # candidates a process: it starts in some 8 s
EACH_S = 1.0  # of a candidate, with its share of a process, until it is known: a guess
START_S = 10.0  # with less than this left, no process is started
GRACE_S = 30.0  # for the candidate that runs when the time is up
LIMIT_S = 3600.0  # of a process, which has shorter ones of its own
STRIKES = 2  # processes in a row that die before they do anything, or do nothing


def made_by(versions: dict[str, str]) -> str:
    """What a measurement depends on beside the GPU: another of these, and everything is to be measured again."""
    return f"torch {versions['torch']}, triton {versions['triton']}, kernels {sources_digest()}"


Visit = tuple[Target, list[str]]


@dataclass
class Tuner:
    """Layers on this GPU. `run` returns when all is tried, or the time is up; `told` hears every trial once kept."""

    gpu: Gpu
    versions: dict[str, str]
    kept: Kept
    networks: list[Network]
    budget_s: float = float("inf")
    cap: int | None = CAP
    device: str = "cuda"
    seed: int = 0
    told: Callable[[Target, Trial], None] = lambda target, trial: None
    ask: process.Ask = process.ask
    now: Callable[[], float] = time.monotonic
    batch: int = BATCH
    targets: list[Target] = field(default_factory=list)

    def run(self) -> None:
        """Raises StoreError if a trial cannot be kept, TuningError if no process does anything."""
        self._start, self._heard = self.now(), 0
        self._end = self._start + self.budget_s
        self._made_by = made_by(self.versions)
        with self.kept.writing() as trials:
            self._resume(trials)
            while (visits := self._round()) and not self.late:
                self._try(visits)

    @property
    def late(self) -> bool:
        return self.now() > self._end - START_S

    def _resume(self, trials: list[Trial]) -> None:
        """The targets, with what was tried by the same versions. What others found best is the first to try again."""
        earlier = {entry.layer: entry for entry in self.kept.table if entry.gpu == self.gpu.name}
        for layer, share in shares(self.networks, self.gpu).items():
            known = earlier.get(layer.key)
            again = [known.config] if known and known.chosen == "measured" else []
            candidates = list(dict.fromkeys([*again, *ordered(layer, self.gpu)]))
            self.targets.append(Target(layer, share, candidates[: self.cap]))
        by_key = {target.layer.key: target for target in self.targets}
        for trial in trials:
            target = by_key.get(trial.layer)
            if target and (trial.gpu, trial.made_by) == (self.gpu.name, self._made_by):
                target.note(trial)
        for target in self.targets:  # killed between the line of a trial and the table
            entry = earlier.get(target.layer.key)
            if target.best and (entry is None or entry.config != target.best):
                self._enter(target)

    def _round(self) -> list[Visit]:
        """The candidates whose turn is next, as many as a process, or the time, has: those of a layer together.

        A layer's operands and their right answer are made once for them all.
        """
        left = self._end - self.now() - START_S
        each = (self.now() - self._start) / self._heard if self._heard else EACH_S
        found: dict[str, Visit] = {target.layer.key: (target, []) for target in self.targets}
        for target, config in islice(turns(self.targets), max(1, int(min(self.batch, left / each)))):
            found[target.layer.key][1].append(config)
        return [visit for visit in found.values() if visit[1]]

    def _try(self, visits: list[Visit]) -> None:
        """See the candidates of some visits to their end, by as many processes as that takes, or until time is up."""
        batch = _Batch(visits)

        def hear(stage: str) -> None:
            for ended in batch.hear(stage):
                self._note(*ended)

        def start(alone: bool) -> process.Answer[Empty] | None:
            if not batch.waiting:
                return None
            seconds = min(self._end - self.now(), LIMIT_S)
            visits, compiled = batch.left()
            threads = 1 if alone else 0
            job = TryJob(visits, compiled, self.device, self.gpu.arch, self.seed, threads, seconds)
            return request(job, seconds + GRACE_S, hear, self.ask)

        def blame(number: int, answer: process.Answer[Empty]) -> None:
            if not self.late:  # else it is the time that ended it
                self._note(*batch.end(number, {"status": "failed", "reason": answer.reason}))

        until = self._end - START_S
        ending = restart(start, batch.hand, blame, strikes=STRIKES, final=(), until=until, now=self.now)
        if ending.gave_up and ending.answer and not self.late:
            raise TuningError(f"the tuner's process does nothing: {ending.answer.status}: {ending.answer.reason}")

    def _note(self, target: Target, config: str, ended: TrialEnd) -> None:
        """On disk first; the table, too, when its best is another one now."""
        when = datetime.now(UTC).isoformat(timespec="seconds")
        times = {"us": ended.get("us"), "beside_us": ended.get("beside_us")}
        trial = Trial(
            self.gpu.name, target.layer.key, config, ended["status"],
            predicted_us=predicted(target.layer, config, self.gpu), reason=ended.get("reason", ""),
            when=when, made_by=self._made_by, **times,
        )  # fmt: skip
        self._heard += 1
        self.kept.append(trial)
        was = target.best
        target.note(trial)
        if target.best != was:
            self._enter(target)
        self.told(target, trial)

    def _enter(self, target: Target) -> None:
        """The best so far of a layer, if there is one, as the table's entry."""
        self.kept.forget(self.gpu.name, target.layer.key)
        if target.best:
            trial = target.tried[target.best]
            us = round(trial.us or 0.0, 3)
            found = (trial.gpu, trial.layer, trial.config, "measured", us, trial.when, self.versions["triton"])
            self.kept.table.add(Entry(*found))
        self.kept.save()


class _Batch:
    """The candidates of some visits by number, and how far each is; what a child tells of them is heard here."""

    def __init__(self, visits: list[Visit]) -> None:
        self.visits = visits
        self.named: dict[int, tuple[Target, str]] = {}
        for target, configs in visits:
            for config in configs:
                self.named[len(self.named)] = (target, config)
        self.waiting = set(self.named)
        self.hand: InFlight[int] = InFlight()
        self.compiled: set[int] = set()

    def left(self) -> tuple[list[VisitRow], list[int]]:
        """The visits that are left, and what of them is compiled. A best so far has a number, too, to be blamed by."""
        visits: list[VisitRow] = []
        for target, _ in self.visits:
            left = [(n, config) for n, (of, config) in self.named.items() if of is target and n in self.waiting]
            best = None
            if target.best and left:
                best = (len(self.named), target.best)
                self.named[len(self.named)] = (target, target.best)
            if left:
                visits.append({"layer": asdict(target.layer), "best": best, "challengers": left})
        return visits, sorted(self.compiled & self.waiting)

    def hear(self, stage: str) -> list[tuple[Target, str, TrialEnd]]:
        """Candidates whose end this is, with what is told of it."""
        verb, _, rest = stage.partition(" ")
        number, _, rest = rest.partition(" ")
        if verb == "try":
            self.hand.begin(int(number))
        elif verb == "passed":
            self.hand.end(int(number))
            self.compiled.add(int(number))
        elif verb == "done":
            return [self.end(int(number), json.loads(rest))]
        return []

    def end(self, number: int, ended: TrialEnd) -> tuple[Target, str, TrialEnd]:
        self.hand.end(number)
        self.waiting.discard(number)
        return (*self.named[number], ended)
