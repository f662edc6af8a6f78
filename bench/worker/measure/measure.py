"""The measuring loop, the same for every variant: warm-up, latency samples, device times, a throughput window.

Latency and device time are sampled in separate passes, because timing the one disturbs the other. Input batches rotate,
so that a small batch does not time the cache. Small batches are also timed with the cache flushed, after the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle
from statistics import median
from typing import Any, cast

from torch import Tensor

from bench.machine.readings import Readings, Span, overlapping
from bench.plans.plan import Settings
from bench.runs.job import CaseAnswer
from bench.stats import noise
from bench.worker.measure.clock import Clock
from bench.worker.measure.windows import Forward, Window, longest_wait, measure_windows, median_window, window_fields
from resnet.device_time import StartedEarly

# The times are stationary once the latest third of the warm-up is at most this much faster than the third before it.
STATIONARY_TOLERANCE = 0.05
# executions whose outputs are kept for the gate, spread over the latency samples; the copies are not in the samples
WITNESS_COUNT = 3
# the time for device samples, as a share of that for latency samples
DEVICE_SHARE = 1 / 3
NS = 1_000_000_000

# A sample counts as stalled if it took more than these nanoseconds and this many times the median, and this process ran
# for less than this share of the processor time that is usual.
STALLED_NS, STALLED_TIMES, STALLED_SHARE = 20_000_000, 2, 0.25

# Fields of Measured that hold samples. A record's fields are these with `_ns` and `_stop` appended; its `throttled` has
# them as they are.
SAMPLE_FIELDS = ("latency", "gpu", "flushed", "flushed_gpu")


@dataclass
class Samples:
    """Executions one at a time: their nanoseconds, their spans in host time, and what stopped the sampling."""

    ns: list[int] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    stop: dict[str, Any] = field(default_factory=dict)
    witnesses: list[tuple[int, Tensor]] = field(default_factory=list)  # (buffer, output) pairs, for the gate
    ran_ns: list[int] = field(default_factory=list)  # processor time of each
    waited_ns: int | None = None  # how long the thread that waited longest had no core; None where it is not known

    @property
    def ran_share(self) -> float:
        """Processor time over host time, the median of the samples."""
        return median(ran / ns for ran, ns in zip(self.ran_ns, self.ns, strict=True)) if self.ran_ns else 0.0

    def spoilt(self, readings: Readings, steal: float) -> list[int]:
        """Return the indices of the samples during which the machine throttled, or this process did not run."""
        if not self.spans:
            return []
        throttled = readings.between((self.spans[0][0], self.spans[-1][1])).throttled_spans(steal)
        return sorted({*overlapping(self.spans, throttled), *self._stalled()})

    def _stalled(self) -> list[int]:
        """Return the indices of samples far beyond the rest, for most of which this process did not run.

        A sample that shares its cores with other work is none: it runs for a good part of the time.
        """
        usual, far_ns = self.ran_share, max(STALLED_NS, STALLED_TIMES * median(self.ns))
        return [
            index
            for index, (ran, ns) in enumerate(zip(self.ran_ns, self.ns, strict=False))  # device times have no `ran_ns`
            if ns > far_ns and ran < STALLED_SHARE * usual * ns
        ]


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
    energy: dict[str, Any] = field(default_factory=dict)  # as `measure_energy` has it

    @property
    def p50_ns(self) -> float:
        return median(self.latency.ns)

    def fields(self, readings: Readings, steal: float) -> CaseAnswer:
        """Return the fields of a record; `throttled` names the samples that a throttling machine or a stop spoilt.

        Each timing has the readings of its own time: `watch` those of latency, device times and windows, and
        `flushed_watch` those of the samples with flushed caches; `energy` has the reasons why it does not count.
        """
        samples_of: dict[str, Samples] = {name: getattr(self, name) for name in SAMPLE_FIELDS}
        fields: dict[str, Any] = {"warmup": self.warmup, "gpu_how": self.method if self.gpu.ns else ""}
        fields["energy"] = self.energy
        if "start_ns" in self.energy:
            start_ns = self.energy["start_ns"]
            spoilt_s = readings.summary([(start_ns, start_ns + round(self.energy["s"] * NS))], steal).get(
                "spoilt_s", {}
            )
            fields["energy"] = self.energy | ({"disturbed": ", ".join(spoilt_s)} if spoilt_s else {})
        for name, samples in samples_of.items():
            fields |= {f"{name}_ns": samples.ns, f"{name}_stop": samples.stop}
        spoilt = {name: samples.spoilt(readings, steal) for name, samples in samples_of.items()}
        throttled: dict[str, Any] = {name: as_ranges(indices) for name, indices in spoilt.items() if indices}
        if self.windows:
            windows, spoilt_ns = window_fields(self.windows, readings, steal, self.latency.ran_share)
            fields |= {"windows": windows, "throughput": median_window(windows)}
            throttled |= {"throughput_s": spoilt_ns / NS} if spoilt_ns else {}
        watch = readings.summary([*self._stretches("latency", "gpu"), *_turns(self.windows)], steal)
        if self.latency.waited_ns:
            watch["waited"] = self.latency.waited_ns / max(1, self.latency.spans[-1][1] - self.latency.spans[0][0])
        fields |= {"throttled": throttled, "watch": watch}
        if flushed := self._stretches("flushed", "flushed_gpu"):
            fields["flushed_watch"] = readings.summary(flushed, steal)
        return cast(CaseAnswer, fields)

    def _stretches(self, *names: str) -> list[Span]:
        """Return the host time that fields of samples took, together."""
        spans = [span for name in names for span in getattr(self, name).spans]
        return [(spans[0][0], spans[-1][1])] if spans else []


def _turns(windows: Sequence[Window]) -> list[Span]:
    """Return the host time of each turn's windows; between two turns other cases are measured."""
    turns: dict[int, Span] = {}
    for window in windows:
        turns[window.turn] = turns.get(window.turn, window.span)[0], window.span[1]
    return list(turns.values())


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
    samples, waits, rule, start = Samples(), clock.waits(), _Rule(clock, settings), clock.now()
    while not rule.over(samples.ns):
        number = len(samples.ns) % len(inputs)
        if flush:
            samples.stop["flush_bytes"] = clock.flush()
        ran, begun = clock.ran(), clock.now()
        host, result = clock.sample(lambda: forward(inputs[number]))  # noqa: B023 - called at once
        samples.ran_ns.append(clock.ran() - ran)
        samples.ns.append(host)
        samples.spans.append((begun, begun + host))
        if due_s and (clock.now() - start) / NS >= due_s[0]:
            due_s.pop(0)
            samples.witnesses.append((number, result.clone()))
            clock.wait()  # the copy is over before the next sample starts
    samples.stop |= rule.as_dict()
    samples.waited_ns = longest_wait(waits, clock.waits())
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
