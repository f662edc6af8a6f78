"""OpenVINO on a CPU: Intel's runtime, from the same ONNX file as ONNX Runtime's."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from resnet.onnx.export import onnx_file
from resnet.openvino.session import OpenVinoRunner
from resnet.runner import DTYPES, Runner


def prepare(model: nn.Module, example: Tensor, precision: str, launch: str) -> Runner:
    """Prepare the exported float32 file; in bf16 the plugin rounds the weights as it compiles."""
    from openvino import Core

    path, cached = onnx_file(model, torch.float32, example.shape[1:])
    details = {
        "export_cached": cached,
        "weights_bytes": path.stat().st_size * DTYPES[precision].itemsize // 4,  # all but some 50 kB are weights
    }
    return OpenVinoRunner(Core().read_model(path), example, precision, details)
