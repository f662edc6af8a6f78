"""Where a case's time goes: each part of a prepared variant timed, in a child. What the parts are is
`bench.roofline.layers`'.

Four ways, by what the variant lets one see:
- modules on a CPU (and our own steps): clock readings in hooks around every module, what an inner one takes not counted
  to the outer; the operators' names from one execution under the profiler;
- modules on a GPU: the profiler's kernel times, each kernel in the range of the module that launched it;
- a CUDA graph: its kernels, matched one by one to those of the same callable launched without a graph;
- compiled code: kernels in order. ONNX Runtime on a CPU: nodes, by its own profiler (`bench.worker.layers.onnx_nodes`).
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
from bench.worker.prepare import gate, material_of, truth_of_job
from bench.worker.runtime import runtime
from resnet.device_time import StartedEarly
from resnet.runner import GraphRunner, TorchRunner
from resnet.variants import VARIANTS

WARM_UP_S, WARM_UP = 0.5, 5  # at least so long, and so many executions
COMPILED_NOTE = "compiled code has no layers: kernels in the order they ran"
FOREIGN_NOTE = "this provider does not say which layer a kernel is of: kernels in the order they ran"


def run(job: LayersJob, tell: Callable[[str], None]) -> LayersAnswer | Ended:
    """Prepare the case as for a measurement, check its answers, time it whole and in parts."""
    return layer_times(job, truth_of_job(job), tell)


def layer_times(job: LayersJob, truth: Truth, tell: Callable[[str], None]) -> LayersAnswer | Ended:
    """The same, with the truth that answers are held against."""
    case, executions = job.case, job.executions
    with on_device(job.device) as clock:
        tell("build")
        material = material_of(job)
        material.batches.pop()  # which a measurement's gate needs
        tell("prepare")
        if VARIANTS[case.variant].runs == "compiled" and job.device == "cpu":
            torch._inductor.config.cpp.enable_kernel_profile = True  # else its kernels have no names
        run = material.prepare()
        inputs = [run.place(batch) for batch in material.batches]
        tell("gate")
        try:
            gate(run, inputs, truth, clock)
        except Wrong as wrong:
            return {"status": "wrong", "reason": str(wrong)}
        tell("whole")
        _warm_up(run, inputs, clock)
        whole = Samples(run, inputs, clock)
        whole.take((executions + 1) // 2)
        tell("parts")
        timed = _timed(case.variant, run, material.model, inputs, clock, executions, job.trace)
        tell("whole")
        whole.take(executions // 2)
        gpu = _device_times(run, inputs, clock, executions)
    return {
        "status": "ok",
        "device": job.device,
        "whole_ns": whole.host,
        "gpu_ns": gpu,
        "timed_ns": timed.ns,
        "how": timed.how,
        "note": timed.note,
        "parts": [part.row() for part in timed.parts],
        "details": run.details,
        "runtime": runtime(job.device),
    }


def _device_times(
    run: Callable[[Tensor], Tensor], inputs: Sequence[Tensor], clock: Clock, executions: int
) -> list[int]:
    """Device times of the whole; none on a CPU, nor of what cannot be held."""
    turns = islice(cycle(inputs), executions if clock.how else 0)
    try:
        return [clock.device(partial(run, x)).ns for x in turns]
    except StartedEarly:
        return []


def _warm_up(run: Callable[[Tensor], Tensor], inputs: Sequence[Tensor], clock: Clock) -> None:
    samples, end = Samples(run, inputs, clock), time.monotonic() + WARM_UP_S
    while time.monotonic() < end or len(samples.host) < WARM_UP:
        samples.take(1)


def _timed(
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
    way = by_ranges if cuda else by_hooks
    return way(run, Marks(run, inputs[0]), inputs, clock, executions, trace_to)
