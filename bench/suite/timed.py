"""A case ready to be timed by another harness: our variants, our inputs, our clock, our gate before and after."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import cycle
from typing import Any

from bench.machine.facts import Environment
from bench.plans.case import Case
from bench.plans.plan import Plan
from bench.records.record import SCHEMA
from bench.runs.job import REFERENCE_LIMIT_S, CaseJob, reference_job
from bench.runs.request import request


class NoReference(RuntimeError):
    """There are no reference logits to hold the case's answers against; the message says why."""


@dataclass
class Timed:
    """`call` is one execution, and returns when its result is ready, with its nanoseconds.

    The gate is `before`, which warms up, too, as the plan says, and `after`, to be asked right after the last timed
    call. `window` measures throughput, if the plan asks for it; after the gate. `record` holds a record's fields but
    for its samples, filled in as checks are made.
    """

    call: Callable[[], int]
    before: Callable[[], None]
    after: Callable[[], None]
    window: Callable[[], None]
    record: dict[str, Any]


@contextmanager
def prepared(case: Case, plan: Plan, env: Environment, device: str, seed: int, source: str) -> Iterator[Timed]:
    """Builds and prepares `case` in this process, inside its clock's stream.

    Raises NoReference, and what the variant raises; `before` and `after` raise `gate.Wrong`. The references are made
    in a process of their own, once.
    """
    answer = request(reference_job([case], plan.settings, device, seed, source), REFERENCE_LIMIT_S)
    if answer.status != "ok":
        raise NoReference(answer.reason)
    from bench.worker.gate import check, judge, overwrite, poison, unseen_ratio
    from bench.worker.measure.clock import on_device
    from bench.worker.measure.measure import measure_throughput
    from bench.worker.prepare import first_call, job_material, read_job_truth
    from bench.worker.runtime import describe_runtime

    _forget()
    job = CaseJob(case, plan.settings, device, seed, source, answer.data["paths"])
    truth = read_job_truth(job)
    material = job_material(job)
    fresh = material.batches.pop()
    count = plan.settings.buffers
    with on_device(device) as clock:
        run = material.prepare()
        inputs = [run.place(batch) for batch in material.batches]
        first, _ = first_call(run, inputs, clock)
        poison(first, clock)
        described, weights = material.provenance()
        gate: dict[str, Any] = {}
        made = {
            "details": run.details,
            "runtime": describe_runtime(device),
            "input": described,
            "weights": weights,
        }
        record = _record(case, plan, env, device, seed) | made | {"gate": gate}
        rotation = cycle(enumerate(inputs))
        last: list[Any] = [0, first]  # the buffer of the latest call, and its answer

        def call() -> int:
            number, x = next(rotation)
            spent, result = clock.sample(lambda: run(x))
            last[:] = number, result
            return spent

        def before() -> None:
            gate["before"] = check(run, inputs, range(count), truth, clock)
            end = time.monotonic() + plan.settings.warmup_s
            while time.monotonic() < end:  # pytest-benchmark's own warm-up is off unless asked for
                call()

        def after() -> None:
            gate["during"] = judge([(last[0], last[1])], truth)
            poison(last[1], clock)
            overwrite(inputs[0], run.place(fresh))
            gate["after"] = check(run, inputs, [count, *range(1, count)], truth, clock)
            gate["after"]["unseen_ratio"] = unseen_ratio(run, inputs[0], clock)

        def throughput() -> None:
            if plan.settings.throughput_s:
                images, (start, end) = measure_throughput(run, inputs, clock, plan.settings.throughput_s, call())
                record["throughput"] = {"images": images, "ns": end - start}

        yield Timed(call, before, after, throughput, record)


def _record(case: Case, plan: Plan, env: Environment, device: str, seed: int) -> dict[str, Any]:
    """The fields of a record that are known before anything runs."""
    return {
        "schema": SCHEMA,
        "case": case.name,
        "device": device,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": seed,
        "settings": asdict(plan.settings),
        "plan": {"name": plan.name, "digest": plan.digest},
        "environment": env,
    }


def _forget() -> None:
    """What the case before left in this process: memory that none refers to, and what torch.compile keeps.

    Dynamo counts the compilations of a function over all models, and refuses more than a few.
    """
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if "torch._dynamo" in sys.modules:
        torch._dynamo.reset()
