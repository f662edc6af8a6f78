"""This project's Triton kernels, every layer: one kernel a convolution, with all that stands around it inside.

`resnet.fused.program` says what is fused and why, `resnet.fused.network` how it is run.
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
from resnet.runner import DTYPES, Forward, Runner, TorchRunner, launched, weights_bytes


def prepare(model: ResNet, example: Tensor, precision: str, launch: str) -> Runner:
    """The model as a static program for batches of `example`'s shape, channels-last.

    On a CPU, which the table does not list as served, it computes with the ops' aten, or with TRITON_INTERPRET=1 by the
    kernels themselves: for tests. `details` compares the memory of all activations with the least that eager needs.

    Raises ValueError for a precision without kernels and for a graph without a GPU.
    """
    check(example.device, precision, launch)
    shape, dtype = tuple(example.shape), DTYPES[precision]
    made = build_program(cast(ResNet, fold(model)), shape)
    chosen = (
        install_tuned(torch.cuda.get_device_name(example.device)) if example.device.type == "cuda" else {"tables": []}
    )
    network = FusedNetwork(made, precision, example.device)
    ran = "triton" if example.device.type == "cuda" else "triton, interpreted" if network.configs else "aten"
    details = {
        "weights_bytes": weights_bytes(network),
        "steps": len(made.steps),
        "activation_bytes": network.activation_bytes,
        "eager_activation_bytes": peak_bytes(eager_uses(model, shape, dtype.itemsize)),
        "kernels": ran,
        "triton_cached": network.cached,
        **chosen,
        "configurations": {layer.key: str(config) for layer, config in network.configs.items()},
    }
    details |= bundle_details(example.device.type)
    return launched(OwnRunner(network, example, precision, details), launch)


class OwnRunner(TorchRunner):
    """Places batches channels-last, as our kernels multiply them: in tf32 rounded to it."""

    def __init__(self, forward: Forward, example: Tensor, precision: str, details: Mapping[str, Any]) -> None:
        super().__init__(forward, example, DTYPES[precision], "channels_last", details)
        self._rounds = precision == "tf32"

    def place(self, batch: Tensor) -> Tensor:
        x = super().place(batch)
        return round_tf32(x) if self._rounds else x


def check(device: torch.device, precision: str, launch: str) -> None:
    """Refuse what there are no kernels for."""
    if precision not in DTYPES:
        raise ValueError(f"there are kernels for {', '.join(DTYPES)}, none for {precision!r}")
    if launch not in ("stream", "graph"):
        raise ValueError(f"a launch is 'stream' or 'graph', not {launch!r}")
    if launch == "graph" and device.type != "cuda":
        raise ValueError("a CUDA graph needs a CUDA device")
