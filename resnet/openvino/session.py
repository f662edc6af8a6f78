"""OpenVINO's CPU plugin as a Runner: a model compiled for each batch size, reading and writing torch's memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from resnet.runner import Placed

if TYPE_CHECKING:
    from openvino import CompiledModel, InferRequest, Model

# Which numbers the plugin computes with. It takes bf16 by itself where the CPU has it, for a float32 model too.
HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}


def compile_model(model: Model, precision: str) -> CompiledModel:
    """Compile a model for one stream of this process's threads, for the least latency. The model is left as it was."""
    import openvino

    options = {
        "INFERENCE_PRECISION_HINT": HINTS[precision],
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = openvino.Core().compile_model(model, "CPU", options)
    taken = _word(compiled.get_property("INFERENCE_PRECISION_HINT"))
    if taken != HINTS[precision]:
        raise RuntimeError(f"OpenVINO computes in {taken} where {precision} is wanted: this CPU has no such numbers")
    return compiled


def for_batch(model: Model, batch: int) -> Model:
    """Return a copy of a model with a fixed batch size, which the plugin compiles to faster code than an open one."""
    model = model.clone()
    _, *rest = model.input(0).partial_shape
    model.reshape([batch, *rest])
    return model


def bind(compiled: CompiledModel, inputs: Iterable[Tensor], outputs: Iterable[Tensor]) -> InferRequest:
    """Return a request that reads and writes contiguous tensors in place, which must outlive it."""
    from openvino import Tensor as Shared

    request = compiled.create_infer_request()
    for index, tensor in enumerate(inputs):
        request.set_input_tensor(index, Shared(tensor.numpy(), shared_memory=True))
    for index, tensor in enumerate(outputs):
        request.set_output_tensor(index, Shared(tensor.numpy(), shared_memory=True))
    return request


def read_back(compiled: CompiledModel) -> dict[str, Any]:
    """Return what the plugin has set, for the record: hints, threads, streams, and the instructions that it uses."""
    names = ("INFERENCE_PRECISION_HINT", "PERFORMANCE_HINT", "NUM_STREAMS", "ENABLE_CPU_PINNING")
    options = {name: _word(compiled.get_property(name)) for name in names}
    isa = dict(part.split("=", 1) for part in str(compiled.get_property("RUNTIME_REQUIREMENTS")).split(";")).get("isa")
    return {"threads": compiled.get_property("INFERENCE_NUM_THREADS"), "openvino_options": options, "isa": isa}


def operations(compiled: CompiledModel) -> list[tuple[str, str, str]]:
    """Return the plugin's graph: each operation's name, its kind (`Convolution`), and the type it computes with."""
    facts = ("layerType", "runtimePrecision")
    return [
        (node.get_friendly_name(), *(str(node.get_rt_info()[fact].astype(str)) for fact in facts))
        for node in compiled.get_runtime_model().get_ordered_ops()
    ]


class OpenVinoRunner:
    """A variant that runs a model on torch tensors in place, compiled once for each batch size that is placed."""

    def __init__(self, model: Model, example: Tensor, precision: str, details: dict[str, Any]) -> None:
        self._compiled: Callable[[int], CompiledModel] = cache(partial(_compiled, model, precision))
        self._placed: Placed[tuple[InferRequest, Tensor]] = Placed()
        self.details = {
            "memory_format": "contiguous",
            "input_dtype": "float32",
            "graph": False,
            **details,
            **read_back(self._compiled(len(example))),
        }

    def place(self, batch: Tensor) -> Tensor:
        """Return a contiguous copy of `batch`, bound with an output [N, classes]."""
        x = batch.to("cpu", torch.float32, copy=True, memory_format=torch.contiguous_format)
        compiled = self._compiled(len(x))
        logits = torch.empty(tuple(compiled.output(0).shape))
        self._placed[x] = bind(compiled, [x], [logits]), logits
        return x

    def __call__(self, x: Tensor) -> Tensor:
        request, logits = self._placed[x]
        request.infer(share_inputs=True, share_outputs=True)  # else its results are copied once more
        return logits


def _compiled(model: Model, precision: str, batch: int) -> CompiledModel:
    return compile_model(for_batch(model, batch), precision)


def _word(value: Any) -> Any:
    """Return a property as JSON has it: a type's or a hint's name."""
    return getattr(value, "to_string", lambda: getattr(value, "name", value))()
