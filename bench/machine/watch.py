"""Readings of the machine during the timing: clocks, throttle reasons, power, temperature, steal time, other work.

A separate process reads ten times a second, as a thread would take the interpreter from the timed code. Samples taken
while the machine throttled are identified by their times, and dropped. It answers in a file of its own, as its stdout
may have what others print there at an interpreter's start. Without torch.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.machine.environment import PYTHON, child_variables, clock_reasons, gpu_handle, gpus_hidden
from bench.machine.readings import PERIOD_S, Reading, Readings

# A greater share of all cores' time, or of a window in which a thread waited for a core, disturbs a CPU's timing
# (docs/METHODOLOGY.md has what was measured).
OTHER_WORK_LIMIT = 0.1
OTHER_WORK = "other work"
ENOUGH = 0.5  # share of a process's samples, and of its windows, that throttling and stops must leave
CORES_READ = 4  # cores whose frequency is read: a read may interrupt the core


class Watch:
    """Reads the machine inside a `with` block. It never raises: `Readings.why` says what failed."""

    def __init__(self) -> None:
        self._log = -1
        self._child: subprocess.Popen[bytes] | None = None
        self._why = ""
        self._paused = False

    def __enter__(self) -> Watch:
        try:
            self._log = os.memfd_create("watch")  # in memory, as a disk may be full
            self._child = subprocess.Popen(
                [*PYTHON, "-m", "bench.machine.watch", str(self._log)], env=child_variables(),
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=(self._log,),
            )  # fmt: skip
        except (OSError, AttributeError) as error:  # AttributeError: a system without such files
            self._why = f"the watching process did not start: {error}"
        return self

    def so_far(self) -> Readings:
        if not self._child:
            return Readings(why=self._why)
        # pread, as the child writes at the position of this same open file
        lines = os.pread(self._log, os.fstat(self._log).st_size, 0).split(b"\n")[:-1]  # the last may be incomplete
        readings = [reading for line in lines if (reading := _parse(line))]
        code = self._child.poll()
        if len(readings) < len(lines):
            self._why = "the watching process wrote what is no reading"
        elif code is not None:
            self._why = f"the watching process ended (exit status {code})"
        return Readings(readings, self._why)

    def busy_ns(self) -> int | None:
        """Return the CPU time of the watching process; None where the kernel does not have it."""
        try:
            return int(Path(f"/proc/{self._child.pid}/schedstat").read_text().split()[0]) if self._child else None
        except (OSError, ValueError, IndexError):
            return None

    def pause(self, paused: bool) -> None:
        """Pause or resume the watching process, while nothing is timed or to measure what watching costs."""
        if self._child and self._child.stdin and paused != self._paused:
            self._paused = paused
            with suppress(OSError):  # it has ended: `so_far` says so
                os.write(self._child.stdin.fileno(), b"\n")

    def __exit__(self, *_: object) -> None:
        if self._child and self._child.stdin:
            self._child.stdin.close()  # ends it, as the death of this process does
            self._child.kill()
            self._child.wait()
        if self._log >= 0:
            os.close(self._log)


def _parse(line: bytes) -> Reading | None:
    try:
        values = json.loads(line)
        return Reading(**values) if all(type(value) in (int, float) for value in values.values()) else None
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None


def main(log: int) -> None:
    """Write readings to the file descriptor `log`, a JSON object a line, until stdin ends; a byte pauses or resumes.

    The last before a pause is taken at once, as nothing is timed meanwhile and its reader waits for it.
    """
    read = _reader()

    def write() -> None:
        values = {key: value for key, value in asdict(read()).items() if value is not None}
        os.write(log, json.dumps(values).encode() + b"\n")

    while True:
        write()
        if select.select([0], [], [], PERIOD_S)[0]:
            if not os.read(0, 1):
                return
            write()
            if not os.read(0, 1):  # sleeps until it is resumed
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
    """Read the ticks of all cores since boot, and of all but the timed process, its parent and this process."""
    user, nice, system, idle, iowait, irq, softirq, steal = (
        int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    )
    state, parent, timed_ticks = _process(timed)
    project = timed_ticks + _process(parent)[2] + _process(os.getpid())[2]
    busy = user + nice + system + irq + softirq
    ticks = {"steal": steal, "ticks": busy + idle + iowait + steal, "others": busy - project}
    return ticks | ({"stopped": 1} if state in "Tt" else {})


def _process(process: int) -> tuple[str, int, int]:
    """Return the state of a process, its parent, and the ticks that it ran; 0 for one of another container."""
    try:
        words = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return "?", 0, 0
    return words[0], int(words[1]), int(words[11]) + int(words[12])  # state, ppid, utime + stime


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
    main(int(sys.argv[1]))
