"""The most that torch.compile can do: weights frozen into the graph, channels-last, kernels chosen by timing."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.torch_version import TorchVersion

from resnet.runner import DTYPES, Runner, autocast, converted, weights_bytes, with_launch
from resnet.variants.compile import compiled_runner

# The first release whose Triton convolution keeps to 4 warps where a window is larger than a pixel. Before it 11 of the
# 17 candidates for each shape have 8 and compute wrong results (pytorch#173068), which autotuning does not check.
FIRST_RIGHT_CONVOLUTIONS = "2.13"
WHY_ATEN_CONVOLUTIONS = (
    "cuDNN's alone (max_autotune_conv_backends = ATEN): before torch 2.13 Inductor's own convolution is wrong with 8 "
    "warps (pytorch#173068); 1x1 convolutions at stride 1 are matrix products, and autotuned"
)


def prepare(model: nn.Module, example: Tensor, precision: str, launch: str) -> Runner:
    """Prepare the module compiled with frozen weights, channels-last; in 16 bits under autocast.

    Freezing folds batch norm in float32 and casts the folded weights once, at compile time, so autocast costs nothing
    at run time (0.99 times the time of weights cast beforehand: ResNet-18, bf16, 2-core Zen 4 VM, 2026-11). Only
    CUDA is autotuned: on a CPU autotuning is for matrix products, of which a ResNet has one.

    `details` has the options and, where convolutions are not autotuned, the reason.
    """
    dtype = DTYPES[precision]
    net = converted(model, example.device, torch.float32, "channels_last")
    options, notes = inductor_options(example.device.type, torch.__version__)
    forward = net if dtype == torch.float32 else autocast(net, dtype)
    # weights: as frozen, in the precision; the float32 originals stay resident beside them
    details = {"weights_bytes": weights_bytes(net) * dtype.itemsize // 4, "compile_options": options, **notes}
    return with_launch(compiled_runner(forward, options, example, dtype, "channels_last", details), launch)


def inductor_options(device: str, version: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Return Inductor's options on a device for a version of torch, and notes on them for the record."""
    options: dict[str, Any] = {"freezing": True}
    if device != "cuda":
        return options, {}
    options |= torch._inductor.list_mode_options("max-autotune-no-cudagraphs")
    if TorchVersion(version) >= FIRST_RIGHT_CONVOLUTIONS:
        return options, {}
    return options | {"max_autotune_conv_backends": "ATEN"}, {"convolutions": WHY_ATEN_CONVOLUTIONS}
