"""The tuner's child: it reads the layers of networks, and compiles, checks and times candidates.

A candidate that fails a step ends there. The child sends `try N` before what could end this process, `passed N` after
it, and `done N {...}` at the end of a candidate.
"""

from __future__ import annotations

import faulthandler
import json
import os
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import product
from statistics import median
from threading import Lock
from typing import cast

import psutil
import torch
import triton

from bench.runs.job import Empty, Notify
from bench.runs.kernel_jobs import (
    BundleJob,
    GpuRow,
    NetworkRow,
    NetworksAnswer,
    NetworksJob,
    TrialEnd,
    TryJob,
    VisitRow,
)
from bench.tuning.networks import layer_from_json
from bench.worker.measure.clock import Clock, on_device
from bench.worker.static.compile_kernels import read_facts
from bench.worker.tune.candidate import Subject, Timer, context_lost
from kernels.launch import INTERPRETED, compilations, serialized_parsing
from kernels.space.config import Config
from kernels.space.layer import Layer
from resnet.fused import carried
from resnet.fused.layers import layers_of

# Pairs of samples: for a first look whether a challenger may be faster, and to confirm it. The CPU is for dry runs.
PAIRS = {"cuda": (6, 30), "cpu": (1, 1)}
MARGIN = 0.02  # by which it must be faster, both times
COMPILE_SHARE = 0.5  # of the seconds given; the rest is for running
# A kernel, compiler or reference that hangs is ended with this process.
RUN_LIMIT_S = {"cuda": 30.0, "cpu": 600.0}  # a CPU may interpret the kernel
COMPILE_LIMIT_S = 120.0


def read_networks(job: NetworksJob, notify: Notify) -> NetworksAnswer:
    """Return the layers of each model, batch and precision with their counts, this GPU, and the versions as loaded.

    `bundle` says what this GPU can use of the bundle of kernels that was named.
    """
    rows = network_rows(job, notify)
    gpu: GpuRow | None = None
    bundle = ""
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        arch = 10 * properties.major + properties.minor
        gpu = {"name": properties.name, "arch": arch, "sms": properties.multi_processor_count}
        bundle = carried.install_bundle(arch)
    versions = {"torch": torch.__version__, "triton": triton.__version__}
    return {"status": "ok", "networks": rows, "gpu": gpu, "versions": versions, "bundle": bundle}


def network_rows(job: NetworksJob | BundleJob, notify: Notify) -> list[NetworkRow]:
    """Return the different layers of each model, batch and precision, with how often each runs."""
    rows: list[NetworkRow] = []
    for model in job.models:
        notify(model)
        for batch, precision in product(job.batches, job.precisions):
            counts = Counter(layers_of(model, batch, job.image, precision))
            layers = [(asdict(layer), count) for layer, count in counts.items()]
            rows.append({"model": model, "batch": batch, "precision": precision, "layers": layers})
    return rows


class LostContext(Exception):
    """The GPU refuses all further work of this process, as after an illegal access; a new process can use it."""


def try_candidates(job: TryJob, notify: Notify) -> Empty:
    """Try the candidates of some layers; none is begun after `seconds`."""
    start = time.monotonic() - (time.time() - psutil.Process().create_time())  # of this process: imports take seconds
    progress = _Progress(notify, start + job.seconds)
    compiled: set[int] | None = None
    if not INTERPRETED:
        carried.install_bundle(job.arch)
        compile_progress = _Progress(notify, start + COMPILE_SHARE * job.seconds)
        compiled = compile_all(job, compile_progress)
    try:
        with on_device(job.device) as clock, torch.inference_mode():
            for visit in job.visits:
                challengers = [(n, text) for n, text in visit["challengers"] if compiled is None or n in compiled]
                if challengers and not progress.late():
                    _visit({**visit, "challengers": challengers}, job, clock, progress)
    except LostContext:
        pass
    faulthandler.cancel_dump_traceback_later()
    return {"status": "ok"}


@dataclass
class _Progress:
    """Sends progress from several threads; `begin` sets a time limit, and this process ends where it is exceeded."""

    notify: Notify
    end: float
    lock: Lock = field(default_factory=Lock)

    def late(self) -> bool:
        return time.monotonic() > self.end

    def begin(self, number: int, step: str, limit_s: float) -> None:
        with self.lock:
            self.notify(f"try {number} {step}")
            faulthandler.dump_traceback_later(limit_s, exit=True)

    def passed(self, number: int) -> None:
        with self.lock:
            self.notify(f"passed {number}")

    def done(self, number: int, status: str, reason: str = "", **times: float | None) -> None:
        ended: TrialEnd = {"status": status, "reason": reason, **cast(TrialEnd, times)}
        with self.lock:
            self.notify(f"done {number} {json.dumps(ended)}")


