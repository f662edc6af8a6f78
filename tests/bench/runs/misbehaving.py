"""Children that misbehave: what a test makes `bench.runs.process` run in place of the worker. The job says how."""

from __future__ import annotations

import atexit
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.worker import forks as server


def main(descriptor: int) -> None:
    text = os.read(0, 4096)
    if b'"sits before its job"' in text:
        time.sleep(600)
    if b'"turns from its job"' in text:
        os.close(0)
        text = b'{"do": "nothing"}'
    else:
        text += sys.stdin.buffer.read()
    job = json.loads(text) | {"descriptor": descriptor}
    pipe = os.fdopen(descriptor, "w", buffering=1)
    print(json.dumps({"stage": job["do"]}), file=pipe)
    print("words on stdout", flush=True)
    globals()[job["do"]](job)
    if not job.get("silent"):
        print(json.dumps({"status": "ok", "pid": os.getpid(), **job.get("extra", {})}), file=pipe)


def nothing(job: dict[str, Any]) -> None:
    pass


def prepares_to_hang(job: dict[str, Any]) -> None:
    """It hangs once it has answered."""
    atexit.register(time.sleep, 600)


def prepares_to_crash(job: dict[str, Any]) -> None:
    atexit.register(ctypes.string_at, 0)


def segfault(job: dict[str, Any]) -> None:
    ctypes.string_at(0)


def killed(job: dict[str, Any]) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def real_time_signal(job: dict[str, Any]) -> None:
    os.kill(os.getpid(), signal.SIGRTMIN + 3)


def eats(job: dict[str, Any]) -> None:
    """Joins a control group and takes memory until it is killed, or has far more than the group allows."""
    Path(job["group"]).write_text(str(os.getpid()))
    kept = []
    for _ in range(1024):
        kept.append(b"x" * (1 << 20))  # written to, so that it is really there


def leaves(job: dict[str, Any]) -> None:
    sys.exit(7)


def hangs(job: dict[str, Any]) -> None:
    import faulthandler

    faulthandler.register(signal.SIGUSR1)
    time.sleep(600)


def ignores_sigterm(job: dict[str, Any]) -> None:
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    time.sleep(600)


def talks(job: dict[str, Any]) -> None:
    sys.stdout.write("x" * (1 << 20) + "\nthe last words\n")
    sys.stderr.write("y" * (1 << 20) + "\n")


def never_stops_talking(job: dict[str, Any]) -> None:
    while True:
        os.write(1, b"words " * 10_000)


def says(job: dict[str, Any]) -> None:
    """Writes bytes on the answer pipe, and hangs or leaves."""
    os.write(job["descriptor"], job["bytes"].encode("latin-1"))
    if job["hangs"]:
        time.sleep(600)


def never_ends_a_line(job: dict[str, Any]) -> None:
    while True:
        os.write(job["descriptor"], b"x" * (1 << 20))


def closes_the_pipe(job: dict[str, Any]) -> None:
    os.close(job["descriptor"])
    time.sleep(job["for_s"])
    os._exit(0)


def forks(job: dict[str, Any]) -> None:
    """Leaves a child that holds every descriptor, and the pipe, open."""
    if os.fork() == 0:
        time.sleep(600)


def spawns(job: dict[str, Any]) -> None:
    grandchild = subprocess.Popen(["sleep", "600"])
    job["extra"] = {"grandchild": grandchild.pid}


def kills(job: dict[str, Any]) -> None:
    """Kills the process of this number, if it is one."""
    if job["victim"]:
        os.kill(job["victim"], signal.SIGKILL)


def run_in_parallel() -> None:
    """It has run one convolution with two threads, as no server may."""
    import torch

    torch.set_num_threads(2)
    torch.conv2d(torch.zeros(2, 64, 56, 56), torch.zeros(64, 64, 3, 3))
    server.MODULES["parallel"] = ()


if __name__ == "__main__":
    descriptor, parent, *kind = sys.argv[1:]
    if kind == ["parallel"]:
        run_in_parallel()
    main(server.serve(int(descriptor), *kind) if kind else int(descriptor))
