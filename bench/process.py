"""One child process: spawn, its answer pipe, its time limit, its death.

The child's stdout and stderr belong to noisy libraries and go to a file; what it has to say comes, one JSON object a
line, on a pipe of its own.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any

from bench.environment import ROOT

# what of the child's own output a failure's record keeps
TAIL_BYTES = 2000
GRACE_S = 1.0


@dataclass(frozen=True)
class Answer:
    """How a child ended: its answer, or why there is none. `status` is a record's."""

    status: str
    reason: str
    data: dict[str, Any]
    wall_s: float


def ask(
    job: dict[str, Any],
    limit_s: float,
    stage: Callable[[str], None] = lambda name: None,
    module: str = "bench.worker",
) -> Answer:
    """Run `job` in a fresh process of `module` and wait for its answer, `limit_s` seconds at most.

    `stage` is told what the child is doing. The child, and whatever it started, is dead when this returns or raises.
    """
    start = time.monotonic()
    reader, writer = os.pipe()
    with tempfile.TemporaryFile() as log:
        try:
            child = _spawn(module, job, writer, log)
        finally:
            os.close(writer)
        talk = _Talk(stage)
        try:
            late = not _listen(child, reader, talk, start + limit_s)
            if late:
                _ask_for_stack(child)
        finally:
            os.close(reader)
            _kill(child)
        return _judge(child, talk, late, limit_s, log, time.monotonic() - start)


class _Talk:
    """Lines from the pipe: stages on the way, then one answer."""

    def __init__(self, stage: Callable[[str], None]) -> None:
        self.tell = stage
        self.stage = "start"
        self.answer: dict[str, Any] | None = None
        self.rest = b""

    def feed(self, data: bytes) -> None:
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "stage" in message:
                self.stage = message["stage"]
                self.tell(self.stage)
            else:
                self.answer = message


def _spawn(module: str, job: dict[str, Any], writer: int, log: IO[bytes]) -> subprocess.Popen[bytes]:
    env = dict(os.environ)
    env["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), env.get("PYTHONPATH"))))
    child = subprocess.Popen(
        [sys.executable, "-m", module, str(writer), str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=subprocess.STDOUT,
        pass_fds=(writer,),
        env=env,
        start_new_session=True,  # its own process group, so that what it forks dies with it
    )
    assert child.stdin
    with suppress(BrokenPipeError):  # it died at once: the exit status tells
        child.stdin.write(json.dumps(job).encode())
        child.stdin.close()
    return child


def _listen(child: subprocess.Popen[bytes], reader: int, talk: _Talk, deadline: float) -> bool:
    """Hear the child out; False if the deadline came first."""
    os.set_blocking(reader, False)
    with selectors.DefaultSelector() as selector:
        selector.register(reader, selectors.EVENT_READ)
        while time.monotonic() < deadline:
            # the child may leave forks behind that hold the pipe open, so its own end counts, not only the pipe's
            ended = child.poll() is not None
            for _ in selector.select(timeout=0 if ended else 0.1):
                data = os.read(reader, 1 << 20)
                if not data:
                    with suppress(subprocess.TimeoutExpired):
                        child.wait(max(0.0, deadline - time.monotonic()))
                    return child.returncode is not None
                talk.feed(data)
                break
            else:
                if ended:
                    return True
    return False


def _ask_for_stack(child: subprocess.Popen[bytes]) -> None:
    """Have a late child print where it hangs (the worker registers faulthandler for this signal)."""
    with suppress(ProcessLookupError):
        child.send_signal(signal.SIGUSR1)
        with suppress(subprocess.TimeoutExpired):
            child.wait(GRACE_S)


def _kill(child: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _judge(
    child: subprocess.Popen[bytes], talk: _Talk, late: bool, limit_s: float, log: IO[bytes], wall_s: float
) -> Answer:
    if talk.answer is not None and not late:
        data = dict(talk.answer)
        return Answer(data.pop("status"), data.pop("reason", ""), data, wall_s)
    tail = _tail(log)
    if late:
        return Answer("timeout", f"killed after {limit_s:g} s, in: {talk.stage}. {tail}", {}, wall_s)
    code = child.returncode
    if code == -signal.SIGKILL:
        return Answer(
            "memory", f"killed from outside, likely for want of host memory, in: {talk.stage}. {tail}", {}, wall_s
        )
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
    return Answer("crash", f"died by {how}, in: {talk.stage}. {tail}", {}, wall_s)


def _tail(log: IO[bytes]) -> str:
    size = log.seek(0, os.SEEK_END)
    log.seek(max(0, size - TAIL_BYTES))
    text = log.read().decode(errors="replace").strip()
    return f"Its last output: {text}" if text else "It printed nothing."
