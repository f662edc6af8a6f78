"""The most that torch.compile can do: weights frozen into the graph, channels-last, kernels chosen by timing."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.torch_version import TorchVersion

from resnet.model import ResNet
from resnet.runner import DTYPES, Runner, TorchRunner, converted, weights_bytes, with_launch
from resnet.variants.compile import first_call, inductor

# The first release whose Triton convolution keeps to 4 warps where a window is larger than a pixel. Before it 11 of the
# 17 that are tried for each shape have 8, compute something else (pytorch#173068), and are timed and taken like the
# others, as nothing compares what autotuning runs.
CONVOLUTIONS_RIGHT = "2.13"
WRONG_CONVOLUTIONS = (
    "cuDNN's alone (max_autotune_conv_backends = ATEN): before torch 2.13 Inductor's own convolution is wrong with 8 "
    "warps (pytorch#173068); 1x1 convolutions at stride 1 are matrix products, and autotuned"
)


def prepare(model: ResNet, example: Tensor, precision: str, launch: str) -> Runner:
    """The module compiled with frozen weights, channels-last; in 16 bits under autocast.

    Freezing folds batch norm in float32 and casts the folded weights once, at compile time, so autocast costs nothing
    at run time (0.99 times the time of weights cast beforehand: ResNet-18, bf16, 2-core Zen 4 VM, 2026-11). Autotuning
    is for CUDA: on a CPU it tunes matrix products alone, of which a ResNet has one.

    `details` has the options and, where convolutions are not autotuned, the reason.
    """
    dtype = DTYPES[precision]
    net = converted(model, example.device, torch.float32, "channels_last")

    def autocast(x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, dtype, cache_enabled=False):
            return net(x)

    options, told = options_for(example.device.type, torch.__version__)
    forward = net if dtype == torch.float32 else autocast
    # weights: as frozen, in the precision; the float32 originals stay resident beside them
    details = {"weights_bytes": weights_bytes(net) * dtype.itemsize // 4, "compile_options": options, **told}
    runner = TorchRunner(inductor(forward, options), example, dtype, "channels_last", details)
    first_call(runner, example, options)
    return with_launch(runner, launch)


def options_for(device: str, version: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Inductor's options on a device with this torch, and what a record is told of them beside."""
    options: dict[str, Any] = {"freezing": True}
    if device != "cuda":
        return options, {}
    options |= torch._inductor.list_mode_options("max-autotune-no-cudagraphs")
    if TorchVersion(version) >= CONVOLUTIONS_RIGHT:
        return options, {}
    return options | {"max_autotune_conv_backends": "ATEN"}, {"convolutions": WRONG_CONVOLUTIONS}
