"""What the harness itself costs: models that do nothing, by the path of each kind of variant, and one of a millisecond.

A null model goes through what a case goes through: its runner, the inputs in rotation, the clock, the loop.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from bench.machine.watch import Watch
from bench.plans.plan import Settings
from bench.runs.job import NullAnswer, NullJob
from bench.stats import quantile, ratio
from bench.worker.measure.clock import Clock, on_device
from bench.worker.measure.measure import Measured, measure
from resnet.onnx.export import INPUT, OPSET, OUTPUT
from resnet.runner import Runner, TorchRunner, with_launch
from resnet.variants import VARIANTS, missing

# turns of the millisecond's work with the watching process running, and as many with it stopped
TURNS = 12
TURN_S = 0.25
MILLISECOND = 1_000_000
SETTINGS = Settings(warmup_s=0.2, latency_s=1.5, latency_limit_s=1.5, throughput_s=0.0, buffers=2)
SHAPE, CLASSES = (1, 3, 8, 8), 1000
IR_VERSION = 10  # of the ONNX file: what every ONNX Runtime from 1.18 on reads


def run(job: NullJob, tell: Callable[[str], None]) -> NullAnswer:
    """What the harness itself costs on a device."""
    return {"status": "ok", "overhead": overhead(job.device)}


def overhead(device: str) -> dict[str, Any]:
    """Of one sample of each path: nanoseconds (median, and 99 % bounds of its p99), and the share of 1 ms.

    `gpu_ns` is the median device time of the same, on a GPU. `absent` says which paths there are none of, and why.
    `watch` is the time of a millisecond's work beside the watching process over the time without it, with its 95 %
    interval; `watch_core` the share of one core that the watching process takes.
    """
    paths: dict[str, dict[str, Any]] = {}
    absent: dict[str, str] = {}
    with Watch() as watch, on_device(device) as clock:
        while not watch.so_far().readings and not watch.so_far().why:  # its own start is over before a case is timed
            time.sleep(0.01)
        begun, had = time.perf_counter_ns(), watch.busy_ns()
        for name, make in _paths(device).items():
            try:
                run = make()
            except RuntimeError as error:
                absent[name] = str(error)
                continue
            inputs = [run.place(torch.zeros(SHAPE, device=device)) for _ in range(SETTINGS.buffers)]
            paths[name] = _told(measure(run, inputs, clock, SETTINGS))
        has, spent = watch.busy_ns(), time.perf_counter_ns() - begun
        beside = _beside(watch, clock, _work(device))
    return {
        "paths": paths,
        "absent": absent,
        "watch": asdict(beside),
        "watch_core": None if has is None or had is None else (has - had) / spent,
    }


def _told(measured: Measured) -> dict[str, Any]:
    null, gpu = measured.latency.ns, measured.gpu.ns
    p99 = quantile(null, 0.99)
    return {
        "samples": len(null),
        "sample_ns": median(null),
        "sample_p99_ns": p99 and [p99.lower, p99.value, p99.upper],
        "of_1_ms": median(null) / MILLISECOND,
        "gpu_ns": median(gpu) if gpu else None,
    }


def _paths(device: str) -> dict[str, Callable[[], Runner]]:
    """The kinds of runner that variants have here, with nothing behind them; each may raise RuntimeError."""
    example, answer = torch.zeros(SHAPE, device=device), torch.zeros(1, CLASSES, device=device)
    runner = partial(TorchRunner, example=example, dtype=torch.float32, memory_format="contiguous", details={})
    found: dict[str, Callable[[], Runner]] = {"stream": lambda: runner(lambda x: answer)}
    if device == "cuda":
        # a graph must hold something: the shortest of kernels
        found["graph"] = lambda: with_launch(runner(lambda x: answer.zero_()), "graph")
    return found | {"onnxruntime": lambda: _onnxruntime(example)}


def _onnxruntime(example: Tensor) -> Runner:
    """A session that hands out a constant. Raises RuntimeError with the cure where there is none."""
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
    with TemporaryDirectory() as folder:
        path = Path(folder) / "null.onnx"
        opset = [helper.make_opsetid("", OPSET)]
        onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION), path)
        session, _ = ort_session.open_session(path, provider, options)
    return ort_session.OrtRunner(lambda: session, example, torch.float32, CLASSES, {}, stream=stream)


def _work(device: str) -> Callable[[], Tensor]:
    """About a millisecond of arithmetic: a chain of matrix products as long as it takes."""
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


def _beside(watch: Watch, clock: Clock, work: Callable[[], Tensor]) -> Any:
    """The ratio of the work's time with the watching process to its time without, in turns."""
    medians: dict[bool, list[float]] = {True: [], False: []}
    for turn in range(2 * TURNS):
        # on off off on: a drift meets both alike
        running = turn % 4 in (0, 3)
        watch.pause(not running)
        end = time.monotonic() + TURN_S
        taken: list[int] = []
        while time.monotonic() < end:
            taken.append(clock.sample(work)[0])
        medians[running].append(median(taken))
    watch.pause(False)
    return ratio(list(zip(medians[True], medians[False], strict=True)))
