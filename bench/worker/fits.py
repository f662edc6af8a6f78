"""Whether a batch fits: one probe of the search in `bench.runs.largest`. Not timed, and no less checked for that.

A large batch is where 32-bit indices overflow, so every row of the answer is judged. That is affordable because the
batch is a few different pictures over and over, and written where the variant placed it: a batch in float32 beside it
would stand in the way of what is sought.
"""

from __future__ import annotations

import ctypes
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import psutil
import torch
from torch import Tensor

from bench.runs.job import PICTURES, CaseAnswer, FitJob
from bench.worker.gate import Wrong, judge, poison
from bench.worker.measure import memory
from bench.worker.measure.clock import on_device
from bench.worker.prepare import material, truth_of
from bench.worker.runtime import runtime
from resnet.runner import Runner

# of the free host memory, when no limit is set: the rest is for whoever else needs some meanwhile
SHARE = 0.8
# malloc's number for the size from which a block is mapped, and so given back when it is freed. Left alone, glibc moves
# it from 128 KiB up to 32 MiB with what is freed, and what fits is left to chance: somewhere from 212 to 320 pictures
# (eager ResNet-18 at 64 pixels in 0.6 GiB, 2026-11-23); fixed, 384 each time. Blocks over 32 MiB are always mapped.
M_MMAP_THRESHOLD, MAPPED_BYTES = -3, 256 << 10


def fit(job: FitJob, tell: Callable[[str], None]) -> CaseAnswer:
    """Prepare the case at its batch and run it twice; a record's fields, with the status.

    It fits when both answers are right. What does not fit raises: MemoryError, or one of the libraries' errors.
    """
    case = job.case
    with suppress(AttributeError):  # not glibc
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES)
    tell("build")
    stuff = material(case, job.device, job.seed, job.source, PICTURES, PICTURES)
    described, weights = stuff.provenance()
    limit = _limit(job)
    with on_device(job.device) as clock:
        few = stuff.batches.pop().to(job.device)
        with limited(limit):
            tell("prepare")
            run = stuff.prepare(_same(few, case.batch))
            stuff.release()
            memory.reset_peaks()
            tell("run")
            x = placed(run, few, case.batch)
        answers = []
        for _ in range(2):
            with limited(limit):
                logits = run(x)
                clock.wait()
            # in its own dtype: to convert it on the device would take memory, where there may be none left
            answers.append(logits.to("cpu", copy=True))
            poison(logits, clock)  # so that what the second run leaves unwritten is NaN
        used = memory.read_memory(run.details.get("weights_bytes"), job.device) | {"host_limit": limit}
    answer = CaseAnswer(input=described, weights=weights, details=run.details, runtime=runtime(job.device), memory=used)
    tell("gate")
    # the truth of every row
    truth = truth_of(case, job.reference, np.arange(case.batch) % PICTURES)
    gate = {}
    for run_number, logits in zip(("first", "second"), answers, strict=True):
        try:
            gate[run_number] = judge([(0, logits)], truth)
        except Wrong as wrong:
            return {**answer, "status": "wrong", "reason": f"{run_number} run: {wrong}"}
    return {**answer, "status": "ok", "gate": gate}


def placed(run: Runner, few: Tensor, batch: int) -> Tensor:
    """A placed batch whose row `i` is picture `i % PICTURES` of `few`, [PICTURES, 3, H, W] on the device."""
    x = run.place(_same(few, batch))
    if x.shape == (batch, *few.shape[1:]) and x.is_floating_point():
        with torch.inference_mode():  # which may write to tensors made inside and outside of it
            for first, picture in enumerate(few[:batch]):
                x[first::PICTURES].copy_(picture)
        return x
    # Placed in a form of the variant's own (padded channels, packed, quantised), which only `place` can write.
    return run.place(few[torch.arange(batch, device=few.device) % PICTURES])


def _same(few: Tensor, batch: int) -> Tensor:
    """The first picture, [batch, 3, H, W] in the memory of one."""
    return few[:1].expand(batch, -1, -1, -1)


def _limit(job: FitJob) -> int | None:
    """The bytes of private memory this process may have on a CPU; None on a GPU, which needs no limit to say no."""
    if job.device != "cpu":
        return None
    with suppress(OSError):  # should the kernel have to kill after all, then this process
        Path("/proc/self/oom_score_adj").write_text("1000")
    # OpenMP starts its threads at their first work, and ends the process if it cannot: before the limit, then
    torch.zeros(1 << 20).add_(1)
    return int(job.settings.host_memory_gib * 2**30 or SHARE * psutil.virtual_memory().available)


@contextmanager
def limited(limit: int | None) -> Iterator[None]:
    """Allocations fail in here once this process holds `limit` bytes. What the harness needs is taken outside.

    Without a limit the kernel would kill, and not always this process. RLIMIT_DATA bounds private writable pages, which
    is what torch, oneDNN, ONNX Runtime and Python allocate; all of them then fail with an exception. RLIMIT_AS would
    bound what they merely reserve, too: twice that in ONNX Runtime (1534 MiB of addresses at a peak of 813 MiB
    resident, ResNet-18 at 64 pixels, batch 512, 2026-11-23).
    """
    if limit is None:
        yield
        return
    before, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (limit if most == resource.RLIM_INFINITY else min(limit, most), most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (before, most))
