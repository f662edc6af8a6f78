"""One case in this process, for profilers: measured as in a worker, with the timed executions in a profiler range."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import cast

from bench.errors import CaseError
from bench.machine.environment import device, devices
from bench.plans.case import Case
from bench.plans.plan import ONCE, Settings
from bench.plans.settings import of_preparation
from bench.runs.job import MODELS_OWN, REFERENCE_LIMIT_S, CaseAnswer, CaseJob, reference_job
from bench.runs.process import request
from bench.worker.runtime import settle_folders, use_threads
from resnet.names import Build

USUAL = Settings()


def run_once(
    case: Case, executions: int, source: str, seed: int, build: Build = MODELS_OWN, settings: Settings = USUAL
) -> CaseAnswer:
    """Build, check and run `case` in this process; return the fields of its record.

    A separate process computes the references. `settings` has the CPU's threads, and how 8 bits are calibrated.
    Raises CaseError for a case that searches for its batch.
    """
    if case.largest:
        raise CaseError(f"bench once runs one batch: {case.name} is a search for one; write b32, say, for bmax")
    from bench.worker.case import measure_case
    from bench.worker.failure import describe_failure
    from bench.worker.measure.measure import measure

    settings = replace(of_preparation(settings), **(ONCE | {"samples": executions}))  # type: ignore[arg-type]
    where = device(devices())
    reference = request(reference_job([case], settings, where, seed, source, build), REFERENCE_LIMIT_S)
    if reference.status != "ok":
        return {"status": reference.status, "reason": f"no reference to hold it against: {reference.reason}"}
    settle_folders()
    use_threads(settings.threads)
    job = CaseJob(case, settings, where, seed, source, reference.data["paths"], build=build)
    try:
        return measure_case(job, measure=_profiled(where)(measure))
    except Exception as error:  # like a worker, with a status and a reason and no traceback
        return cast(CaseAnswer, describe_failure(error))


@contextmanager
def _profiled(where: str) -> Iterator[None]:
    """Have `nsys profile -c cudaProfilerApi` and `ncu --profile-from-start off` see only what runs inside."""
    if where != "cuda":
        yield
        return
    import torch

    torch.cuda.cudart().cudaProfilerStart()  # its status is of no interest: without a profiler it does nothing
    with torch.cuda.nvtx.range("bench once"):
        yield
    torch.cuda.synchronize()
    torch.cuda.cudart().cudaProfilerStop()
