"""Throughput in turns: this process sleeps while other cases' processes work, and takes a window when it is told to."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import cast

import psutil
from torch import Tensor

from bench.machine.readings import PERIOD_S, Reading, Readings, Span
from bench.machine.watch import Watch
from bench.plans.plan import Settings
from bench.records import fields
from bench.runs.wire import Pause, Paused
from bench.worker.measure.clock import Clock
from bench.worker.measure.measure import Measured
from bench.worker.measure.windows import Forward, measure_throughput, measure_windows, window_fields

# The seconds before a window, at least one execution: others' data leave the caches, and clocks rise from rest.
REWARM_S = 0.05
COUNTERS = ("steal", "ticks", "others")  # of a reading, since boot


class Turns:
    """The turns of a process, and the readings of `watch` without those of its sleep."""

    def __init__(self, pause: Pause | None, watch: Watch) -> None:
        self._pause, self._watch = pause, watch
        self._sleeps: list[Span] = []

    def take(
        self, forward: Forward, inputs: Sequence[Tensor], clock: Clock, settings: Settings, measured: Measured
    ) -> None:
        """Pause, and add to `measured` a window for each turn that the parent asks for, until it says to finish.

        One that gets no turn takes its windows alone.
        """
        if not self._pause:
            return
        expected_ns = measured.p50_ns
        words: Paused = {"p50_ns": expected_ns, "resident_bytes": psutil.Process().memory_info().rss, "windows": []}
        while (turn := self._sleep(words)) is not None:
            start = clock.now()
            while clock.now() - start < REWARM_S * 1e9:
                clock.sample(lambda: forward(inputs[-1]))
            window = replace(measure_throughput(forward, inputs, clock, settings.turn_s, expected_ns), turn=turn)
            expected_ns = min(expected_ns, window.ns * len(inputs[0]) / window.images)
            measured.windows.append(window)
            self._await_reading(window.span[1])
            words["windows"] = cast(
                list[fields.Window],
                window_fields([window], self.readings(), settings.steal, measured.latency.ran_share)[0],
            )
        if not measured.windows and settings.throughput_s:
            measured.windows = measure_windows(forward, inputs, clock, settings.throughput_s, expected_ns)

    def readings(self) -> Readings:
        """Return the readings so far."""
        readings = self._watch.so_far()
        return replace(readings, readings=_without(readings.readings, self._sleeps))

    def _sleep(self, words: Paused) -> int | None:
        """Sleep until the parent's next command, and return the turn that it asks for."""
        assert self._pause
        asleep = time.perf_counter_ns()
        self._watch.pause(True)
        command = self._pause(words)
        self._watch.pause(False)
        self._sleeps.append((asleep, time.perf_counter_ns()))
        self._await_reading(self._sleeps[-1][1])
        return command.turn

    def _await_reading(self, after_ns: int) -> None:
        """Wait for a reading later than `after_ns`: it has what the time up to then was like."""
        deadline = time.monotonic() + 3 * PERIOD_S
        while time.monotonic() < deadline:
            readings = self._watch.so_far()
            if readings.why or (readings.readings and readings.readings[-1].ns >= after_ns):
                return
            time.sleep(PERIOD_S / 20)


def _without(readings: Sequence[Reading], sleeps: Sequence[Span]) -> list[Reading]:
    """Return the readings with counters that stood still during `sleeps`, when other cases had the machine."""
    kept: list[Reading] = list(readings[:1])
    slept = dict.fromkeys(COUNTERS, 0)
    for earlier, later in pairwise(readings):
        counts = {name: (getattr(earlier, name), getattr(later, name)) for name in COUNTERS}
        known = {
            name: (first, last) for name, (first, last) in counts.items() if first is not None and last is not None
        }
        if any(earlier.ns < end and start < later.ns for start, end in sleeps):
            slept |= {name: slept[name] + last - first for name, (first, last) in known.items()}
        kept.append(replace(later, **{name: last - slept[name] for name, (_, last) in known.items()}))
    return kept
