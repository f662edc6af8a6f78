"""Processes of cases that are forked from a server, which has imported torch already, instead of started afresh.

The children of one server share the addresses of code and data, and Python's hash seed, on which times depend: each
round has new servers. Their end of it is `bench.worker.forks`.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress

from bench.errors import ArgumentError
from bench.plans.case import Case
from bench.plans.settings import thread_variables
from bench.runs.process import HERE, WORKER, worker_variables
from bench.runs.wire import Json
from resnet.names import is_outside
from resnet.variants import find_variant

VARIABLE = "RESNET_BENCH_START"
WAYS = ("fresh", "fork")  # the first is the usual one, as one variant was slower when forked (`results/starts`)
LIMIT_S = 300.0  # of the imports of a server, on a machine that is busy
WORD_S = 60.0  # of its words as it forks, and of the first one of its child: meanwhile no signal interrupts
NO_GPU = "forked cases were not yet compared with fresh ones on a GPU"
PR_SET_CHILD_SUBREAPER, PR_GET_CHILD_SUBREAPER = 36, 37
Started = tuple[subprocess.Popen[bytes], int]


class Forked(subprocess.Popen[bytes]):
    """A child of this process that a server has forked; the kernel tells of its end, as of that of any child."""

    def __init__(self, pid: int, stdin: int, stdout: int) -> None:
        self.pid, self.args, self.stderr = pid, ["forked"], None
        self.stdin, self.stdout = os.fdopen(stdin, "wb", 0), os.fdopen(stdout, "rb", 0)
        self.returncode, self._child_created, self._waitpid_lock = None, True, threading.Lock()  # as `poll` needs them


class Server:
    """A process from which children of one kind are forked, once it is `ready`; `why` is the reason where it is not."""

    def __init__(self, kind: str, variables: dict[str, str], module: str) -> None:
        self.variables = variables
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._requests.settimeout(LIMIT_S)
        with theirs:
            self.process = subprocess.Popen(
                [HERE.python, "-P", "-m", module, str(theirs.fileno()), str(os.getpid()), kind],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),), env=variables, start_new_session=True,
            )  # fmt: skip
        self.why, self.ready = "", False

    def fork(self) -> Started | str:
        """Return a new child of this process and the descriptor of its messages, or why there is none. Raises OSError.

        This process takes orphans as its children for that moment.
        """
        prctl, before, pipes = ctypes.CDLL(None).prctl, ctypes.c_int(), list[int]()
        prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(before), 0, 0, 0)
        if prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
            return "this kernel hands no process on to another parent"
        try:
            for _ in range(3):
                pipes += os.pipe()
            job, stdin, stdout, output, reader, answers = pipes
            said = self._ask([job, output, answers])
            if "pid" not in said:
                return str(said["why"])
            if not _speaks(reader, said["pid"]):
                return f"its process said nothing for {WORD_S:g} s"
            pipes = [job, output, answers]  # to be closed here
            return Forked(said["pid"], stdin, stdout), reader
        finally:
            prctl(PR_SET_CHILD_SUBREAPER, before.value, 0, 0, 0)
            for pipe in pipes:
                os.close(pipe)

    def _ask(self, pipes: Sequence[int]) -> Json:
        """Return the number of the process to which these pipes are given (`pid`), or why there is none."""
        with suppress(OSError):  # it is no more, as is heard
            socket.send_fds(self._requests, [b"f"], pipes)
        said = self.hear()
        return said | self.hear() if "pid" in said else said

    def hear(self) -> Json:
        """Return the server's next words; where it says no more, why, and then it is no more."""
        try:
            words, why = self._requests.recv(1 << 16), "its server ended (exit status {})"
        except OSError as error:
            words, why = b"", f"its server did not answer: {error}"
        self._requests.settimeout(WORD_S)  # once it has said that it is ready
        if not words:
            self.close()
        said: Json = json.loads(words) if words else {"why": why.format(self.process.returncode)}
        self.why = said.get("why", "")
        return said

    def close(self) -> None:
        self._requests.close()
        self.process.kill()
        self.process.wait()


def _speaks(reader: int, pid: int) -> bool:
    """Wait for the first word of a new process, or its end: then it has its own session. Kill one that says nothing."""
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    if poll.poll(1000 * WORD_S):
        return True
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return False


class Forks:
    """The servers of a sweep, two at most at a time: one that can compile, and one without what that takes."""

    def __init__(self, module: str = WORKER) -> None:
        self._module, self._servers = module, dict[str, Server]()
        self._next: Server | str = "no job"
        way_of_starting()

    def prepare(self, job: Json) -> None:
        """Have a server ready for the process of `job`, which is the next to start, if it may be forked."""
        self._next = why_fresh(job) or self._server(job)

    def fork(self) -> Started | str:
        """Return the process and the descriptor of its messages, or why it is to be a fresh one. Raises OSError."""
        return self._next if isinstance(self._next, str) else self._next.fork()

    def close(self) -> None:
        """End the servers; their children go on."""
        while self._servers:
            self._servers.popitem()[1].close()

    def _server(self, job: Json) -> Server | str:
        kind = "compiling" if find_variant(Case.parse(job["case"]).variant).runs == "compiled" else "lean"
        variables = worker_variables(HERE) | thread_variables(job["settings"]["threads"])
        server = self._servers.get(kind)
        if server and (server.variables != variables or (server.ready and server.process.poll() is not None)):
            server.close()
            server = None
        if server is None:
            server = self._servers[kind] = Server(kind, variables, self._module)
            server.ready = not server.hear()["why"]
        return server if server.ready else server.why


def way_of_starting() -> str:
    """Return the user's choice among WAYS. Raises ArgumentError."""
    way = os.environ.get(VARIABLE) or WAYS[0]
    if way not in WAYS:
        raise ArgumentError(f"{VARIABLE}={way} is neither fork nor fresh")
    return way


def why_fresh(job: Json) -> str:
    """Return why the process of a job is to be a fresh one, or "" where a server may fork it."""
    if way_of_starting() == "fresh":
        return f"{VARIABLE} is not fork"
    if sys.platform != "linux":
        return "cases are forked on Linux alone"
    if job["job"] != "case" or job["caches"]:
        return "its imports are measured" if job["job"] == "case" else "it is no case"
    if job["device"] != "cpu":
        return NO_GPU
    if os.environ.get("TRITON_INTERPRET"):
        return "Triton is interpreted"
    case = Case.parse(job["case"])
    return "it runs code from outside" if is_outside(case.variant) or is_outside(case.model) else ""
