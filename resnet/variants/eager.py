"""Plain PyTorch: the module as it is, its weights cast to the precision."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from resnet.runner import DTYPES, FORMATS, Runner, TorchRunner, converted, fastest_runner, weights_bytes, with_launch


def prepare(model: nn.Module, example: Tensor, precision: str, launch: str) -> Runner:
    """Prepare the module in the memory format that suits the precision on this machine.

    Tensor cores and oneDNN's bf16 kernels read channels-last, so tf32, fp16 and bf16 take it. In float32 without
    tensor cores either may win (ResNet-50 on 2-core VMs, 2026: channels-last took 1.10 times NCHW's time at batch 8 on
    a Zen 5, 0.81 times on a Zen 4), so both are timed on the example.
    """
    if precision != "fp32":
        return with_launch(_runner(model, example, precision, "channels_last"), launch)
    runners = {name: _runner(model, example, precision, name) for name in FORMATS}
    name, times = fastest_runner(runners, example)
    runners[name].details["format_us"] = times
    return with_launch(runners[name], launch)


def _runner(model: nn.Module, example: Tensor, precision: str, memory_format: str) -> TorchRunner:
    dtype = DTYPES[precision]
    net = converted(model, example.device, dtype, memory_format)
    details = {"weights_bytes": weights_bytes(net), "cudnn_benchmark": torch.backends.cudnn.benchmark}
    return TorchRunner(net, example, dtype, memory_format, details)
