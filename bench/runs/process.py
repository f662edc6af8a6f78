"""One child process: its start, its messages, its time limit, its end.

The child sends its messages, one JSON object a line, on a separate pipe. Its stdout and stderr belong to noisy
libraries, and only their end is kept, in memory. Nothing here is written to a disk that may be full.
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

# the end of the child's output that the reason of a failure has
TAIL_BYTES = 2000
GRACE_S = 1.0
# The longest message: some ten million samples.
LINE_BYTES = 1 << 28
CHUNK = 1 << 20
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
    try:
        child, reader = _spawn(module, home)
    except OSError as error:  # too many processes or open files, or no memory for one more
        status = "memory" if error.errno == errno.ENOMEM else "crash"
        return Answer(status, f"its process could not be started: {error.strerror}", {}, time.monotonic() - start)
    with closing(_Pipes(child, reader, json.dumps(job).encode(), on_stage)) as pipes:
        try:
            timed_out = not pipes.wait(start + limit_s, stop)
            if stop and stop.is_set():
                raise Stopped
            if timed_out:
                pipes.dump_stack()
        finally:
            _kill(child)
        pipes.poll(0)
    return _answer_from(pipes, timed_out, limit_s, oom_kills_before, time.monotonic() - start)


class _Pipes:
    """The three pipes of a child: the job goes out; stages, then one answer, come in; and so does its output."""

    def __init__(
        self, child: subprocess.Popen[bytes], reader: int, job: bytes, on_stage: Callable[[str], None]
    ) -> None:
        assert child.stdin
        assert child.stdout
        self.child = child
        self.job = memoryview(job)
        self.on_stage = on_stage
        self.stage = "start"
        self.answer: dict[str, Any] | None = None
        self.garbage = ""  # the first line that is no message
        self.partial_line = bytearray()  # the beginning of a line
        self.last_output = b""
        self.messages, self.output = reader, child.stdout.fileno()
        self.selector = selectors.DefaultSelector()
        for pipe, event, react in (
            (child.stdin.fileno(), selectors.EVENT_WRITE, self._send),
            (self.output, selectors.EVENT_READ, self._receive_output),
            (self.messages, selectors.EVENT_READ, self._receive_messages),
        ):
            os.set_blocking(pipe, False)
            self.selector.register(pipe, event, react)

    def wait(self, deadline: float, stop: Event | None = None) -> bool:
        """Wait for the answer, or the child's end; False if the deadline, or `stop`, came first."""
        while time.monotonic() < deadline and not (stop and stop.is_set()):
            # Forks of the child may keep the pipes open, so the end of the child counts, not that of the pipes.
            ended = self.child.poll() is not None
            ready = {key.fd for key in self.poll(0 if ended else 0.1)}
            if self.answer is not None:
                # a child that hangs on its way out has still answered
                with suppress(subprocess.TimeoutExpired):
                    self.child.wait(GRACE_S)
                return True
            if self.garbage or (ended and self.messages not in ready):
                return True
        return False

    def dump_stack(self) -> None:
        """Make the child print its stack (the worker registers faulthandler for this signal)."""
        with suppress(ProcessLookupError):
            self.child.send_signal(signal.SIGUSR1)
        deadline = time.monotonic() + GRACE_S
        while self.child.poll() is None and time.monotonic() < deadline:
            self.poll(0.1)

    def close(self) -> None:
        self.selector.close()
        os.close(self.messages)
        for pipe in (self.child.stdin, self.child.stdout):
            assert pipe
            pipe.close()

    def poll(self, timeout: float) -> list[selectors.SelectorKey]:
        """Serve the pipes that are ready within `timeout` seconds, and return them."""
        ready = [key for key, _ in self.selector.select(timeout)]
        for key in ready:
            key.data(key.fd)
        return ready

    def _send(self, pipe: int) -> None:
        try:
            self.job = self.job[os.write(pipe, self.job) :]
        except BrokenPipeError:  # it died, or does not listen: `_failure` says which
            self.job = self.job[:0]
        if not self.job:
            self.selector.unregister(pipe)
            assert self.child.stdin
            self.child.stdin.close()

    def _receive_output(self, pipe: int) -> None:
        data = os.read(pipe, CHUNK)
        if not data:
            self.selector.unregister(pipe)
        self.last_output = (self.last_output + data)[-TAIL_BYTES:]

    def _receive_messages(self, pipe: int) -> None:
        data = os.read(pipe, CHUNK)
        if not data:
            self.selector.unregister(pipe)
        *lines, partial_line = data.split(b"\n")
        for line in lines:
            self._handle(bytes(self.partial_line) + line)
            self.partial_line.clear()
        self.partial_line += partial_line
        if len(self.partial_line) > LINE_BYTES:
            self.garbage = f"a line of more than {LINE_BYTES >> 20} MiB"
            self.partial_line.clear()

    def _handle(self, line: bytes) -> None:
        """Handle one line; all that follows the answer, or a line that is no message, is ignored."""
        if self.garbage or self.answer is not None:
            return
        try:
            message = json.loads(line, parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            message = None
        if not _is_message(message):
            self.garbage = repr(line[:200].decode(errors="replace"))
        elif "stage" in message:
            self.stage = message["stage"]
            self.on_stage(self.stage)
        else:
            self.answer = message


def _is_message(message: Any) -> bool:
    if not isinstance(message, dict):
        return False
    texts = [message.get(key, "") for key in ("stage", "status", "reason")]
    return all(isinstance(text, str) for text in texts) and ("stage" in message or message.get("status") in STATUSES)


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")  # and could not be kept in a record


def _spawn(module: str, home: Home) -> tuple[subprocess.Popen[bytes], int]:
    """Start a child; returns it, and the file descriptor of its messages."""
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
            cwd=None if home is HERE else home.root,  # where `-m` looks for modules first
            start_new_session=True,  # a process group, so that its forks die with it
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


def _count_oom_kills() -> int | None:
    """Return the number of processes that the kernel has killed for lack of memory; None where it does not say.

    It includes a control group's kills, so a container's limit shows here (kernel 6.18, cgroup v1, 2026-11-23).
    """
    try:
        match = re.search(r"^oom_kill (\d+)$", VMSTAT.read_text(), re.M)
    except OSError:
        return None
    return int(match[1]) if match else None


def _answer_from(pipes: _Pipes, timed_out: bool, limit_s: float, oom_kills_before: int | None, wall_s: float) -> Answer:
    if pipes.answer is not None and not timed_out:
        data = dict(pipes.answer)
        # an error that names a file may have half a surrogate pair, which no terminal prints
        reason = data.pop("reason", "").encode(errors="replace").decode()
        return Answer(data.pop("status"), reason, data, wall_s)
    status, cause = _failure(pipes, timed_out, limit_s, oom_kills_before)
    last_output = pipes.last_output.decode(errors="replace").strip()
    last = f"Its last output: {last_output}" if last_output else "It printed nothing."
    return Answer(status, f"{cause}. {last}", {}, wall_s)


def _failure(pipes: _Pipes, timed_out: bool, limit_s: float, oom_kills_before: int | None) -> tuple[str, str]:
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
