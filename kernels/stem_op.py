"""A network's first layers as a torch op, which networks call; kernels/stem.py computes them.

widened = kernels.widen(kernels.pack(conv.weight, conv.bias, torch.float16)).to("cuda")      # once
y = kernels.conv_bias_relu_pool(x, widened)                                                  # x, y: channels-last
"""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.call import cached_layer, call_op, check_activation, check_input, check_rows, compute_layer, register_op
from kernels.launch import Operands
from kernels.space.config import Config
from kernels.space.layer import out_size
from kernels.stem import Widened


def conv_bias_relu_pool(
    x: Tensor, packed: Widened, *, relu: bool = True, out: Tensor | None = None, config: Config | None = None
) -> Tensor:
    """Return maxpool(act(conv(x) + bias)) of x [N, C, H, W]: [N, K, H', W'] in x's dtype, both channels-last.

    `act` is ReLU if `relu`; stride and padding are those that `packed` was widened for. The pool is 3x3 at stride 2
    over a border of one zero: with `relu` that is `F.max_pool2d(y, 3, 2, 1)`. `out`, if given, is written and returned.
    `config` overrides the table. Raises ValueError, naming the argument, for arguments that do not fit.
    """
    if not isinstance(packed, Widened):
        raise ValueError(f"packed: a {type(packed).__name__}, not what kernels.widen returns")
    check_input(x, packed)
    geometry = [*packed.kernel, packed.stride, packed.padding]
    shape = _shape(x, packed.c_out, geometry)
    if shape[2] < 1 or shape[3] < 1:
        raise ValueError(f"x: {x.shape[2]} x {x.shape[3]} pixels leave no output of a {packed.kernel} window")
    check_rows(shape[0] * shape[2] * shape[3], "pooled pixels")
    if out is not None:
        check_activation("out", out, x, shape)
    operands = (x, packed.weight, packed.bias, geometry, relu, packed.precision)
    return call_op("conv_bias_relu_pool", operands, config, out)


def _write(
    x: Tensor, weight: Tensor, bias: Tensor, geometry: list[int], relu: bool, precision: str, config: str, out: Tensor
) -> None:
    """Write out. `geometry` is kernel height and width, stride, padding; `config` is text, or empty."""
    (n, c, h, w), (kernel_h, kernel_w, stride, padding), k = x.shape, geometry, bias.shape[0]
    layer = cached_layer(n, h, w, c, k, (kernel_h, kernel_w), stride, padding, relu=relu, dtype=precision, pool=True)
    compute_layer(layer, Operands(x, weight, bias), out, config)


def _empty(
    x: Tensor, weight: Tensor, bias: Tensor, geometry: list[int], relu: bool, precision: str, config: str
) -> Tensor:
    """Return memory for the result; its sizes may be symbolic."""
    shape = _shape(x, bias.shape[0], geometry)
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)


register_op("conv_bias_relu_pool", _write, _empty)


def _shape(x: Tensor, k: int, geometry: list[int]) -> tuple[int, int, int, int]:
    (n, _, h, w), (kernel_h, kernel_w, stride, padding) = x.shape, geometry
    out_h, out_w = out_size(h, kernel_h, stride, padding), out_size(w, kernel_w, stride, padding)
    return n, k, (out_h + 1) // 2, (out_w + 1) // 2
