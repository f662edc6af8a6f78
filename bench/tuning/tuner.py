"""The tuner's parent process, without torch: it has candidates tried in order, keeps the trials, and ends in time.

`bench.tuning.order` has the order. Candidates run in child processes (`bench.worker.tune.search`), many in each,
because a process takes seconds to start. A candidate that kills its process is identified by the child's last message,
and fails alone.
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
from bench.runs.process import request
from bench.runs.restart import InFlight, restart
from bench.tuning.gpus import Gpu, predict_us
from bench.tuning.networks import Network
from bench.tuning.order import Target, order_candidates, take_turns, time_shares
from bench.tuning.trials import Trial, TrialStore
from kernels.compiled.bundle import sources_digest
from kernels.table import Entry

CAP = 32  # candidates a layer where no time limit decides
BATCH = 128  # candidates a process: it starts in some 8 s
EACH_S = 1.0  # of a candidate, with its share of a process: a guess until some have been timed
START_S = 10.0  # with less than this left, no process is started
GRACE_S = 30.0  # for the candidate that runs when the time is up
LIMIT_S = 3600.0  # of a process, beside the shorter limits of its candidates
STRIKES = 2  # processes in a row that do nothing, after which the tuner gives up


def build_of(versions: dict[str, str]) -> str:
    """Return the versions that a measurement depends on beside the GPU; another build measures everything again."""
    return f"torch {versions['torch']}, triton {versions['triton']}, kernels {sources_digest()}"


Visit = tuple[Target, list[str]]


@dataclass
class Tuner:
    """The tuning of networks' layers on one GPU; `on_trial` receives every trial once it is on disk."""

    gpu: Gpu
    versions: dict[str, str]
    store: TrialStore
    networks: list[Network]
    budget_s: float = float("inf")
    cap: int | None = CAP
    device: str = "cuda"
    seed: int = 0
    on_trial: Callable[[Trial], None] = lambda trial: None
    ask: process.Ask = process.ask
    now: Callable[[], float] = time.monotonic
    batch: int = BATCH
    targets: list[Target] = field(default_factory=list)

    def tune(self) -> None:
        """Try candidates until none is left or the time is up.

        Raises StoreError where a trial cannot be written, TuningError where processes do nothing.
        """
        self._start, self._ended = self.now(), 0
        self._end = self._start + self.budget_s
        self._build = build_of(self.versions)
        with self.store.writing() as trials:
            self._resume(trials)
            while (visits := self._next_visits()) and not self.late:
                self._try(visits)

    @property
    def late(self) -> bool:
        return self.now() > self._end - START_S

    def _resume(self, trials: list[Trial]) -> None:
        """Set up the targets with the trials of the same build; the best of other builds is the first to try again."""
        earlier = {entry.layer: entry for entry in self.store.table if entry.gpu == self.gpu.name}
        for layer, share in time_shares(self.networks, self.gpu).items():
            best = earlier.get(layer.key)
            again = [best.config] if best and best.chosen == "measured" else []
            candidates = list(dict.fromkeys([*again, *order_candidates(layer, self.gpu)]))
            self.targets.append(Target(layer, share, candidates[: self.cap]))
        by_key = {target.layer.key: target for target in self.targets}
        for trial in trials:
            target = by_key.get(trial.layer)
            if target and (trial.gpu, trial.made_by) == (self.gpu.name, self._build):
                target.add(trial)
        for target in self.targets:  # an earlier run may have been killed between the trial and the table
            entry = earlier.get(target.layer.key)
            if target.best and (entry is None or entry.config != target.best):
                self._enter(target)

    def _next_visits(self) -> list[Visit]:
        """Return the next candidates, as many as a process or the time allows, those of a layer together.

        The operands of a layer and their reference are computed once for all its candidates.
        """
        left = self._end - self.now() - START_S
        each = (self.now() - self._start) / self._ended if self._ended else EACH_S
        visits: dict[str, Visit] = {target.layer.key: (target, []) for target in self.targets}
        for target, config in islice(take_turns(self.targets), max(1, int(min(self.batch, left / each)))):
            visits[target.layer.key][1].append(config)
        return [visit for visit in visits.values() if visit[1]]

    def _try(self, visits: list[Visit]) -> None:
        """Try the candidates of some visits, in as many processes as that takes, or until the time is up."""
        batch = _Batch(visits)

        def receive(stage: str) -> None:
            for ended in batch.receive(stage):
                self._record(*ended)

        def start(alone: bool) -> process.Answer[Empty] | None:
            if not batch.waiting:
                return None
            seconds = min(self._end - self.now(), LIMIT_S)
            visits, compiled = batch.left()
            threads = 1 if alone else 0
            job = TryJob(visits, compiled, self.device, self.gpu.arch, self.seed, threads, seconds)
            return request(job, seconds + GRACE_S, receive, self.ask)

        def blame(number: int, answer: process.Answer[Empty]) -> None:
            if not self.late:  # otherwise the time limit ended it
                self._record(*batch.end(number, {"status": "failed", "reason": answer.reason}))

        until = self._end - START_S
        ending = restart(start, batch.hand, blame, strikes=STRIKES, final=(), until=until, now=self.now)
        if ending.gave_up and ending.answer and not self.late:
            raise TuningError(f"the tuner's process does nothing: {ending.answer.status}: {ending.answer.reason}")

    def _record(self, target: Target, config: str, ended: TrialEnd) -> None:
        """Write a trial to disk, and the table, too, where the best has changed."""
        when = datetime.now(UTC).isoformat(timespec="seconds")
        times = {"us": ended.get("us"), "beside_us": ended.get("beside_us")}
        trial = Trial(
            self.gpu.name, target.layer.key, config, ended["status"],
            predicted_us=predict_us(target.layer, config, self.gpu), reason=ended.get("reason", ""),
            when=when, made_by=self._build, **times,
        )  # fmt: skip
        self._ended += 1
        self.store.append(trial)
        previous = target.best
        target.add(trial)
        if target.best != previous:
            self._enter(target)
        self.on_trial(trial)

    def _enter(self, target: Target) -> None:
        """Replace the table's entry of a layer by its best so far, if there is one."""
        self.store.remove(self.gpu.name, target.layer.key)
        if target.best:
            trial = target.tried[target.best]
            us = round(trial.us or 0.0, 3)
            fields = (trial.gpu, trial.layer, trial.config, "measured", us, trial.when, self.versions["triton"])
            self.store.table.add(Entry(*fields))
        self.store.save()


