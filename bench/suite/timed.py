"""A case timed by another harness, with this project's variants, inputs, clock and gate."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from itertools import cycle
from typing import Any

import torch
from torch import Tensor

from bench.errors import WorkError
from bench.machine.environment import device
from bench.machine.facts import Environment
from bench.plans.case import Case
from bench.plans.plan import Plan, Settings
from bench.records.record import SCHEMA
from bench.runs.job import REFERENCE_LIMIT_S, CaseJob, reference_job
from bench.runs.process import request
from bench.worker.case import measure_case
from bench.worker.failure import Wrong
from bench.worker.measure.clock import Clock
from bench.worker.measure.measured import Measured
from bench.worker.measure.windows import Forward, measure_windows
from bench.worker.runtime import settle_folders, use_threads

Benchmark = Callable[[Callable[[], int]], object]  # times a call of a function, as the fixture `benchmark` does
# of a record, from the case's answer
FIELDS = ("details", "runtime", "input", "weights", "network", "gate", "throughput")


def time_case(case: Case, plan: Plan, env: Environment, seed: int, source: str, benchmark: Benchmark) -> dict[str, Any]:
    """Prepare and check `case` in this process, have `benchmark` time it, and return its record without the samples.

    Another process computes the references once. Raises WorkError where that fails, Wrong for a wrong answer, and what
    the variant raises.
    """
    where = device(env)
    answer = request(reference_job([case], plan.settings, where, seed, source, plan.build), REFERENCE_LIMIT_S)
    if answer.status != "ok":
        raise WorkError(answer.reason)
    _free_previous_case()
    settle_folders()
    use_threads(plan.settings.threads)
    settings = replace(plan.settings, energy_s=0.0, flush_batch=0)
    job = CaseJob(case, settings, where, seed, source, answer.data["paths"], build=plan.build)
    measured = measure_case(job, measure=partial(_measure_by, benchmark))
    if measured["status"] != "ok":
        raise Wrong(measured["reason"])
    return {
        "schema": SCHEMA,
        "case": case.name,
        "device": where,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": seed,
        "settings": asdict(plan.settings),
        "plan": {"name": plan.name, "digest": plan.digest},
        "environment": env,
    } | {name: value for name, value in measured.items() if name in FIELDS}


def _measure_by(
    benchmark: Benchmark, forward: Forward, inputs: Sequence[Tensor], clock: Clock, settings: Settings
) -> Measured:
    """Warm up as the plan says, have `benchmark` time executions, and measure throughput if the plan asks for it.

    The samples are the benchmark's. The answer of its last execution is judged; the one sample here is of a further
    execution.
    """
    rotation = cycle(enumerate(inputs))
    latest = 0, inputs[0]  # the buffer of the latest execution, and its answer (before the first, its input)

    def call() -> int:
        nonlocal latest
        buffer, x = next(rotation)
        ns, answer = clock.sample(lambda: forward(x))
        latest = buffer, answer
        return ns

    end = time.monotonic() + settings.warmup_s
    while time.monotonic() < end:  # pytest-benchmark's own warm-up is off by default
        call()
    benchmark(call)
    measured, begun = Measured(), clock.now()
    measured.latency.witnesses = [(latest[0], latest[1].clone())]
    measured.latency.ns, measured.latency.spans = [call()], [(begun, clock.now())]
    if seconds := settings.throughput_s:
        measured.windows = measure_windows(forward, inputs, clock, seconds, measured.p50_ns)
    return measured


def _free_previous_case() -> None:
    """Free what the case before left in this process: unreferenced memory, and what torch.compile caches.

    Dynamo counts the compilations of a function over all models, and refuses more than a few.
    """
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if "torch._dynamo" in sys.modules:
        torch._dynamo.reset()
