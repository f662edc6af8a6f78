"""One child process: spawn, its answer pipe, its time limit, its death.

What the child has to say comes, one JSON object a line, on a pipe of its own; its stdout and stderr belong to noisy
libraries, and of them the last words alone are kept, in memory. Nothing here is written to a disk that may be full.
"""

from __future__ import annotations

import errno
import json
import os
import re
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any, Generic

from bench.machine.environment import ROOT, child_variables
from bench.records.record import STATUSES
from bench.runs.wire import A, Json

# what of the child's own output a failure's record keeps
TAIL_BYTES = 2000
GRACE_S = 1.0
# No message is longer: some ten million samples.
LINE_BYTES = 1 << 28
CHUNK = 1 << 20
VMSTAT = Path("/proc/vmstat")


@dataclass(frozen=True)
class Answer(Generic[A]):
    """How a child ended: its answer, or why there is none. `status` is a record's.

    `data` is whole where the status is `ok`; else it has what was known by then, which may be nothing.
    """

    status: str
    reason: str
    data: A
    wall_s: float


Ask = Callable[..., Answer[Any]]  # `ask`, or what a test or another commit's code has in its place


class Stopped(Exception):
    """The child was ended before it had answered, because whoever asked wants no answer any more."""


@dataclass(frozen=True)
class Home:
    """Whose code a child runs: a checkout, the interpreter that has its packages, further environment variables."""

    root: Path = ROOT
    python: str = sys.executable
    variables: dict[str, str] = field(default_factory=dict)


HERE = Home()


def ask(
    job: Json,
    limit_s: float,
    stage: Callable[[str], None] = lambda name: None,
    module: str = "bench.worker",
    home: Home = HERE,
    stop: Event | None = None,
) -> Answer[Json]:
    """Run `job` in a fresh process of `module` and wait for its answer, `limit_s` seconds at most.

    `stage` is told what the child is doing. The child, and whatever it started, is dead when this returns or raises. In
    a thread, which no keyboard interrupts, Stopped is raised soon after another thread sets `stop`.
    """
    start = time.monotonic()
    kills = _oom_kills()
    try:
        child, reader = _spawn(module, home)
    except OSError as error:  # too many processes or open files, or no memory for one more
        status = "memory" if error.errno == errno.ENOMEM else "crash"
        return Answer(status, f"its process could not be started: {error.strerror}", {}, time.monotonic() - start)
    with closing(_Talk(child, reader, json.dumps(job).encode(), stage)) as talk:
        try:
            late = not talk.until(start + limit_s, stop)
            if stop and stop.is_set():
                raise Stopped
            if late:
                talk.ask_for_stack()
        finally:
            _kill(child)
        talk.turn(0)
    return _judge(talk, late, limit_s, kills, time.monotonic() - start)


class _Talk:
    """Three pipes: the job goes out; stages, then one answer, come in; and so do the child's last words."""

    def __init__(self, child: subprocess.Popen[bytes], reader: int, job: bytes, tell: Callable[[str], None]) -> None:
        assert child.stdin
        assert child.stdout
        self.child = child
        self.job = memoryview(job)
        self.tell = tell
        self.stage = "start"
        self.answer: dict[str, Any] | None = None
        self.garbage = ""  # what came in place of a message
        self.rest = bytearray()  # the beginning of a line
        self.tail = b""
        self.answers, self.words = reader, child.stdout.fileno()
        self.selector = selectors.DefaultSelector()
        for pipe, event, react in (
            (child.stdin.fileno(), selectors.EVENT_WRITE, self._send),
            (self.words, selectors.EVENT_READ, self._overhear),
            (self.answers, selectors.EVENT_READ, self._hear),
        ):
            os.set_blocking(pipe, False)
            self.selector.register(pipe, event, react)

    def until(self, deadline: float, stop: Event | None = None) -> bool:
        """Hear the child out; False if the deadline, or `stop`, came first."""
        while time.monotonic() < deadline and not (stop and stop.is_set()):
            # It may leave forks behind that hold the pipes open, so its own end counts, not the pipes'.
            ended = self.child.poll() is not None
            heard = {key.fd for key in self.turn(0 if ended else 0.1)}
            if self.answer is not None:
                # Given: a child that hangs on its way out has still answered.
                with suppress(subprocess.TimeoutExpired):
                    self.child.wait(GRACE_S)
                return True
            if self.garbage or (ended and self.answers not in heard):
                return True
        return False

    def ask_for_stack(self) -> None:
        """Have a late child print where it hangs (the worker registers faulthandler for this signal)."""
        with suppress(ProcessLookupError):
            self.child.send_signal(signal.SIGUSR1)
        deadline = time.monotonic() + GRACE_S
        while self.child.poll() is None and time.monotonic() < deadline:
            self.turn(0.1)

    def close(self) -> None:
        self.selector.close()
        os.close(self.answers)
        for pipe in (self.child.stdin, self.child.stdout):
            assert pipe
            pipe.close()

    def turn(self, timeout: float) -> list[selectors.SelectorKey]:
        """Read and write what is ready within `timeout` seconds; the pipes that were."""
        ready = [key for key, _ in self.selector.select(timeout)]
        for key in ready:
            key.data(key.fd)
        return ready

    def _send(self, pipe: int) -> None:
        try:
            self.job = self.job[os.write(pipe, self.job) :]
        except BrokenPipeError:  # it died, or does not listen: its end tells
            self.job = self.job[:0]
        if not self.job:
            self.selector.unregister(pipe)
            assert self.child.stdin
            self.child.stdin.close()

    def _overhear(self, pipe: int) -> None:
        data = os.read(pipe, CHUNK)
        if not data:
            self.selector.unregister(pipe)
        self.tail = (self.tail + data)[-TAIL_BYTES:]

    def _hear(self, pipe: int) -> None:
        data = os.read(pipe, CHUNK)
        if not data:
            self.selector.unregister(pipe)
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._read(bytes(self.rest) + line)
            self.rest.clear()
        self.rest += rest
        if len(self.rest) > LINE_BYTES:
            self.garbage = f"a line of more than {LINE_BYTES >> 20} MiB"
            self.rest.clear()

    def _read(self, line: bytes) -> None:
        """One message; the first thing that is none, and the first answer, are the last that is heard."""
        if self.garbage or self.answer is not None:
            return
        try:
            message = json.loads(line, parse_constant=_refuse)
        except (ValueError, RecursionError):
            message = None
        if not _is_message(message):
            self.garbage = repr(line[:200].decode(errors="replace"))
        elif "stage" in message:
            self.stage = message["stage"]
            self.tell(self.stage)
        else:
            self.answer = message


