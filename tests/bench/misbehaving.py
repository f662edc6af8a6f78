"""Children that misbehave: what a test makes `bench.process` run in place of the worker. The job says how."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time


def main(descriptor: int) -> None:
    job = json.load(sys.stdin)
    pipe = os.fdopen(descriptor, "w", buffering=1)
    print(json.dumps({"stage": job["do"]}), file=pipe)
    print("words on stdout", flush=True)
    globals()[job["do"]](job)
    if not job.get("silent"):
        print(json.dumps({"status": "ok", "pid": os.getpid(), **job.get("extra", {})}), file=pipe)


def nothing(job: dict[str, object]) -> None:
    pass


def segfault(job: dict[str, object]) -> None:
    ctypes.string_at(0)


def killed(job: dict[str, object]) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leaves(job: dict[str, object]) -> None:
    sys.exit(7)


def hangs(job: dict[str, object]) -> None:
    import faulthandler

    faulthandler.register(signal.SIGUSR1)
    time.sleep(600)


def ignores_sigterm(job: dict[str, object]) -> None:
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    time.sleep(600)


def talks(job: dict[str, object]) -> None:
    sys.stdout.write("x" * (1 << 20) + "\nthe last words\n")
    sys.stderr.write("y" * (1 << 20) + "\n")


def forks(job: dict[str, object]) -> None:
    """Leaves a child that holds every descriptor, and the pipe, open."""
    if os.fork() == 0:
        time.sleep(600)


def spawns(job: dict[str, object]) -> None:
    grandchild = subprocess.Popen(["sleep", "600"])
    job["extra"] = {"grandchild": grandchild.pid}


if __name__ == "__main__":
    main(int(sys.argv[1]))
