"""A real load test: a thread feeds requests at Poisson times, and one device serves them in dynamic batches.

It does what `bench.serving.queue` simulates: the same policy, the same arrivals, with a variant that is prepared and
checked at every batch size. Each size is timed alone before and after the load, for the prediction that the result is
compared with. As in every measurement here, the pictures are in place: a server's copies come on top. The latency of a
request is from the time it was due, even where the feeding thread was late, until its answer is ready.
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

from bench.runs.job import Ended, LoadAnswer, LoadJob, Notify
from bench.serving.queue import NS, Batching, poisson
from bench.worker.failure import Wrong
from bench.worker.gate import check, poison
from bench.worker.measure.clock import Clock, on_device
from bench.worker.prepare import build_material, read_truth
from bench.worker.runtime import describe_runtime
from bench.worker.truth import Truth
from resnet.runner import Runner

BUFFERS = 2  # input batches in rotation, of each size
WARM_UP_S = 0.5  # for each size
MIN_SAMPLES = 5  # of each size, before the load and after it
DEFAULT_RATE = 0.5  # as a share of saturation


def serve_load(job: LoadJob, notify: Notify) -> LoadAnswer | Ended:
    """Prepare the case at each of `sizes`, check it, time it and put it under load; times are in nanoseconds.

    `times` has by batch size the executions alone, before and after; `serve_requests` describes the rest.
    """
    case, sizes = job.case, job.sizes
    notify("build")
    material = build_material(job, BUFFERS * sizes[-1], BUFFERS * sizes[-1])
    (pictures,) = material.batches
    with on_device(job.device) as clock:
        prepared: dict[int, tuple[Runner, list[Tensor]]] = {}
        truths: dict[int, Truth] = {}
        for size in sizes:
            notify(f"prepare batch {size}")
            material.batches = list(pictures[: BUFFERS * size].split(size))
            runner = material.prepare()
            prepared[size] = runner, [runner.place(batch) for batch in material.batches]
            rows = slice(BUFFERS * size)
            truths[size] = read_truth(replace(case, batch=size), job.reference, rows, material.batches)
            truths[size].admit(runner, material.built.module)
        material.release()
        device = _Device(clock, prepared)
        try:
            notify("gate")
            device.check(truths)
            notify("warm up")
            device.sample(WARM_UP_S * len(sizes))
            notify("time each batch")
            times = device.sample(job.seconds / 4)
            saturation = sizes[-1] / float(np.mean(times[sizes[-1]])) * NS
            rate = job.rate or DEFAULT_RATE * saturation
            if rate > saturation:
                reason = f"{rate:.4g} requests a second are more than the {saturation:.4g} that it can answer"
                return {"status": "error", "reason": f"{reason}: the queue would only grow; lower --rate"}
            notify(f"load: {rate:.4g} requests a second for {job.seconds:g} s")
            arrivals = poisson(int(2 * rate * job.seconds) + 100, (job.seed,)) * (NS / rate)
            due = arrivals[arrivals < job.seconds * NS].astype(np.int64).tolist()
            served = serve_requests(device.execute, due, Batching(sizes, job.wait_ns))
            notify("time each batch")
            after = device.sample(job.seconds / 4)
            notify("gate")
            device.check(truths)
        except Wrong as wrong:
            return {"status": "wrong", "reason": str(wrong)}
    return {
        "status": "ok",
        "rate": rate,
        "saturation": saturation,
        "runtime": describe_runtime(job.device),
        "due": due,
        "latency": served.latency,
        "fed_late": served.fed_late,
        "counts": served.counts,
        "spent": served.spent,
        "times": {str(size): times[size] + after[size] for size in sizes},
    }


class _Device:
    """A variant prepared at several batch sizes, of which one runs at a time."""

    def __init__(self, clock: Clock, prepared: dict[int, tuple[Runner, list[Tensor]]]) -> None:
        self._clock, self._prepared = clock, prepared  # by batch size, a runner and its placed inputs
        self._turn = count()

    def execute(self, size: int) -> Tensor:
        """Run a batch and wait until its answer is ready."""
        runner, inputs = self._prepared[size]
        answer = runner(inputs[next(self._turn) % BUFFERS])
        self._clock.wait()
        return answer

    def sample(self, seconds: float) -> dict[int, list[int]]:
        """Return the nanoseconds of executions by batch size, which take turns so that a drift affects all of them."""
        samples: dict[int, list[int]] = {size: [] for size in self._prepared}
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or len(samples[max(samples)]) < MIN_SAMPLES:
            for size, ns in samples.items():
                start = time.perf_counter_ns()
                self.execute(size)
                ns.append(time.perf_counter_ns() - start)
        return samples

    def check(self, truths: Mapping[int, Truth]) -> None:
        """Check the answer to every input batch against the truth of its size. Raises Wrong."""
        for size, (runner, inputs) in self._prepared.items():
            poison(self.execute(size), self._clock)
            check(runner, inputs, range(BUFFERS), truths[size], self._clock)


@dataclass
class Served:
    """The latency of each request, and how late it was fed, in ns; of each batch, its requests and its time in ns."""

    latency: list[int] = field(default_factory=list)
    fed_late: list[int] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    spent: list[int] = field(default_factory=list)


def serve_requests(execute: Callable[[int], object], due_ns: Sequence[int], batching: Batching) -> Served:
    """Answer requests that are due `due_ns` from now, ascending; `execute` runs a batch of a size to its end.

    A new thread feeds them. Batches run in the calling thread, because the CUDA stream is that thread's.
    """
    waiting: deque[int] = deque()
    arrived = threading.Condition()
    served = Served()
    begin = time.perf_counter_ns() + NS // 100  # by then both threads run

    def feed() -> None:
        for offset in due_ns:
            while (early := begin + offset - time.perf_counter_ns()) > 0:
                time.sleep(early / NS)
            with arrived:
                waiting.append(offset)
                served.fed_late.append(-early)
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
            batch = [waiting.popleft() for _ in range(min(batching.max_batch, len(waiting)))]
        start = time.perf_counter_ns() - begin
        execute(batching.padded(len(batch)))
        end = time.perf_counter_ns() - begin
        served.latency += [end - offset for offset in batch]
        served.counts.append(len(batch))
        served.spent.append(end - start)
    feeder.join()
    return served
