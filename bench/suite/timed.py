"""A case prepared to be timed by another harness, with this project's variants, inputs, clock and gate."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import cycle
from typing import Any

import torch

from bench.errors import WorkError
from bench.machine.environment import device
from bench.machine.facts import Environment
from bench.plans.case import Case
from bench.plans.plan import Plan
from bench.records.record import SCHEMA
from bench.runs.job import REFERENCE_LIMIT_S, CaseJob, reference_job
from bench.runs.request import request
from bench.worker.gate import check, judge, overwrite, poison, unseen_ratio
from bench.worker.measure.clock import Clock, on_device
from bench.worker.measure.measure import measure_throughput
from bench.worker.prepare import first_call, job_material, read_job_truth
from bench.worker.runtime import describe_runtime


class TimedCase:
    """A prepared case. `record` has the fields of its record, but for the samples; the checks add theirs.

    Raises what the variant raises; `check_before` and `check_after` raise `gate.Wrong`.
    """

    def __init__(self, job: CaseJob, clock: Clock, record: dict[str, Any]) -> None:
        self.settings, self.clock, self.gate = job.settings, clock, dict[str, Any]()
        self.truth, material = read_job_truth(job), job_material(job)
        self.unseen = material.batches.pop()
        self.runner = material.prepare()
        self.inputs = [self.runner.place(batch) for batch in material.batches]
        self.rotation = cycle(enumerate(self.inputs))
        answer, _ = first_call(self.runner, self.inputs, clock)
        poison(answer, clock)
        self.latest = 0, answer  # the buffer of the latest call, and its answer
        described, weights = material.provenance()
        self.record = record | {
            "details": self.runner.details,
            "runtime": describe_runtime(job.device),
            "input": described,
            "weights": weights,
            "gate": self.gate,
        }

    def call(self) -> int:
        """Execute the case once, until the result is ready, and return its nanoseconds."""
        buffer, x = next(self.rotation)
        ns, answer = self.clock.sample(lambda: self.runner(x))
        self.latest = buffer, answer
        return ns

    def check_before(self) -> None:
        """Check the answers, then warm up as the plan says."""
        self.gate["before"] = check(self.runner, self.inputs, range(len(self.inputs)), self.truth, self.clock)
        end = time.monotonic() + self.settings.warmup_s
        while time.monotonic() < end:  # pytest-benchmark's own warm-up is off by default
            self.call()

    def check_after(self) -> None:
        """Check the latest answer, right after the last timed call, and then the answers to a batch not seen before."""
        self.gate["during"] = judge([self.latest], self.truth)
        poison(self.latest[1], self.clock)
        overwrite(self.inputs[0], self.runner.place(self.unseen))
        count = len(self.inputs)
        self.gate["after"] = check(self.runner, self.inputs, [count, *range(1, count)], self.truth, self.clock)
        self.gate["after"]["unseen_ratio"] = unseen_ratio(self.runner, self.inputs[0], self.clock)

    def measure_throughput(self) -> None:
        """Measure throughput, if the plan asks for it; after the checks."""
        if seconds := self.settings.throughput_s:
            images, (start, end) = measure_throughput(self.runner, self.inputs, self.clock, seconds, self.call())
            self.record["throughput"] = {"images": images, "ns": end - start}


@contextmanager
def timed_case(case: Case, plan: Plan, env: Environment, seed: int, source: str) -> Iterator[TimedCase]:
    """Prepare `case` in this process, inside its clock's stream; another process computes its references once.

    Raises WorkError where that fails, and what TimedCase raises.
    """
    where = device(env)
    answer = request(reference_job([case], plan.settings, where, seed, source), REFERENCE_LIMIT_S)
    if answer.status != "ok":
        raise WorkError(answer.reason)
    _free_previous_case()
    job = CaseJob(case, plan.settings, where, seed, source, answer.data["paths"])
    record = {
        "schema": SCHEMA,
        "case": case.name,
        "device": where,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": seed,
        "settings": asdict(plan.settings),
        "plan": {"name": plan.name, "digest": plan.digest},
        "environment": env,
    }
    with on_device(where) as clock:
        yield TimedCase(job, clock, record)


def _free_previous_case() -> None:
    """Free what the case before left in this process: unreferenced memory, and what torch.compile caches.

    Dynamo counts the compilations of a function over all models, and refuses more than a few.
    """
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if "torch._dynamo" in sys.modules:
        torch._dynamo.reset()
