"""The most that torch.compile can do: weights frozen into the graph, channels-last, kernels chosen by timing."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from resnet.model import ResNet
from resnet.variants.compiled import first_call, inductor
from resnet.variants.runner import DTYPES, Runner, TorchRunner, converted, launched, weights_bytes


def prepare(model: ResNet, example: Tensor, precision: str, launch: str) -> Runner:
    """The module compiled with frozen weights, channels-last; in 16 bits under autocast.

    Freezing folds batch norm in float32 and casts the folded weights once, at compile time, so autocast costs nothing
    at run time (0.99 times the time of weights cast beforehand: ResNet-18, bf16, 2-core Zen 4 VM, 2026-11). Autotuning
    is for CUDA: on a CPU it tunes matrix products alone, of which a ResNet has one.

    Up to torch 2.12 or so Inductor's Triton convolution gives wrong numbers with 8 warps (pytorch#173068): this variant
    is not to be trusted without a check of its output.
    """
    dtype = DTYPES[precision]
    net = converted(model, example.device, torch.float32, "channels_last")

    def autocast(x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, dtype, cache_enabled=False):
            return net(x)

    options: dict[str, Any] = {"freezing": True}
    if example.is_cuda:
        options |= torch._inductor.list_mode_options("max-autotune-no-cudagraphs")
    forward = net if dtype == torch.float32 else autocast
    # weights: as frozen, in the precision; the float32 originals stay resident beside them
    details = {"weights_bytes": weights_bytes(net) * dtype.itemsize // 4, "compile_options": options}
    runner = TorchRunner(inductor(forward, options), example, dtype, "channels_last", details)
    first_call(runner, example, options)
    return launched(runner, launch)
