"""A real load and its prediction: a simulation with the same arrivals, the same batches, measured times."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from bench.plans.plan import Settings
from bench.runs.job import REFERENCE_LIMIT_S, LoadAnswer, LoadJob, reference_job
from bench.runs.process import Answer, request
from bench.serving.queue import NS, Batching, simulate_queue
from bench.stats import samples_needed

PREPARE_LIMIT_S = 900.0  # a variant at a handful of batches; compiling one may take a minute
QUANTILES = (0.5, 0.9, 0.99)  # each where there are requests enough to support it
RUNS = 20  # simulated, with different draws of the times

Times = Mapping[int, Sequence[float]]


@dataclass(frozen=True)
class LoadNumber:
    """A number of the load: measured, predicted, and the 5th to the 95th percentile of the simulated runs."""

    name: str
    measured: float
    predicted: float
    low: float
    high: float

    @property
    def error(self) -> float:
        """The error of the prediction, relative to the measured number."""
        return self.predicted / self.measured - 1


def serve_load(job: LoadJob, stage: Callable[[str], None] = lambda name: None) -> Answer[LoadAnswer]:
    """Serve the load in a child process, checked against references that another child computes first.

    `bench.worker.serve.serve_load` describes the answer.
    """
    settings = replace(Settings(), buffers=2)
    references = reference_job([job.case], settings, job.device, job.seed, job.source, job.build)
    answer = request(references, REFERENCE_LIMIT_S, stage)
    if answer.status != "ok":
        reason = f"no reference to check it against: {answer.reason}"
        return Answer(answer.status, reason, cast(LoadAnswer, {}), answer.wall_s)
    # a queue under saturation is empty soon after the last request
    return request(replace(job, reference=answer.data["paths"]), PREPARE_LIMIT_S + 4 * job.seconds, stage)


def times_alone(data: LoadAnswer) -> dict[int, list[int]]:
    """Return the execution times of each batch before and after the load, in nanoseconds."""
    return {int(size): times for size, times in data["times"].items()}


def times_under_load(data: LoadAnswer) -> dict[int, list[int]]:
    """Return the execution times of each batch during the load; alone, for a batch that did not occur."""
    alone = times_alone(data)
    batching = Batching(tuple(sorted(alone)))
    under_load: dict[int, list[int]] = {}
    for requests, spent in zip(data["counts"], data["spent"], strict=True):
        under_load.setdefault(batching.padded(requests), []).append(spent)
    return alone | under_load


def predict_load(data: LoadAnswer, times: Times, wait_ns: float) -> list[LoadNumber]:
    """Return the latency and throughput of a load, with their predictions from `times`, by batch, in nanoseconds.

    The simulated requests are due when the real ones were, so that no error is due to different arrivals.
    """
    import numpy as np

    due = np.array(data["due"], np.float64)
    batching = Batching(tuple(sorted(times)), wait_ns)
    runs = [simulate_queue(due, times, batching, (number,)) for number in range(RUNS)]
    measured = _numbers(due, np.array(data["latency"], np.float64), len(data["counts"]))
    simulated = [_numbers(due, served.latency_ns, len(served.counts)) for served in runs]
    rows = []
    for name, value in measured.items():
        low, median, high = np.quantile([numbers[name] for numbers in simulated], (0.05, 0.5, 0.95)).tolist()
        rows.append(LoadNumber(name, value, median, low, high))
    return rows


def _numbers(due: Any, latency: Any, batches: int) -> dict[str, float]:
    """Return latencies in ms, the rate of answers from the first arrival to the last answer, requests in a batch."""
    import numpy as np

    numbers = {
        f"p{100 * q:.0f} ms": float(np.quantile(latency, q, method="inverted_cdf")) / 1e6
        for q in QUANTILES
        if len(due) >= samples_needed(q)
    }
    numbers["mean ms"] = float(latency.mean()) / 1e6
    numbers["requests/s"] = len(due) / float((due + latency).max() - due[0]) * NS
    numbers["per batch"] = len(due) / batches
    return numbers


def default_batches(max_batch: int) -> tuple[int, ...]:
    """Return the batches to prepare where no records name them: powers of two, and the largest."""
    return tuple(sorted({max_batch, *(2**power for power in range(max_batch.bit_length()) if 2**power <= max_batch)}))
