"""Real failures of real libraries, most for want of memory: prints what the worker's `failure` makes of each."""

from __future__ import annotations

import json
import mmap
import resource
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch

from bench.worker.failure import describe_failure
from tests.bench.runs.cramped import cramp

GIB = 1 << 30
wide, pictures = torch.nn.Conv2d(3, 64, 3).requires_grad_(False), torch.zeros(32, 3, 256, 256)


def torch_allocates() -> None:
    torch.empty(GIB)


def torch_computes() -> None:
    wide(pictures)


def numpy_allocates() -> None:
    np.ones(GIB)


def python_allocates() -> None:
    bytearray(GIB)


def the_system_maps() -> None:
    mmap.mmap(-1, GIB)


def another_torch_error() -> None:
    torch.ones(2) @ torch.ones(3)


def another_system_error() -> None:
    Path("/no/such/memory").read_bytes()


def onnxruntime(arena: bool) -> Callable[[], None]:
    """A graph whose output has two GiB."""
    import onnx
    import onnxruntime
    from onnx import helper

    x, y = (helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in "xy")
    size = helper.make_tensor("size", onnx.TensorProto.INT64, [1], [GIB // 2])
    graph = helper.make_graph([helper.make_node("Expand", ["x", "size"], ["y"])], "g", [x], [y], [size])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    options = onnxruntime.SessionOptions()
    options.enable_cpu_mem_arena = arena
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"x": np.ones(1, np.float32)})


def main() -> None:
    wide(pictures[:1])  # its threads and its code are there
    calls = [torch_allocates, torch_computes, numpy_allocates, python_allocates, the_system_maps]
    chosen = {call.__name__: call for call in [*calls, another_torch_error, another_system_error]}
    with suppress(ImportError):
        chosen |= {"onnxruntime_allocates": onnxruntime(False), "onnxruntime_has_an_arena": onnxruntime(True)}
    told = {}
    free = resource.getrlimit(resource.RLIMIT_AS)
    for name, call in chosen.items():
        cramp(100)
        try:
            call()
        except Exception as error:
            resource.setrlimit(resource.RLIMIT_AS, free)
            told[name] = describe_failure(error)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
