"""Throughput in turns: this process sleeps while other cases' processes work, and takes a window when it is told to."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import psutil
from torch import Tensor

from bench.machine.readings import PERIOD_S
from bench.machine.watch import Watch
from bench.plans.plan import Settings
from bench.runs.wire import Pause, Paused
from bench.worker.measure.clock import Clock
from bench.worker.measure.measured import Measured
from bench.worker.measure.windows import Forward, measure_throughput, measure_windows, window_fields

# The seconds before a window, at least one execution: others' data leave the caches, and clocks rise from rest.
REWARM_S = 0.05


class Turns:
    """The turns of a process; `watch` sleeps while it does."""

    def __init__(self, pause: Pause | None, watch: Watch) -> None:
        self._pause, self._watch = pause, watch

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
        self._await_reading(clock.now())  # of the latency samples, before the watch sleeps
        while (turn := self._sleep(words)) is not None:
            start = clock.now()
            while clock.now() - start < REWARM_S * 1e9:
                clock.sample(lambda: forward(inputs[-1]))
            window = replace(measure_throughput(forward, inputs, clock, settings.turn_s, expected_ns), turn=turn)
            expected_ns = min(expected_ns, window.ns * len(inputs[0]) / window.images)
            measured.windows.append(window)
            self._await_reading(window.span[1])
            rows, _ = window_fields([window], self._watch.so_far(), settings.steal, measured.latency.ran_share)
            words = cast(Paused, words | {"windows": rows})
        if not measured.windows and settings.throughput_s:
            measured.windows = measure_windows(forward, inputs, clock, settings.throughput_s, expected_ns)

    def _sleep(self, words: Paused) -> int | None:
        """Sleep until the parent's next command, and return the turn that it asks for."""
        assert self._pause
        self._watch.pause(True)
        command = self._pause(words)
        self._watch.pause(False)
        self._await_reading(time.perf_counter_ns())
        return command.turn

    def _await_reading(self, after_ns: int) -> None:
        """Wait for a reading later than `after_ns`: it has what the time up to then was like."""
        deadline = time.monotonic() + 3 * PERIOD_S
        while time.monotonic() < deadline:
            readings = self._watch.so_far()
            if readings.why or (readings.readings and readings.readings[-1].ns >= after_ns):
                return
            time.sleep(PERIOD_S / 20)
