"""A case ready to be timed by another harness: our variants, our inputs, our clock, our gate before and after."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import cycle
from typing import Any

from bench.case import Case
from bench.job import REFERENCE_LIMIT_S, case_job, reference_job
from bench.plan import Plan
from bench.process import ask
from bench.record import SCHEMA


class NoReference(RuntimeError):
    """There are no reference logits to hold the case's answers against; the message says why."""


@dataclass
class Timed:
    """`call` is one execution, and returns when its result is ready, with its nanoseconds.

    `check` is the gate, `before` or `after` timing; the first warms up, too. `window` measures throughput, as the plan
    asks. `record` holds a record's fields but for its samples, filled in as checks are made.
    """

    call: Callable[[], int]
    check: Callable[[str], None]
    window: Callable[[], None]
    record: dict[str, Any]


@contextmanager
def prepared(case: Case, plan: Plan, env: dict[str, Any], device: str, seed: int, source: str) -> Iterator[Timed]:
    """Builds and prepares `case` in this process, inside its clock's stream.

    Raises NoReference, and what the variant raises; `check` raises `gate.Wrong`. The references are made in a process
    of their own, once.
    """
    answer = ask(reference_job([case], plan.settings, device, seed, source), REFERENCE_LIMIT_S)
    if answer.status != "ok":
        raise NoReference(answer.reason)
    import resnet
    from bench.clock import on_device
    from bench.gate import check, poison
    from bench.measure import window
    from bench.runtime import runtime
    from bench.worker import Job, truth_of
    from resnet.inputs import find, pictures
    from resnet.synthetic import digest

    job = Job.read(case_job(case, plan.settings, device, seed, source, answer.data["paths"]))
    found, truth = find(source), truth_of(job)
    model = resnet.build(case.model, seed=seed, source=found)
    count = plan.settings.buffers
    batches = pictures(count * case.batch, case.image, seed=seed, source=found).split(case.batch)
    with on_device(device) as clock:
        run = resnet.prepare(case.variant, model, batches[0].to(device), case.precision, case.launch)
        inputs = [run.place(batch) for batch in batches]
        first = run(inputs[0])
        clock.wait()
        poison(first, clock)
        gate: dict[str, Any] = {}
        record = {
            "schema": SCHEMA,
            "case": case.name,
            "device": device,
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "gate": gate,
            "details": run.details,
            "runtime": runtime(device),
            "input": found.described(),
            "weights": digest(model),
            "seed": seed,
            "settings": asdict(plan.settings),
            "plan": {"name": plan.name, "digest": plan.digest},
            "environment": env,
        }
        rotation = cycle(inputs)

        def call() -> int:
            x = next(rotation)
            return clock.sample(lambda: run(x))[0]

        def judge(when: str) -> None:
            last = run(inputs[0])
            clock.wait()
            poison(last, clock)
            gate[when] = check(run, inputs, range(count), truth, clock)
            end = time.monotonic() + (plan.settings.warmup_s if when == "before" else 0)
            while time.monotonic() < end:  # pytest-benchmark's own warm-up is off unless asked for
                call()

        def throughput() -> None:
            if plan.settings.throughput_s:
                images, (start, end) = window(run, inputs, clock, plan.settings.throughput_s, call())
                record["throughput"] = {"images": images, "ns": end - start}

        yield Timed(call, judge, throughput, record)
