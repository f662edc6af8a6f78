"""One child process: its start, its messages, its time limit, its end.

The child sends its messages, one JSON object a line, on a separate pipe. Its stdout and stderr belong to noisy
libraries, and only their end is kept, in memory. Nothing here is written to a disk that may be full.
"""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any, Generic

from bench.machine.environment import ROOT, child_variables
from bench.runs.pipes import Pipes
from bench.runs.wire import A, Json
from resnet.cache import CacheWarning
from resnet.code import FOLDERS

VMSTAT = Path("/proc/vmstat")


@dataclass(frozen=True)
class Answer(Generic[A]):
    """The answer of a child, or the reason why there is none. `status` is a record's.

    `data` is whole where the status is `ok`; else it has the fields measured by then, if any.
    """

    status: str
    reason: str
    data: A
    wall_s: float


Ask = Callable[..., Answer[Any]]  # the type of `ask`, and of what replaces it in tests and for another commit


class Stopped(Exception):
    """The child was ended before it had answered, as its answer is no longer wanted."""


@dataclass(frozen=True)
class Home:
    """The code that a child runs: a checkout, the interpreter with its packages, further environment variables."""

    root: Path = ROOT
    python: str = sys.executable
    variables: dict[str, str] = field(default_factory=dict)


HERE = Home()


def ask(
    job: Json,
    limit_s: float,
    on_stage: Callable[[str], None] = lambda name: None,
    module: str = "bench.worker",
    home: Home = HERE,
    stop: Event | None = None,
) -> Answer[Json]:
    """Run `job` in a fresh process of `module` and wait for its answer, `limit_s` seconds at most.

    `on_stage` is called with the name of each stage that the child enters. The child, and every process started by it,
    is dead when this returns or raises. In a thread, which no keyboard interrupts, Stopped is raised soon after another
    thread sets `stop`.
    """
    start = time.monotonic()
    oom_kills_before = _count_oom_kills()
    with ExitStack() as stack:
        with _interrupts_deferred():  # one in the middle would leave a child that nobody knows of
            try:
                child, reader = _spawn(module, home)
            except OSError as error:  # too many processes or open files, or no memory for one more
                status = "memory" if error.errno == errno.ENOMEM else "crash"
                reason = f"its process could not be started: {error.strerror}"
                return Answer(status, reason, {}, time.monotonic() - start)
            pipes = stack.enter_context(closing(Pipes(child, reader, json.dumps(job).encode(), on_stage)))
            stack.callback(_kill, child)
        timed_out = not pipes.wait(start + limit_s, stop)
        if stop and stop.is_set():
            raise Stopped
        if timed_out:
            pipes.dump_stack()
        _kill(child)
        pipes.poll(0)
    return _answer_from(pipes, timed_out, limit_s, oom_kills_before, time.monotonic() - start)


def _spawn(module: str, home: Home) -> tuple[subprocess.Popen[bytes], int]:
    """Start a child; returns it, and the file descriptor of its messages."""
    reader, writer = os.pipe()
    try:
        child = subprocess.Popen(
            # -P: a user's folder may have a resnet.py; it is searched for a user's code alone (FOLDERS)
            [home.python, "-P", "-m", module, str(writer), str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            pass_fds=(writer,),
            env=child_variables(home.root) | {FOLDERS: _code_folders(home)} | home.variables,
            cwd=None if home is HERE else home.root,
            start_new_session=True,  # a process group, so that its forks die with it
        )
    except BaseException:
        os.close(reader)
        raise
    finally:
        os.close(writer)
    return child, reader


def _code_folders(home: Home) -> str:
    """Return the folders in which a child looks for a user's code: the current one, before it that of another checkout.

    So code that a commit has is that commit's, and code that no commit has is still there.
    """
    here = Path.cwd()
    inside = [home.root / here.relative_to(ROOT)] if here.is_relative_to(ROOT) else []
    return os.pathsep.join(map(str, dict.fromkeys([*inside, here])))


@contextmanager
def _interrupts_deferred() -> Iterator[None]:
    """Hold back keyboard interrupts until the end of this context, and raise KeyboardInterrupt then if one came."""
    if threading.current_thread() is not threading.main_thread():  # no other thread gets them
        yield
        return
    interrupts: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, _: interrupts.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if interrupts:
            raise KeyboardInterrupt


def _kill(child: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _count_oom_kills() -> int | None:
    """Return the number of processes that the kernel has killed for lack of memory; None where it does not say.

    It includes a control group's kills, so a container's limit shows here (kernel 6.18, cgroup v1, 2026-11-23).
    """
    try:
        match = re.search(r"^oom_kill (\d+)$", VMSTAT.read_text(), re.M)
    except OSError:
        return None
    return int(match[1]) if match else None


def _answer_from(pipes: Pipes, timed_out: bool, limit_s: float, oom_kills_before: int | None, wall_s: float) -> Answer:
    if pipes.answer is not None and not timed_out:
        data = dict(pipes.answer)
        # an error that names a file may have half a surrogate pair, which no terminal prints
        for note in data.pop("notes", ()):  # each is shown once
            warnings.warn(note, CacheWarning, stacklevel=2)
        reason = data.pop("reason", "").encode(errors="replace").decode()
        return Answer(data.pop("status"), reason, data, wall_s)
    status, cause = _failure(pipes, timed_out, limit_s, oom_kills_before)
    last_output = pipes.last_output.decode(errors="replace").strip()
    last = f"Its last output: {last_output}" if last_output else "It printed nothing."
    return Answer(status, f"{cause}. {last}", {}, wall_s)


def _failure(pipes: Pipes, timed_out: bool, limit_s: float, oom_kills_before: int | None) -> tuple[str, str]:
    """Return the status and the reason of a child that did not answer."""
    where = f", in: {pipes.stage}" + (", in the middle of a message" if pipes.partial_line else "")
    if pipes.garbage:
        return "crash", f"what is no message came on its answer pipe{where}: {pipes.garbage}"
    if timed_out:
        return "timeout", f"killed after {limit_s:g} s{where}"
    code = pipes.child.returncode
    if code == -signal.SIGKILL:
        oom_kills = _count_oom_kills()
        if oom_kills_before is None or oom_kills is None:
            return "memory", f"killed from outside, likely for want of host memory{where}"
        if oom_kills > oom_kills_before:
            return "memory", f"killed by the kernel's OOM killer{where}"
        return "crash", f"killed from outside (SIGKILL), not by the kernel's OOM killer{where}"
    if code >= 0:
        return "crash", f"left without an answer, exit status {code}{where}"
    try:
        name = signal.Signals(-code).name
    except ValueError:  # a real-time signal
        name = str(-code)
    return "crash", f"died by signal {name}{where}"
