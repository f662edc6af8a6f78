"""Throughput windows: executions enqueued back to back, several windows a case, each with what disturbed it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import median
from typing import Any

from torch import Tensor

from bench.machine.environment import cores
from bench.machine.readings import STOPPED, Readings, Span, overlap_ns
from bench.machine.watch import OTHER_WORK, OTHER_WORK_LIMIT
from bench.stats import LEAST_SAMPLES
from bench.worker.measure.clock import QUOTA, Clock

NS = 1_000_000_000
WINDOWS = LEAST_SAMPLES
# A window in which the process ran less than this share of what it usually does, though no thread waited, was stopped.
RAN_SHARE = 0.8

Forward = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Window:
    """A throughput window: images done within a span of host time, in a turn of the sweep.

    `ran_ns` is the processor time of all threads; `waited_ns` is how long the thread that waited longest had no core:
    0 on a GPU, None where it is not counted. `held_back_ns` is what a quota took, each core's added up.
    """

    images: int
    span: Span
    turn: int = 0
    ran_ns: int = 0
    waited_ns: int | None = None
    held_back_ns: int = 0

    @property
    def ns(self) -> int:
        return self.span[1] - self.span[0]

    def fields(self, reasons: Sequence[str]) -> dict[str, Any]:
        """Return the window as a record has it, with the reasons why it does not count."""
        disturbed = {"disturbed": ", ".join(reasons)} if reasons else {}
        return {"turn": self.turn, "start_ns": self.span[0], "images": self.images, "ns": self.ns} | disturbed


def window_fields(
    windows: Sequence[Window], readings: Readings, steal: float, ran_share: float = 0.0
) -> tuple[list[dict[str, Any]], int]:
    """Return the windows as a record has them, and the nanoseconds of them that throttling or a stop spoilt.

    All windows of a process belong into one call: one in which it ran less than usual is told by the others, or where
    there are none by `ran_share`, processor time over host time as the latency samples have it.
    """
    usual = median(window.ran_ns / window.ns for window in windows) if len(windows) > 2 else ran_share
    rows, spoilt_ns = [], 0
    for window in windows:
        throttled = readings.between(window.span).throttled_spans(steal)
        window_spoilt_ns = overlap_ns(window.span, throttled)
        reasons = list(throttled) if window_spoilt_ns else []
        if _shared(window, readings):
            reasons.append(OTHER_WORK)
        elif not window.held_back_ns and window.ran_ns < RAN_SHARE * usual * window.ns and STOPPED not in reasons:
            reasons.append(STOPPED)
            window_spoilt_ns = window.ns
        spoilt_ns += window_spoilt_ns
        rows.append(window.fields(reasons))
    return rows, spoilt_ns


def _shared(window: Window, readings: Readings) -> bool:
    """Return whether other work took cores that the window needed."""
    if window.waited_ns is None:
        return readings.share_of_others(window.span) > OTHER_WORK_LIMIT
    return not_ours(window.waited_ns, window.ran_ns, window.ns) > OTHER_WORK_LIMIT * window.ns


def not_ours(waited_ns: int, ran_ns: int, ns: int) -> int:
    """Return how long others can have kept a thread waiting that waited so long: while a core ran none of ours.

    More threads than cores wait for each other.
    """
    return min(waited_ns, max(0, cores() * ns - ran_ns))


def longest_wait(before: Mapping[str, int], after: Mapping[str, int]) -> int | None:
    """Return the nanoseconds that others kept the thread that waited longest from a core; None where not counted."""
    waits = {thread: ns - before.get(thread, 0) for thread, ns in after.items()}
    held_back = waits.pop(QUOTA, 0)
    return max(0, max(waits.values()) - held_back) if waits else None


def median_window(windows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Return the images and nanoseconds of the window of median rate, of two in the middle the slower.

    Disturbed windows do not count where there are others; least of all those that more than other work disturbed.
    """
    quiet = [window for window in windows if "disturbed" not in window]
    counting = quiet or [window for window in windows if window["disturbed"] == OTHER_WORK] or windows
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
        windows.append(measure_throughput(forward, rotated, clock, seconds / count, expected_ns))
    return windows


def measure_throughput(
    forward: Forward, inputs: Sequence[Tensor], clock: Clock, seconds: float, expected_ns: float
) -> Window:
    """Enqueue executions without waiting for at least `seconds`. The wait at the end counts.

    `expected_ns` is the most that one execution takes.
    """
    least_ns, on_cpu = seconds * NS, not clock.method
    # a tenth more than are needed one at a time, because a window that falls short is measured again
    executions = max(1, ceil(1.1 * least_ns / max(expected_ns, 1)))
    while True:
        waits, ran = clock.waits(), clock.ran()
        start = clock.now()
        for number in range(executions):
            forward(inputs[number % len(inputs)])
            if on_cpu and clock.now() - start >= least_ns:  # other work may make an execution take many times as long
                executions = number + 1
                break
        clock.wait()
        end = clock.now()
        if end - start >= least_ns:
            ran_ns, after = clock.ran() - ran, clock.waits()
            held_back_ns = after.get(QUOTA, 0) - waits.get(QUOTA, 0)
            wait_ns = longest_wait(waits, after)
            return Window(executions * len(inputs[0]), (start, end), 0, ran_ns, wait_ns, held_back_ns)
        # back to back the executions are that much faster: the whole window is measured again, longer
        executions = max(executions + 1, round(executions * 1.1 * least_ns / max(end - start, 1)))
