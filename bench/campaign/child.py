"""One command of a campaign: a process group of its own, all it says in a log, a time after which it is ended."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.machine.environment import ROOT

GRACE_S = 6.0  # an interrupted command has this long to put away what it has
LOOK_S = 1.0  # between two looks at whether it has ended
HEAD_BYTES, TAIL_LINES = 1 << 20, 200  # what of a command's words the log keeps: the first, and the last
WORDS = re.compile(r"^(?:E\s+)?(?:bench: |[\w.]*(?:Error|Exception|Interrupt|Exit)\b|.*\berror: )", re.IGNORECASE)

FRAMES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[\u2500-\u257f]")  # colours, and the boxes around a wrong option's message


@dataclass(frozen=True)
class Ended:
    """How a command ended. `late`: it was still running when its seconds were over. `cause` is what it said of it."""

    code: int
    seconds: float
    late: bool
    cause: str

    @property
    def how(self) -> str:
        """The end of one that did not end well: its limit, a signal (the OOM killer sends 9), or its exit code."""
        return "at its limit" if self.late else f"by signal {-self.code}" if self.code < 0 else f"exit {self.code}"


class Log:
    """A file that the words of all commands are appended to; a disk that is full costs words, and nothing else."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.trouble = ""  # why something is missing from it

    def write(self, data: bytes) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                file.write(data)
        except OSError as error:
            self.trouble = f"{self.path}: {error.strerror}"


def run_logged(
    argv: list[str], log: Log, seconds: float, variables: dict[str, str], look: Callable[[], None] = lambda: None
) -> Ended:
    """Run a command to its end, or interrupt it after `seconds` and kill it GRACE_S later. `look` is called meanwhile.

    An interruption of this process is passed on to it, and raised again when it has ended.
    """
    start = time.monotonic()
    log.write(f"\n$ {' '.join(argv)}\n".encode())
    try:
        process = subprocess.Popen(
            argv, cwd=ROOT, env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            bufsize=0, start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        log.write(f"could not be started: {error}\n".encode())
        return Ended(127, 0.0, False, f"could not be started: {error.strerror}")
    words = _Words(process, log)
    late = False
    try:
        late = not _wait(process, start + seconds, look)
        if late:
            process.send_signal(signal.SIGINT)
            _wait(process, time.monotonic() + GRACE_S)
    except BaseException:
        process.send_signal(signal.SIGINT)
        _wait(process, time.monotonic() + GRACE_S)
        raise
    finally:
        with suppress(ProcessLookupError):  # what it left behind too
            os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
        cause = words.end()
        spent = time.monotonic() - start
        log.write(f"[ended with {code} after {spent:.1f} s{', at its limit' if late else ''}]\n".encode())
    return Ended(code, spent, late, cause)


class NowAndThen:
    """Calls a function no more often than every `seconds`."""

    def __init__(self, call: Callable[[], None], seconds: float) -> None:
        self.call, self.seconds, self.last = call, seconds, time.monotonic()

    def __call__(self) -> None:
        if time.monotonic() - self.last >= self.seconds:
            self.call()
            self.last = time.monotonic()


def _wait(process: subprocess.Popen[bytes], end: float, look: Callable[[], None] = lambda: None) -> bool:
    """Whether it ended before `end`."""
    while True:
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.01, min(LOOK_S, end - time.monotonic())))
            return True
        if time.monotonic() >= end:
            return False
        look()


class _Words:
    """Copies what a process says to the log while it runs, and remembers the last lines."""

    def __init__(self, process: subprocess.Popen[bytes], log: Log) -> None:
        self.log, self.last, self.left_out = log, deque[bytes](maxlen=TAIL_LINES), 0
        assert process.stdout
        self.pipe = process.stdout
        self.thread = threading.Thread(target=self._copy, daemon=True)
        self.thread.start()

    def _copy(self) -> None:
        room, rest = HEAD_BYTES, b""
        while data := os.read(self.pipe.fileno(), 1 << 16):
            if room > 0:
                self.log.write(data[:room])
            self.left_out += max(0, len(data) - max(room, 0))
            room -= len(data)
            *lines, rest = (rest + data).split(b"\n")
            self.last.extend(lines)
            rest = rest[-HEAD_BYTES:]
        self.last.append(rest)

    def end(self) -> str:
        """The cause in a line, if the words have one; the last words go to the log where the first filled it."""
        self.thread.join(GRACE_S)  # a grandchild that escaped may hold the pipe open: what came is what there is
        if not self.thread.is_alive():
            self.pipe.close()
        lines = list(self.last)
        if self.left_out:
            self.log.write(
                f"\n[{self.left_out} bytes left out; the last lines:]\n".encode() + b"\n".join(lines) + b"\n"
            )
        return cause_in([line.decode(errors="replace").strip() for line in lines])


def cause_in(lines: list[str]) -> str:
    """The line that says why, in words of this project's commands, Python or pytest; else the last one there is."""
    plain = [text for line in lines if (text := FRAMES.sub("", line).strip())]
    telling = [line for line in plain if WORDS.match(line) and " " in line]
    return (telling or plain or [""])[-1][:300]
