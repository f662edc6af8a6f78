"""ONNX Runtime's QDQ file for OpenVINO, with sums that round once, and the integers between its steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from resnet.onnx.steps import read_steps
from resnet.openvino.session import OpenVinoRunner, bind, compile_model, for_batch, operations
from resnet.quant.steps import Step, Taps


def read_merged(path: Path) -> Any:
    """Return a QDQ file's graph without the rounding of a convolution's result before the sum that alone reads it.

    OpenVINO (2026.4.1) leaves out that rounding where it fuses the sum, and keeps it where a result is looked at. So
    the file must not have it, if what is declared, what is timed and what is looked at are to be the same.
    """
    import onnx

    model = onnx.load(str(path))
    makers: dict[str, Any] = {output: node for node in model.graph.node for output in node.output}
    readers = [name for node in model.graph.node for name in node.input]
    for add in [node for node in model.graph.node if node.op_type == "Add"]:
        for index, name in enumerate(add.input):
            pair: list[Any] = [makers.get(name), makers.get(makers[name].input[0])] if name in makers else []
            if [node.op_type if node else "" for node in pair] != ["DequantizeLinear", "QuantizeLinear"]:
                continue
            wide, narrow = pair
            inner = makers.get(narrow.input[0])
            alone = readers.count(name) == readers.count(wide.input[0]) == 1
            if alone and inner is not None and inner.op_type == "Conv":
                add.input[index] = narrow.input[0]
                model.graph.node.remove(wide)
                model.graph.node.remove(narrow)
                break
    return model


class QuantizedOpenVinoRunner(OpenVinoRunner):
    """A QDQ graph on torch tensors in place, which declares its steps and shows the integers between them."""

    checked: Literal["taps", "units"] = "taps"

    def __init__(self, model: Any, example: Tensor, details: dict[str, Any]) -> None:
        from openvino import Core

        self._bytes = model.SerializeToString()
        self.steps: tuple[Step, ...] = read_steps(model).steps
        super().__init__(Core().read_model(self._bytes), example, "int8", details)
        self.operations = operations(self._compiled(len(example)))
        products = [
            (name, kind, word) for name, kind, word in self.operations if kind in ("Convolution", "FullyConnected")
        ]
        in_float = [name for name, _, word in products if word not in ("u8", "i8")]
        asked = sum(weight.wide for step in self.steps for weight in step.weights)
        if len(in_float) > asked:
            raise RuntimeError(
                f"OpenVINO left {len(in_float) - asked} layers in float that were to be in 8 bits: {in_float}"
            )

    def taps(self, x: Tensor) -> Taps:
        """Return the activations and the logits for a placed batch, of a network that has them all as outputs."""
        import onnx
        from onnx import TensorProto, helper
        from openvino import Core

        model = onnx.load_from_string(self._bytes)
        graph = read_steps(model)
        for step in graph.steps[:-1]:
            kind = TensorProto.UINT8 if step.output else TensorProto.FLOAT
            model.graph.output.append(helper.make_tensor_value_info(graph.tensors[step.name], kind, None))
        compiled = compile_model(for_batch(Core().read_model(model.SerializeToString()), len(x)), "int8")
        types = {True: torch.uint8, False: torch.float32}
        kinds = [types[step.output is not None] for step in (graph.steps[-1], *graph.steps[:-1])]
        results = [
            torch.empty(tuple(port.shape), dtype=kind) for port, kind in zip(compiled.outputs, kinds, strict=True)
        ]
        bind(compiled, [x], results).infer()
        logits, *values = results
        names = [step.name for step in graph.steps]
        return Taps(dict(zip(names, [*values, logits], strict=True)), logits)
