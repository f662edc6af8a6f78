"""Readings of the machine during the timing: clocks, throttle reasons, power, temperature, steal time, other work.

A separate process reads ten times a second, as a thread would take the interpreter from the timed code. Samples taken
while the machine throttled are identified by their times, and dropped. Without torch.
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
from bisect import bisect_left
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from math import inf
from pathlib import Path
from statistics import median
from typing import Any

from bench.machine.environment import PYTHON, child_variables, clock_reasons, gpu_handle, gpus_hidden

PERIOD_S = 0.1
# A clock under this share of the window's median is a dip. (nvbench compares with the card's boost clock; a card at its
# power cap always runs below that, and would have no sample left.)
DIP = 0.75
# NVML's reason of a card that has nothing to run and lowers its clocks: it may be read between two launches of a small
# batch, and while clocks rise from rest. Such a clock is due to the load, and its samples are what a caller sees.
IDLE = 0x1
# Reasons that spoil samples. A power cap does not: large batches run at it, for users too.
REASONS = {
    "hw-slowdown": 0x8,
    "sw-thermal": 0x20,
    "hw-thermal": 0x40,
    "hw-power-brake": 0x80,
}
ALL_REASONS = REASONS | {"power-cap": 0x4}
CORES_READ = 4  # cores whose frequency is read: a read may interrupt the core

Span = tuple[int, int]


@dataclass(frozen=True)
class Reading:
    """One reading; a value that this machine does not have is None. `ns` is the host clock's, as `Clock.now` has it."""

    ns: int
    steal: int | None = None  # ticks since boot, of all cores
    ticks: int | None = None
    others: int | None = None  # busy ticks of all other processes
    cpu_mhz: float | None = None
    sm_mhz: float | None = None
    power_w: float | None = None
    temperature_c: float | None = None
    reasons: int | None = None


@dataclass(frozen=True)
class Readings:
    """The readings of a stretch of time, oldest first; `why` is the reason why there are none."""

    readings: list[Reading] = field(default_factory=list)
    why: str = ""

    def between(self, span: Span) -> Readings:
        """Return the readings of `span`: those in it, and the counters of the nearest one on either side.

        A clock just outside may be that of a device at rest.
        """
        first, last = span
        before = [r for r in self.readings if r.ns < first][-1:]
        after = [r for r in self.readings if r.ns > last][:1]
        inside = [r for r in self.readings if first <= r.ns <= last]
        first_counters, last_counters = (
            [Reading(r.ns, r.steal, r.ticks, r.others) for r in side] for side in (before, after)
        )
        return Readings(first_counters + inside + last_counters, self.why)

    def throttled_spans(self, steal: float) -> dict[str, list[Span]]:
        """Return the spans (first ns, last ns) of throttling, or of more than this share of steal, by reason."""
        spans: dict[str, list[Span]] = {}
        medians = {name: _median(_clock(r, name) for r in self.readings) for name in ("sm_mhz", "cpu_mhz")}
        for earlier, later in pairwise(self.readings):
            for reason in _reasons(earlier, later, medians, steal):
                spans.setdefault(reason, []).append((earlier.ns, later.ns))
        return spans

    def summary(self) -> dict[str, Any]:
        """Return the least, median and largest of the readings, and the shares of time, for the record."""
        if not self.readings:
            return {"unreadable": self.why or "no reading fell into the timing"}
        summary: dict[str, Any] = {"readings": len(self.readings), "period_s": PERIOD_S}
        for name in ("sm_mhz", "cpu_mhz", "power_w", "temperature_c"):
            values = [value for r in self.readings if (value := getattr(r, name)) is not None]
            if values:
                summary[name] = [min(values), median(values), max(values)]
        first, last = self.readings[0], self.readings[-1]
        for name in ("steal", "others"):
            if getattr(first, name) is not None:
                summary[name] = _share(name, first, last)
        masks = [r.reasons for r in self.readings if r.reasons is not None]
        if masks:
            shares = {name: sum(bool(mask & bit) for mask in masks) / len(masks) for name, bit in ALL_REASONS.items()}
            summary["reasons"] = {name: share for name, share in shares.items() if share}
        return summary


def _clock(reading: Reading, name: str) -> float | None:
    """Return a clock in MHz; None for that of an idle GPU."""
    idle = name == "sm_mhz" and (reading.reasons or 0) & IDLE
    return None if idle else getattr(reading, name)


def _median(values: Any) -> float | None:
    numbers = [value for value in values if value is not None]
    return median(numbers) if numbers else None


def _reasons(earlier: Reading, later: Reading, medians: dict[str, float | None], steal: float) -> list[str]:
    """Return the reasons to drop samples between two readings."""
    reasons = [name for name, bit in REASONS.items() if (later.reasons or 0) & bit]
    for name, usual in medians.items():
        value = _clock(later, name)
        if usual and value is not None and value < DIP * usual:
            reasons.append(name.removesuffix("_mhz") + "-clock")
    if _share("steal", earlier, later) > steal:
        reasons.append("steal")
    return reasons


def _share(name: str, earlier: Reading, later: Reading) -> float:
    """Return the share of all cores' time that went to `steal` (other guests of the hypervisor) or to `others`."""
    first, last = getattr(earlier, name), getattr(later, name)
    if first is None or last is None or earlier.ticks is None or later.ticks is None:
        return 0.0
    return max(0, last - first) / max(1, later.ticks - earlier.ticks)


