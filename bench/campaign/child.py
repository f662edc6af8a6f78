"""One command of a campaign: a process group whose output goes to a log, ended at a time limit."""

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

GRACE_S = 6.0  # an interrupted command has this long to write its results
POLL_S = 1.0  # between two checks if it has ended
HEAD_BYTES, TAIL_LINES = 1 << 20, 200  # the parts of a command's output that the log keeps
ERROR_LINE = re.compile(r"^(?:E\s+)?(?:bench: |[\w.]*(?:Error|Exception|Interrupt|Exit)\b|.*\berror: )", re.IGNORECASE)

# colours, and the boxes around a wrong option's message
DECORATIONS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[\u2500-\u257f]")


@dataclass(frozen=True)
class CommandEnd:
    """The end of a command. `late`: it was still running at its time limit. `cause` is the error that it printed."""

    code: int
    seconds: float
    late: bool
    cause: str

    @property
    def how(self) -> str:
        """Return how a command failed: at its limit, by a signal (the OOM killer sends 9), or with an exit code."""
        return "at its limit" if self.late else f"by signal {-self.code}" if self.code < 0 else f"exit {self.code}"


class Log:
    """A file that the output of all commands is appended to; a full disk loses output, and nothing else."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.trouble = ""  # why output is missing from it

    def write(self, data: bytes) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                file.write(data)
        except OSError as error:
            self.trouble = f"{self.path}: {error.strerror}"


def run_logged(
    argv: list[str], log: Log, seconds: float, variables: dict[str, str], on_poll: Callable[[], None] = lambda: None
) -> CommandEnd:
    """Run a command to its end, or interrupt it after `seconds` and kill it GRACE_S later; calls `on_poll` meanwhile.

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
        return CommandEnd(127, 0.0, False, f"could not be started: {error.strerror}")
    output = _OutputCopy(process, log)
    timed_out = False
    try:
        timed_out = not _wait(process, start + seconds, on_poll)
        if timed_out:
            process.send_signal(signal.SIGINT)
            _wait(process, time.monotonic() + GRACE_S)
    except BaseException:
        process.send_signal(signal.SIGINT)
        _wait(process, time.monotonic() + GRACE_S)
        raise
    finally:
        with suppress(ProcessLookupError):  # its remaining children too
            os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
        cause = output.end()
        spent = time.monotonic() - start
        log.write(f"[ended with {code} after {spent:.1f} s{', at its limit' if timed_out else ''}]\n".encode())
    return CommandEnd(code, spent, timed_out, cause)


def _wait(process: subprocess.Popen[bytes], end: float, on_poll: Callable[[], None] = lambda: None) -> bool:
    """Return whether the process ended before `end`."""
    while True:
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.01, min(POLL_S, end - time.monotonic())))
            return True
        if time.monotonic() >= end:
            return False
        on_poll()


class _OutputCopy:
    """A thread that copies a process's output to the log, and remembers the last lines."""

    def __init__(self, process: subprocess.Popen[bytes], log: Log) -> None:
        self.log, self.last, self.left_out = log, deque[bytes](maxlen=TAIL_LINES), 0
        assert process.stdout
        self.pipe = process.stdout
        self.thread = threading.Thread(target=self._copy, daemon=True)
        self.thread.start()

    def _copy(self) -> None:
        space, partial_line = HEAD_BYTES, b""
        while data := os.read(self.pipe.fileno(), 1 << 16):
            if space > 0:
                self.log.write(data[:space])
            self.left_out += max(0, len(data) - max(space, 0))
            space -= len(data)
            *lines, partial_line = (partial_line + data).split(b"\n")
            self.last.extend(lines)
            partial_line = partial_line[-HEAD_BYTES:]
        self.last.append(partial_line)

    def end(self) -> str:
        """Return the likely cause of a failure; writes the last lines to the log, if the first filled it."""
        self.thread.join(GRACE_S)  # a grandchild that escaped may keep the pipe open
        if not self.thread.is_alive():
            self.pipe.close()
        lines = list(self.last)
        if self.left_out:
            self.log.write(
                f"\n[{self.left_out} bytes left out; the last lines:]\n".encode() + b"\n".join(lines) + b"\n"
            )
        return likely_cause([line.decode(errors="replace").strip() for line in lines])


def likely_cause(lines: list[str]) -> str:
    """Return the last line with an error as this project's commands, Python or pytest print it; else the last line."""
    undecorated = [text for line in lines if (text := DECORATIONS.sub("", line).strip())]
    errors = [line for line in undecorated if ERROR_LINE.match(line) and " " in line]
    return (errors or undecorated or [""])[-1][:300]
