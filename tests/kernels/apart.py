"""Triton's compiler in a child, so that a compiler that ends its process fails one test and leaves its last words.

LLVM answers some faults with `exit(1)`: in a test's own process that is the end of the run, without a summary.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

import pytest

RAISED = 97  # the child's exit status where the compiler raised a Python exception, which its caller is to see
LIMIT_S = 300.0


def apart(compile_kernel: Callable[..., Any]) -> Callable[..., Any]:
    """The same compiler, run first in a forked child, which fills the cache on disk, and then here, which reads it."""

    def compile_twice(*args: Any, **kwargs: Any) -> Any:
        if threading.active_count() == 1:  # a lock that another thread holds would stay held in the child
            with tempfile.TemporaryFile() as output:
                status = status_of_child(lambda: compile_kernel(*args, **kwargs), output.fileno())
                if status not in (0, RAISED):
                    output.seek(0)
                    words = output.read(4000).decode(errors="replace")
                    pytest.fail(f"the compiler ended its process ({cause(status)}); its last words: {words or 'none'}")
        return compile_kernel(*args, **kwargs)

    return compile_twice


def status_of_child(work: Callable[[], object], output: int) -> int:
    """The exit status of a fork that does the work, negative for a signal; stdout and stderr go to `output`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch's own threads take no part in compiling
        pid = os.fork()
    if pid == 0:
        status = RAISED
        try:
            os.dup2(output, 1)
            os.dup2(output, 2)
            faulthandler.enable(output)
            work()
            status = 0
        finally:
            os._exit(status)
    deadline = time.monotonic() + LIMIT_S
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.002)


def cause(status: int) -> str:
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
