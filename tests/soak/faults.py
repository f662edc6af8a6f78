"""The faults: which process each befalls, what is done to it, and what it may cost."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.soak.processes import MARK, mark_of, marked

BUSY = "while True: pass"
Spans = list[tuple[int, int]]  # (first ns, last ns) of the monotonic clock, in which the victim did not run


@dataclass(frozen=True)
class Fault:
    """What is done to a victim. `costs` is the most records that may fail by it: none, or that of its own case."""

    name: str  # as the table of docs/RELIABILITY.md has it
    victim: str  # parent, child, watcher, reference
    act: Callable[[int, Random], Spans]
    costs: int = 0
    weight: float = 1.0
    unseen: bool = False  # it may not go unmarked: the victim did not run for a while, or runs no more


@dataclass
class Befallen:
    """A fault that was put to a process."""

    fault: Fault
    victim: int
    at: float  # monotonic seconds
    into: float  # seconds into the run
    until: float = 0.0  # monotonic seconds
    spans: Spans = field(default_factory=list)


def _send(process: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, number)


def send(*numbers: int, apart: float = 0.05) -> Callable[[int, Random], Spans]:
    def act(process: int, random: Random) -> Spans:
        for place, number in enumerate(numbers):
            time.sleep(apart if place else 0)
            _send(process, number)
        return []

    return act


def _pause(process: int, seconds: float) -> tuple[int, int]:
    first = time.monotonic_ns()
    _send(process, signal.SIGSTOP)
    time.sleep(seconds)
    _send(process, signal.SIGCONT)
    return first, time.monotonic_ns()


def pause(least: float = 0.2, most: float = 3.0) -> Callable[[int, Random], Spans]:
    return lambda process, random: [_pause(process, least * (most / least) ** random.random())]


def stop_for_good(process: int, random: Random) -> Spans:
    _send(process, signal.SIGSTOP)
    return []


def slow(process: int, random: Random) -> Spans:
    """Half of the time it does not run, for a second or so: as under a quota of a container."""
    spans = []
    for _ in range(random.randint(5, 20)):
        spans.append(_pause(process, 0.05))
        time.sleep(0.05)
    return spans


def starve(process: int, random: Random) -> Spans:
    """Two busy processes a core for a while."""
    environment = {name: text for name, text in os.environ.items() if name != MARK}
    count = 2 * len(os.sched_getaffinity(0))
    burst = [subprocess.Popen([sys.executable, "-c", BUSY], env=environment) for _ in range(count)]
    time.sleep(random.uniform(0.5, 2.0))
    for other in burst:
        other.kill()
        other.wait()
    return []


def cramp(process: int, random: Random) -> Spans:
    """No more address space than it has."""
    with suppress(OSError, ValueError):
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[0])
        limit = pages * os.sysconf("SC_PAGE_SIZE")
        resource.prlimit(process, resource.RLIMIT_AS, (limit, limit))
    return []


def end_everything(process: int, random: Random) -> Spans:
    """All processes of the sweep at once, as when a container is removed."""
    for each in marked(mark_of(process)):
        _send(each, signal.SIGKILL)
    return []


FAULTS = (
    Fault("the parent: SIGKILL", "parent", send(signal.SIGKILL), weight=3),
    Fault("the parent: SIGTERM", "parent", send(signal.SIGTERM), weight=1.5),
    Fault("the parent: SIGINT", "parent", send(signal.SIGINT), weight=1.5),
    Fault("the parent: SIGINT twice", "parent", send(signal.SIGINT, signal.SIGINT)),
    Fault("the parent: SIGHUP", "parent", send(signal.SIGHUP)),
    Fault("the parent: stopped for 0.2 to 3 s", "parent", pause()),
    Fault("all processes: SIGKILL at once", "parent", end_everything),
    Fault("the timed child: SIGKILL", "child", send(signal.SIGKILL), costs=1, weight=2.5),
    Fault("the timed child: SIGTERM", "child", send(signal.SIGTERM), costs=1),
    Fault("the timed child: SIGSEGV", "child", send(signal.SIGSEGV), costs=1),
    Fault("the timed child: stopped for 0.2 to 3 s", "child", pause(), weight=4, unseen=True),
    Fault("the timed child: stopped half of the time", "child", slow, weight=2, unseen=True),
    Fault("the timed child: no more memory", "child", cramp, costs=1),
    Fault("the timed child: starved by a burst", "child", starve, weight=2.5, unseen=True),
    Fault("the watcher: SIGKILL", "watcher", send(signal.SIGKILL), weight=2, unseen=True),
    Fault("the watcher: stopped for 0.2 to 3 s", "watcher", pause(), weight=1.5, unseen=True),
    Fault("the watcher: stopped for good", "watcher", stop_for_good, unseen=True),
    Fault("the reference's child: SIGKILL", "reference", send(signal.SIGKILL), weight=2),
    Fault("the reference's child: SIGTERM", "reference", send(signal.SIGTERM)),
    Fault("the reference's child: stopped for 0.2 to 3 s", "reference", pause()),
    Fault("the reference's child: no more memory", "reference", cramp),
)
