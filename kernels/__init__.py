"""The project's Triton kernels: a leaf that knows tensors, and neither ResNet nor benchmarks.

import kernels
packed = kernels.pack(conv.weight, conv.bias, torch.float16).to("cuda")      # once
y = kernels.conv_bias_act(x, packed, stride=2, padding=1, residual=shortcut)  # x, shortcut, y: channels-last

Importing this package imports neither torch nor Triton; the first use of a name does.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kernels.config import Config, Layer
    from kernels.conv_op import conv_bias_act
    from kernels.head import pack_linear, pool_linear
    from kernels.packing import Packed, pack
    from kernels.stem import Widened, conv_bias_relu_pool, widen

__all__ = [
    "Config",
    "Layer",
    "Packed",
    "Widened",
    "conv_bias_act",
    "conv_bias_relu_pool",
    "pack",
    "pack_linear",
    "pool_linear",
    "widen",
]

_HOMES = {
    "config": ("Config", "Layer"),
    "packing": ("Packed", "pack"),
    "op": ("conv_bias_act",),
    "stem": ("Widened", "conv_bias_relu_pool", "widen"),
    "head": ("pack_linear", "pool_linear"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"kernels.{_HOME[name]}"), name)
    globals()[name] = found  # so that it is asked for once
    return found


def __dir__() -> list[str]:
    return list(__all__)
