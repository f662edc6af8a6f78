"""What the machine does beside the timing: clocks, throttle reasons, power, temperature, stolen time, other work.

Read ten times a second by a process of its own: a thread would take the interpreter from the timed code. Samples that
were taken while the machine throttled are found by the time they were taken at, and fall. Without torch.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any

from bench.machine.environment import child_variables, clock_reasons, gpu_handle, hidden

PERIOD_S = 0.1
# A clock under this share of the window's median is a dip. (nvbench takes the card's boost clock; a card at its power
# cap runs below that for as long as it works, and would have no sample left.)
DIP = 0.75
# NVML's reason of a card that has nothing to run and lowers its clocks: between two launches of a small batch it may be
# read so, and on its way up from rest. Such a clock is the load's own, and its samples are what a caller sees.
IDLE = 0x1
# Reasons that say something is amiss. A power cap is not among them: large batches run at it, and so do their users.
REASONS = {
    "hw-slowdown": 0x8,
    "sw-thermal": 0x20,
    "hw-thermal": 0x40,
    "hw-power-brake": 0x80,
}
TOLD = REASONS | {"power-cap": 0x4}
CORES_READ = 4  # whose frequency is read: a read may interrupt the core

Span = tuple[int, int]


@dataclass(frozen=True)
class Reading:
    """One look. A value that this machine does not tell is None. `ns` is the host clock's, as `Clock.now` has it."""

    ns: int
    steal: int | None = None  # ticks since boot, of all cores
    ticks: int | None = None
    others: int | None = None  # ticks that neither the timed process nor idleness had
    cpu_mhz: float | None = None
    sm_mhz: float | None = None
    power_w: float | None = None
    temperature_c: float | None = None
    reasons: int | None = None


@dataclass(frozen=True)
class Watched:
    """The readings of a stretch of time, oldest first; `why` says why there are none."""

    readings: list[Reading] = field(default_factory=list)
    why: str = ""

    def between(self, span: Span) -> Watched:
        """The readings that tell of `span`: those in it, and of one on either side the counters alone.

        A clock read just outside is that of a device at rest.
        """
        first, last = span
        before = [r for r in self.readings if r.ns < first][-1:]
        after = [r for r in self.readings if r.ns > last][:1]
        inside = [r for r in self.readings if first <= r.ns <= last]
        one, two = ([Reading(r.ns, r.steal, r.ticks, r.others) for r in ends] for ends in (before, after))
        return Watched(one + inside + two, self.why)

    def spoilt(self, steal: float) -> dict[str, list[Span]]:
        """Stretches (first ns, last ns) in which the machine throttled, by reason; a steal above that share is one."""
        found: dict[str, list[Span]] = {}
        usual = {name: _median(_clock(r, name) for r in self.readings) for name in ("sm_mhz", "cpu_mhz")}
        for one, two in zip(self.readings, self.readings[1:], strict=False):
            for reason in _amiss(one, two, usual, steal):
                found.setdefault(reason, []).append((one.ns, two.ns))
        return found

    def told(self) -> dict[str, Any]:
        """For the record: least, median and largest of what was read, and the shares of time."""
        if not self.readings:
            return {"unreadable": self.why or "no reading fell into the timing"}
        told: dict[str, Any] = {"readings": len(self.readings), "period_s": PERIOD_S}
        for name in ("sm_mhz", "cpu_mhz", "power_w", "temperature_c"):
            values = [value for r in self.readings if (value := getattr(r, name)) is not None]
            if values:
                told[name] = [min(values), median(values), max(values)]
        first, last = self.readings[0], self.readings[-1]
        for name in ("steal", "others"):
            if getattr(first, name) is not None:
                told[name] = _share(name, first, last)
        masks = [r.reasons for r in self.readings if r.reasons is not None]
        if masks:
            shares = {name: sum(bool(mask & bit) for mask in masks) / len(masks) for name, bit in TOLD.items()}
            told["reasons"] = {name: share for name, share in shares.items() if share}
        return told


def _clock(reading: Reading, name: str) -> float | None:
    """A clock, where it says how fast work goes."""
    idle = name == "sm_mhz" and (reading.reasons or 0) & IDLE
    return None if idle else getattr(reading, name)


def _median(values: Any) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _amiss(one: Reading, two: Reading, usual: dict[str, float | None], steal: float) -> list[str]:
    """What was wrong between two readings."""
    reasons = [name for name, bit in REASONS.items() if (two.reasons or 0) & bit]
    for name, normal in usual.items():
        value = _clock(two, name)
        if normal and value is not None and value < DIP * normal:
            reasons.append(name.removesuffix("_mhz") + "-clock")
    if _share("steal", one, two) > steal:
        reasons.append("steal")
    return reasons


def _share(name: str, one: Reading, two: Reading) -> float:
    """The share of all cores' time that went to `steal` (the hypervisor's other guests) or to `others` here."""
    first, last = getattr(one, name), getattr(two, name)
    if first is None or last is None or one.ticks is None or two.ticks is None:
        return 0.0
    return max(0, last - first) / max(1, two.ticks - one.ticks)


