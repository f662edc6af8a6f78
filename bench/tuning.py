"""The tuner's parent, without torch: which candidate is tried when, what is kept of it, and when it ends.

Every layer first has one candidate tried, the one that the model would take unmeasured. Then round follows round, and
in each a layer has a few more tried, the more of them the larger its predicted share of its network's time: whenever
the time is up, every layer has something, and most was spent where most is to be gained.

Candidates run in child processes (`bench.tune`), many in each, as a process takes seconds to start. One that takes its
process down is found by what was told last, and costs itself.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import process
from bench.environment import ROOT
from bench.trials import Kept, Trial
from kernels import cards, places
from kernels.choose import default, predicted_us, space
from kernels.config import Config, Layer
from kernels.space import machine_of
from kernels.table import Entry, Table

TUNED = places.tuned_folder()

CAP = 32  # candidates a layer where no time limit decides
ROUND = 4  # candidates a round, of a layer that takes a mean share of its network's time; up to four times that
BATCH = 128  # candidates a process: it starts in some 8 s
START_S = 10.0  # with less than this left, no process is started
GRACE_S = 30.0  # for the candidate that runs when the time is up
LIMIT_S = 3600.0  # of a process, which has shorter ones of its own
STRIKES = 2  # processes in a row that die before they do anything, or do nothing

# The model sees ties where the GPU will not (warps, stages, the shape of a box), and its best dozen are of one kind.
# Each further candidate with the same tile and the same way of copying waits behind others this much slower.
ALIKE = 0.1


class TuningError(Exception):
    """The tuner cannot go on; the message says why."""


@dataclass(frozen=True)
class Gpu:
    """What is tuned for; `arch` is the compute capability as 90. `name` is torch's, the key of the table."""

    name: str
    arch: int
    sms: int

    @property
    def file(self) -> Path:
        """Where its table is kept: results/tuned/nvidia-h200.json."""
        return places.tuned(self.name, TUNED.parent)


# What a table may be predicted for without one here.
KNOWN = {card.name: Gpu(card.name, card.arch, card.sms) for card in cards.CARDS}


def layer_from(data: dict[str, Any]) -> Layer:
    """A layer out of JSON, where a tuple is a list."""
    made: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}
    return Layer(**made)


@dataclass(frozen=True)
class Network:
    """A model at a batch and precision: its different layers, stem and head among them, and how often each runs."""

    model: str
    batch: int
    precision: str
    layers: dict[Layer, int]

    @staticmethod
    def read(data: dict[str, Any]) -> Network:
        layers = {layer_from(layer): count for layer, count in data["layers"]}
        return Network(data["model"], data["batch"], data["precision"], layers)


@dataclass
class Target:
    """A layer to tune: its candidates, best first as the model sees them; what came of those that were tried."""

    layer: Layer
    share: float  # of its network's predicted time, all its launches; of the largest, if several networks have it
    candidates: list[str]
    tried: dict[str, Trial] = field(default_factory=dict)
    best: str | None = None

    @property
    def left(self) -> list[str]:
        return [config for config in self.candidates if config not in self.tried]

    @property
    def us(self) -> float | None:
        return self.tried[self.best].us if self.best else None

    def note(self, trial: Trial) -> None:
        self.tried[trial.config] = trial
        if trial.status == "won":
            self.best = trial.config
        elif trial.config == self.best:  # once right, now not
            won = [trial for trial in self.tried.values() if trial.status == "won"]
            self.best = min(won, key=lambda trial: trial.us or 0.0).config if won else None

    def count(self, status: str) -> int:
        return sum(trial.status == status for trial in self.tried.values())


def made_by(versions: dict[str, str]) -> str:
    """What a measurement depends on beside the GPU: another of these, and everything is to be measured again."""
    sources = ("config", "conv", "conv_tma", "head", "launch", "packing", "stem", "stem_space")
    code = b"".join((ROOT / "kernels" / f"{name}.py").read_bytes() for name in sources)
    return f"torch {versions['torch']}, triton {versions['triton']}, kernels {hashlib.sha256(code).hexdigest()[:8]}"


def ordered(layer: Layer, gpu: Gpu) -> list[str]:
    """The search space, the model's own choice first, then the most promising."""
    machine = machine_of(gpu.arch, gpu.sms, gpu.name)
    alike: Counter[tuple[Any, ...]] = Counter()
    handicapped = {}
    for config in space(layer, gpu.arch, gpu.sms, gpu.name):
        kind = (config.impl, config.block_m, config.block_n, config.split_k)
        handicapped[str(config)] = predicted_us(layer, config, machine) * (1 + ALIKE * alike[kind])
        alike[kind] += 1
    first = str(default(layer, gpu.arch, gpu.sms, gpu.name))
    return list(dict.fromkeys([first, *sorted(handicapped, key=handicapped.__getitem__)]))


def predicted(layer: Layer, config: str, gpu: Gpu) -> float:
    return predicted_us(layer, Config.parse(config), machine_of(gpu.arch, gpu.sms, gpu.name))


def shares(networks: Iterable[Network], gpu: Gpu) -> dict[Layer, float]:
    """Each layer's share of its network's predicted time, the largest first."""
    found: dict[Layer, float] = {}
    for network in networks:
        us = {
            layer: count * predicted(layer, str(default(layer, gpu.arch, gpu.sms, gpu.name)), gpu)
            for layer, count in network.layers.items()
        }
        for layer in us:
            found[layer] = max(found.get(layer, 0.0), us[layer] / sum(us.values()))
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0].key)))