def _is_message(message: Any) -> bool:
    if not isinstance(message, dict):
        return False
    words = [message.get(key, "") for key in ("stage", "status", "reason")]
    return all(isinstance(word, str) for word in words) and ("stage" in message or message.get("status") in STATUSES)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")  # and could not be kept in a record


def _spawn(module: str, home: Home) -> tuple[subprocess.Popen[bytes], int]:
    """A child, and where to read its answer."""
    reader, writer = os.pipe()
    try:
        child = subprocess.Popen(
            [home.python, "-m", module, str(writer), str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            pass_fds=(writer,),
            env=child_variables(home.root) | home.variables,
            cwd=None if home is HERE else home.root,  # of `-m`, the first place where modules are looked for
            start_new_session=True,  # its own process group, so that what it forks dies with it
        )
    except BaseException:
        os.close(reader)
        raise
    finally:
        os.close(writer)
    return child, reader


def _kill(child: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _oom_kills() -> int | None:
    """How many processes this kernel has killed for want of memory; None where it does not say.

    It counts a control group's kills too, so a container's limit shows here (kernel 6.18, cgroup v1, 2026-11-23).
    """
    try:
        found = re.search(r"^oom_kill (\d+)$", VMSTAT.read_text(), re.M)
    except OSError:
        return None
    return int(found[1]) if found else None


def _judge(talk: _Talk, late: bool, limit_s: float, kills: int | None, wall_s: float) -> Answer:
    if talk.answer is not None and not late:
        data = dict(talk.answer)
        # an error that names a file may hold half a character, which no terminal prints
        reason = data.pop("reason", "").encode(errors="replace").decode()
        return Answer(data.pop("status"), reason, data, wall_s)
    status, what = _end(talk, late, limit_s, kills)
    words = talk.tail.decode(errors="replace").strip()
    last = f"Its last output: {words}" if words else "It printed nothing."
    return Answer(status, f"{what}. {last}", {}, wall_s)


def _end(talk: _Talk, late: bool, limit_s: float, kills: int | None) -> tuple[str, str]:
    """The status and the reason of a child that gave no answer."""
    where = f", in: {talk.stage}" + (", in the middle of a message" if talk.rest else "")
    if talk.garbage:
        return "crash", f"what is no message came on its answer pipe{where}: {talk.garbage}"
    if late:
        return "timeout", f"killed after {limit_s:g} s{where}"
    code = talk.child.returncode
    if code == -signal.SIGKILL:
        now = _oom_kills()
        if kills is None or now is None:
            return "memory", f"killed from outside, likely for want of host memory{where}"
        if now > kills:
            return "memory", f"killed by the kernel's OOM killer{where}"
        return "crash", f"killed from outside (SIGKILL), not by the kernel's OOM killer{where}"
    if code >= 0:
        return "crash", f"left without an answer, exit status {code}{where}"
    try:
        name = signal.Signals(-code).name
    except ValueError:  # a real-time signal
        name = str(-code)
    return "crash", f"died by signal {name}{where}"
