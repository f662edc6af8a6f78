"""One case: build -> prepare -> gate -> warm up and measure -> gate -> answer."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from bench.machine.watch import Watch
from bench.runs.job import CaseAnswer, CaseJob
from bench.worker.runtime import cache_state, fresh_caches, runtime
from bench.worker.start import STARTED

if TYPE_CHECKING:
    from torch import Tensor

    from bench.worker.gate import Truth
    from bench.worker.measure.clock import Clock
    from resnet.runner import Runner

Tell = Callable[[str], None]
Around = Callable[[], AbstractContextManager[Any]]


def run_case(job: CaseJob, tell: Tell = lambda stage: None, around: Around = nullcontext) -> CaseAnswer:
    """Build, check, measure and check one case in this process; a record's fields, with its status.

    `around` makes the context that the measurement runs in (a profiler's range).
    """
    if job.caches:
        os.environ |= fresh_caches(job.caches)  # before the imports, which read some of them
    from bench.worker.gate import poison
    from bench.worker.measure.clock import on_device
    from bench.worker.prepare import first_call, material_of, truth_of_job

    cold: dict[str, Any] = {"import_s": time.perf_counter() - STARTED}
    with Watch() as watch, on_device(job.device) as clock:
        tell("build")
        lap = _Laps()
        material = material_of(job)
        fresh = material.batches.pop().clone()
        cold["build_s"] = lap()
        described, weights = material.provenance()
        truth = truth_of_job(job)

        tell("prepare")
        lap = _Laps()
        run = material.prepare()
        cold["prepare_s"] = lap()
        tell("first call")
        inputs = [run.place(batch) for batch in material.batches]
        cold["place_s"] = lap()
        material.release()
        first, cold["first_call_s"] = first_call(run, inputs, clock)
        cold["caches"] = "fresh" if job.caches else cache_state(run.details)
        poison(first, clock)
        told = CaseAnswer(cold=cold, input=described, weights=weights, details=run.details, runtime=runtime(job.device))
        return {**told, **_measured(job, run, inputs, fresh, truth, clock, watch, tell, around)}


def _measured(
    job: CaseJob,
    run: Runner,
    inputs: list[Tensor],
    fresh: Tensor,
    truth: Truth,
    clock: Clock,
    watch: Watch,
    tell: Tell,
    around: Around,
) -> CaseAnswer:
    """Gate, times, memory, energy, gate: of a runner whose inputs are placed; `fresh` is a batch it has not seen."""
    from bench.worker.gate import Wrong, check, judge, overwrite, unremembered
    from bench.worker.measure import memory
    from bench.worker.measure.energy import measure_energy
    from bench.worker.measure.measure import measure, measure_flushed

    settings, numbers = job.settings, list(range(len(inputs)))
    try:
        when = "before timing"
        tell("gate")
        gate = {"before": check(run, inputs, numbers, truth, clock)}
        memory.reset_peaks()
        tell("measure")
        with around():
            measured = measure(run, inputs, clock, settings)
        used = memory.read_memory(run.details.get("weights_bytes"), job.device)
        joules = measure_energy(run, inputs, clock, settings.energy_s, job.device, measured.p50_ns)
        measure_flushed(run, inputs, clock, settings, measured)
        tell("gate")
        when = "while timing"
        gate["during"] = judge(measured.witnesses, truth)
        when = "after timing"
        overwrite(inputs[0], run.place(fresh))
        gate["after"] = check(run, inputs, [len(inputs), *numbers[1:]], truth, clock)
        gate["after"]["unseen_ratio"] = unremembered(run, inputs[0], clock)
    except Wrong as wrong:
        return {"status": "wrong", "reason": f"{when}: {wrong}"}
    times = measured.fields(watch.so_far(), settings.steal)
    return {**times, "status": "ok", "memory": used, "gate": gate, "energy": joules}


class _Laps:
    """Seconds since it was made, or since the last call."""

    def __init__(self) -> None:
        self.start = time.perf_counter()

    def __call__(self) -> float:
        now = time.perf_counter()
        spent, self.start = now - self.start, now
        return spent
