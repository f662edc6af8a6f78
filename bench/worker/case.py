"""A case measured: build -> prepare -> gate -> warm up and measure -> gate -> answer."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bench.machine.watch import Watch
from bench.runs.job import CaseAnswer, CaseJob, Notify
from bench.runs.wire import Pause
from bench.worker import STARTED, forks
from bench.worker.runtime import cache_state, describe_runtime, fresh_caches

if TYPE_CHECKING:
    from torch import Tensor

    from bench.worker.measure.clock import Clock
    from bench.worker.measure.turns import Turns
    from bench.worker.truth import Truth
    from resnet.runner import Runner

Measure = Callable[..., Any]  # (forward, inputs, clock, settings), as `bench.worker.measure.measure.measure` has them


def measure_case(
    job: CaseJob, notify: Notify = lambda stage: None, measure: Measure | None = None, pause: Pause | None = None
) -> CaseAnswer:
    """Build, check, measure and check the case again in this process; return the fields of its record.

    `measure` takes the place of this project's measuring loop. With `pause` throughput is measured in turns.
    """
    if job.caches:
        os.environ |= fresh_caches(job.caches)  # before the imports, which read some of them
    from bench.worker.failure import Wrong
    from bench.worker.gate import poison
    from bench.worker.measure.clock import on_device
    from bench.worker.measure.turns import Turns
    from bench.worker.prepare import describe_artefact, first_call, job_material, read_job_truth
    from bench.worker.score import score_case

    cold: dict[str, Any] = {"import_s": None if forks.forked else time.perf_counter() - STARTED}
    with Watch() as watch, on_device(job.device) as clock:
        notify("build")
        start = time.perf_counter()
        material = job_material(job)
        cold["build_s"] = time.perf_counter() - start
        truth = read_job_truth(job, material.batches)
        fresh = material.batches.pop().clone()
        provenance = material.provenance()

        notify("prepare")
        start = time.perf_counter()
        runner = material.prepare()
        cold["prepare_s"] = time.perf_counter() - start
        notify("first call")
        start = time.perf_counter()
        inputs = [runner.place(batch) for batch in material.batches]
        cold["place_s"] = time.perf_counter() - start
        ends = material.built.ends
        quantized = truth.admit(runner, material.built.module)
        cold["artefact"] = describe_artefact(runner, material, cold["prepare_s"])
        material.release()
        first, cold["first_call_s"] = first_call(runner, inputs, clock)
        cold["caches"] = "fresh" if job.caches else cache_state(runner.details)
        imported = forks.forked and "torch._dynamo" in sys.modules  # which is most of what loading takes
        if imported or cold["caches"] not in ("warm", "unused"):  # or it made what a server would have found
            cold["artefact"].pop("load_s", None)
        poison(first, clock)
        answer: CaseAnswer = {
            **provenance,
            "cold": cold,
            "details": runner.details,
            "quantized": quantized,
            "runtime": describe_runtime(job.device),
        }
        turns = Turns(pause, watch, answer) if pause else None
        answer |= _measure(job, runner, inputs, fresh, truth, clock, watch, notify, measure, turns)
        if answer["status"] != "ok":
            return answer
        notify("score")
        try:
            scored = score_case(job, runner, inputs[0], ends, clock)
        except Wrong as wrong:
            scored = {"status": "wrong", "reason": f"{wrong}"}
        return {**provenance, **scored} if "status" in scored else {**answer, **scored}


def _measure(
    job: CaseJob,
    runner: Runner,
    inputs: list[Tensor],
    fresh: Tensor,
    truth: Truth,
    clock: Clock,
    watch: Watch,
    notify: Notify,
    measure: Measure | None,
    turns: Turns | None,
) -> CaseAnswer:
    """Check, time and check a runner whose inputs are placed; `fresh` is a batch that it has not seen."""
    from bench.worker.failure import Wrong
    from bench.worker.gate import check, judge, overwrite, unseen_ratio
    from bench.worker.measure import measure as loop
    from bench.worker.measure import memory
    from bench.worker.measure.energy import measure_energy

    settings, buffers = job.settings, list(range(len(inputs)))
    try:
        when = "before timing"
        notify("gate")
        gate = {"before": check(runner, inputs, buffers, truth, clock) | {"blind": list(truth.blind)}}
        memory.reset_peaks()
        notify("measure")
        measured = (measure or loop.measure)(
            runner, inputs, clock, replace(settings, throughput_s=0.0) if turns else settings
        )
        if turns:
            turns.take(runner, inputs, clock, settings, measured)
        bytes_used = memory.read_memory(runner.details.get("weights_bytes"), job.device)
        measured.energy = measure_energy(runner, inputs, clock, settings.energy_s, job.device, measured.p50_ns)
        loop.measure_flushed(runner, inputs, clock, settings, measured)
        notify("gate")
        when = "while timing"
        gate["during"] = judge(measured.latency.witnesses, truth)
        when = "after timing"
        overwrite(inputs[0], runner.place(fresh))
        gate["after"] = check(runner, inputs, [len(inputs), *buffers[1:]], truth, clock)
        gate["after"]["unseen_ratio"] = unseen_ratio(runner, inputs[0], clock)
    except Wrong as wrong:
        return {"status": "wrong", "reason": f"{when}: {wrong}"}
    times = measured.fields(watch.so_far(), settings.steal)
    return {**times, "status": "ok", "memory": bytes_used, "gate": gate}
