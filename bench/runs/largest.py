"""The largest batch that fits: doubling, then bisection, each probe a fresh process (`bench.worker.fits`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

from bench.runs.job import CaseAnswer, CaseJob, FitJob
from bench.runs.process import Answer, Ask, request

# The first batch tried: 64 pictures of 224 pixels fit on any GPU in any variant; a CPU starts lower, as it is slow.
START = {"cuda": 64, "cpu": 8}
# The last one. On a GPU: six times the batch at which a ResNet-50's activations at 224 pixels pass 2^31 elements
# (2675); its logits in float64 take only 130 MB. On a CPU a larger one takes minutes.
LIMIT = {"cuda": 16384, "cpu": 1024}
# The search ends when the gap between the batch that fits and the one that fails is a 32nd of the former.
RESOLUTION = 32
# Failures for lack of memory that are tried once more: another process may have filled the device for a moment. The
# number is limited, so that the search ends on a device that is never quiet.
REPEATS = 3

Probe = Callable[[int], Answer[CaseAnswer]]
Tried = list[tuple[int, Answer[CaseAnswer]]]  # every probe in order: its batch, and how it ended


def search_largest(ask: Ask, job: CaseJob, stage: Callable[[str], None] = lambda name: None) -> Answer[CaseAnswer]:
    """Find the largest batch of the job's case, which has batch MAX; each probe has the time limit. See `search`."""

    def probe(batch: int) -> Answer[CaseAnswer]:
        last_stage = "start"

        def on_stage(name: str) -> None:
            nonlocal last_stage
            last_stage = name
            stage(f"batch {batch}: {name}")

        answer = request(fit_job(job, batch), job.settings.limit_s, on_stage, ask)
        # the stage, as preparing may need more memory than running
        return answer if answer.status == "ok" else replace(answer, reason=f"in {last_stage}: {answer.reason}")

    return search(probe, START[job.device], LIMIT[job.device])


def search(probe: Probe, start: int, limit: int) -> Answer[CaseAnswer]:
    """Return the answer of the largest batch up to `limit` that fits; `data["largest"]` describes the search.

    `fits` and `fails` bracket the boundary; `fails` is null where `limit` fits. `reason` has the status and reason of
    `fails`, which need not be memory (an index may overflow, the time limit may come first). `tried` has [batch,
    status, peak bytes or null, seconds] of each probe, in order. If nothing fits, `fits` is 0, and the status is that
    of batch 1.
    """
    tried: Tried = []
    while batch := _next_batch(tried, start, limit):
        tried.append((batch, probe(batch)))
    return _result(tried, limit)


def _bracket(tried: Tried) -> tuple[int, int | None]:
    """Return the largest batch that fits, or 0, and the smallest above it that fails; each by its last answer."""
    last = dict(tried)
    fits = max((batch for batch, answer in last.items() if answer.status == "ok"), default=0)
    return fits, min((batch for batch in last if batch > fits), default=None)


def _next_batch(tried: Tried, start: int, limit: int) -> int | None:
    """Return the batch to try next, between the one that fits and the one that fails; None once these are close."""
    if not tried:
        return start
    fits, fails = _bracket(tried)
    if fails is None:
        return min(2 * fits, limit) if fits < limit else None
    last = dict(tried)
    status = last[fails].status
    if not fits and fails > 1:
        # a failure for another reason than memory most likely happens at any batch
        return fails // 2 if status == "memory" else 1
    if fits and fails - fits > max(1, fits // RESOLUTION):
        return (fits + fails) // 2
    repeated = [batch for batch, _ in tried].count(fails) > 1
    repeats = len(tried) - len(last)
    return fails if status == "memory" and not repeated and repeats < REPEATS else None


def _result(tried: Tried, limit: int) -> Answer[CaseAnswer]:
    fits, fails = _bracket(tried)
    last = dict(tried)
    reason = f"not sought beyond {limit}" if fails is None else f"{last[fails].status}: {last[fails].reason}"
    probes = [[batch, answer.status, _peak(answer), round(answer.wall_s, 3)] for batch, answer in tried]
    largest = {"fits": fits, "fails": fails, "reason": reason, "tried": probes}
    wall_s = sum(answer.wall_s for _, answer in tried)
    if fits:
        return Answer("ok", "", {**last[fits].data, "largest": largest}, wall_s)
    return Answer(last[1].status, f"batch 1: {last[1].reason}", {"largest": largest}, wall_s)


def _peak(answer: Answer[CaseAnswer]) -> Any:
    """Return the peak memory in bytes: the process's on the device, else the allocator's, else the host's; or None."""
    used = answer.data.get("memory", {})
    names = ("device_process", "allocator_reserved_peak", "host_resident_peak")
    return next((used[name] for name in names if used.get(name) is not None), None)


def fit_job(job: CaseJob, batch: int) -> FitJob:
    """Return the job that tries if `batch` images fit; the case of `job` has batch `max`."""
    values = {field.name: getattr(job, field.name) for field in fields(FitJob)}
    return FitJob(**(values | {"case": replace(job.case, batch=batch)}))
