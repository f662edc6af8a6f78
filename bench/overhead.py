"""What the harness itself costs: a model that does nothing, and one of a millisecond, timed as every case is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from statistics import median
from typing import Any

import torch
from torch import Tensor

from bench.clock import Clock, on_device
from bench.measure import measure
from bench.plan import Settings
from bench.stats import quantile, ratio
from bench.watch import Watch

# turns of the millisecond's work with the watching process running, and as many with it stopped
TURNS = 12
TURN_S = 0.25
MILLISECOND = 1_000_000


def overhead(device: str) -> dict[str, Any]:
    """Of one sample: what the clock adds, in nanoseconds (median, and 99 % bounds of its p99), and the share of 1 ms.

    `watch` is the time of a millisecond's work beside the watching process over the time without it, with its 95 %
    interval; `watch_core` the share of one core that the watching process takes.
    """
    settings = Settings(warmup_s=0.2, latency_s=3.0, latency_limit_s=3.0, throughput_s=0.0)
    with Watch() as watch, on_device(device) as clock:
        inputs = [torch.zeros(1, 3, 8, 8, device=device) for _ in range(2)]
        answer = torch.zeros(1, 1000, device=device)
        while not watch.so_far().readings and not watch.so_far().why:  # its own start is over before a case is timed
            time.sleep(0.01)
        begun, had = time.perf_counter_ns(), watch.busy_ns()
        null = measure(lambda x: answer, inputs, clock, settings).latency.host
        has, spent = watch.busy_ns(), time.perf_counter_ns() - begun
        beside = _beside(watch, clock, _work(device))
    p99 = quantile(null, 0.99)
    return {
        "samples": len(null),
        "sample_ns": median(null),
        "sample_p99_ns": p99 and [p99.lower, p99.value, p99.upper],
        "of_1_ms": median(null) / MILLISECOND,
        "watch": asdict(beside),
        "watch_core": None if has is None or had is None else (has - had) / spent,
    }


def _work(device: str) -> Callable[[], Tensor]:
    """About a millisecond of arithmetic: a chain of matrix products as long as it takes."""
    x = torch.full((192, 192), 1 / 192, device=device)

    def chain(length: int) -> Tensor:
        y = x
        for _ in range(length):
            y = y @ x
        return y

    length = 1
    while True:
        start = time.perf_counter_ns()
        chain(length)
        if device == "cuda":
            torch.cuda.synchronize()
        if time.perf_counter_ns() - start >= MILLISECOND:
            return lambda: chain(length)
        length *= 2


def _beside(watch: Watch, clock: Clock, work: Callable[[], Tensor]) -> Any:
    """The ratio of the work's time with the watching process to its time without, in turns."""
    medians: dict[bool, list[float]] = {True: [], False: []}
    for turn in range(2 * TURNS):
        # on off off on: a drift meets both alike
        running = turn % 4 in (0, 3)
        watch.pause(not running)
        end = time.monotonic() + TURN_S
        taken: list[int] = []
        while time.monotonic() < end:
            taken.append(clock.sample(work)[0])
        medians[running].append(median(taken))
    watch.pause(False)
    return ratio(list(zip(medians[True], medians[False], strict=True)))
