"""ONNX Runtime's QDQ file for OpenVINO, with sums that round once, and the integers between its steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from resnet.onnx.quantized import name_taps, with_taps
from resnet.onnx.steps import read_steps
from resnet.openvino.session import OpenVinoRunner, bind, compile_model, for_batch
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

    def __init__(self, path: Path, example: Tensor, details: dict[str, Any]) -> None:
        from openvino import Core

        self._path = path
        super().__init__(lambda: Core().read_model(read_merged(path).SerializeToString()), example, "int8", details)
        layers = [node for node in self.operations(len(example)) if node.kind in ("Convolution", "FullyConnected")]
        in_float = [node.name for node in layers if node.type not in ("u8", "i8")]
        left = len(in_float) - sum(weight.wide for step in self.steps for weight in step.weights)
        if left > 0:
            raise RuntimeError(f"OpenVINO left {left} layers in float that were to be in 8 bits, of {in_float}")

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps that the file declares, read anew, so that they keep no memory beside what is measured."""
        return read_steps(read_merged(self._path)).steps

    def taps(self, x: Tensor) -> Taps:
        """Return the activations and the logits for a placed batch, of a network that has them all as outputs."""
        from openvino import Core

        steps, tapped = with_taps(read_merged(self._path))
        compiled = compile_model(for_batch(Core().read_model(tapped), len(x)), "int8")
        kinds = [torch.uint8 if step.output else torch.float32 for step in (steps[-1], *steps[:-1])]
        shapes = [tuple(port.shape) for port in compiled.outputs]
        results = [torch.empty(shape, dtype=kind) for shape, kind in zip(shapes, kinds, strict=True)]
        bind(compiled, [x], results).infer()
        return name_taps(steps, results)
