"""torch.compile as it comes: Inductor's default mode, one static shape."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from resnet.runner import DTYPES, Forward, Runner, TorchRunner, converted, weights_bytes, with_launch
from resnet.variants.inductor import kept


def prepare(model: nn.Module, example: Tensor, precision: str, launch: str) -> Runner:
    """Prepare the module with its weights cast to the precision, compiled; `graph` captures it in a CUDA graph.

    The input is channels-last except for fp32 on CUDA, where Inductor's layout pass decides.
    """
    dtype = DTYPES[precision]
    memory_format = "contiguous" if example.is_cuda and precision == "fp32" else "channels_last"
    net = converted(model, example.device, dtype, memory_format)
    details = {"weights_bytes": weights_bytes(net), "compile_mode": "default"}
    return with_launch(compiled_runner(net, {}, example, dtype, memory_format, details), launch)


def compiled_runner(
    forward: Forward,
    options: dict[str, Any],
    example: Tensor,
    dtype: torch.dtype,
    memory_format: str,
    details: dict[str, Any],
    frozen: nn.Module | None = None,
) -> TorchRunner:
    """Return a runner of `forward` compiled for the shape of `example`, which it runs once; a graph break is an error.

    The options are set around the call too, because Dynamo, unlike Inductor, reads `freezing` from the global
    configuration and not from the options of torch.compile (torch 2.13, `is_parameter_freezing`). `frozen` is the
    module whose weights become part of what is compiled.
    """
    compiled = torch.compile(forward, fullgraph=True, dynamic=False, options=options)
    runner = TorchRunner(compiled, example, dtype, memory_format, details)
    try:
        with torch._inductor.config.patch(options), kept(frozen) as found:
            runner(runner.place(example))
    except torch._dynamo.exc.Unsupported as error:  # its message is a page
        reason = str(error).strip().partition("\n")[0]
        raise RuntimeError(f"torch.compile cannot take the model whole, without graph breaks: {reason}") from error
    if found:
        runner.details["found_kept"] = found
    return runner
