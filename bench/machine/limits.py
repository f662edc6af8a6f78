"""The limits that control groups set for this process, of version 2 and 1: the least of its group and all around it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

MOUNT, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
UNIFIED = ("", "unified")  # where version 2 is mounted: alone, or beside version 1


def cpu_quota(mount: Path = MOUNT, groups: Path = OWN) -> float | None:
    """Return the cores' worth of time that this process may have; None without a limit. Raises OSError, ValueError."""
    return min((share for _, share in _quotas(mount, groups)), default=None)


def _quotas(mount: Path, groups: Path) -> Iterator[tuple[Path, float]]:
    """Yield the folders of the control groups with a quota, and that in cores."""
    for folder in _groups("cpu", mount, groups):
        for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
            with suppress(FileNotFoundError):
                quota, period = " ".join((folder / name).read_text() for name in names).split()
                if quota not in ("max", "-1"):
                    yield folder, int(quota) / int(period)


def held_back_ns(mount: Path = MOUNT, groups: Path = OWN) -> int:
    """Return the nanoseconds for which quotas kept this process's groups from running, each core's added up."""
    units = {"throttled_usec": 1000, "throttled_time": 1}  # of version 2, and of 1
    held = 0
    with suppress(OSError, ValueError):
        for folder in _with_quota(mount, groups):
            for line in (folder / "cpu.stat").read_text().splitlines():
                name, count = line.split()
                held += units.get(name, 0) * int(count)
    return held


@cache
def _with_quota(mount: Path, groups: Path) -> list[Path]:
    return list(dict.fromkeys(folder for folder, _ in _quotas(mount, groups)))


def free_memory(mount: Path = MOUNT, groups: Path = OWN) -> int:
    """Return the bytes of memory that this process can still get: of the machine, and of the control groups it is in.

    A group's cached files count as free, as they do on the machine.
    """
    import psutil  # here, as a Python without any packages names this checkout's commit

    free = [psutil.virtual_memory().available]
    with suppress(OSError, ValueError):
        for folder in _groups("memory", mount, groups):
            for limit, used in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
                with suppress(FileNotFoundError, ValueError):  # ValueError: the limit is `max`
                    most = int((folder / limit).read_text())
                    lines = (line.split() for line in (folder / "memory.stat").read_text().splitlines())
                    counts = {name: int(count) for name, count in lines}
                    cached = counts.get("total_inactive_file", counts.get("inactive_file", 0))
                    free.append(max(0, most - int((folder / used).read_text()) + cached))
    return min(free)


def _groups(controller: str, mount: Path, groups: Path) -> Iterator[Path]:
    """Yield the folders of the control groups that this process is in, each up to its mount, as far as they are seen.

    A container may see its own group as the mount while its path is told from the host's root, so the longest end of
    the path that is there counts. Raises FileNotFoundError where no control groups are mounted.
    """
    seen = False
    for line in groups.read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for name in (controllers, controller) if controllers else UNIFIED:
            top = mount / name
            ends = (top.joinpath(*parts[start:]) for start in range(len(parts) + 1))
            if own := next((folder for folder in ends if folder.is_dir()), None):
                seen = True
                yield from (folder for folder in (own, *own.parents) if folder.is_relative_to(top))
    if not seen:
        raise FileNotFoundError("no control groups are mounted")


def busy_share(seconds: float) -> float:
    """Return the share of the time of the processors of this process, over the next seconds, that anything took."""
    import psutil  # here, as a Python without any packages names this checkout's commit

    shares = psutil.cpu_percent(seconds, percpu=True)
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(len(shares))
    # the numbers do not fit where a core is off line, or a container counts its cores from 0
    ours = [shares[core] for core in allowed] if max(allowed) < len(shares) else shares
    return sum(ours) / len(ours) / 100
