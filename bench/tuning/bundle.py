"""A bundle of kernels, filled on a machine that needs no GPU, so that a rented card loses no time to compiling.

Children compile (`bench.worker.tune.bundle`). The parent puts each candidate that they finish into the file, so that a
death or an interrupt costs only the candidates that were being compiled.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.commands import command_line
from bench.errors import UnableError, WorkError
from bench.lines import Line, verbatim
from bench.machine.environment import cores
from bench.runs.kernel_jobs import BundleAnswer, MakerJob
from bench.runs.kernel_jobs import BundleJob as BundleJob
from bench.runs.process import Answer, request
from bench.runs.restart import InFlight, restart
from kernels.compiled.bundle import BUNDLE_VARIABLE, MAX_BUNDLE_BYTES, Bundle, Maker

CAP = 48  # candidates a layer: more than a quarter of an hour can time
DEATHS = 20  # of compilers; at this many, filling is given up
LIMIT_S = 36_000.0
GRACE_S = 300.0  # for the candidates that are being compiled when the time is up
REPORT_EVERY = 64  # candidates between two progress messages

Candidate = tuple[str, str]  # a layer's key and a configuration


class FullError(Exception):
    """The bundle has reached its limit."""


@dataclass(frozen=True)
class Filled:
    """The content of the file, the number of kernels that this call added, and its failures: layer, candidate, reason.

    `complete` is whether the file has everything that was wanted.
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
        each, added = self.bytes / max(self.kernels, 1), self.made
        yield verbatim(
            f"{self.file}: {self.kernels} kernels for {self.candidates} candidates of {self.layers} layers, "
            f"{self.bytes / 1e6:.1f} MB, {each / 1e3:.1f} kB each. {added} of them now, "
            f"in {self.seconds:.0f} s, {60 * added / max(self.seconds, 0.1):.0f} a minute."
        )
        for layer, config, reason in self.failed:
            yield verbatim(f"failed: {layer}: {config}: {reason}")
        if not self.complete:
            yield Line("The bundle is not complete: the same command goes on.")
        tune = command_line("tune", "--bundle", self.file)
        yield Line(f"Use: {BUNDLE_VARIABLE}={self.file}, or {tune}", markup=False)


def fill_bundle(
    path: Path, job: BundleJob, budget_s: float | None, commit: str, report: Callable[[str], None]
) -> tuple[Filled, bool]:
    """Compile into the file until it is complete or full, or the time is up; return also whether it was interrupted.

    A file of the same compiler is continued. `report` receives progress messages. Raises UnableError where this machine
    cannot compile, WorkError where children compile nothing or the file cannot be written.
    """
    start = time.monotonic()
    end = start + (budget_s or LIMIT_S)
    bundle = _open(path, job, end, commit)
    if bundle.rebuild_reason:
        report(f"{path} is written anew: {bundle.rebuild_reason}")
    before = len(bundle.keys)
    work, interrupted = Filling(bundle, report), False
    try:
        try:
            work.compile(job, end)
        except FullError:
            report(f"It is full: {MAX_BUNDLE_BYTES / 1e6:.0f} MB.")
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


def _open(path: Path, job: BundleJob, end: float, commit: str) -> Bundle:
    answer = request(MakerJob(job.arch), max(end - time.monotonic(), 0.0) + GRACE_S)
    if answer.status != "ok":
        raise UnableError(f"this machine cannot compile kernels: {answer.status}: {answer.reason}")
    contents: dict[str, Any] = {"commit": commit, "models": job.models, "batches": job.batches}
    contents |= {"precisions": job.precisions, "image": job.image}
    try:
        return Bundle(path, Maker(**answer.data["maker"]), contents)
    except (OSError, ValueError) as error:
        raise WorkError(f"{error}; name another file") from None


class Filling:
    """Children that compile one after the other until all is done; a death fails the candidate that caused it."""

    def __init__(self, bundle: Bundle, report: Callable[[str], None] = lambda text: None) -> None:
        self.bundle, self.report = bundle, report
        self.failed: list[tuple[str, str, str]] = []
        self.hand: InFlight[Candidate] = InFlight()
        self.ended = 0
        self.complete = False

    def compile(self, job: BundleJob, end: float) -> None:
        """Compile until nothing is left, or until `end` of the monotonic clock.

        Raises FullError, KeyboardInterrupt, WorkError where children do nothing, and OSError.
        """

        def start(alone: bool) -> Answer[BundleAnswer]:
            threads, seconds = 1 if alone else cores(), max(end - time.monotonic(), 0.0)
            part = replace(job, compiled=self._finished(), threads=threads, seconds=seconds)
            return request(part, seconds + GRACE_S, self.receive)

        ending = restart(start, self.hand, self._blame, deaths=DEATHS - 1, final=("ok",), until=end)
        if ending.answer and ending.gave_up:
            self.bundle.save()
            raise WorkError(f"the kernels could not be compiled: {ending.answer.status}: {ending.answer.reason}")
        self.complete = bool(ending.answer and ending.answer.status == "ok" and not ending.answer.data["left"])

    def _finished(self) -> dict[str, list[str]]:
        """Return the candidates that need not be compiled again, by layer."""
        finished = {layer: list(configs) for layer, configs in self.bundle.layers.items()}
        for layer, config, _ in self.failed:
            finished.setdefault(layer, []).append(config)
        return finished

    def _blame(self, candidate: Candidate, answer: Answer[BundleAnswer]) -> None:
        self.failed.append((*candidate, answer.reason))

    def receive(self, stage: str) -> None:
        """Put what a child reports into the file. Raises FullError."""
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
        self.ended += 1
        if self.ended % REPORT_EVERY == 0:
            self.report(f"{self.ended} candidates, {len(self.bundle.keys)} kernels, {self.bundle.size / 1e6:.1f} MB")
        if self.bundle.size > 0.98 * MAX_BUNDLE_BYTES:
            raise FullError
