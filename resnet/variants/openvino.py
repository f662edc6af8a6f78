"""OpenVINO on a CPU: Intel's runtime, from the same ONNX file as ONNX Runtime's."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from resnet.cache import loading
from resnet.calibration import Calibration
from resnet.onnx.export import onnx_file
from resnet.onnx.quantize import quantized_file
from resnet.onnx.quantized import describe
from resnet.openvino.quantized import QuantizedOpenVinoRunner
from resnet.openvino.session import OpenVinoRunner
from resnet.quant.processor import cpu_scheme, overflow
from resnet.quant.steps import QuantizedRunner
from resnet.runner import DTYPES, Runner

# Kinds of the plugin's operations that compute, rather than hold, move or convert numbers.
FLOAT_KINDS = ("Convolution", "FullyConnected", "Subgraph", "Eltwise", "Pooling", "Reduce", "Math")


def prepare(model: nn.Module, example: Tensor, precision: str, launch: str) -> Runner:
    """Prepare the exported float32 file; in bf16 the plugin rounds the weights as it compiles."""
    path, cached = onnx_file(model, torch.float32, example.shape[1:])
    size = path.stat().st_size * DTYPES[precision].itemsize // 4  # all but some 50 kB are weights
    details = {"export_cached": cached, "weights_bytes": size}
    with loading("onnx", path) as artefact:
        from openvino import Core

        runner = OpenVinoRunner(lambda: Core().read_model(path), example, precision, details)
    runner.details["artefact"] = artefact
    return runner


def prepare_quantized(
    model: nn.Module, example: Tensor, precision: str, launch: str, calibration: Calibration
) -> QuantizedRunner:
    """Prepare ONNX Runtime's QDQ file, with sums that round once.

    Raises RuntimeError where OpenVINO left a layer in float that should be in 8 bits.
    """
    file = quantized_file(model, example.shape[1:], calibration, "cpu", cpu_scheme())
    quantized = describe(file, calibration)
    details = {"quantize_cached": file.cached, "weights_bytes": quantized["disk_bytes"], "reduced_range": overflow()}
    with loading("onnx", file.path) as artefact:
        runner = QuantizedOpenVinoRunner(file.path, example, details)
    in_float = [
        node
        for node in runner.operations(len(example))
        if node.type == "f32" and node.kind in FLOAT_KINDS and not node.converts
    ]
    floats = [f"{node.kind} {node.layer}" for node in in_float]
    runner.details |= {"artefact": artefact, "quantized": quantized | {"float_operations": floats}}
    return runner
