"""Automatic mixed precision as its documentation has it: float32 weights and input, convolutions in 16 bits."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from resnet.runner import DTYPES, Runner, TorchRunner, autocast, converted, weights_bytes, with_launch


def prepare(model: nn.Module, example: Tensor, precision: str, launch: str) -> Runner:
    """Prepare the float32 module under torch.autocast, channels-last.

    Every call casts every weight again, and that is timed, because AMP's users pay it: autocast's cache lives only as
    long as the autocast block, and keeps only weights that require a gradient. It is off here, as it could only cost.
    """
    net = converted(model, example.device, torch.float32, "channels_last")
    dtype = DTYPES[precision]
    details = {"weights_bytes": weights_bytes(net), "autocast": str(dtype).removeprefix("torch.")}
    details |= {"cudnn_benchmark": torch.backends.cudnn.benchmark}
    return with_launch(TorchRunner(autocast(net, dtype), example, torch.float32, "channels_last", details), launch)
