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
from bench.runs.job import CaseAnswer
from bench.runs.wire import Pause, Paused
from bench.worker.measure.clock import Clock
from bench.worker.measure.measured import Measured
from bench.worker.measure.windows import Forward, measure_throughput, measure_windows, window_fields

# The seconds before a window, at least one execution: others' data leave the caches, and clocks rise from rest.
REWARM_S = 0.05


class Turns:
    """The turns of a process; `watch` sleeps while it does. `answer` is the record so far, before the measurements."""

    def __init__(self, pause: Pause, watch: Watch, answer: CaseAnswer) -> None:
        self._pause, self._watch, self._answer = pause, watch, answer

    def take(
        self, forward: Forward, inputs: Sequence[Tensor], clock: Clock, settings: Settings, measured: Measured
    ) -> None:
        """Pause, and add to `measured` a window for each turn that the parent asks for, until it says to finish.

        One that gets no turn takes its windows alone.
        """
        expected_ns = measured.p50_ns
        self._rest(clock.now())
        resident_bytes = psutil.Process().memory_info().rss
        words: Paused = {"p50_ns": expected_ns, "resident_bytes": resident_bytes, "windows": [], "so_far": {}}
        while (turn := self._sleep(words)) is not None:
            start = clock.now()
            while clock.now() - start < REWARM_S * 1e9:
                clock.sample(lambda: forward(inputs[-1]))
            window = replace(measure_throughput(forward, inputs, clock, settings.turn_s, expected_ns), turn=turn)
            expected_ns = min(expected_ns, window.ns * len(inputs[0]) / window.images)
            measured.windows.append(window)
            self._rest(window.span[1])
            readings = self._watch.so_far()
            rows, _ = window_fields([window], readings, settings.steal, measured.latency.ran_share)
            so_far = self._answer | measured.fields(readings, settings.steal)
            words = cast(Paused, words | {"windows": rows, "so_far": so_far})
        if not measured.windows and settings.throughput_s:
            measured.windows = measure_windows(forward, inputs, clock, settings.throughput_s, expected_ns)

    def _sleep(self, words: Paused) -> int | None:
        """Sleep until the parent's next command, and return the turn that it asks for."""
        command = self._pause(words)
        self._watch.pause(False)
        self._await_reading(time.perf_counter_ns())
        return command.turn

    def _rest(self, after_ns: int) -> None:
        """Have the watch sleep, which takes a last reading at once: of what ended at `after_ns`."""
        self._watch.pause(True)
        self._await_reading(after_ns)

    def _await_reading(self, after_ns: int) -> None:
        """Wait for a reading later than `after_ns`: it has what the time up to then was like."""
        deadline = time.monotonic() + 3 * PERIOD_S
        while time.monotonic() < deadline:
            readings = self._watch.so_far()
            if readings.why or (readings.readings and readings.readings[-1].ns >= after_ns):
                return
            time.sleep(PERIOD_S / 20)
