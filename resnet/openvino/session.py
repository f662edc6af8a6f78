"""OpenVINO's CPU plugin as a Runner: a model compiled for each batch size, reading and writing torch's memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from resnet.runner import Placed

if TYPE_CHECKING:
    from openvino import CompiledModel, InferRequest, Model

# Which numbers the plugin computes with. It takes bf16 by itself where the CPU has it, for a float32 model too.
HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}


class Operation(NamedTuple):
    """A node of the plugin's graph: its kind (`Convolution`), the type it computes with, and the nodes it reads.

    `originals` are the nodes of the ONNX file that it computes; none of one that the plugin put in.
    """

    name: str
    kind: str
    type: str
    originals: tuple[str, ...]
    reads: tuple[str, ...]

    @property
    def converts(self) -> bool:
        """True of one that does nothing but convert between numbers and codes."""
        return bool(self.originals) and all(name.lower().endswith("quantizelinear") for name in self.originals)

    @property
    def layer(self) -> str:
        """The layer whose weights it reads; else its own name."""
        return next((name.removesuffix(".weight") for name in self.reads if name.endswith(".weight")), self.name)


def compile_model(model: Model, precision: str, profiled: bool = False) -> CompiledModel:
    """Compile a model for one stream of this process's threads, for the least latency. The model is left as it was."""
    import openvino

    options = {
        "INFERENCE_PRECISION_HINT": HINTS[precision],
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "PERF_COUNT": profiled,
    }
    compiled = openvino.Core().compile_model(model, "CPU", options)
    taken = _word(compiled.get_property("INFERENCE_PRECISION_HINT"))
    if taken != HINTS[precision]:
        raise RuntimeError(f"OpenVINO computes in {taken} where {precision} is wanted: this CPU has no such numbers")
    return compiled


def for_batch(model: Model, batch: int) -> Model:
    """Return the model with its batch size fixed, which the plugin compiles to faster code than an open one."""
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


class OpenVinoRunner:
    """A variant that runs a model on torch tensors in place, compiled once for each batch size that is placed.

    `load` returns the model anew, so that none is kept beside the compiled ones.
    """

    def __init__(
        self,
        load: Callable[[], Model],
        example: Tensor,
        precision: str,
        details: dict[str, Any],
        profiled: bool = False,
    ) -> None:
        self._load, self._precision = load, precision
        self._compiled: Callable[[int], CompiledModel] = cache(
            lambda batch: compile_model(for_batch(load(), batch), precision, profiled)
        )
        self._placed: Placed[tuple[InferRequest, Tensor]] = Placed()
        usual = {"memory_format": "contiguous", "input_dtype": "float32", "graph": False}
        self.details = usual | details | read_back(self._compiled(len(example)))

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

    def profiled(self, example: Tensor) -> OpenVinoRunner:
        """Return a runner of the same model that times its operations."""
        return OpenVinoRunner(self._load, example, self._precision, {}, profiled=True)

    def operations(self, batch: int) -> list[Operation]:
        """Return the plugin's graph for a batch size, in the order in which it runs."""
        nodes, facts = list[Operation](), ("layerType", "runtimePrecision", "originalLayersNames")
        for node in self._compiled(batch).get_runtime_model().get_ordered_ops():
            info = node.get_rt_info()
            kind, word, names = (str(info[fact].astype(str)) for fact in facts)
            reads = tuple(value.get_node().get_friendly_name() for value in node.input_values())
            nodes.append(Operation(node.get_friendly_name(), kind, word, tuple(filter(None, names.split(","))), reads))
        return nodes

    def times_us(self, x: Tensor) -> dict[str, float]:
        """Return what each operation of the last call on a placed batch took; of a runner that is `profiled`."""
        rows = self._placed[x][0].get_profiling_info()
        return {row.node_name: row.real_time / timedelta(microseconds=1) for row in rows}


def _word(value: Any) -> Any:
    """Return a property as JSON has it: a type's or a hint's name."""
    return getattr(value, "to_string", lambda: getattr(value, "name", value))()
