"""Warm-up, latency samples, throughput window: the same loop for every variant, over a clock that can be replaced.

Input batches rotate, so that a small batch does not time the cache.
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

# the latest third of the warm-up is no faster than the third before it by more than this
STATIONARY = 0.05
# executions whose outputs are kept for the gate, spread over the latency samples; the copy is outside the sample
WITNESSES = 3
NS = 1_000_000_000


@dataclass
class Measured:
    """What one process measured; the fields are a record's. `witnesses` are (buffer number, output) pairs."""

    warmup: dict[str, Any] = field(default_factory=dict)
    latency_ns: list[int] = field(default_factory=list)
    gpu_ns: list[int] = field(default_factory=list)
    latency_stop: dict[str, Any] = field(default_factory=dict)
    throughput: dict[str, int] = field(default_factory=dict)
    witnesses: list[tuple[int, Tensor]] = field(default_factory=list)


def measure(run: Callable[[Tensor], Tensor], inputs: Sequence[Tensor], clock: Clock, settings: Settings) -> Measured:
    """Time `run` over placed input batches [N, ...], one after the other in rotation."""
    measured = Measured()
    measured.warmup = _warm_up(run, inputs, clock, settings)
    _latency(run, inputs, clock, settings, measured)
    _throughput(run, inputs, clock, settings, measured)
    return measured


def _warm_up(
    run: Callable[[Tensor], Tensor], inputs: Sequence[Tensor], clock: Clock, settings: Settings
) -> dict[str, Any]:
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
    run: Callable[[Tensor], Tensor], inputs: Sequence[Tensor], clock: Clock, settings: Settings, measured: Measured
) -> None:
    """One execution at a time until the median is known well enough, or time is up; which, is kept."""
    start = clock.now()
    kept_at = _witness_times(settings)
    samples = measured.latency_ns
    while True:
        number = len(samples) % len(inputs)
        host, device, result = clock.sample(lambda: run(inputs[number]))  # noqa: B023 - called at once
        samples.append(host)
        if device is not None:
            measured.gpu_ns.append(device)
        spent = (clock.now() - start) / NS
        if kept_at and spent >= kept_at[0]:
            kept_at.pop(0)
            measured.witnesses.append((number, result.clone()))
            clock.wait()  # the copy is over before the next sample starts
        if len(samples) < settings.samples or spent < settings.latency_s:
            continue
        over = spent >= settings.latency_limit_s
        # judged now and then: sorting thousands of samples after each would cool the device between them
        if over or len(samples) < 64 or len(samples) % 64 == 0:
            reached = noise(samples)
            if over or (reached is not None and reached <= settings.noise):
                break
    quiet = reached is not None and reached <= settings.noise
    measured.latency_stop = {"rule": "noise" if quiet else "time", "asked": settings.noise, "reached": reached}


def _witness_times(settings: Settings) -> list[float]:
    return [settings.latency_s * k / WITNESSES for k in range(WITNESSES)]


def _throughput(
    run: Callable[[Tensor], Tensor], inputs: Sequence[Tensor], clock: Clock, settings: Settings, measured: Measured
) -> None:
    """Executions enqueued without waiting, for a window of at least `throughput_s`; the wait at its end counts."""
    if not settings.throughput_s:
        return
    wanted = settings.throughput_s * NS
    # a tenth more than it takes one at a time, as a window that falls short is measured anew
    executions = max(2, ceil(1.1 * wanted / median(measured.latency_ns)))
    while True:
        start = clock.now()
        for number in range(executions):
            run(inputs[number % len(inputs)])
        clock.wait()
        spent = clock.now() - start
        if spent >= wanted:
            break
        # enqueued back to back it is that much faster: a longer window, measured anew as a whole
        executions = max(executions + 1, round(executions * 1.1 * wanted / max(spent, 1)))
    measured.throughput = {"images": executions * len(inputs[0]), "ns": spent}
