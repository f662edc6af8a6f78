"""A bundle of kernels filled on a machine that need have no GPU, for a card elsewhere that is to lose no time.

Children compile (`bench.worker.tune.bundle`); what they tell of goes into the file here, so that neither a death nor an
interrupt costs more than the candidates that were being compiled.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.errors import UnableError, WorkError
from bench.lines import Line, verbatim
from bench.machine.environment import cpu
from bench.runs.kernel_jobs import BundleAnswer, BundleJob, MakerJob
from bench.runs.process import Answer
from bench.runs.request import request
from bench.runs.restart import InFlight, restart
from kernels.compiled.bundle import BUNDLE_VARIABLE, MAX_BUNDLE_BYTES, Bundle, Maker

CAP = 48  # candidates a layer: more than a quarter of an hour times of any
DEATHS = 20  # of compilers, before it is given up
LIMIT_S = 36_000.0
GRACE_S = 300.0  # for what is being compiled when the time is up
QUIET = 64  # candidates between two lines

Candidate = tuple[str, str]  # a layer's key and a configuration


class FullError(Exception):
    """The bundle has reached its limit."""


@dataclass(frozen=True)
class Wanted:
    """What is to be in a bundle: networks' kernels, and so many `candidates` of each layer.

    `arch`: compute capability as 90; `tables`: files of configurations that are chosen before the model's own.
    """

    models: list[str]
    batches: list[int]
    precisions: list[str]
    arch: int
    candidates: int = CAP
    tables: list[str] = field(default_factory=list)
    image: int = 224


@dataclass(frozen=True)
class Filled:
    """What is in the file, and what this call added: `made` kernels, in `seconds`. `failed`: layer, candidate, reason.

    `complete`: whether all that was wanted is in it.
    """

    file: str
    bytes: int
    kernels: int
    layers: int
    candidates: int
    made: int
    seconds: float
    failed: list[tuple[str, str, str]]
    complete: bool

    def lines(self) -> Iterator[Line]:
        """The same for a person."""
        each = self.bytes / max(self.kernels, 1)
        yield verbatim(
            f"{self.file}: {self.kernels} kernels for {self.candidates} candidates of {self.layers} layers, "
            f"{self.bytes / 1e6:.1f} MB, {each / 1e3:.1f} kB each. {self.made} of them now, "
            f"in {self.seconds:.0f} s, {60 * self.made / max(self.seconds, 0.1):.0f} a minute."
        )
        for layer, config, reason in self.failed:
            yield verbatim(f"failed: {layer}: {config}: {reason}")
        if not self.complete:
            yield Line("The bundle is not complete: the same command goes on.")
        yield Line(f"Use: {BUNDLE_VARIABLE}={self.file}, or bench tune --bundle {self.file}", markup=False)


def fill(
    path: Path, wanted: Wanted, budget_s: float | None, commit: str, told: Callable[[str], None]
) -> tuple[Filled, bool]:
    """Compile into the file until all is in it, the time is up, it is full, or an interrupt; whether it was the last.

    A file of the same maker is gone on with. `told` hears a sentence now and then. Raises UnableError where this
    machine cannot compile, WorkError where nothing comes of it or the file cannot be written.
    """
    start = time.monotonic()
    end = start + (budget_s or LIMIT_S)
    bundle = _opened(path, wanted, end, commit)
    if bundle.rebuild_reason:
        told(f"{path} is made anew: {bundle.rebuild_reason}")
    before = len(bundle.keys)
    work, interrupted = Filling(bundle, told), False
    try:
        try:
            work.run(wanted, end)
        except FullError:
            told(f"It is full: {MAX_BUNDLE_BYTES / 1e6:.0f} MB.")
        except KeyboardInterrupt:
            interrupted = True
        bundle.save()
    except OSError as error:
        raise WorkError(f"cannot write {path}: {error.strerror}") from None
    filled = Filled(
        file=str(path),
        bytes=path.stat().st_size,
        kernels=len(bundle.keys),
        layers=len(bundle.layers),
        candidates=sum(map(len, bundle.layers.values())),
        made=len(bundle.keys) - before,
        seconds=round(time.monotonic() - start, 1),
        failed=work.failed,
        complete=work.complete,
    )
    return filled, interrupted


def _opened(path: Path, wanted: Wanted, end: float, commit: str) -> Bundle:
    """The bundle, of whatever it is that compiles here."""
    answer = request(MakerJob(wanted.arch), max(end - time.monotonic(), 0.0) + GRACE_S)
    if answer.status != "ok":
        raise UnableError(f"this machine cannot compile kernels: {answer.status}: {answer.reason}")
    about: dict[str, Any] = {"commit": commit, "models": wanted.models, "batches": wanted.batches}
    about |= {"precisions": wanted.precisions, "image": wanted.image}
    try:
        return Bundle(path, Maker(**answer.data["maker"]), about)
    except (OSError, ValueError) as error:
        raise WorkError(f"{error}; name another file") from None


class Filling:
    """Children, one after the other, until all is compiled; one that dies costs itself and what killed it."""

    def __init__(self, bundle: Bundle, told: Callable[[str], None] = lambda text: None) -> None:
        self.bundle, self.told = bundle, told
        self.failed: list[tuple[str, str, str]] = []
        self.hand: InFlight[Candidate] = InFlight()
        self.heard = 0
        self.complete = False

    def run(self, wanted: Wanted, end: float) -> None:
        """Returns when nothing is left, or at `end` of the monotonic clock.

        Raises FullError, KeyboardInterrupt, WorkError where children do nothing, and OSError.
        """

        def start(alone: bool) -> Answer[BundleAnswer]:
            threads, seconds = 1 if alone else cpu()["cores"], max(end - time.monotonic(), 0.0)
            job = BundleJob(**asdict(wanted), known=self._known(), threads=threads, seconds=seconds)
            return request(job, seconds + GRACE_S, self.hear)

        ending = restart(start, self.hand, self._blame, deaths=DEATHS - 1, final=("ok",), until=end)
        if ending.answer and ending.gave_up:
            self.bundle.save()
            raise WorkError(f"the kernels could not be compiled: {ending.answer.status}: {ending.answer.reason}")
        self.complete = bool(ending.answer and ending.answer.status == "ok" and not ending.answer.data["left"])

    def _known(self) -> dict[str, list[str]]:
        """What is not to be compiled again, by layer."""
        known = {layer: list(configs) for layer, configs in self.bundle.layers.items()}
        for layer, config, _ in self.failed:
            known.setdefault(layer, []).append(config)
        return known

    def _blame(self, candidate: Candidate, answer: Answer[BundleAnswer]) -> None:
        self.failed.append((*candidate, answer.reason))

    def hear(self, stage: str) -> None:
        """What a child tells: into the file. Raises FullError."""
        verb, _, rest = stage.partition(" ")
        if verb == "try":
            layer, config = json.loads(rest)
            self.hand.begin((layer, config))
        elif verb == "also":
            self.bundle.add_folders(map(Path, json.loads(rest)))
        elif verb == "done":
            self._end(json.loads(rest))

    def _end(self, outcome: dict[str, Any]) -> None:
        candidate = (outcome["layer"], outcome["config"])
        self.hand.end(candidate)
        if "failed" in outcome:
            self.failed.append((*candidate, outcome["failed"]))
        else:
            self.bundle.add(*candidate, map(Path, outcome["folders"]))
        self.heard += 1
        if self.heard % QUIET == 0:
            self.told(f"{self.heard} candidates, {len(self.bundle.keys)} kernels, {self.bundle.size / 1e6:.1f} MB")
        if self.bundle.size > 0.98 * MAX_BUNDLE_BYTES:
            raise FullError