def overlapping(spans: Sequence[Span], bad: dict[str, list[Span]]) -> list[int]:
    """The places of the spans, which are in order of time, that touch a bad stretch."""
    stretches = _merged(bad)
    hit, at = [], 0
    for place, (first, last) in enumerate(spans):
        while at < len(stretches) and stretches[at][1] < first:
            at += 1
        if at < len(stretches) and stretches[at][0] <= last:
            hit.append(place)
    return hit


def overlap_ns(span: Span, bad: dict[str, list[Span]]) -> int:
    """How much of the span was bad."""
    return sum(max(0, min(last, span[1]) - max(first, span[0])) for first, last in _merged(bad))


def _merged(bad: dict[str, list[Span]]) -> list[Span]:
    """The bad stretches in order, those that touch as one."""
    merged: list[Span] = []
    for first, last in sorted(stretch for found in bad.values() for stretch in found):
        if merged and first <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(last, merged[-1][1])
        else:
            merged.append((first, last))
    return merged


class Watch:
    """Watches from `with` to its end; `so_far` are the readings. Never an error: what fails is told in `why`."""

    def __init__(self) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__
        self._child: subprocess.Popen[bytes] | None = None
        self._why = ""

    def __enter__(self) -> Watch:
        command = [sys.executable, "-m", "bench.machine.watch"]
        try:
            self._child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=self._log, stderr=subprocess.DEVNULL, env=child_variables()
            )
        except OSError as error:
            self._why = f"the watching process did not start: {error}"
        return self

    def so_far(self) -> Watched:
        file = self._log.fileno()
        # pread, as the place to write at is one with the child's
        lines = os.pread(file, os.fstat(file).st_size, 0).split(b"\n")[:-1]  # the last is empty, or half written
        readings = [Reading(**json.loads(line)) for line in lines]
        dead = self._child is not None and self._child.poll() is not None
        return Watched(readings, self._why or ("the watching process ended" if dead else ""))

    def busy_ns(self) -> int | None:
        """What the watching process has had of a core so far; None where the kernel does not tell."""
        try:
            return int(Path(f"/proc/{self._child.pid}/schedstat").read_text().split()[0]) if self._child else None
        except (OSError, ValueError, IndexError):
            return None

    def pause(self, paused: bool) -> None:
        """Stop watching for a while, or go on: what watching itself costs is found so."""
        if self._child:
            self._child.send_signal(signal.SIGSTOP if paused else signal.SIGCONT)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._child and self._child.stdin:
            self._child.stdin.close()  # which ends it, as the death of this process does
            self._child.kill()
            self._child.wait()
        self._log.close()


def main() -> None:
    """Readings on stdout, a JSON object a line, until stdin ends."""
    look = _looks()
    while True:
        told = {key: value for key, value in asdict(look()).items() if value is not None}
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()
        if select.select([sys.stdin], [], [], PERIOD_S)[0]:
            return


def _looks() -> Callable[[], Reading]:
    gpu, timed = _gpu_looks(), os.getppid()
    cores = sorted(os.sched_getaffinity(0))[:CORES_READ]
    frequencies = [Path(f"/sys/devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq") for core in cores]

    def look() -> Reading:
        values: dict[str, Any] = {name: read() for name, read in gpu.items()}
        with suppress(OSError, ValueError):  # a virtual machine does not tell its frequency
            values["cpu_mhz"] = sum(int(file.read_text()) for file in frequencies) / len(frequencies) / 1000
        with suppress(OSError, ValueError, IndexError):
            values |= _ticks(timed)
        return Reading(time.perf_counter_ns(), **values)

    return look


def _ticks(timed: int) -> dict[str, int]:
    """The kernel's account of all cores since boot, and of the timed process."""
    user, nice, system, idle, iowait, irq, softirq, steal = (
        int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    )
    ours = Path(f"/proc/{timed}/stat").read_text().rsplit(")", 1)[1].split()
    busy = user + nice + system + irq + softirq
    return {
        "steal": steal,
        "ticks": busy + idle + iowait + steal,
        "others": busy - int(ours[11]) - int(ours[12]),  # utime, stime
    }


def _gpu_looks() -> dict[str, Callable[[], Any]]:
    """What this GPU can be asked, each asked once before it is kept; empty without one."""
    if hidden():
        return {}
    try:
        import pynvml

        pynvml.nvmlInit()
        handle = gpu_handle(pynvml, os.environ.get("CUDA_VISIBLE_DEVICES"))
    except Exception:  # no NVML, no driver, no such card: environment() says which
        return {}
    looks: dict[str, Callable[[], Any]] = {
        "sm_mhz": lambda: pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM),
        "power_w": lambda: pynvml.nvmlDeviceGetPowerUsage(handle) / 1000,
        "temperature_c": lambda: pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU),
        "reasons": lambda: clock_reasons(pynvml)(handle),
    }
    answered = {}
    for name, look in looks.items():
        with suppress(Exception):
            look()
            answered[name] = look
    return answered


if __name__ == "__main__":
    main()
