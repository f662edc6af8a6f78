"""The tuner's child: what layers networks have; what of a candidate is emitted, whether it is right, how fast.

A candidate is compiled, checked and timed, in this order, and what it fails at is its end. That is told as it comes:
`try N` before what could take this process down, `passed N` behind it, `done N {...}` at the end of a candidate.
"""

from __future__ import annotations

import faulthandler
import json
import os
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from statistics import median
from threading import Lock
from typing import cast

import psutil
import torch
import triton

from bench.runs.job import Empty
from bench.runs.kernel_jobs import GpuRow, NetworkRow, NetworksAnswer, NetworksJob, TrialEnd, TryJob, VisitRow
from bench.tuning.networks import layer_from_json
from bench.worker.measure.clock import Clock, on_device
from bench.worker.static.compile_kernels import read_facts
from bench.worker.tune.candidate import Subject, Timer
from kernels.launch import INTERPRETED, compilations, serialized_parsing
from kernels.space.config import Config
from kernels.space.layer import Layer
from resnet.fused import carried
from resnet.fused.layers import layers_of

Tell = Callable[[str], None]

# Pairs of samples: to see whether a challenger may be faster; to say that it is. The host's clock is for dry runs.
PAIRS = {"cuda": (6, 30), "cpu": (1, 1)}
MARGIN = 0.02  # by which it must be, both times
COMPILING = 0.5  # of the seconds given: the rest is for running
# A kernel that does not end is ended with this process; and so is a compiler, or a reference, that does not.
RUN_LIMIT_S = {"cuda": 30.0, "cpu": 600.0}  # which may be the interpreter
COMPILE_LIMIT_S = 120.0


def networks(job: NetworksJob, tell: Tell) -> NetworksAnswer:
    """The different layers of each model, batch and precision with their counts; this GPU; versions as loaded.

    `bundle`: what came of the bundle of kernels that was named, for this GPU.
    """
    rows = network_rows(job.models, job.batches, job.precisions, job.image, tell)
    gpu: GpuRow | None = None
    bundle = ""
    if torch.cuda.is_available():
        here = torch.cuda.get_device_properties(0)
        gpu = {"name": here.name, "arch": 10 * here.major + here.minor, "sms": here.multi_processor_count}
        bundle = carried.install_bundle(gpu["arch"])
    versions = {"torch": torch.__version__, "triton": triton.__version__}
    return {"status": "ok", "networks": rows, "gpu": gpu, "versions": versions, "bundle": bundle}


def network_rows(
    models: list[str], batches: list[int], precisions: list[str], image: int, tell: Tell
) -> list[NetworkRow]:
    """The different layers of each model, batch and precision, with how often each runs."""
    rows: list[NetworkRow] = []
    for model in models:
        tell(model)
        for batch in batches:
            for precision in precisions:
                counts = Counter(layers_of(model, batch, image, precision))
                layers = [(asdict(layer), count) for layer, count in counts.items()]
                rows.append({"model": model, "batch": batch, "precision": precision, "layers": layers})
    return rows


@dataclass(frozen=True)
class Visit:
    """A layer, its best so far if it has one, and its challengers: numbers and configurations."""

    layer: Layer
    best: tuple[int, Config] | None
    challengers: list[tuple[int, Config]]

    @staticmethod
    def read(data: VisitRow) -> Visit:
        found = [(number, Config.parse(text)) for number, text in data["challengers"]]
        best = (data["best"][0], Config.parse(data["best"][1])) if data["best"] else None
        return Visit(layer_from_json(data["layer"]), best, found)


class LostContext(Exception):
    """The GPU refuses this process all that follows, as after an illegal access; another process is served."""


def candidates(job: TryJob, tell: Tell) -> Empty:
    """Try the candidates of some layers; when `seconds` are over, no more are begun."""
    start = time.monotonic() - (time.time() - psutil.Process().create_time())  # of this process: imports take seconds
    talk = _Talk(tell, start + job.seconds)
    visits = [Visit.read(visit) for visit in job.visits]
    if not INTERPRETED:
        carried.install_bundle(job.arch)
        part = _Talk(tell, start + COMPILING * job.seconds)
        compiled = compile_all(visits, set(job.compiled), job, part)
        visits = [replace(v, challengers=[c for c in v.challengers if c[0] in compiled]) for v in visits]
    try:
        with on_device(job.device) as clock, torch.inference_mode():
            for visit in visits:
                if visit.challengers and not talk.late():
                    _visit(visit, job, clock, talk)
    except LostContext:
        pass
    faulthandler.cancel_dump_traceback_later()
    return {"status": "ok"}


