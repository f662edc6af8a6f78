"""The processes of a running sweep by what they do, read from /proc."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

MARK = "SOAK_TRIAL"  # an environment variable that each process of a trial inherits
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def children(process: int) -> list[int]:
    processes: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{process}/task").iterdir():
            with suppress(OSError):
                processes += map(int, (task / "children").read_text().split())
    return processes


def words(process: int) -> list[str]:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def busy_ticks(process: int) -> int:
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return 0
    return int(fields[11]) + int(fields[12])


def mark_of(process: int) -> str:
    """The mark of a process: empty for one that has none, or is gone."""
    with suppress(OSError):
        for entry in Path(f"/proc/{process}/environ").read_bytes().split(b"\0"):
            if entry.startswith(f"{MARK}=".encode()):
                return entry.decode().partition("=")[2]
    return ""


def marked(mark: str) -> list[int]:
    """The processes of a trial that live, zombies left out: those that inherited its mark."""
    processes = [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit()]
    return [process for process in processes if mark and mark_of(process) == mark]


def end_all(mark: str) -> None:
    for process in marked(mark):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


@dataclass
class Roles:
    """Who is who under the parent of a sweep, and since when (monotonic seconds) each has been there."""

    parent: int
    since: dict[str, dict[int, float]] = field(default_factory=lambda: {"reference": {}, "child": {}, "watcher": {}})
    lives: dict[str, list[float]] = field(default_factory=lambda: {"reference": [], "child": [], "watcher": []})
    ticks: dict[int, int] = field(default_factory=dict)
    busiest: int = 0  # the child that used most time since the look before

    def look(self) -> None:
        """A worker with a watcher is a case's child; one without, before any case's, makes the references."""
        now = time.monotonic()
        seen: dict[str, set[int]] = {"reference": set(), "child": set(), "watcher": set()}
        for worker in children(self.parent):
            if "bench.worker" not in words(worker):
                continue
            watchers = [child for child in children(worker) if any("watch" in word for word in words(child))]
            seen["watcher"].update(watchers)
            if watchers or worker in self.since["child"]:
                seen["child"].add(worker)
            elif not self.since["child"] and not self.lives["child"]:
                seen["reference"].add(worker)
        for role, processes in seen.items():
            since = self.since[role]
            for gone in since.keys() - processes:
                self.lives[role].append(now - since.pop(gone))
            for process in processes:
                since.setdefault(process, now)
        used = {child: busy_ticks(child) for child in seen["child"]}
        grown = {child: ticks - self.ticks.get(child, 0) for child, ticks in used.items()}
        if any(grown.values()):
            self.busiest = max(grown, key=grown.__getitem__)
        self.ticks = used

    def pick(self, role: str) -> int | None:
        """A process that does this now: of several children the one that is at work."""
        if role == "parent":
            return self.parent
        since = self.since[role]
        if role == "child" and self.busiest in since:
            return self.busiest
        if role == "watcher" and len(since) > 1:
            return next((watcher for watcher in since if watcher in children(self.busiest)), None)
        return next(iter(since), None)
