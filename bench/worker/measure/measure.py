"""Warm-up, latency samples, device times, throughput window: the same loop for every variant, over a clock that can be
replaced.

Latency and device time are passes of their own, as timing the one disturbs the other. Input batches rotate, so that a
small batch does not time the cache; with flushed caches it is timed apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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

# the latest third of the warm-up is no faster than the third before it by more than this
STATIONARY = 0.05
# executions whose outputs are kept for the gate, spread over the latency samples; the copy is outside the sample
WITNESSES = 3
# of the time that latency samples take: what device times take beside them
DEVICE_SHARE = 1 / 3
NS = 1_000_000_000

# of samples: fields of Measured; with _ns and _stop behind them of a record, bare of its `throttled`
KINDS = ("latency", "gpu", "flushed", "flushed_gpu")

Run = Callable[[Tensor], Tensor]


@dataclass
class Samples:
    """Executions one at a time: ns of the host or of the device; from when to when each ran; why it ended."""

    ns: list[int] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    stop: dict[str, Any] = field(default_factory=dict)


@dataclass
class Measured:
    """What one process measured. `witnesses` are (buffer number, output) pairs, for the gate."""

    warmup: dict[str, Any] = field(default_factory=dict)
    latency: Samples = field(default_factory=Samples)
    gpu: Samples = field(default_factory=Samples)  # device times; none on a CPU
    flushed: Samples = field(default_factory=Samples)
    flushed_gpu: Samples = field(default_factory=Samples)
    how: str = ""  # device time is measured
    images: int = 0  # in the throughput window
    window: Span = (0, 0)
    witnesses: list[tuple[int, Tensor]] = field(default_factory=list)

    @property
    def p50_ns(self) -> float:
        return median(self.latency.ns)

    def fields(self, watched: Readings, steal: float) -> CaseAnswer:
        """What was measured as a record keeps it, with what a throttling machine spoilt."""
        taken = {name: getattr(self, name) for name in KINDS}
        told: dict[str, Any] = {"warmup": self.warmup, "gpu_how": self.how if self.gpu.ns else ""}
        for name, samples in taken.items():
            told |= {f"{name}_ns": samples.ns, f"{name}_stop": samples.stop}
        spoilt = {name: _spoilt(samples.spans, watched, steal) for name, samples in taken.items()}
        throttled: dict[str, Any] = {name: ranges(places) for name, places in spoilt.items() if places}
        last = max(self.latency.spans[-1:] + self.gpu.spans[-1:])[1]
        if self.images:
            told["throughput"] = {"images": self.images, "ns": self.window[1] - self.window[0]}
            bad = overlap_ns(self.window, watched.between(self.window).throttled_spans(steal))
            throttled |= {"throughput_s": bad / NS} if bad else {}
            last = self.window[1]
        watch = watched.between((self.latency.spans[0][0], last))
        seconds = {name: sum(b - a for a, b in spans) / NS for name, spans in watch.throttled_spans(steal).items()}
        return cast(
            CaseAnswer,
            told | {"throttled": throttled, "watch": watch.summary() | ({"spoilt_s": seconds} if seconds else {})},
        )


def _spoilt(spans: list[Span], watched: Readings, steal: float) -> list[int]:
    """The places of the samples that were taken while the machine throttled."""
    if not spans:
        return []
    return overlapping(spans, watched.between((spans[0][0], spans[-1][1])).throttled_spans(steal))


def ranges(places: Sequence[int]) -> list[list[int]]:
    """Ascending places as [first, last] ranges."""
    made: list[list[int]] = []
    for place in places:
        if made and place == made[-1][1] + 1:
            made[-1][1] = place
        else:
            made.append([place, place])
    return made


def measure(run: Run, inputs: Sequence[Tensor], clock: Clock, settings: Settings) -> Measured:
    """Time `run` over placed input batches [N, ...], one after the other in rotation."""
    measured = Measured(how=clock.how)
    measured.warmup = _warm_up(run, inputs, clock, settings)
    measured.latency = _latency(run, inputs, clock, settings, measured.witnesses)
    measured.gpu = _device(run, inputs, clock, settings)
    if settings.throughput_s:
        measured.images, measured.window = window(run, inputs, clock, settings.throughput_s, measured.p50_ns)
    return measured


def measure_flushed(run: Run, inputs: Sequence[Tensor], clock: Clock, settings: Settings, measured: Measured) -> None:
    """Add to `measured` the times where the device's last-level cache is flushed before each execution.

    None for batches it does not matter to. After everything else, as the flushing needs memory of its own.
    """
    if len(inputs[0]) <= settings.flush_batch:
        measured.flushed = _latency(run, inputs, clock, settings, flush=True)
        measured.flushed_gpu = _device(run, inputs, clock, settings, flush=True)


def _warm_up(run: Run, inputs: Sequence[Tensor], clock: Clock, settings: Settings) -> dict[str, Any]:
    """Run until the times are stationary: compilation, autotuning, allocator growth and clock ramps are over."""
    start = clock.now()
    times: list[int] = []
    stationary = False
    for x in cycle(inputs):
        times.append(clock.sample(lambda x=x: run(x))[0])  # type: ignore[misc]
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
    return median(times[-third:]) >= (1 - STATIONARY) * median(times[-2 * third : -third])


def _latency(
    run: Run,
    inputs: Sequence[Tensor],
    clock: Clock,
    settings: Settings,
    witnesses: list[tuple[int, Tensor]] | None = None,
    flush: bool = False,
) -> Samples:
    """One execution at a time until the median is known well enough, or time is up; which, is kept."""
    kept_at = [] if witnesses is None else [settings.latency_s * k / WITNESSES for k in range(WITNESSES)]
    taken, rule, start = Samples(), _Rule(clock, settings), clock.now()
    while not rule.over(taken.ns):
        number = len(taken.ns) % len(inputs)
        if flush:
            taken.stop["flush_bytes"] = clock.flush()
        begun = clock.now()
        host, result = clock.sample(lambda: run(inputs[number]))  # noqa: B023 - called at once
        taken.ns.append(host)
        taken.spans.append((begun, begun + host))
        if witnesses is not None and kept_at and (clock.now() - start) / NS >= kept_at[0]:
            kept_at.pop(0)
            witnesses.append((number, result.clone()))
            clock.wait()  # the copy is over before the next sample starts
    taken.stop |= rule.told()
    return taken


def _device(run: Run, inputs: Sequence[Tensor], clock: Clock, settings: Settings, flush: bool = False) -> Samples:
    """Device times, by the same rule in a share of the time; none on a CPU, nor where one execution is all there is.

    What cannot be held has none, and the reason in `stop`; `late` there are executions that fell, as the device was
    through with the hold before the host was with its launches.
    """
    taken, rule, late = Samples(), _Rule(clock, settings, DEVICE_SHARE), 0
    if not clock.how or not settings.latency_limit_s:
        return taken
    before = clock.flush if flush else lambda: None
    while not rule.over(taken.ns):
        x = inputs[len(taken.ns) % len(inputs)]
        begun = clock.now()
        try:
            held = clock.device(lambda: run(x), before)  # noqa: B023 - called at once
        except StartedEarly as error:
            return Samples(stop={"rule": "not held", "why": str(error)})
        taken.ns.append(held.ns)
        taken.spans.append((begun, clock.now()))
        late += held.retries
    taken.stop = rule.told() | {"late": late}
    return taken


class _Rule:
    """When to stop: at least the time and the samples asked for, then as soon as the noise is low, or at the limit."""

    def __init__(self, clock: Clock, settings: Settings, share: float = 1.0) -> None:
        self._clock, self._settings, self._start = clock, settings, clock.now()
        self._least_s, self._limit_s = share * settings.latency_s, share * settings.latency_limit_s
        self._reached: float | None = None

    def over(self, ns: Sequence[int]) -> bool:
        spent, count = (self._clock.now() - self._start) / NS, len(ns)
        if count < self._settings.samples or spent < self._least_s:
            return False
        limit = spent >= self._limit_s
        # judged now and then: sorting thousands of samples after each would cool the device between them
        if limit or count < 64 or count % 64 == 0:
            self._reached = noise(list(ns))
            return limit or self._quiet()
        return False

    def _quiet(self) -> bool:
        return self._reached is not None and self._reached <= self._settings.noise

    def told(self) -> dict[str, Any]:
        rule = "noise" if self._quiet() else "time"
        return {"rule": rule, "asked": self._settings.noise, "reached": self._reached}


def window(run: Run, inputs: Sequence[Tensor], clock: Clock, seconds: float, expected_ns: float) -> tuple[int, Span]:
    """Images, and the first and last nanosecond of executions enqueued without waiting, for at least `seconds`.

    The wait at its end counts. `expected_ns` is what one execution takes at most.
    """
    wanted = seconds * NS
    # a tenth more than it takes one at a time, as a window that falls short is measured anew
    executions = max(2, ceil(1.1 * wanted / max(expected_ns, 1)))
    while True:
        start = clock.now()
        for number in range(executions):
            run(inputs[number % len(inputs)])
        clock.wait()
        end = clock.now()
        if end - start >= wanted:
            return executions * len(inputs[0]), (start, end)
        # enqueued back to back it is that much faster: a longer window, measured anew as a whole
        executions = max(executions + 1, round(executions * 1.1 * wanted / max(end - start, 1)))
