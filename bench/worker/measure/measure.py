"""The measuring loop, the same for every variant: warm-up, latency samples, device times, a throughput window.

Latency and device time are sampled in separate passes, because timing the one disturbs the other. Input batches rotate,
so that a small batch does not time the cache. Small batches are also timed with the cache flushed, after the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from statistics import median
from typing import Any

from torch import Tensor

from bench.dependence import LOOK, next_look
from bench.plans.plan import Settings
from bench.stats import noise
from bench.worker.measure.clock import Clock
from bench.worker.measure.measured import Measured, Samples
from bench.worker.measure.windows import Forward, longest_wait, measure_windows
from resnet.device_time import StartedEarly

# The times are stationary once the latest third of the warm-up is at most this much faster than the third before it.
STATIONARY_TOLERANCE = 0.05
# executions whose outputs are kept for the gate, spread over the latency samples; the copies are not in the samples
WITNESS_COUNT = 3
# the time for device samples, as a share of that for latency samples
DEVICE_SHARE = 1 / 3
NS = 1_000_000_000


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
        is_over = (stationary and spent >= settings.warmup_s) or spent >= settings.warmup_limit_s
        if len(times) >= len(inputs) and is_over:
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
    """The stopping rule: after a least time and count, as soon as enough samples show low noise, or at the limit."""

    def __init__(self, clock: Clock, settings: Settings, share: float = 1.0) -> None:
        self._clock, self._settings, self._start = clock, settings, clock.now()
        self._minimum_s, self._limit_s = share * settings.latency_s, share * settings.latency_limit_s
        self._reached: float | None = None
        self._next_look = LOOK

    def over(self, ns: Sequence[int]) -> bool:
        spent, count = (self._clock.now() - self._start) / NS, len(ns)
        if count < self._settings.samples or spent < self._minimum_s:
            return False
        limit = spent >= self._limit_s
        if limit or count >= self._next_look:
            self._next_look = next_look(count)
            self._reached = noise(ns)
            return limit or self._is_precise()
        return False

    def _is_precise(self) -> bool:
        return self._reached is not None and self._reached <= self._settings.noise

    def as_dict(self) -> dict[str, Any]:
        """Return the rule that stopped the sampling, the noise it required, and the noise reached."""
        rule = "noise" if self._is_precise() else "time"
        return {"rule": rule, "asked": self._settings.noise, "reached": self._reached}
