"""A real load run beside what the simulation says of it: the same arrivals, the same batches, measured times."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from bench.plans.plan import Settings
from bench.runs.job import REFERENCE_LIMIT_S, LoadAnswer, LoadJob, reference_job
from bench.runs.process import Answer
from bench.runs.request import request
from bench.serving.queue import NS, Batching, simulate
from bench.stats import samples_needed

PREPARE_LIMIT_S = 900.0  # a variant at a handful of batches; compiling one may take a minute
QUANTILES = (0.5, 0.9, 0.99)  # each where there are requests enough for it
RUNS = 20  # simulated, each with other draws of the times

Times = Mapping[int, Sequence[float]]


@dataclass(frozen=True)
class Line:
    """A number of the run, what was predicted of it, and the middle nine tenths of the simulated runs."""

    name: str
    measured: float
    predicted: float
    low: float
    high: float

    @property
    def error(self) -> float:
        """Of the prediction, relative to what was measured."""
        return self.predicted / self.measured - 1


def real(job: LoadJob, stage: Callable[[str], None] = lambda name: None) -> Answer[LoadAnswer]:
    """The run, in a process of its own, held against references that another makes first.

    What its answer holds is told in `bench.worker.serve.serve_load`.
    """
    settings = replace(Settings(), buffers=2)
    references = reference_job([job.case], settings, job.device, job.seed, job.source)
    answer = request(references, REFERENCE_LIMIT_S, stage)
    if answer.status != "ok":
        reason = f"no reference to hold it against: {answer.reason}"
        return Answer(answer.status, reason, cast(LoadAnswer, {}), answer.wall_s)
    # a queue under saturation is empty soon after the last request
    return request(replace(job, reference=answer.data["paths"]), PREPARE_LIMIT_S + 4 * job.seconds, stage)


def alone(data: LoadAnswer) -> dict[int, list[int]]:
    """By batch: what its executions took before and after the load."""
    return {int(size): times for size, times in data["times"].items()}


def under_load(data: LoadAnswer) -> dict[int, list[int]]:
    """By batch: what its executions took during the load; alone, for a batch that did not come up."""
    found = alone(data)
    batching = Batching(tuple(sorted(found)))
    taken: dict[int, list[int]] = {}
    for requests, spent in zip(data["counts"], data["spent"], strict=True):
        taken.setdefault(batching.padded(requests), []).append(spent)
    return found | taken


def compared(data: LoadAnswer, times: Times, wait_ns: float) -> list[Line]:
    """Latency and throughput of a run, each beside its prediction from `times`, by batch, in nanoseconds.

    The simulated requests are due when the real ones were, so that the luck of the arrivals is in neither's error.
    """
    import numpy as np

    due = np.array(data["due"], np.float64)
    batching = Batching(tuple(sorted(times)), wait_ns)
    runs = [simulate(due, times, batching, (number,)) for number in range(RUNS)]
    measured = _numbers(due, np.array(data["latency"], np.float64), len(data["counts"]))
    simulated = [_numbers(due, served.latency_ns, len(served.counts)) for served in runs]
    lines = []
    for name, value in measured.items():
        low, middle, high = np.quantile([told[name] for told in simulated], (0.05, 0.5, 0.95)).tolist()
        lines.append(Line(name, value, middle, low, high))
    return lines


def _numbers(due: Any, latency: Any, batches: int) -> dict[str, float]:
    """Latency of requests, the rate of answers from the first arrival to the last answer, requests in a batch."""
    import numpy as np

    told = {
        f"p{100 * q:.0f} ms": float(np.quantile(latency, q, method="inverted_cdf")) / 1e6
        for q in QUANTILES
        if len(due) >= samples_needed(q)
    }
    told["mean ms"] = float(latency.mean()) / 1e6
    told["requests/s"] = len(due) / float((due + latency).max() - due[0]) * NS
    told["per batch"] = len(due) / batches
    return told


def doublings(most: int) -> tuple[int, ...]:
    """The batches that a server would be prepared at, if nothing else is known: powers of two, and the largest."""
    return tuple(sorted({most, *(2**power for power in range(most.bit_length()) if 2**power <= most)}))
