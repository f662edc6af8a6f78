"""The server that a sweep's cases are forked from: it has imported torch, and does nothing else.

The children of a process that has run a parallel region, or compiled, hang in their first convolution. So a server
makes no tensor, touches no device, and forks only while it has exactly one thread.
"""

from __future__ import annotations

import importlib
import json
import os
import socket
import sys
import tempfile
import time

from bench.worker.runtime import settle_folders
from resnet import cache

# onnxruntime, openvino and models' packages are imported in the children: some of them start threads.
LEAN = (
    "bench.worker.case", "bench.worker.score", "bench.worker.measure.turns", "bench.worker.measure.energy",
    "bench.worker.measure.measure", "bench.worker.measure.memory", "resnet.variants",
)  # fmt: skip
MODULES = {"lean": LEAN, "compiling": (*LEAN, "torch._dynamo", "torch._inductor.compile_fx")}  # by kind of server
TASKS = "/proc/self/task"

forked = False  # whether this process is a server's child, whose imports took no time


def serve(descriptor: int, kind: str) -> int:
    """Fork a child for each message on the socket `descriptor`, which brings its stdin, stdout and answer pipe.

    Returns in each child, with the descriptor of its answer pipe. The server itself ends with the socket.
    """
    requests = socket.socket(fileno=descriptor)
    why = _import(kind)
    _say(requests, why=why)
    while not why:
        message, pipes, _, _ = socket.recv_fds(requests, 1, 3)
        if not message:
            break
        if (threads := len(os.listdir(TASKS))) != 1:
            _say(requests, why=f"its server has {threads} threads, so a child of it may hang")
        elif _fork(requests):
            requests.close()
            return _settle(*pipes)
        for pipe in pipes:
            os.close(pipe)
    os._exit(0)


def _say(requests: socket.socket, **words: object) -> None:
    requests.send(json.dumps(words).encode())


def _import(kind: str) -> str:
    """Import what children of this kind need; return why that is impossible, or "". The environment stays as it is."""
    variables = dict(os.environ)
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # else numpy starts threads as it loads
    try:
        settle_folders()
        for module in ("numpy", *MODULES[kind]):
            importlib.import_module(module)
    except Exception as error:  # a child of its own will fail alike, and say so in its record
        return f"its server failed: {type(error).__name__}: {error}"
    finally:
        os.environ.clear()
        os.environ.update(variables)
    return ""


def _fork(requests: socket.socket) -> bool:
    """Fork a process that becomes a child of this one's parent, and send its number; True in that process.

    The process between them ends at once, so the kernel hands its child to the nearest ancestor that wants orphans.
    """
    try:
        between = os.fork()
    except OSError as error:  # too many processes, or no memory
        _say(requests, why=f"its server could not fork: {error.strerror}")
        return False
    if between:
        _say(requests, why="its server could not fork twice" if os.waitpid(between, 0)[1] else "")
        return False
    between = os.getpid()
    try:
        child = os.fork()
    except OSError:
        os._exit(1)
    if child:
        _say(requests, pid=child)
        os._exit(0)
    while os.getppid() == between:
        time.sleep(0.0005)
    return True


def _settle(stdin: int, output: int, answers: int) -> int:
    """Make this process as a fresh one: pipes, session, nothing drawn or noted before. Returns the answer pipe."""
    global forked
    for pipe, place in ((stdin, 0), (output, 1), (output, 2)):
        os.dup2(pipe, place)
    os.close(stdin)
    os.close(output)
    os.setsid()  # a process group, so that its forks die with it: it can be killed once it has said that it starts
    os.write(answers, b'{"stage": "start"}\n')
    tempfile.tempdir, forked = None, True
    cache.notes.clear()
    sys.modules["numpy"].random.seed()  # Python's own generator has a new seed in each fork
    return answers
