"""The time of each part of a prepared variant; `bench.roofline.layers` maps parts to layers.

The method depends on the variant:
- modules on a CPU, and the fused network's steps: clock readings in hooks around every module, where an inner module's
  time does not count for the outer one; the operators' names come from one execution under the profiler;
- modules on a GPU: the profiler's kernel times, each kernel in the range of the module that launched it;
- a CUDA graph: its kernels, matched one by one with those of the same callable launched without a graph;
- compiled code: kernels in order;
- ONNX Runtime and OpenVINO on a CPU: nodes, by their profilers (`bench.worker.layers.onnx_nodes`);
- code from outside: as modules, where it calls those of the model, else kernels in order.
"""

from __future__ import annotations

import time
from functools import partial
from itertools import cycle, islice
from typing import Any

import torch
from torch._dynamo import OptimizedModule

from bench.runs.job import Ended, LayersAnswer, LayersJob, Notify
from bench.worker.failure import Wrong
from bench.worker.gate import check, poison
from bench.worker.layers.marks import Marks, NoModules
from bench.worker.layers.parts import Samples, Setup, Timed, by_graph, by_hooks, by_ranges, in_order
from bench.worker.measure.clock import on_device
from bench.worker.models import count_work
from bench.worker.prepare import first_call, job_material, read_job_truth
from bench.worker.runtime import describe_runtime
from resnet.device_time import StartedEarly
from resnet.names import is_outside
from resnet.runner import GraphRunner, Runner, TorchRunner
from resnet.variants import find_variant

WARM_UP_S, WARM_UP_EXECUTIONS = 0.5, 5  # at least
COMPILED = ("compiled", "package")
COMPILED_NOTE = "compiled code has no layers: kernels in the order they ran"
OUTSIDE_NOTE = "this code from outside calls no module of the model: kernels in the order they ran"
FOREIGN_NOTE = "this provider does not say which layer a kernel is of: kernels in the order they ran"


def time_layers(job: LayersJob, notify: Notify) -> LayersAnswer | Ended:
    """Prepare the case as for a measurement, check its answers, and time it whole and in parts."""
    variant = job.case.variant
    with on_device(job.device) as clock:
        notify("build")
        material = job_material(job)
        truth = read_job_truth(job, material.batches)
        material.batches.pop()  # the unseen batch, which only a measurement needs
        notify("prepare")
        if find_variant(variant).runs in COMPILED and job.device == "cpu":
            torch._inductor.config.cpp.enable_kernel_profile = True  # without it the kernels have no names
        facts, modules = count_work(material.built.module, job.case.image)
        network = material.built.facts() | facts
        runner = material.prepare()
        setup = Setup([runner.place(batch) for batch in material.batches], clock, job.executions, job.trace)
        notify("gate")
        try:
            quantized = truth.admit(runner, material.built.module)
            poison(first_call(runner, setup.inputs, clock)[0], clock)
            check(runner, setup.inputs, range(len(setup.inputs)), truth, clock)
        except Wrong as wrong:
            return {"status": "wrong", "reason": str(wrong)}
        notify("whole")
        warm_up, end = Samples(runner, setup), time.monotonic() + WARM_UP_S
        while time.monotonic() < end or len(warm_up.host) < WARM_UP_EXECUTIONS:
            warm_up.take(1)
        whole = Samples(runner, setup)
        whole.take((job.executions + 1) // 2)
        notify("parts")
        timed = time_parts(variant, runner, setup)
        notify("whole")
        whole.take(job.executions // 2)
        gpu = _device_times(runner, setup)
    return {
        "status": "ok",
        "device": job.device,
        "whole_ns": whole.host,
        "gpu_ns": gpu,
        "timed_ns": timed.ns,
        "how": timed.how,
        "note": timed.note,
        "parts": timed.parts,
        "network": network,
        "modules": modules,
        "details": runner.details | ({"quantized": quantized} if quantized else {}),
        "runtime": describe_runtime(job.device),
    }


def _device_times(runner: Runner, setup: Setup) -> list[int]:
    """Return device times of the whole; a CPU has none, nor has a callable that waits for the device."""
    inputs = islice(cycle(setup.inputs), setup.executions if setup.clock.method else 0)
    try:
        return [setup.clock.device(partial(runner, x)).ns for x in inputs]
    except StartedEarly:
        return []


def time_parts(variant: str, runner: Any, setup: Setup) -> Timed:
    """Time the parts by the method for this runner."""
    cuda = setup.inputs[0].is_cuda
    if find_variant(variant).runs in COMPILED:
        return in_order(runner, setup, COMPILED_NOTE)
    if not isinstance(runner, TorchRunner | GraphRunner):
        if is_outside(variant):
            return in_order(runner, setup, OUTSIDE_NOTE)
        if not cuda:
            from bench.worker.layers import onnx_nodes

            return (onnx_nodes.operation_times if variant == "openvino" else onnx_nodes.node_times)(runner, setup)
        return in_order(runner, setup, FOREIGN_NOTE)
    eager = runner._inner if isinstance(runner, GraphRunner) else runner
    if isinstance(eager._forward, OptimizedModule):
        return in_order(runner, setup, COMPILED_NOTE)
    try:
        marks = Marks(eager, setup.inputs[0])
    except NoModules:
        return in_order(runner, setup, OUTSIDE_NOTE)
    if isinstance(runner, GraphRunner):
        return by_graph(runner, marks, setup)
    return (by_ranges if cuda else by_hooks)(eager, marks, setup)
