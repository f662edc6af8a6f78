"""A real load run, in a child: a thread feeds requests at Poisson times, and one device serves them in dynamic batches.

What `bench.serving.queue` simulates, done: the same policy, the same arrivals, a variant prepared and checked at every
batch. Each batch's execution is timed alone before and after the load, for the prediction that the run is held
against. As in every measurement here, the pictures are in place: what a server copies comes on top. The latency of a
request is from the time it was due, whether or not the feeding thread was late, to its answer being ready.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any

import numpy as np
from torch import Tensor

import resnet
from bench.plans.case import Case
from bench.serving.queue import NS, Batching, poisson
from bench.worker.gate import Truth, Wrong, check, poison
from bench.worker.measure.clock import Clock, on_device
from bench.worker.reference import EXACT
from bench.worker.runtime import runtime
from resnet.inputs import find, pictures
from resnet.runner import Runner

BUFFERS = 2  # input batches in rotation, of each size
WARM_UP_S = 0.5  # of each batch
LEAST_TIMES = 5  # of each batch, before the load and after it
SHARE = 0.5  # of saturation: the rate, unless one is given


def load(data: dict[str, Any], tell: Callable[[str], None]) -> dict[str, Any]:
    """Prepare the case at each of `sizes`, check it, time it, put it under load; times are in nanoseconds.

    `times` has by batch what an execution took alone, before and after; of the load, see `serve`.
    """
    case, sizes = Case.parse(data["case"]), tuple(data["sizes"])
    tell("build")
    source = find(data["source"])
    model = resnet.build(case.model, seed=data["seed"], source=source)
    drawn = pictures(BUFFERS * sizes[-1], case.image, seed=data["seed"], source=source)
    with on_device(data["device"]) as clock:
        device = _Device(clock)
        for size in sizes:
            tell(f"prepare batch {size}")
            batches = drawn[: BUFFERS * size].split(size)
            run = resnet.prepare(case.variant, model, batches[0].to(data["device"]), case.precision, case.launch)
            device.add(size, run, [run.place(batch) for batch in batches])
        try:
            tell("gate")
            device.check(case, data["reference"])
            tell("warm up")
            device.times(WARM_UP_S * len(sizes))
            tell("time each batch")
            times = device.times(data["seconds"] / 4)
            batching = Batching(sizes, data["wait_ns"])
            saturation = sizes[-1] / float(np.mean(times[sizes[-1]])) * NS
            rate = data["rate"] or SHARE * saturation
            told = {"rate": rate, "saturation": saturation, "runtime": runtime(data["device"])}
            if rate > saturation:
                reason = f"{rate:.4g} requests a second are more than the {saturation:.4g} that it can answer"
                return told | {"status": "error", "reason": f"{reason}: the queue would only grow; lower --rate"}
            tell(f"load: {rate:.4g} requests a second for {data['seconds']:g} s")
            due = poisson(int(2 * rate * data["seconds"]) + 100, (data["seed"],)) * (NS / rate)
            told |= serve(device.execute, due[due < data["seconds"] * NS].astype(np.int64).tolist(), batching)
            tell("time each batch")
            after = device.times(data["seconds"] / 4)
            tell("gate")
            device.check(case, data["reference"])
        except Wrong as wrong:
            return {"status": "wrong", "reason": str(wrong)}
    return told | {"status": "ok", "times": {str(size): times[size] + after[size] for size in sizes}}


class _Device:
    """A variant prepared at several batches, of which one runs at a time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._runs: dict[int, tuple[Runner, list[Tensor]]] = {}
        self._turn = count()

    def add(self, size: int, run: Runner, inputs: list[Tensor]) -> None:
        self._runs[size] = run, inputs

    def execute(self, size: int) -> Tensor:
        """One batch, from the call to its answer being ready."""
        run, inputs = self._runs[size]
        answer = run(inputs[next(self._turn) % BUFFERS])
        self._clock.wait()
        return answer

    def times(self, seconds: float) -> dict[int, list[int]]:
        """Nanoseconds of executions one at a time; the batches take turns, so that a drift meets all of them."""
        taken: dict[int, list[int]] = {size: [] for size in self._runs}
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or len(taken[max(taken)]) < LEAST_TIMES:
            for size, spent in taken.items():
                start = time.perf_counter_ns()
                self.execute(size)
                spent.append(time.perf_counter_ns() - start)
        return taken

    def check(self, case: Case, reference: Mapping[str, str]) -> None:
        """Hold every input batch's answer against the reference. Raises Wrong."""
        exact, plain = np.load(reference[EXACT]), np.load(reference[case.precision]).astype(np.float64)
        for size, (run, inputs) in self._runs.items():
            rows = slice(0, BUFFERS * size)
            poison(self.execute(size), self._clock)
            truth = Truth(case.precision, size, exact[rows], plain[rows])
            check(run, inputs, range(BUFFERS), truth, self._clock)


def serve(execute: Callable[[int], object], due_ns: Sequence[int], batching: Batching) -> dict[str, list[int]]:
    """Answer requests that are due at `due_ns` from now, ascending; `execute` runs a batch of a size to its end.

    A thread feeds them; batches run in the calling one, whose CUDA stream it is. Told of each request, in nanoseconds:
    when it was `due`, its `latency`, and how late it was fed (`fed_late`); of each batch: its requests (`counts`) and
    how long it ran (`spent`).
    """
    waiting: deque[int] = deque()
    arrived = threading.Condition()
    fed_late: list[int] = []
    begin = time.perf_counter_ns() + NS // 100  # both threads are there by then

    def feed() -> None:
        for offset in due_ns:
            while (left := begin + offset - time.perf_counter_ns()) > 0:
                time.sleep(left / NS)
            with arrived:
                waiting.append(offset)
                fed_late.append(-left)
                arrived.notify()

    feeder = threading.Thread(target=feed, daemon=True)
    feeder.start()
    latency: list[int] = []
    counts: list[int] = []
    spent: list[int] = []
    while len(latency) < len(due_ns):
        with arrived:
            while not waiting:
                arrived.wait()
            while len(waiting) < batching.most:
                left = begin + waiting[0] + batching.wait_ns - time.perf_counter_ns()
                if left <= 0:
                    break
                arrived.wait(left / NS)
            taken = [waiting.popleft() for _ in range(min(batching.most, len(waiting)))]
        start = time.perf_counter_ns() - begin
        execute(batching.padded(len(taken)))
        end = time.perf_counter_ns() - begin
        latency += [end - offset for offset in taken]
        counts.append(len(taken))
        spent.append(end - start)
    feeder.join()
    return {"due": list(due_ns), "latency": latency, "fed_late": fed_late, "counts": counts, "spent": spent}
