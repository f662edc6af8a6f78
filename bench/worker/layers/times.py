"""The time of each part of a prepared variant; `bench.roofline.layers` maps parts to layers.

The method depends on the variant:
- modules on a CPU, and the fused network's steps: clock readings in hooks around every module, where an inner module's
  time does not count for the outer one; the operators' names come from one execution under the profiler;
- modules on a GPU: the profiler's kernel times, each kernel in the range of the module that launched it;
- a CUDA graph: its kernels, matched one by one with those of the same callable launched without a graph;
- compiled code: kernels in order;
- ONNX Runtime on a CPU: nodes, by its profiler (`bench.worker.layers.onnx_nodes`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle, islice
from typing import Any

import torch
from torch import Tensor

from bench.runs.job import Ended, LayersAnswer, LayersJob
from bench.worker.gate import Truth, Wrong
from bench.worker.layers.marks import Marks
from bench.worker.layers.parts import Samples, Timed, by_graph, by_hooks, by_ranges, in_order
from bench.worker.measure.clock import Clock, on_device
from bench.worker.prepare import check_first_call, job_material, read_job_truth
from bench.worker.runtime import describe_runtime
from resnet.held import NotHeld
from resnet.runner import GraphRunner, TorchRunner
from resnet.variants import VARIANTS

WARM_UP_S, WARM_UP_EXECUTIONS = 0.5, 5  # at least
COMPILED_NOTE = "compiled code has no layers: kernels in the order they ran"
FOREIGN_NOTE = "this provider does not say which layer a kernel is of: kernels in the order they ran"


def answer_layers(job: LayersJob, notify: Callable[[str], None]) -> LayersAnswer | Ended:
    """Prepare the case as for a measurement, check its answers, and time it whole and in parts."""
    return time_layers(job, read_job_truth(job), notify)


def time_layers(job: LayersJob, truth: Truth, notify: Callable[[str], None]) -> LayersAnswer | Ended:
    """Prepare and check the case, and time it whole and in parts, with the reference answers already read."""
    case, executions = job.case, job.executions
    with on_device(job.device) as clock:
        notify("build")
        material = job_material(job)
        material.batches.pop()  # the unseen batch, which only a measurement needs
        notify("prepare")
        if VARIANTS[case.variant].runs == "compiled" and job.device == "cpu":
            torch._inductor.config.cpp.enable_kernel_profile = True  # without it the kernels have no names
        runner = material.prepare()
        inputs = [runner.place(batch) for batch in material.batches]
        notify("gate")
        try:
            check_first_call(runner, inputs, truth, clock)
        except Wrong as wrong:
            return {"status": "wrong", "reason": str(wrong)}
        notify("whole")
        _warm_up(runner, inputs, clock)
        whole = Samples(runner, inputs, clock)
        whole.take((executions + 1) // 2)
        notify("parts")
        timed = _time_parts(case.variant, runner, material.model, inputs, clock, executions, job.trace)
        notify("whole")
        whole.take(executions // 2)
        gpu = _device_times(runner, inputs, clock, executions)
    return {
        "status": "ok",
        "device": job.device,
        "whole_ns": whole.host,
        "gpu_ns": gpu,
        "timed_ns": timed.ns,
        "how": timed.how,
        "note": timed.note,
        "parts": [part.row() for part in timed.parts],
        "details": runner.details,
        "runtime": describe_runtime(job.device),
    }


def _device_times(
    run: Callable[[Tensor], Tensor], inputs: Sequence[Tensor], clock: Clock, executions: int
) -> list[int]:
    """Return device times of the whole; a CPU has none, nor has a callable that waits for the device."""
    turns = islice(cycle(inputs), executions if clock.method else 0)
    try:
        return [clock.device(partial(run, x)).ns for x in turns]
    except NotHeld:
        return []


def _warm_up(run: Callable[[Tensor], Tensor], inputs: Sequence[Tensor], clock: Clock) -> None:
    samples, end = Samples(run, inputs, clock), time.monotonic() + WARM_UP_S
    while time.monotonic() < end or len(samples.host) < WARM_UP_EXECUTIONS:
        samples.take(1)


def _time_parts(
    variant: str, run: Any, model: Any, inputs: Sequence[Tensor], clock: Clock, executions: int, trace_to: str
) -> Timed:
    cuda = inputs[0].is_cuda
    if not isinstance(run, TorchRunner | GraphRunner):
        if not cuda:
            from bench.worker.layers.onnx_nodes import node_times

            return node_times(run, model, inputs, clock, executions, trace_to)
        return in_order(run, inputs, clock, executions, trace_to, FOREIGN_NOTE)
    if VARIANTS[variant].runs == "compiled":
        return in_order(run, inputs, clock, executions, trace_to, COMPILED_NOTE)
    if isinstance(run, GraphRunner):
        marks = Marks(run._inner, inputs[0])
        return by_graph(run, run._inner, marks, inputs, clock, executions, trace_to)
    time_modules = by_ranges if cuda else by_hooks
    return time_modules(run, Marks(run, inputs[0]), inputs, clock, executions, trace_to)