class _Batch:
    """The numbered candidates of some visits and how far each is, updated by the messages of a child."""

    def __init__(self, visits: list[Visit]) -> None:
        self.visits = visits
        self.candidates: dict[int, tuple[Target, str]] = {}
        for target, configs in visits:
            for config in configs:
                self.candidates[len(self.candidates)] = (target, config)
        self.waiting = set(self.candidates)
        self.hand: InFlight[int] = InFlight()
        self.compiled: set[int] = set()

    def left(self) -> tuple[list[VisitRow], list[int]]:
        """Return the visits and the compiled candidates that are left; a best is numbered, too, to be blamed by."""
        visits: list[VisitRow] = []
        for target, _ in self.visits:
            left = [(n, config) for n, (of, config) in self.candidates.items() if of is target and n in self.waiting]
            best = None
            if target.best and left:
                best = (len(self.candidates), target.best)
                self.candidates[best[0]] = (target, target.best)
            if left:
                visits.append({"layer": asdict(target.layer), "best": best, "challengers": left})
        return visits, sorted(self.compiled & self.waiting)

    def receive(self, stage: str) -> list[tuple[Target, str, TrialEnd]]:
        """Return the candidate that ends with a message of the child, if one does, and its outcome."""
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
        return (*self.candidates[number], ended)
