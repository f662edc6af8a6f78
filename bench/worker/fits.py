"""One probe of the search for the largest batch that fits (`bench.runs.largest`): it is not timed, but checked.

32-bit indices overflow in large batches, so every row of the answer is judged. That is affordable because the batch
repeats a few different pictures. They are written where the variant placed the batch, because a second batch in float32
would take memory from the one that is tried.
"""

from __future__ import annotations

import ctypes
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.machine.limits import free_memory
from bench.runs.job import PICTURES, CaseAnswer, FitJob, Notify
from bench.runs.wire import Json
from bench.worker.failure import Wrong
from bench.worker.gate import check, judge, poison
from bench.worker.measure import memory
from bench.worker.measure.clock import on_device
from bench.worker.prepare import build_material, read_truth
from bench.worker.runtime import describe_runtime
from bench.worker.truth import CODES_APART, QuantizedTruth, Truth
from resnet.calibration import EIGHT_BITS
from resnet.quant.check import one_code
from resnet.runner import Runner

# of the free host memory, where no limit is set: the rest is for other processes
MEMORY_SHARE = 0.8
# malloc's parameter for the size from which blocks are mapped, and so returned when they are freed. By default glibc
# moves it from 128 KiB up to 32 MiB, depending on what is freed, and the batch that fits varies: from 212 to 320
# pictures (eager ResNet-18 at 64 pixels in 0.6 GiB, 2026-11-23); with a fixed size it was 384 each time. Blocks over
# 32 MiB are always mapped.
M_MMAP_THRESHOLD, MAPPED_BYTES = -3, 256 << 10


def probe_batch(job: FitJob, notify: Notify) -> CaseAnswer:
    """Prepare the case at its batch and run it twice; return the fields of its record.

    The batch fits if both answers are right. Raises MemoryError, or a library's error, where it does not fit.
    """
    case = job.case
    with suppress(AttributeError):  # not glibc
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES)
    notify("build")
    material = build_material(job, PICTURES, PICTURES)
    provenance = material.provenance()
    limit = _memory_limit(job)
    with on_device(job.device) as clock:
        pictures = material.batches.pop().to(job.device)
        with limit_memory(limit):
            notify("prepare")
            runner = material.prepare(pictures[:1].expand(case.batch, -1, -1, -1))  # in the memory of one picture
            material.release()
            memory.reset_peaks()
            notify("run")
            x = place_repeated(runner, pictures, case.batch)
        answers = []
        for _ in range(2):
            with limit_memory(limit):
                logits = runner(x)
                clock.wait()
            # in its dtype: to convert it on the device would take memory, and there may be none left
            answers.append(logits.to("cpu", copy=True))
            poison(logits, clock)  # so that what the second run leaves unwritten is NaN
        bytes_used = memory.read_memory(runner.details.get("weights_bytes"), job.device) | {"host_limit": limit}
    answer: CaseAnswer = {
        **provenance,
        "details": runner.details,
        "runtime": describe_runtime(job.device),
        "memory": bytes_used,
    }
    notify("gate")
    rows = np.arange(case.batch) % PICTURES  # for every row
    truth: Truth
    codes: dict[str, Any] = {}
    gate: dict[str, Any] = {}
    try:
        if case.precision in EIGHT_BITS:
            runner.details.pop("quantized", None)
            del runner, x
            truth, answer["quantized"], codes = _check_few(job, rows)
        else:
            truth = read_truth(case, job.reference, rows, [])
    except Wrong as wrong:
        return {**answer, "status": "wrong", "reason": str(wrong)}
    for run_number, logits in zip(("first", "second"), answers, strict=True):
        try:
            gate[run_number] = judge([(0, logits)], truth) | codes
        except Wrong as wrong:
            return {**answer, "status": "wrong", "reason": f"{run_number} run: {wrong}"}
    return {**answer, "status": "ok", "gate": gate}


def _check_few(job: FitJob, rows: np.ndarray) -> tuple[QuantizedTruth, Json, Json]:
    """Judge the codes of a case in 8 bits on a batch of the few pictures alone, as those of a large one need memory.

    Return a truth of `rows` that repeats its answers, and what the record has of 8 bits and codes. Raises Wrong.
    """
    few = replace(job, case=replace(job.case, batch=PICTURES))
    material = build_material(few, PICTURES, PICTURES)
    (pictures,) = material.batches
    truth = read_truth(few.case, job.reference, slice(PICTURES), material.batches)
    assert isinstance(truth, QuantizedTruth)
    with on_device(job.device) as clock:
        runner: Any = material.prepare()
        quantized = truth.admit(runner, material.built.module)
        gate = check(runner, [runner.place(pictures.to(job.device))], [0], truth, clock)
        apart = CODES_APART * one_code(runner.steps, pictures)
    first = {0: truth.first[0][rows]}
    codes = {name: value for name, value in gate.items() if name.startswith("code_")}
    return replace(truth, batch=len(rows), exact=truth.exact[rows], first=first, apart=apart), quantized, codes


def place_repeated(runner: Runner, pictures: Tensor, batch: int) -> Tensor:
    """Return a placed batch with picture `i % PICTURES` in row `i`; `pictures`: [PICTURES, 3, H, W] on the device."""
    x = runner.place(pictures[:1].expand(batch, -1, -1, -1))
    if x.shape == (batch, *pictures.shape[1:]) and x.is_floating_point():
        with torch.inference_mode():  # it may write to all tensors, from inference mode or not
            for first, picture in enumerate(pictures[:batch]):
                x[first::PICTURES].copy_(picture)
        return x
    # It is placed in a form that only the variant's `place` can write: padded channels, packed, quantised.
    return runner.place(pictures[torch.arange(batch, device=pictures.device) % PICTURES])


def _memory_limit(job: FitJob) -> int | None:
    """Return the bytes of private memory that this process may have on a CPU; None on a GPU, which needs no limit."""
    if job.device != "cpu":
        return None
    with suppress(OSError):  # if the kernel has to kill a process after all, it is this one
        Path("/proc/self/oom_score_adj").write_text("1000")
    # OpenMP starts its threads with their first work, and aborts if it cannot: so they start before the limit is set
    torch.zeros(1 << 20).add_(1)
    return int(job.settings.host_memory_gib * 2**30 or MEMORY_SHARE * free_memory())


@contextmanager
def limit_memory(limit: int | None) -> Iterator[None]:
    """Make allocations fail inside this context once the process has `limit` bytes; the harness allocates outside it.

    Without a limit the kernel would kill a process, and not always this one. RLIMIT_DATA limits private writable pages,
    which torch, oneDNN, ONNX Runtime and Python allocate; each then fails with an exception. RLIMIT_AS would also limit
    address space that is only reserved, which is twice as much in ONNX Runtime (1534 MiB of addresses at a peak of 813
    MiB resident, ResNet-18 at 64 pixels, batch 512, 2026-11-23).
    """
    if limit is None:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