def _reason(error: Exception) -> str:
    first = next((line for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {first}"[:300]


def compile_all(job: TryJob, progress: _Progress) -> set[int]:
    """Compile candidates on all cores, or in `threads`; return those that can run, with those compiled before."""
    runnable = set(job.compiled)

    def compile_one(layer: Layer, number: int, config: str) -> None:
        if progress.late():
            return
        progress.begin(number, f"compiling {config}", COMPILE_LIMIT_S)
        status = "refused"
        try:
            reason = refusal_reason(layer, Config.parse(config), job.arch)
        except Exception as error:
            status, reason = "failed", _reason(error)
        if reason:
            progress.done(number, status, reason)
        else:
            progress.passed(number)
            runnable.add(number)

    with serialized_parsing(), ThreadPoolExecutor(job.threads or os.cpu_count()) as pool:
        for visit in job.visits:
            layer = layer_from_json(visit["layer"])
            for number, config in visit["challengers"]:
                if number not in job.compiled:
                    pool.submit(compile_one, layer, number, config)
    return runnable


def refusal_reason(layer: Layer, config: Config, arch: int) -> str:
    """Return why a candidate's compiled code must not run; empty if it may.

    The launch takes this very code from Triton's cache.
    """
    for compilation in compilations(layer, config):
        facts = read_facts(compilation, arch)
        if facts.spills:
            return f"spills: {facts.stack} bytes of stack, {facts.spill_stores} stores"
        if not facts.fits:
            return f"shared memory: {facts.shared} bytes, more than sm_{arch} gives a block"
        if facts.hazard_reason:
            return f"unsafe: {facts.hazard_reason}"
    return ""


def _visit(visit: VisitRow, job: TryJob, clock: Clock, progress: _Progress) -> None:
    """Check each challenger and time it against the best so far, which a winner replaces."""
    number, text = visit["challengers"][0]
    progress.begin(number, f"operands for {text}", RUN_LIMIT_S["cpu"])
    try:
        subject = Subject(layer_from_json(visit["layer"]), job.device, clock, job.seed)
    except Exception as error:
        for number, _ in visit["challengers"]:
            progress.done(number, "failed", f"its operands: {_reason(error)}")
        if context_lost():
            raise LostContext from error
        return
    best = None
    for number, text in ([visit["best"]] if visit["best"] else []) + visit["challengers"]:
        if progress.late():
            return
        progress.begin(number, f"running {text}", RUN_LIMIT_S[job.device])
        config = Config.parse(text)
        try:
            wrong = subject.check(config)
            if wrong:
                progress.done(number, "wrong", wrong)
            elif visit["best"] and number == visit["best"][0]:
                best = subject.timer(config)
                progress.passed(number)
            else:
                best = _challenge(subject, number, config, best, PAIRS[job.device], progress)
        except Exception as error:
            progress.done(number, "failed", _reason(error))
            if context_lost():
                raise LostContext from error


def _challenge(
    subject: Subject, number: int, config: Config, best: Timer | None, pairs: tuple[int, int], progress: _Progress
) -> Timer | None:
    """Time a candidate whose output is right against the best, and return the faster."""
    challenger = subject.timer(config)
    beside = None
    if best is None:
        us, won = median(challenger() for _ in range(pairs[-1])), True
    else:
        beside, us, won = contest(best, challenger, pairs)
    if not subject.repeats_exactly(challenger):
        progress.done(number, "wrong", "launched back to back it writes something else than alone")
        return best
    progress.done(number, "won" if won else "lost", us=us, beside_us=beside)
    return challenger if won else best


def contest(best: Timer, challenger: Timer, pairs: tuple[int, int]) -> tuple[float, float, bool]:
    """Return both medians, and whether the challenger is faster by the margin at a short look and at a longer one."""
    for count in pairs:
        beside, us = time_in_turns(best, challenger, count)
        if us > (1 - MARGIN) * beside:
            return beside, us, False
    return beside, us, True


def time_in_turns(first: Timer, second: Timer, pairs: int) -> tuple[float, float]:
    """Return the median of each, sampled in turns, so that a drifting clock affects both."""
    times: tuple[list[float], list[float]] = ([], [])
    for pair in range(pairs):
        for index in (0, 1) if pair % 2 else (1, 0):
            times[index].append((first, second)[index]())
    return median(times[0]), median(times[1])
