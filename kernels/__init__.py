"""The project's Triton kernels, one operation a file: why and bytes counted, reference, kernel, configurations, op.

import kernels
packed = kernels.pack(conv.weight, conv.bias, torch.float16).to("cuda")      # once
y = kernels.conv_bias_act(x, packed, stride=2, padding=1, residual=shortcut)  # x, shortcut, y: channels-last

Nouns: `Layer` (a convolution's shape), `Config` (a kernel's configuration), `Packed` and `Widened` (weights laid out
for the kernels), `Launch`, and the table of kinds (`kernels.kinds`). It may import `kernels.cards` and
`kernels.space`, and neither ResNet nor benchmarks. Importing this package imports neither torch nor Triton; the first
use of a name does.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kernels.conv_op import conv_bias_act
    from kernels.head_op import pool_linear
    from kernels.packing import Packed, pack, pack_linear
    from kernels.space.config import Config
    from kernels.space.layer import Layer
    from kernels.stem import Widened, widen
    from kernels.stem_op import conv_bias_relu_pool

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
    "space.config": ("Config",),
    "space.layer": ("Layer",),
    "packing": ("Packed", "pack", "pack_linear"),
    "conv_op": ("conv_bias_act",),
    "stem": ("Widened", "widen"),
    "stem_op": ("conv_bias_relu_pool",),
    "head_op": ("pool_linear",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"kernels.{_HOME[name]}"), name)
    globals()[name] = value  # later lookups find it there
    return value


def __dir__() -> list[str]:
    return list(__all__)