def overlapping(spans: Sequence[Span], throttled: dict[str, list[Span]]) -> list[int]:
    """Return the indices of those spans, which are in order of time, that touch throttled ones."""
    merged = _merged(throttled)
    ends = [last for _, last in merged] + [inf]
    starts = [first for first, _ in merged] + [inf]
    return [index for index, (first, last) in enumerate(spans) if starts[bisect_left(ends, first)] <= last]


def overlap_ns(span: Span, throttled: dict[str, list[Span]]) -> int:
    """Return how many nanoseconds of the span were throttled."""
    return sum(max(0, min(last, span[1]) - max(first, span[0])) for first, last in _merged(throttled))


def _merged(throttled: dict[str, list[Span]]) -> list[Span]:
    """Return the spans of all reasons in order, with those that touch merged."""
    merged: list[Span] = []
    for first, last in sorted(span for spans in throttled.values() for span in spans):
        if merged and first <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(last, merged[-1][1])
        else:
            merged.append((first, last))
    return merged


class Watch:
    """Reads the machine inside a `with` block. It never raises: `Readings.why` says what failed."""

    def __init__(self) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__
        self._child: subprocess.Popen[bytes] | None = None
        self._why = ""

    def __enter__(self) -> Watch:
        command = [*PYTHON, "-m", "bench.machine.watch"]
        try:
            self._child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=self._log, stderr=subprocess.DEVNULL, env=child_variables()
            )
        except OSError as error:
            self._why = f"the watching process did not start: {error}"
        return self

    def so_far(self) -> Readings:
        file = self._log.fileno()
        # pread, as the child writes at the position of this same open file
        lines = os.pread(file, os.fstat(file).st_size, 0).split(b"\n")[:-1]  # the last is empty or incomplete
        readings = [Reading(**json.loads(line)) for line in lines]
        ended = self._child is not None and self._child.poll() is not None
        return Readings(readings, self._why or ("the watching process ended" if ended else ""))

    def busy_ns(self) -> int | None:
        """Return the CPU time of the watching process; None where the kernel does not have it."""
        try:
            return int(Path(f"/proc/{self._child.pid}/schedstat").read_text().split()[0]) if self._child else None
        except (OSError, ValueError, IndexError):
            return None

    def pause(self, paused: bool) -> None:
        """Pause or resume the watching process, to measure what watching costs."""
        if self._child:
            self._child.send_signal(signal.SIGSTOP if paused else signal.SIGCONT)

    def __exit__(self, *_: object) -> None:
        if self._child and self._child.stdin:
            self._child.stdin.close()  # ends it, as the death of this process does
            self._child.kill()
            self._child.wait()
        self._log.close()


def main() -> None:
    """Write readings to stdout, a JSON object a line, until stdin ends."""
    read = _reader()
    while True:
        values = {key: value for key, value in asdict(read()).items() if value is not None}
        print(json.dumps(values), flush=True)
        if select.select([sys.stdin], [], [], PERIOD_S)[0]:
            return


def _reader() -> Callable[[], Reading]:
    gpu, timed = _gpu_readers(), os.getppid()
    cores = sorted(os.sched_getaffinity(0))[:CORES_READ]
    frequencies = [Path(f"/sys/devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq") for core in cores]

    def read() -> Reading:
        values: dict[str, Any] = {name: read_value() for name, read_value in gpu.items()}
        with suppress(OSError, ValueError):  # a virtual machine has no frequency to read
            values["cpu_mhz"] = sum(int(file.read_text()) for file in frequencies) / len(frequencies) / 1000
        with suppress(OSError, ValueError, IndexError):
            values |= _ticks(timed)
        return Reading(time.perf_counter_ns(), **values)

    return read


def _ticks(timed: int) -> dict[str, int]:
    """Read the ticks of all cores since boot, and of the timed process."""
    user, nice, system, idle, iowait, irq, softirq, steal = (
        int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    )
    process = Path(f"/proc/{timed}/stat").read_text().rsplit(")", 1)[1].split()
    busy = user + nice + system + irq + softirq
    return {
        "steal": steal,
        "ticks": busy + idle + iowait + steal,
        "others": busy - int(process[11]) - int(process[12]),  # utime, stime
    }


def _gpu_readers() -> dict[str, Callable[[], Any]]:
    """Return functions for the readings that this GPU has, each tried once; empty without a GPU."""
    if gpus_hidden():
        return {}
    try:
        import pynvml

        pynvml.nvmlInit()
        handle = gpu_handle(pynvml, os.environ.get("CUDA_VISIBLE_DEVICES"))
    except Exception:  # no NVML, no driver, no such card: environment() says which
        return {}
    readers: dict[str, Callable[[], Any]] = {
        "sm_mhz": lambda: pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM),
        "power_w": lambda: pynvml.nvmlDeviceGetPowerUsage(handle) / 1000,
        "temperature_c": lambda: pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU),
        "reasons": lambda: clock_reasons(pynvml)(handle),
    }
    working = {}
    for name, read in readers.items():
        with suppress(Exception):
            read()
            working[name] = read
    return working


if __name__ == "__main__":
    main()
