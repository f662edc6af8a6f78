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
from dataclasses import dataclass, field, replace
from itertools import count

import numpy as np
from torch import Tensor

from bench.plans.case import Case
from bench.runs.job import Ended, LoadAnswer, LoadJob
from bench.serving.queue import NS, Batching, poisson
from bench.worker.gate import Wrong, check, poison
from bench.worker.measure.clock import Clock, on_device
from bench.worker.prepare import material, truth_of
from bench.worker.runtime import runtime
from resnet.runner import Runner

BUFFERS = 2  # input batches in rotation, of each size
WARM_UP_S = 0.5  # of each batch
LEAST_TIMES = 5  # of each batch, before the load and after it
SHARE = 0.5  # of saturation: the rate, unless one is given


def load(job: LoadJob, tell: Callable[[str], None]) -> LoadAnswer | Ended:
    """Prepare the case at each of `sizes`, check it, time it, put it under load; times are in nanoseconds.

    `times` has by batch what an execution took alone, before and after; of the load, see `serve`.
    """
    case, sizes = job.case, job.sizes
    tell("build")
    stuff = material(case, job.device, job.seed, job.source, BUFFERS * sizes[-1], BUFFERS * sizes[-1])
    (drawn,) = stuff.batches
    with on_device(job.device) as clock:
        device = _Device(clock)
        for size in sizes:
            tell(f"prepare batch {size}")
            stuff.batches = list(drawn[: BUFFERS * size].split(size))
            run = stuff.prepare()
            device.add(size, run, [run.place(batch) for batch in stuff.batches])
        stuff.release()
        try:
            tell("gate")
            device.check(case, job.reference)
            tell("warm up")
            device.times(WARM_UP_S * len(sizes))
            tell("time each batch")
            times = device.times(job.seconds / 4)
            saturation = sizes[-1] / float(np.mean(times[sizes[-1]])) * NS
            rate = job.rate or SHARE * saturation
            if rate > saturation:
                reason = f"{rate:.4g} requests a second are more than the {saturation:.4g} that it can answer"
                return {"status": "error", "reason": f"{reason}: the queue would only grow; lower --rate"}
            tell(f"load: {rate:.4g} requests a second for {job.seconds:g} s")
            due = poisson(int(2 * rate * job.seconds) + 100, (job.seed,)) * (NS / rate)
            asked = due[due < job.seconds * NS].astype(np.int64).tolist()
            served = serve(device.execute, asked, Batching(sizes, job.wait_ns))
            tell("time each batch")
            after = device.times(job.seconds / 4)
            tell("gate")
            device.check(case, job.reference)
        except Wrong as wrong:
            return {"status": "wrong", "reason": str(wrong)}
    return {
        "status": "ok",
        "rate": rate,
        "saturation": saturation,
        "runtime": runtime(job.device),
        "due": asked,
        "latency": served.latency,
        "fed_late": served.fed_late,
        "counts": served.counts,
        "spent": served.spent,
        "times": {str(size): times[size] + after[size] for size in sizes},
    }


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
        for size, (run, inputs) in self._runs.items():
            truth = truth_of(replace(case, batch=size), reference, slice(BUFFERS * size))
            poison(self.execute(size), self._clock)
            check(run, inputs, range(BUFFERS), truth, self._clock)


@dataclass
class Served:
    """Of each request, in nanoseconds: its latency, and how late it was fed. Of each batch: its requests, its time."""

    latency: list[int] = field(default_factory=list)
    fed_late: list[int] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    spent: list[int] = field(default_factory=list)


def serve(execute: Callable[[int], object], due_ns: Sequence[int], batching: Batching) -> Served:
    """Answer requests that are due at `due_ns` from now, ascending; `execute` runs a batch of a size to its end.

    A thread feeds them; batches run in the calling one, whose CUDA stream it is.
    """
    waiting: deque[int] = deque()
    arrived = threading.Condition()
    served = Served()
    begin = time.perf_counter_ns() + NS // 100  # both threads are there by then

    def feed() -> None:
        for offset in due_ns:
            while (left := begin + offset - time.perf_counter_ns()) > 0:
                time.sleep(left / NS)
            with arrived:
                waiting.append(offset)
                served.fed_late.append(-left)
                arrived.notify()

    feeder = threading.Thread(target=feed, daemon=True)
    feeder.start()
    while len(served.latency) < len(due_ns):
        with arrived:
            while not waiting:
                arrived.wait()
            while len(waiting) < batching.max_batch:
                left = begin + waiting[0] + batching.wait_ns - time.perf_counter_ns()
                if left <= 0:
                    break
                arrived.wait(left / NS)
            taken = [waiting.popleft() for _ in range(min(batching.max_batch, len(waiting)))]
        start = time.perf_counter_ns() - begin
        execute(batching.padded(len(taken)))
        end = time.perf_counter_ns() - begin
        served.latency += [end - offset for offset in taken]
        served.counts.append(len(taken))
        served.spent.append(end - start)
    feeder.join()
    return served