def model_table(networks: Iterable[Network], gpu: Gpu) -> Table:
    """What the model chooses for every layer; no time and no version, as nothing was compiled or run."""
    entries = []
    for layer in shares(networks, gpu):
        config = str(default(layer, gpu.arch, gpu.sms, gpu.name))
        us = round(predicted(layer, config, gpu), 2)
        entries.append(Entry(gpu.name, layer.key, config, "model", us, when="", triton=""))
    return Table(entries)


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
    ask: Callable[..., process.Answer] = process.ask
    now: Callable[[], float] = time.monotonic
    batch: int = BATCH
    targets: list[Target] = field(default_factory=list)

    def run(self) -> None:
        """Raises StoreError if a trial cannot be kept, TuningError if no process does anything."""
        self._end = self.now() + self.budget_s
        self._made_by = made_by(self.versions)
        with self.kept.writing() as trials:
            self._resume(trials)
            while visits := self._round():
                for batch in _batches(visits, self.batch):
                    if self.late:
                        return
                    self._try(batch)

    @property
    def late(self) -> bool:
        return self._end - self.now() < START_S

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

    def _round(self) -> list[Visit]:
        """The next candidates: one of every layer without any, else some of every layer that has some left."""
        fresh = [(target, target.left[:1]) for target in self.targets if not target.tried and target.left]
        if fresh:
            return fresh
        mean = sum(target.share for target in self.targets) / max(len(self.targets), 1)
        return [
            (target, target.left[: min(max(round(ROUND * target.share / mean), 1), 4 * ROUND)])
            for target in self.targets
            if target.left
        ]

    def _try(self, visits: list[Visit]) -> None:
        """See the candidates of some visits to their end, by as many processes as that takes, or until time is up."""
        batch = _Batch(visits)
        threads = strikes = 0
        while batch.waiting and not self.late:
            seconds = self._end - self.now()
            job = batch.job() | {
                "device": self.device, "arch": self.gpu.arch, "seed": self.seed, "threads": threads,
                "seconds": min(seconds, LIMIT_S),
            }  # fmt: skip
            batch.running.clear()
            heard = 0

            def hear(stage: str) -> None:
                nonlocal heard
                heard += not stage.startswith("try")
                for ended in batch.hear(stage):
                    self._note(*ended)

            answer = self.ask(job, min(seconds, LIMIT_S) + GRACE_S, hear)
            if answer.status != "ok" and not self.late:
                if len(batch.running) == 1:
                    heard += 1
                    blamed = {"status": "failed", "reason": answer.reason}
                    self._note(*batch.end(next(iter(batch.running)), blamed))
                elif batch.running:
                    threads = 1  # several were being compiled: one at a time, to see which
            strikes = 0 if heard else strikes + 1
            if strikes >= STRIKES and not self.late:
                raise TuningError(f"the tuner's process does nothing: {answer.status}: {answer.reason}")

    def _note(self, target: Target, config: str, data: dict[str, Any]) -> None:
        """On disk first; the table, too, when its best is another one now."""
        when = datetime.now(UTC).isoformat(timespec="seconds")
        times = {name: data.get(name) for name in ("us", "beside_us")}
        trial = Trial(
            self.gpu.name, target.layer.key, config, data["status"],
            predicted_us=predicted(target.layer, config, self.gpu), reason=data.get("reason", ""),
            when=when, made_by=self._made_by, **times,
        )  # fmt: skip
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


def _batches(visits: list[Visit], size: int) -> Iterator[list[Visit]]:
    """Visits in order, `size` candidates together or so."""
    batch: list[Visit] = []
    for visit in visits:
        batch.append(visit)
        if sum(len(configs) for _, configs in batch) >= size:
            yield batch
            batch = []
    if batch:
        yield batch


class _Batch:
    """The candidates of some visits by number, and how far each is; what a child tells of them is heard here."""

    def __init__(self, visits: list[Visit]) -> None:
        self.visits = visits
        self.named: dict[int, tuple[Target, str]] = {}
        for target, configs in visits:
            for config in configs:
                self.named[len(self.named)] = (target, config)
        self.waiting = set(self.named)
        self.running: set[int] = set()
        self.compiled: set[int] = set()

    def job(self) -> dict[str, Any]:
        """What is left of it, as a child is told. A best so far has a number, too, to be blamed by."""
        visits = []
        for target, _ in self.visits:
            left = [[n, config] for n, (of, config) in self.named.items() if of is target and n in self.waiting]
            best = None
            if target.best and left:
                best = [len(self.named), target.best]
                self.named[len(self.named)] = (target, target.best)
            if left:
                visits.append({"layer": asdict(target.layer), "best": best, "challengers": left})
        compiled = sorted(self.compiled & self.waiting)
        return {"job": "tune", "what": "candidates", "visits": visits, "compiled": compiled}

    def hear(self, stage: str) -> list[tuple[Target, str, dict[str, Any]]]:
        """Candidates whose end this is, with what is told of it."""
        verb, _, rest = stage.partition(" ")
        number, _, rest = rest.partition(" ")
        if verb == "try":
            self.running.add(int(number))
        elif verb == "passed":
            self.running.discard(int(number))
            self.compiled.add(int(number))
        elif verb == "done":
            return [self.end(int(number), json.loads(rest))]
        return []

    def end(self, number: int, data: dict[str, Any]) -> tuple[Target, str, dict[str, Any]]:
        self.running.discard(number)
        self.waiting.discard(number)
        return (*self.named[number], data)
