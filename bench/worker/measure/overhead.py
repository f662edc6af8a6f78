"""The cost of the harness itself: models that do nothing, by each kind of runner, and a millisecond of arithmetic.

A null model goes through all that a case goes through: its runner, the inputs in rotation, the clock, the loop.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor

from bench.files import owned_folder
from bench.machine.watch import Watch
from bench.plans.plan import Settings
from bench.runs.job import Notify, NullAnswer, NullJob
from bench.stats import quantile, ratio
from bench.worker.measure.clock import Clock, on_device
from bench.worker.measure.measure import measure
from bench.worker.measure.measured import Measured
from resnet.onnx.export import INPUT, OPSET, OUTPUT
from resnet.runner import Runner, TorchRunner, with_launch
from resnet.variants import VARIANTS, missing

# of the arithmetic with the watching process running, and as many with it stopped
TURNS = 12
TURN_S = 0.25
MILLISECOND = 1_000_000
SETTINGS = Settings(warmup_s=0.2, latency_s=1.5, latency_limit_s=1.5, throughput_s=0.0, buffers=2)
SHAPE, CLASSES = (1, 3, 8, 8), 1000
IR_VERSION = 10  # of the ONNX file: every ONNX Runtime from 1.18 on reads it


def measure_overhead(job: NullJob, notify: Notify) -> NullAnswer:
    """Return the harness's cost: by kind of runner the nanoseconds of a sample, and the cost of the watching process.

    `paths` has the median, the p99 with 99 % bounds, the median's share of 1 ms, and on a GPU the median device time.
    `absent` has the reason for each kind of runner that this machine lacks. `watch` is the ratio of the time of a
    millisecond's work with the watching process to the time without it, and its 95 % confidence interval; `watch_core`
    is the share of one core that the watching process takes.
    """
    device = job.device
    paths: dict[str, dict[str, Any]] = {}
    absent: dict[str, str] = {}
    with Watch() as watch, on_device(device) as clock:
        while not watch.so_far().readings and not watch.so_far().why:  # a case is timed after it has started, too
            time.sleep(0.01)
        start, busy_before = time.perf_counter_ns(), watch.busy_ns()
        for name, make in _null_runners(device).items():
            try:
                runner = make()
            except RuntimeError as error:
                absent[name] = str(error)
                continue
            inputs = [runner.place(torch.zeros(SHAPE, device=device)) for _ in range(SETTINGS.buffers)]
            paths[name] = _summary(measure(runner, inputs, clock, SETTINGS))
        busy_after, elapsed = watch.busy_ns(), time.perf_counter_ns() - start
        watch_ratio = _watch_ratio(watch, clock, _millisecond_of_work(device))
    core = None if busy_after is None or busy_before is None else (busy_after - busy_before) / elapsed
    overhead = {"paths": paths, "absent": absent, "watch": asdict(watch_ratio), "watch_core": core}
    return {"status": "ok", "overhead": overhead}


def _summary(measured: Measured) -> dict[str, Any]:
    latency, gpu = measured.latency.ns, measured.gpu.ns
    p99 = quantile(latency, 0.99)
    return {
        "samples": len(latency),
        "sample_ns": median(latency),
        "sample_p99_ns": p99 and [p99.lower, p99.value, p99.upper],
        "of_1_ms": median(latency) / MILLISECOND,
        "gpu_ns": median(gpu) if gpu else None,
    }


def _null_runners(device: str) -> dict[str, Callable[[], Runner]]:
    """Return makers of the kinds of runner that variants have here, of models that do nothing; each may raise
    RuntimeError."""
    example, answer = torch.zeros(SHAPE, device=device), torch.zeros(1, CLASSES, device=device)
    null_runner = partial(TorchRunner, example=example, dtype=torch.float32, memory_format="contiguous", details={})
    makers: dict[str, Callable[[], Runner]] = {"stream": lambda: null_runner(lambda x: answer)}
    if device == "cuda":
        # a graph must not be empty: it holds the shortest of kernels
        makers["graph"] = lambda: with_launch(null_runner(lambda x: answer.zero_()), "graph")
    return makers | {"onnxruntime": lambda: _onnxruntime(example)}


def _onnxruntime(example: Tensor) -> Runner:
    """Return a session that outputs a constant. Raises RuntimeError with the cure where ONNX Runtime is missing."""
    if cure := missing(VARIANTS["onnxruntime"], example.device.type):
        raise RuntimeError(cure)
    import onnx
    from onnx import TensorProto, helper

    from resnet.onnx import session as ort_session

    value = helper.make_tensor("value", TensorProto.FLOAT, (1, CLASSES), [0.0] * CLASSES)
    graph = helper.make_graph(
        [helper.make_node("Constant", [], [OUTPUT], value=value)],
        "null",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, (1, CLASSES))],
    )
    provider, options, stream = ort_session.CPU, dict[str, str](), None
    if example.is_cuda:
        provider, stream = ort_session.CUDA, ort_session.non_default_stream(example.device)
        options = {"device_id": str(stream.device_index), "user_compute_stream": str(stream.cuda_stream)}
    with owned_folder("null") as folder:
        path = folder / "null.onnx"
        opset = [helper.make_opsetid("", OPSET)]
        onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION), path)
        session, _ = ort_session.open_session(path, provider, options)
    return ort_session.OrtRunner(lambda: session, example, torch.float32, {}, stream=stream)


def _millisecond_of_work(device: str) -> Callable[[], Tensor]:
    """Return a chain of matrix products that takes a millisecond or more, and under two."""
    x = torch.full((192, 192), 1 / 192, device=device)

    def chain(length: int) -> Tensor:
        y = x
        for _ in range(length):
            y = y @ x
        return y

    length = 1
    while True:
        start = time.perf_counter_ns()
        chain(length)
        if device == "cuda":
            torch.cuda.synchronize()
        if time.perf_counter_ns() - start >= MILLISECOND:
            return lambda: chain(length)
        length *= 2


def _watch_ratio(watch: Watch, clock: Clock, work: Callable[[], Tensor]) -> Any:
    """Return the ratio of the work's time with the watching process to its time without it, sampled in turns."""
    medians: dict[bool, list[float]] = {True: [], False: []}
    for turn in range(2 * TURNS):
        # on, off, off, on: a drift affects both alike
        running = turn % 4 in (0, 3)
        watch.pause(not running)
        end = time.monotonic() + TURN_S
        samples: list[int] = []
        while time.monotonic() < end:
            samples.append(clock.sample(work)[0])
        medians[running].append(median(samples))
    watch.pause(False)
    return ratio(list(zip(medians[True], medians[False], strict=True)))
