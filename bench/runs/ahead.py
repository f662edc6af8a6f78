"""Cases of torch.compile, compiled ahead into the usual caches: several at a time, before anything is timed.

The process that is timed then finds them warm, and its record says so. A marker among the compiled files, which goes
where they go, says for which cases that was done. One that fails here says why when its turn comes.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from functools import cache, partial
from pathlib import Path
from threading import Event
from typing import NamedTuple

from bench.machine.facts import Environment
from bench.machine.limits import free_memory
from bench.machine.provenance import code_of
from bench.plans.network import network_given
from bench.records.same import CALIBRATION
from bench.runs import process
from bench.runs.estimate import COMPILE_S
from bench.runs.job import AheadJob, CaseJob, RunJob
from bench.runs.process import Stopped
from bench.runs.restart import FINAL_STATUSES, at_once
from bench.runs.turns import Events
from bench.runs.wire import Json
from resnet.cache import check_compile_cache
from resnet.variants import find_variant

# With fewer, compilers use all cores within a case, and another process to load what they left is a loss (estimated).
CORES = 4
# A guess of what a process that compiles a deep ResNet takes, with a compiler beside it; on the safe side.
ROOM_BYTES = 5 << 29
SHARE = 0.4  # of a budget, at most


class Ahead(NamedTuple):
    """A case to compile ahead, and the file that says from then on that it was."""

    job: AheadJob
    marker: Path


def to_compile(jobs: Iterable[CaseJob], env: Environment) -> list[Ahead]:
    """Return those of `jobs` whose cases are compiled, and were not ahead yet; none where that saves nothing.

    On a GPU there are none: there candidates are timed as they are compiled, which nothing may run beside.
    """
    if not processes(2, env) or not (folder := check_compile_cache()):
        return []
    due: list[Ahead] = []
    network_of = cache(network_given)  # which reads a checkpoint
    for job in jobs:
        if job.device == "cpu" and not job.case.largest and find_variant(job.case.variant).compiles_long:
            marker = folder / f"ahead-{hashlib.sha256(_key(job, network_of(job.build), env).encode()).hexdigest()[:24]}"
            values = {field.name: getattr(job, field.name) for field in fields(RunJob)}
            due += [] if marker.exists() else [Ahead(AheadJob(**values), marker)]
    return due if len(due) > 1 else []


def processes(count: int, env: Environment) -> int:
    """Return how many of `count` cases are to be compiled at a time; 0 where compiling ahead saves nothing."""
    cpu = env.get("cpu", {})
    limits = [value for value in (cpu.get("cores"), cpu.get("quota")) if isinstance(value, int | float)]
    cores = int(min(limits, default=1))
    room = min(cores, count, free_memory() // ROOM_BYTES)
    return room if cores >= CORES and room > 1 else 0


def seconds_of(due: Sequence[Ahead], env: Environment) -> float:
    """Return about how long `compile_ahead` takes."""
    return COMPILE_S * len(due) / max(1, processes(len(due), env))


def compile_ahead(due: Sequence[Ahead], env: Environment, seconds: float, events: Events) -> None:
    """Compile the cases of `to_compile`, none for longer than its limit, and none after a share of `seconds`."""
    if not due:
        return
    together, until, stop = max(1, processes(len(due), env)), time.monotonic() + SHARE * seconds, Event()
    compilers = -(-(os.cpu_count() or 1) // together)

    def work() -> Iterator[tuple[Callable[[], None], bool]]:
        for job, marker in due:
            if time.monotonic() < until:
                yield partial(_compile, replace(job, compilers=compilers), marker, until, stop), False

    events.starts(f"compiling ahead: 0 of {len(due)}")
    for done, _ in enumerate(at_once(work(), together, stop), 1):
        events.starts(f"compiling ahead: {done} of {len(due)}")


def _compile(job: AheadJob, marker: Path, until: float, stop: Event) -> None:
    limit_s = min(job.settings.limit_s, until - time.monotonic())
    with suppress(Stopped):
        answer = process.ask(job.to_json(), max(1.0, limit_s), stop=stop)
        if answer.status in FINAL_STATUSES:  # another try would fail alike
            with suppress(OSError):
                marker.touch()


def _key(job: CaseJob, network: Json, env: Environment) -> str:
    """Return what a compilation depends on, as far as it is known before the model is built."""
    settings = {name: getattr(job.settings, name) for name in ("threads", *CALIBRATION)}
    machine = [env.get("packages"), env.get("cpu"), env.get("python"), env.get("variables"), code_of(env)]
    what = [job.case.name, job.seed, job.source, network, settings, *machine]
    return json.dumps(what, sort_keys=True, default=str)
