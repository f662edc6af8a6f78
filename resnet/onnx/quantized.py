"""A QDQ file as a Runner that declares its steps and shows the integers between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from resnet.calibration import Calibration
from resnet.onnx.export import INPUT
from resnet.onnx.names import layer_of, scope_of
from resnet.onnx.quantize import QuantizedFile
from resnet.onnx.session import Options, OrtRunner, open_session
from resnet.onnx.steps import read_steps
from resnet.quant.network import facts
from resnet.quant.steps import Step, Taps

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

_NO_ARITHMETIC = ("DequantizeLinear", "Reshape", "Flatten", "Squeeze", "Transpose", "ReorderInput", "ReorderOutput")
_PRODUCTS = ("Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul", "FusedMatMul")


class QuantizedOrtRunner(OrtRunner):
    """Sessions on a QDQ file. Its steps are read from the file, so that they keep no memory beside what is measured."""

    def __init__(
        self,
        file: QuantizedFile,
        provider: str,
        options: Options,
        checked: Literal["taps", "units"],
        *arguments: Any,
        **named: Any,
    ) -> None:
        super().__init__(*arguments, **named)
        self.checked = checked
        self._file, self._provider, self._options = file, provider, options

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps that the file declares."""
        return read_steps(self._load()).steps

    def taps(self, x: Tensor) -> Taps:
        """Return the activations and the logits for a placed batch, of a session that has them all as outputs."""
        steps, tapped = with_taps(self._load())
        session, _ = open_session(tapped, self._provider, self._options)
        return name_taps(steps, [torch.from_numpy(value) for value in session.run(None, {INPUT: x.cpu().numpy()})])

    def _load(self) -> ModelProto:
        import onnx

        return onnx.load(str(self._file.path))


def with_taps(model: ModelProto) -> tuple[tuple[Step, ...], bytes]:
    """Return a graph's steps, and the graph with the result of each but the last as an output behind the logits."""
    from onnx import TensorProto, helper

    graph = read_steps(model)
    types = {"uint8": TensorProto.UINT8, "int8": TensorProto.INT8}
    for step in graph.steps[:-1]:
        kind = types[step.output.kind] if step.output else TensorProto.FLOAT
        model.graph.output.append(helper.make_tensor_value_info(graph.tensors[step.name], kind, None))
    return graph.steps, model.SerializeToString()


def name_taps(steps: Sequence[Step], outputs: Sequence[Tensor]) -> Taps:
    """Return the outputs of a graph `with_taps` by their steps."""
    logits, *values = outputs
    return Taps(dict(zip((step.name for step in steps), [*values, logits], strict=True)), logits)


def describe(file: QuantizedFile, calibration: Calibration) -> dict[str, Any]:
    """Return what a record says of the network in a QDQ file: `bench.records.fields.Quantized`."""
    import onnx

    steps = read_steps(onnx.load(str(file.path))).steps
    return facts(steps, calibration, file.ranges) | {"disk_bytes": file.path.stat().st_size}


def float_operations(optimized: GraphProto, declared: ModelProto) -> list[str]:
    """Return the operations in float of the graph that a session runs, each with its layer: `ReduceMean avgpool`.

    Those that convert and those that only move values are none. `declared` is the file. Raises RuntimeError
    where a convolution or a product is among them that the file has in 8 bits.
    """
    scopes = {node.name: scope_of(node) for node in declared.graph.node}
    floats, operations, products = {INPUT}, list[str](), 0
    for node in optimized.node:
        if node.op_type == "QuantizeLinear" or node.op_type.startswith(("QLinear", "QGemm")):
            continue
        if node.op_type != "DequantizeLinear" and not floats & {*node.input}:
            continue
        floats |= {*node.output}
        if node.op_type in _NO_ARITHMETIC:
            continue
        layers = [layer_of(name) for name in node.input if name.endswith((".weight", ".bias"))]
        original = next((name for name in scopes if node.name in (name, f"{name}_nchwc")), "")
        operations.append(f"{node.op_type} {(layers or [scopes.get(original, '')])[0]}".strip())
        products += node.op_type in _PRODUCTS
    wide = sum(weight.wide for step in read_steps(declared).steps for weight in step.weights)
    if products > wide:
        raise RuntimeError(
            f"this onnxruntime left {products - wide} convolutions or products in float that its file has in 8 bits: "
            f"{', '.join(operations)}. Another version may take them: pip install -U onnxruntime-gpu"
        )
    return operations
