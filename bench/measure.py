"""Warm-up, latency samples, throughput window: the same loop for every variant, over a clock that can be replaced.

Input batches rotate, so that a small batch does not time the cache; with flushed caches it is timed apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from math import ceil
from statistics import median
from typing import Any

from torch import Tensor

from bench.clock import Clock
from bench.plan import Settings
from bench.stats import noise
from bench.watch import Span, Watched, overlap_ns, overlapping

# the latest third of the warm-up is no faster than the third before it by more than this
STATIONARY = 0.05
# executions whose outputs are kept for the gate, spread over the latency samples; the copy is outside the sample
WITNESSES = 3
NS = 1_000_000_000

Run = Callable[[Tensor], Tensor]


@dataclass
class Samples:
    """Executions one at a time: ns of the host and, on a GPU, between events; when each began; why it ended."""

    host: list[int] = field(default_factory=list)
    device: list[int] = field(default_factory=list)
    begun: list[int] = field(default_factory=list)
    stop: dict[str, Any] = field(default_factory=dict)
    flush_bytes: int = 0  # written before each, outside the sample

    def spans(self) -> list[Span]:
        return [(start, start + spent) for start, spent in zip(self.begun, self.host, strict=True)]


@dataclass
class Measured:
    """What one process measured. `witnesses` are (buffer number, output) pairs, for the gate."""

    warmup: dict[str, Any] = field(default_factory=dict)
    latency: Samples = field(default_factory=Samples)
    flushed: Samples = field(default_factory=Samples)
    images: int = 0  # in the throughput window
    window: Span = (0, 0)
    witnesses: list[tuple[int, Tensor]] = field(default_factory=list)

    @property
    def p50_ns(self) -> float:
        return median(self.latency.host)

    def fields(self, watched: Watched, steal: float) -> dict[str, Any]:
        """What was measured as a record keeps it, with what a throttling machine spoilt."""
        latency, flushed = self.latency, self.flushed
        told: dict[str, Any] = {
            "warmup": self.warmup,
            "latency_ns": latency.host,
            "gpu_ns": latency.device,
            "latency_stop": latency.stop,
            "flushed_ns": flushed.host,
            "flushed_gpu_ns": flushed.device,
        }
        if flushed.host:
            told["flushed_stop"] = flushed.stop | {"flush_bytes": flushed.flush_bytes}
        named = {"latency": latency, "flushed": flushed}
        spoilt = {name: _spoilt(taken.spans(), watched, steal) for name, taken in named.items()}
        throttled: dict[str, Any] = {name: ranges(places) for name, places in spoilt.items() if places}
        last = latency.spans()[-1][1]
        if self.images:
            told["throughput"] = {"images": self.images, "ns": self.window[1] - self.window[0]}
            bad = overlap_ns(self.window, watched.between(self.window).spoilt(steal))
            throttled |= {"throughput_s": bad / NS} if bad else {}
            last = self.window[1]
        watch = watched.between((latency.begun[0], last))
        seconds = {name: sum(b - a for a, b in spans) / NS for name, spans in watch.spoilt(steal).items()}
        return told | {"throttled": throttled, "watch": watch.told() | ({"spoilt_s": seconds} if seconds else {})}


def _spoilt(spans: list[Span], watched: Watched, steal: float) -> list[int]:
    """The places of the samples that were taken while the machine throttled."""
    if not spans:
        return []
    return overlapping(spans, watched.between((spans[0][0], spans[-1][1])).spoilt(steal))


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
    measured = Measured()
    measured.warmup = _warm_up(run, inputs, clock, settings)
    measured.latency = _samples(run, inputs, clock, settings, measured.witnesses)
    if settings.throughput_s:
        measured.images, measured.window = window(run, inputs, clock, settings.throughput_s, measured.p50_ns)
    return measured


def measure_flushed(run: Run, inputs: Sequence[Tensor], clock: Clock, settings: Settings) -> Samples:
    """Latency with the device's last-level cache flushed before each execution; none for batches it does not matter to.

    After everything else, as the flushing needs memory of its own.
    """
    if len(inputs[0]) > settings.flush_batch:
        return Samples()
    return _samples(run, inputs, clock, settings, flush=True)


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


def _samples(
    run: Run,
    inputs: Sequence[Tensor],
    clock: Clock,
    settings: Settings,
    witnesses: list[tuple[int, Tensor]] | None = None,
    flush: bool = False,
) -> Samples:
    """One execution at a time until the median is known well enough, or time is up; which, is kept."""
    start = clock.now()
    kept_at = [] if witnesses is None else [settings.latency_s * k / WITNESSES for k in range(WITNESSES)]
    taken = Samples()
    while True:
        number = len(taken.host) % len(inputs)
        if flush:
            taken.flush_bytes = clock.flush()
        taken.begun.append(clock.now())
        host, device, result = clock.sample(lambda: run(inputs[number]))  # noqa: B023 - called at once
        taken.host.append(host)
        if device is not None:
            taken.device.append(device)
        spent = (clock.now() - start) / NS
        if witnesses is not None and kept_at and spent >= kept_at[0]:
            kept_at.pop(0)
            witnesses.append((number, result.clone()))
            clock.wait()  # the copy is over before the next sample starts
        count = len(taken.host)
        if count < settings.samples or spent < settings.latency_s:
            continue
        over = spent >= settings.latency_limit_s
        # judged now and then: sorting thousands of samples after each would cool the device between them
        if over or count < 64 or count % 64 == 0:
            reached = noise(taken.host)
            if over or (reached is not None and reached <= settings.noise):
                break
    quiet = reached is not None and reached <= settings.noise
    taken.stop = {"rule": "noise" if quiet else "time", "asked": settings.noise, "reached": reached}
    return taken


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
