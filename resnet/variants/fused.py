"""This project's Triton kernels for every layer: one kernel a convolution, with the layers around it fused into it.

`resnet.fused.program` says what is fused and why, `resnet.fused.network` runs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor

from kernels.tf32 import round_tf32
from resnet.fold import fold
from resnet.fused.buffers import peak_bytes
from resnet.fused.carried import bundle_details
from resnet.fused.eager_memory import eager_uses
from resnet.fused.launches import install_tuned
from resnet.fused.network import FusedNetwork
from resnet.fused.program import build_program
from resnet.model import ResNet
from resnet.runner import DTYPES, Forward, Runner, TorchRunner, weights_bytes, with_launch


def prepare(model: ResNet, example: Tensor, precision: str, launch: str) -> Runner:
    """Prepare the model as a static program for batches of `example`'s shape, channels-last.

    On a CPU, which the table does not list as served, tests run it: by the ops' aten, or with TRITON_INTERPRET=1 by the
    kernels themselves. `details` compares the memory of all activations with the least that eager needs.
    """
    shape, dtype = tuple(example.shape), DTYPES[precision]
    fused = build_program(cast(ResNet, fold(model)), shape)
    on_gpu = example.device.type == "cuda"
    tuned = install_tuned(torch.cuda.get_device_name(example.device)) if on_gpu else {"tables": []}
    network = FusedNetwork(fused, precision, example.device)
    kernels = "triton" if on_gpu else "triton, interpreted" if network.configs else "aten"
    details = {
        "weights_bytes": weights_bytes(network),
        "steps": len(fused.steps),
        "activation_bytes": network.activation_bytes,
        "eager_activation_bytes": peak_bytes(eager_uses(model, shape, dtype.itemsize)),
        "kernels": kernels,
        "triton_cached": network.cached,
        **tuned,
        "configurations": {layer.key: str(config) for layer, config in network.configs.items()},
    }
    details |= bundle_details(example.device.type)
    return with_launch(KernelRunner(network, example, precision, details), launch)


class KernelRunner(TorchRunner):
    """A runner that places batches as the kernels read them: channels-last, for tf32 rounded to it."""

    def __init__(self, forward: Forward, example: Tensor, precision: str, details: Mapping[str, Any]) -> None:
        super().__init__(forward, example, DTYPES[precision], "channels_last", details)
        self._rounds = precision == "tf32"

    def place(self, batch: Tensor) -> Tensor:
        x = super().place(batch)
        return round_tf32(x) if self._rounds else x
