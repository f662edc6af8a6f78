"""The three pipes of a child process: its job and commands, its messages, and what noisy libraries print."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import Any

from bench.records.record import STATUSES

# the end of the child's output that the reason of a failure has
TAIL_BYTES = 2000
GRACE_S = 1.0
# The longest message: some ten million samples.
LINE_BYTES = 1 << 28
CHUNK = 1 << 20
WHERE_ELSE = "sitecustomize.py and the .pth files of site-packages for what leads there"


class Pipes:
    """The three pipes of a child: the job goes out; stages, then one answer, come in; and so does its output.

    A child that `talks` also says that it has paused, and goes on by the command that is then sent.
    """

    def __init__(
        self,
        child: subprocess.Popen[bytes],
        reader: int,
        job: dict[str, Any],
        on_stage: Callable[[str], None],
        talks: bool = False,
    ) -> None:
        assert child.stdin
        assert child.stdout
        self.child = child
        self.talks = talks
        self.unsent = memoryview(b"")
        self.on_stage = on_stage
        self.stage = "start"
        self.root = ""  # of the checkout whose code the child says that it runs
        self.answer: dict[str, Any] | None = None
        self.paused: dict[str, Any] | None = None  # what it said as it paused
        self.garbage = ""  # the first line that is no message
        self.partial_line = bytearray()  # the beginning of a line
        self.last_output = b""
        self.messages, self.output = reader, child.stdout.fileno()
        self.selector = selectors.DefaultSelector()
        os.set_blocking(child.stdin.fileno(), False)
        for pipe, react in ((self.output, self._receive_output), (self.messages, self._receive_messages)):
            os.set_blocking(pipe, False)
            self.selector.register(pipe, selectors.EVENT_READ, react)
        self.send(job)

    def send(self, message: dict[str, Any]) -> None:
        """Send the job, or to a child that has paused the command by which it goes on."""
        assert self.child.stdin
        self.paused = None
        self.unsent = memoryview(json.dumps(message).encode() + b"\n")
        self.selector.register(self.child.stdin.fileno(), selectors.EVENT_WRITE, self._send)

    def wait(self, deadline: float, stop: Event | None = None) -> bool:
        """Wait for the answer, a pause, or the child's end; False if the deadline, or `stop`, came first."""
        while time.monotonic() < deadline and not (stop and stop.is_set()):
            # Forks of the child may keep the pipes open, so the end of the child counts, not that of the pipes.
            ended = self.child.poll() is not None
            ready = {key.fd for key in self.poll(0 if ended else 0.1)}
            if self.answer is not None:
                # a child that hangs on its way out has still answered
                with suppress(subprocess.TimeoutExpired):
                    self.child.wait(GRACE_S)
                return True
            if self.paused is not None or self.garbage or (ended and self.messages not in ready):
                return True
        return False

    def foreign_code(self, root: Path, said: bool) -> str:
        """Return a sentence where a child that has answered ran other code than that of the checkout `root`, or "".

        Whose it is must be `said`, but by a child of an older commit: `bench.runs.worktree` checks what that imports.
        """
        if self.answer is None or self.root == str(root.resolve()) or not (self.root or said):
            return ""
        if os.pathsep in str(root):
            return f"the path of this checkout has a {os.pathsep}, so Python cannot be told to import from it: move it"
        other = f"the code of another checkout, {Path(self.root).name}" if self.root else "another version of the code"
        return f"its process ran {other}; see {WHERE_ELSE}"

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
            self.unsent = self.unsent[os.write(pipe, self.unsent) :]
        except BrokenPipeError:  # it died, or does not listen: `_failure` says which
            self.unsent = self.unsent[:0]
        if not self.unsent:
            self.selector.unregister(pipe)
            assert self.child.stdin
            if not self.talks:
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
        elif "root" in message:
            self.root = str(message["root"])
        elif "stage" in message:
            self.stage = message["stage"]
            self.on_stage(self.stage)
        elif "paused" in message:
            self.paused = message["paused"]
        else:
            self.answer = message


def _is_message(message: Any) -> bool:
    if not isinstance(message, dict):
        return False
    texts = [message.get(key, "") for key in ("stage", "status", "reason")]
    if isinstance(message.get("paused"), dict):
        return True
    return all(isinstance(text, str) for text in texts) and ("stage" in message or message.get("status") in STATUSES)


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")  # and could not be kept in a record
