"""Run a command and report what it cost, with all processes that it started: `python -I -S launcher.py FD ...`.

It is a process of its own for two reasons. The kernel counts the memory of whoever starts a process as the process's
own peak, so that of a large parent would hide a small child's; and a child that outlives its parent is adopted by this
process, so that no CPU second is lost. Standard library only, and little of it.
"""

import os
import signal
import sys
import time

ORPHANS_S = 2.0  # how long those that the command leaves behind may take to end
STEP_S = 0.01
PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Ask the kernel that children of ended children become this process's own; other systems than Linux do not."""
    try:
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except (ImportError, OSError, AttributeError):
        pass


def reap(command: int, limit_s: float) -> tuple[int, float, float, int]:
    """Wait for all children; return the command's exit code, its wall and all CPU seconds, and the peak in KiB."""
    start, code, wall, cpu, peak = time.monotonic(), None, 0.0, 0.0, 0
    while True:
        try:
            child, status, usage = os.wait4(-1, os.WNOHANG if code is not None else 0)
        except ChildProcessError:
            break
        if child:
            cpu, peak = cpu + usage.ru_utime + usage.ru_stime, max(peak, usage.ru_maxrss)
            if child == command:
                code, wall = os.waitstatus_to_exitcode(status), time.monotonic() - start
        elif time.monotonic() - start - wall > limit_s:
            break
        else:
            time.sleep(STEP_S)
    return (-1 if code is None else code), wall, cpu, peak


def main() -> None:
    answer, argv = int(sys.argv[1]), sys.argv[2:]
    adopt_orphans()
    signal.signal(signal.SIGTERM, lambda *_: None)  # sent to all: this process stays until the others have ended
    command = os.posix_spawnp(argv[0], argv, os.environ, file_actions=[(os.POSIX_SPAWN_CLOSE, answer)])
    os.write(answer, " ".join(map(repr, reap(command, ORPHANS_S))).encode())


if __name__ == "__main__":
    main()