@dataclass
class _Talk:
    """What is told, from several threads, with a limit to what is begun with it."""

    tell: Tell
    end: float
    lock: Lock = field(default_factory=Lock)

    def late(self) -> bool:
        return time.monotonic() > self.end

    def begin(self, number: int, what: str, limit_s: float) -> None:
        with self.lock:
            self.tell(f"try {number} {what}")
            faulthandler.dump_traceback_later(limit_s, exit=True)

    def passed(self, number: int) -> None:
        with self.lock:
            self.tell(f"passed {number}")

    def done(self, number: int, status: str, reason: str = "", **times: float | None) -> None:
        ended: TrialEnd = {"status": status, "reason": reason, **cast(TrialEnd, times)}
        with self.lock:
            self.tell(f"done {number} {json.dumps(ended)}")


def _reason(error: Exception) -> str:
    first = next((line for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {first}"[:300]


def compile_all(visits: list[Visit], known: set[int], job: TryJob, talk: _Talk) -> set[int]:
    """The candidates that compile to something that can run; `known` did already. On all cores, or on `threads`."""
    good = set(known)

    def one(layer: Layer, number: int, config: Config) -> None:
        if talk.late():
            return
        talk.begin(number, f"compiling {config}", COMPILE_LIMIT_S)
        try:
            refused = emission(layer, config, job.arch)
        except Exception as error:
            talk.done(number, "failed", _reason(error))
            return
        if refused:
            talk.done(number, "refused", refused)
        else:
            talk.passed(number)
            good.add(number)

    with serialized_parsing(), ThreadPoolExecutor(job.threads or os.cpu_count()) as pool:
        for visit in visits:
            for number, config in visit.challengers:
                if number not in known:
                    pool.submit(one, visit.layer, number, config)
    return good


def emission(layer: Layer, config: Config, arch: int) -> str:
    """Why nobody should run what the compiler makes of a candidate; empty if it may run.

    What is judged is what will run: the launch finds this very code in Triton's cache.
    """
    for compilation in compilations(layer, config):
        found = read_facts(compilation, arch)
        if found.spills:
            return f"spills: {found.stack} bytes of stack, {found.spill_stores} stores"
        if not found.fits:
            return f"shared memory: {found.shared} bytes, more than sm_{arch} gives a block"
        if found.hazard_reason:
            return f"unsafe: {found.hazard_reason}"
    return ""


def _visit(visit: Visit, job: TryJob, clock: Clock, talk: _Talk) -> None:
    """Each challenger against the best so far; one that wins is it from then on."""
    number, config = visit.challengers[0]
    talk.begin(number, f"operands for {config}", RUN_LIMIT_S["cpu"])
    try:
        subject = Subject(visit.layer, job.device, clock, job.seed)
    except Exception as error:
        for number, _ in visit.challengers:
            talk.done(number, "failed", f"its operands: {_reason(error)}")
        return _survive(clock)
    best = None
    for number, config in ([visit.best] if visit.best else []) + visit.challengers:
        if talk.late():
            return
        talk.begin(number, f"running {config}", RUN_LIMIT_S[job.device])
        try:
            wrong = subject.wrong(config)
            if wrong:
                talk.done(number, "wrong", wrong)
            elif visit.best and number == visit.best[0]:
                best = subject.timer(config)
                talk.passed(number)
            else:
                best = _challenge(subject, number, config, best, PAIRS[job.device], talk)
        except Exception as error:
            talk.done(number, "failed", _reason(error))
            _survive(clock)


def _survive(clock: Clock) -> None:
    """After an error: raises LostContext if this process cannot go on."""
    try:
        clock.wait()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
            torch.cuda.empty_cache()
    except Exception as error:
        raise LostContext from error


def _challenge(
    subject: Subject, number: int, config: Config, best: Timer | None, pairs: tuple[int, int], talk: _Talk
) -> Timer | None:
    """Times a candidate that was found right; whichever is the best then."""
    challenger = subject.timer(config)
    beside = None
    if best is None:
        us, won = median(challenger() for _ in range(pairs[-1])), True
    else:
        beside, us, won = contest(best, challenger, pairs)
    if not subject.same_again(challenger):
        talk.done(number, "wrong", "launched back to back it writes something else than alone")
        return best
    talk.done(number, "won" if won else "lost", us=us, beside_us=beside)
    return challenger if won else best


def contest(best: Timer, challenger: Timer, pairs: tuple[int, int]) -> tuple[float, float, bool]:
    """The median of each, and whether the challenger is faster by the margin: at a look, and again at a longer one."""
    for count in pairs:
        beside, us = duel(best, challenger, count)
        if us > (1 - MARGIN) * beside:
            return beside, us, False
    return beside, us, True


def duel(one: Timer, two: Timer, pairs: int) -> tuple[float, float]:
    """The median of each, taken in turns, so that a clock that drifts meets both."""
    times: tuple[list[float], list[float]] = ([], [])
    for pair in range(pairs):
        for which in (0, 1) if pair % 2 else (1, 0):
            times[which].append((one, two)[which]())
    return median(times[0]), median(times[1])
