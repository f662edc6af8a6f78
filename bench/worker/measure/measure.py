"""The measuring loop, the same for every variant: warm-up, latency samples, device times, a throughput window.

Latency and device time are sampled in separate passes, because timing the one disturbs the other. Input batches rotate,
so that a small batch does not time the cache. Small batches are also timed with the cache flushed, after the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from math import ceil
from statistics import median
from typing import Any, cast

from torch import Tensor

from bench.machine.watch import Readings, Span, overlap_ns, overlapping
from bench.plans.plan import Settings
from bench.runs.job import CaseAnswer
from bench.stats import noise
from bench.worker.measure.clock import Clock
from resnet.device_time import StartedEarly

# The times are stationary once the latest third of the warm-up is at most this much faster than the third before it.
STATIONARY_TOLERANCE = 0.05
# executions whose outputs are kept for the gate, spread over the latency samples; the copies are not in the samples
WITNESS_COUNT = 3
# the time for device samples, as a share of that for latency samples
DEVICE_SHARE = 1 / 3
NS = 1_000_000_000
# The least number of windows whose median has a 95 % confidence interval.
WINDOWS = 6

# Fields of Measured that hold samples. A record's fields are these with `_ns` and `_stop` appended; its `throttled` has
# them as they are.
SAMPLE_FIELDS = ("latency", "gpu", "flushed", "flushed_gpu")

Forward = Callable[[Tensor], Tensor]


@dataclass
class Samples:
    """Executions one at a time: their nanoseconds, their spans in host time, and what stopped the sampling."""

    ns: list[int] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    stop: dict[str, Any] = field(default_factory=dict)
    witnesses: list[tuple[int, Tensor]] = field(default_factory=list)  # (buffer, output) pairs, for the gate


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


@dataclass
class Measured:
    """The measurements of one process."""

    warmup: dict[str, Any] = field(default_factory=dict)
    latency: Samples = field(default_factory=Samples)
    gpu: Samples = field(default_factory=Samples)  # device times; none on a CPU
    flushed: Samples = field(default_factory=Samples)
    flushed_gpu: Samples = field(default_factory=Samples)
    method: str = ""  # how device time is measured
    windows: list[Window] = field(default_factory=list)

    @property
    def p50_ns(self) -> float:
        return median(self.latency.ns)

    def fields(self, readings: Readings, steal: float) -> CaseAnswer:
        """Return the fields of a record, with the samples that a throttling machine spoilt named in `throttled`."""
        samples_of = {name: getattr(self, name) for name in SAMPLE_FIELDS}
        fields: dict[str, Any] = {"warmup": self.warmup, "gpu_how": self.method if self.gpu.ns else ""}
        for name, samples in samples_of.items():
            fields |= {f"{name}_ns": samples.ns, f"{name}_stop": samples.stop}
        spoilt = {name: _spoilt(samples.spans, readings, steal) for name, samples in samples_of.items()}
        throttled: dict[str, Any] = {name: as_ranges(indices) for name, indices in spoilt.items() if indices}
        last_ns = max(self.latency.spans[-1:] + self.gpu.spans[-1:])[1]
        if self.windows:
            windows, spoilt_ns = _window_fields(self.windows, readings, steal)
            fields |= {"windows": windows, "throughput": median_window(windows)}
            throttled |= {"throughput_s": spoilt_ns / NS} if spoilt_ns else {}
            last_ns = self.windows[-1].span[1]
        watch = readings.between((self.latency.spans[0][0], last_ns))
        seconds = {
            name: sum(end - start for start, end in spans) / NS for name, spans in watch.throttled_spans(steal).items()
        }
        return cast(
            CaseAnswer,
            fields | {"throttled": throttled, "watch": watch.summary() | ({"spoilt_s": seconds} if seconds else {})},
        )


def _window_fields(windows: Sequence[Window], readings: Readings, steal: float) -> tuple[list[dict[str, Any]], int]:
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


def _spoilt(spans: list[Span], readings: Readings, steal: float) -> list[int]:
    """Return the indices of the samples that were taken while the machine throttled."""
    if not spans:
        return []
    return overlapping(spans, readings.between((spans[0][0], spans[-1][1])).throttled_spans(steal))


def as_ranges(indices: Sequence[int]) -> list[list[int]]:
    """Return ascending indices as [first, last] ranges."""
    ranges: list[list[int]] = []
    for index in indices:
        if ranges and index == ranges[-1][1] + 1:
            ranges[-1][1] = index
        else:
            ranges.append([index, index])
    return ranges


def measure(forward: Forward, inputs: Sequence[Tensor], clock: Clock, settings: Settings) -> Measured:
    """Time `forward` over placed input batches [N, ...], in rotation."""
    measured = Measured(method=clock.method)
    measured.warmup = _warm_up(forward, inputs, clock, settings)
    measured.latency = _sample_latency(forward, inputs, clock, settings)
    measured.gpu = _sample_device(forward, inputs, clock, settings)
    if settings.throughput_s:
        measured.windows = measure_windows(forward, inputs, clock, settings.throughput_s, measured.p50_ns)
    return measured


def measure_flushed(
    forward: Forward, inputs: Sequence[Tensor], clock: Clock, settings: Settings, measured: Measured
) -> None:
    """Add to `measured` the times with the device's last-level cache flushed before each execution.

    Batches too large for it to matter get none. It comes after everything else, because flushing allocates memory.
    """
    if len(inputs[0]) <= settings.flush_batch:
        measured.flushed = _sample_latency(forward, inputs, clock, settings, flush=True)
        measured.flushed_gpu = _sample_device(forward, inputs, clock, settings, flush=True)


def _warm_up(forward: Forward, inputs: Sequence[Tensor], clock: Clock, settings: Settings) -> dict[str, Any]:
    """Run until the times are stationary: compilation, autotuning, allocator growth and clock ramps are then over."""
    start = clock.now()
    times: list[int] = []
    stationary = False
    for x in cycle(inputs):
        times.append(clock.sample(lambda x=x: forward(x))[0])  # type: ignore[misc]
        spent = (clock.now() - start) / NS
        stationary = _stationary(times)
        if len(times) >= len(inputs) and (
            (spent >= settings.warmup_s and stationary) or spent >= settings.warmup_limit_s
        ):
            break
    return {"s": (clock.now() - start) / NS, "executions": len(times), "stationary": stationary}


def _stationary(times: list[int]) -> bool:
    third = len(times) // 3
    if third < 2:
        return False
    return median(times[-third:]) >= (1 - STATIONARY_TOLERANCE) * median(times[-2 * third : -third])


def _sample_latency(
    forward: Forward, inputs: Sequence[Tensor], clock: Clock, settings: Settings, flush: bool = False
) -> Samples:
    """Time one execution after the other until the median is precise enough or the time is up; `stop` says which."""
    due_s = [] if flush else [settings.latency_s * k / WITNESS_COUNT for k in range(WITNESS_COUNT)]
    samples, rule, start = Samples(), _Rule(clock, settings), clock.now()
    while not rule.over(samples.ns):
        number = len(samples.ns) % len(inputs)
        if flush:
            samples.stop["flush_bytes"] = clock.flush()
        begun = clock.now()
        host, result = clock.sample(lambda: forward(inputs[number]))  # noqa: B023 - called at once
        samples.ns.append(host)
        samples.spans.append((begun, begun + host))
        if due_s and (clock.now() - start) / NS >= due_s[0]:
            due_s.pop(0)
            samples.witnesses.append((number, result.clone()))
            clock.wait()  # the copy is over before the next sample starts
    samples.stop |= rule.as_dict()
    return samples


def _sample_device(
    forward: Forward, inputs: Sequence[Tensor], clock: Clock, settings: Settings, flush: bool = False
) -> Samples:
    """Sample device times, by the same rule in a share of the time; a CPU has none, nor has a single execution.

    Where the stream cannot be held there are none, and `stop` says why. Its `late` counts the executions that
    were dropped, because the hold was over before the host had launched everything.
    """
    samples, rule, late = Samples(), _Rule(clock, settings, DEVICE_SHARE), 0
    if not clock.method or not settings.latency_limit_s:
        return samples
    before = clock.flush if flush else lambda: None
    while not rule.over(samples.ns):
        x = inputs[len(samples.ns) % len(inputs)]
        begun = clock.now()
        try:
            timing = clock.device(lambda: forward(x), before)  # noqa: B023 - called at once
        except StartedEarly as error:
            return Samples(stop={"rule": "not held", "why": str(error)})
        samples.ns.append(timing.ns)
        samples.spans.append((begun, clock.now()))
        late += timing.retries
    samples.stop = rule.as_dict() | {"late": late}
    return samples


class _Rule:
    """The stopping rule: after a least time and count of samples, as soon as the noise is low, or at the time limit."""

    def __init__(self, clock: Clock, settings: Settings, share: float = 1.0) -> None:
        self._clock, self._settings, self._start = clock, settings, clock.now()
        self._minimum_s, self._limit_s = share * settings.latency_s, share * settings.latency_limit_s
        self._reached: float | None = None

    def over(self, ns: Sequence[int]) -> bool:
        spent, count = (self._clock.now() - self._start) / NS, len(ns)
        if count < self._settings.samples or spent < self._minimum_s:
            return False
        limit = spent >= self._limit_s
        # not after every sample: sorting thousands of them each time would let the device cool in between
        if limit or count < 64 or count % 64 == 0:
            self._reached = noise(ns)
            return limit or self._is_precise()
        return False

    def _is_precise(self) -> bool:
        return self._reached is not None and self._reached <= self._settings.noise

    def as_dict(self) -> dict[str, Any]:
        """Return the rule that stopped the sampling, the noise it required, and the noise reached."""
        rule = "noise" if self._is_precise() else "time"
        return {"rule": rule, "asked": self._settings.noise, "reached": self._reached}


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
