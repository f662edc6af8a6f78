"""torch.compile as it comes: Inductor's default mode, one static shape."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from resnet.model import ResNet
from resnet.runner import DTYPES, Forward, Runner, TorchRunner, converted, weights_bytes, with_launch


def prepare(model: ResNet, example: Tensor, precision: str, launch: str) -> Runner:
    """The module with its weights cast to the precision, compiled; for `graph` our own capture goes around it.

    The input is channels-last except for fp32 on CUDA, where Inductor's own layout pass is left to decide.
    """
    dtype = DTYPES[precision]
    memory_format = "contiguous" if example.is_cuda and precision == "fp32" else "channels_last"
    net = converted(model, example.device, dtype, memory_format)
    details = {"weights_bytes": weights_bytes(net), "compile_mode": "default"}
    runner = TorchRunner(inductor(net, {}), example, dtype, memory_format, details)
    first_call(runner, example, {})
    return with_launch(runner, launch)


def inductor(forward: Forward, options: dict[str, Any]) -> Forward:
    """`forward` compiled for the one shape it is first called with, in one graph or not at all."""
    return torch.compile(forward, fullgraph=True, dynamic=False, options=options)


def first_call(runner: TorchRunner, example: Tensor, options: dict[str, Any]) -> None:
    """Compiles, by calling the runner once.

    The options are in force once more around the call because Dynamo, unlike Inductor, reads `freezing` from the
    global configuration and not from what torch.compile was given (torch 2.13, `is_parameter_freezing`).
    """
    with torch._inductor.config.patch(options):
        runner(runner.place(example))
