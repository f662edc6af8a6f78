"""Throughput windows: executions enqueued back to back, several windows a case, each with what disturbed it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from torch import Tensor

from bench.machine.watch import Readings, Span, overlap_ns
from bench.worker.measure.clock import Clock

NS = 1_000_000_000
# The least number of windows whose median has a 95 % confidence interval.
WINDOWS = 6

Forward = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Window:
    """A throughput window: images done within a span of host time, in a turn of the sweep."""

    images: int
    span: Span
    turn: int = 0

    @property
    def ns(self) -> int:
        return self.span[1] - self.span[0]

    def fields(self, reasons: Sequence[str]) -> dict[str, Any]:
        """Return the window as a record has it, with the reasons why it does not count."""
        disturbed = {"disturbed": ", ".join(reasons)} if reasons else {}
        return {"turn": self.turn, "start_ns": self.span[0], "images": self.images, "ns": self.ns} | disturbed


def window_fields(windows: Sequence[Window], readings: Readings, steal: float) -> tuple[list[dict[str, Any]], int]:
    """Return the windows as a record has them, and the nanoseconds of them in which the machine throttled."""
    rows, spoilt_ns = [], 0
    for window in windows:
        throttled = readings.between(window.span).throttled_spans(steal)
        window_spoilt_ns = overlap_ns(window.span, throttled)
        spoilt_ns += window_spoilt_ns
        rows.append(window.fields(list(throttled) if window_spoilt_ns else []))
    return rows, spoilt_ns


def median_window(windows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Return the images and nanoseconds of the window of median rate, of two in the middle the slower.

    Disturbed windows do not count where there are others.
    """
    counting = [window for window in windows if "disturbed" not in window] or list(windows)
    ordered = sorted(counting, key=lambda window: window["images"] / window["ns"])
    middle = ordered[(len(ordered) - 1) // 2]
    return {"images": middle["images"], "ns": middle["ns"]}


def measure_windows(
    forward: Forward, inputs: Sequence[Tensor], clock: Clock, seconds: float, expected_ns: float
) -> list[Window]:
    """Measure throughput in WINDOWS windows of together at least `seconds`: fewer where an execution takes longer."""
    count = max(1, min(WINDOWS, int(seconds * NS / max(expected_ns, 1))))
    windows: list[Window] = []
    for _ in range(count):
        executions = sum(window.images for window in windows) // len(inputs[0])
        rotated = [*inputs[executions % len(inputs) :], *inputs[: executions % len(inputs)]]
        windows.append(Window(*measure_throughput(forward, rotated, clock, seconds / count, expected_ns)))
    return windows


def measure_throughput(
    forward: Forward, inputs: Sequence[Tensor], clock: Clock, seconds: float, expected_ns: float
) -> tuple[int, Span]:
    """Enqueue executions without waiting for at least `seconds`; return the images, and the first and last nanosecond.

    The wait at the end counts. `expected_ns` is the most that one execution takes.
    """
    least_ns = seconds * NS
    # a tenth more than are needed one at a time, because a window that falls short is measured again
    executions = max(1, ceil(1.1 * least_ns / max(expected_ns, 1)))
    while True:
        start = clock.now()
        for number in range(executions):
            forward(inputs[number % len(inputs)])
        clock.wait()
        end = clock.now()
        if end - start >= least_ns:
            return executions * len(inputs[0]), (start, end)
        # back to back the executions are that much faster: the whole window is measured again, longer
        executions = max(executions + 1, round(executions * 1.1 * least_ns / max(end - start, 1)))
