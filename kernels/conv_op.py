"""The convolution as a torch op, which networks call.

    packed = kernels.pack(conv.weight, conv.bias, torch.float16).to("cuda")          # once
    y = kernels.conv_bias_act(x, packed, stride=2, padding=1, residual=shortcut)      # x, shortcut, y: channels-last

The op runs under torch.compile, torch.export and CUDA graphs as one node; `kernels.call` chooses what computes it.

Nothing is copied, cast or re-laid: arguments that do not fit are rejected. So with weights packed for tf32 the caller
rounds the first activations (`tf32.round_tf32`), or the tensor cores truncate them; results are rounded here. `out` is
a buffer of the caller; it may be `residual` itself, and shares no memory with `x` or `second`. Configurations that
split the depth allocate their partial sums here, in the pool of a graph being captured; a caller that plans memory
ahead passes `scratch` to the launches (`calls` of conv.py), as `resnet.fused.network` does.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.call import (
    cached_layer,
    call_op,
    check_activation,
    check_input,
    check_prologue,
    check_rows,
    compute_layer,
    register_op,
)
from kernels.launch import Operands
from kernels.packing import Packed
from kernels.space.config import Config
from kernels.space.layer import out_size


def conv_bias_act(
    x: Tensor,
    packed: Packed,
    stride: int = 1,
    padding: int = 0,
    residual: Tensor | None = None,
    relu: bool = True,
    second: tuple[Tensor, int] | None = None,
    prologue: tuple[Tensor, Tensor] | None = None,
    out: Tensor | None = None,
    config: Config | None = None,
) -> Tensor:
    """Return act(conv(act'(x)) + conv1x1(x2) + bias + residual) of x [N, C, H, W]: [N, K, H', W'], channels-last.

    `act` is ReLU if `relu`. `second` is x2 [N, C2, H2, W2] and its stride, for weights packed with a second one.
    `prologue` is scale and shift [C], float32: act'(x) = relu(x * scale + shift), before the padding. The result has
    x's dtype; `out`, if given, is written and returned. `config` overrides the table. Raises ValueError, naming the
    argument, for arguments that do not fit.
    """
    x2, stride2 = second if second is not None else (None, 1)
    scale, shift = prologue if prologue is not None else (None, None)
    if not isinstance(packed, Packed):
        raise ValueError(f"packed: a {type(packed).__name__}, not what kernels.pack returns")
    if stride < 1:
        raise ValueError(f"stride: {stride} is less than one")
    if padding < 0:
        raise ValueError(f"padding: {padding} is less than zero")
    check_input(x, packed)
    _check_second(x, x2, stride2, packed)
    n, _, h, w = x.shape
    out_h, out_w = out_size(h, packed.kernel[0], stride, padding), out_size(w, packed.kernel[1], stride, padding)
    if out_h < 1 or out_w < 1:
        raise ValueError(f"x: {h} x {w} pixels leave no output of a {packed.kernel} window")
    check_rows(n * out_h * out_w, "output pixels")
    if x2 is not None and (out_size(x2.shape[2], 1, stride2, 0), out_size(x2.shape[3], 1, stride2, 0)) != (
        out_h,
        out_w,
    ):
        raise ValueError(f"second: {list(x2.shape[2:])} at stride {stride2} do not give {out_h} x {out_w} pixels")
    for name, tensor in (("residual", residual), ("out", out)):
        if tensor is not None:
            check_activation(name, tensor, x, (n, packed.c_out, out_h, out_w))
    check_prologue(prologue, x)
    geometry = [*packed.kernel, stride, padding, stride2]
    operands = (x, packed.weight, packed.bias, residual, x2, scale, shift, geometry, relu, packed.precision)
    return call_op("conv_bias_act", operands, config, out)


def _check_second(x: Tensor, x2: Tensor | None, stride2: int, packed: Packed) -> None:
    """Raise ValueError unless x2 and its stride fit the packed weights and x."""
    if (x2 is not None) != (packed.c_in2 > 0):
        raise ValueError(
            f"second: {'given' if x2 is not None else 'missing'}, weights packed for {packed.c_in2} channels"
        )
    if x2 is None:
        return
    if stride2 < 1:
        raise ValueError(f"second: a stride of {stride2}")
    check_activation("second", x2, x)
    if x2.shape[:2] != (x.shape[0], packed.c_in2):
        raise ValueError(f"second: {list(x2.shape)}, not [{x.shape[0]}, {packed.c_in2}, H2, W2]")


def _write(
    x: Tensor, weight: Tensor, bias: Tensor, residual: Tensor | None, x2: Tensor | None, scale: Tensor | None,
    shift: Tensor | None, geometry: list[int], relu: bool, precision: str, config: str, out: Tensor,
) -> None:  # fmt: skip
    """Write out. `geometry` is kernel height and width, stride, padding, x2's stride; `config` is text, or empty."""
    (n, c, h, w), (kernel_h, kernel_w, stride, padding, stride2) = x.shape, geometry
    second = None if x2 is None else (x2.shape[2], x2.shape[3], x2.shape[1], stride2)
    layer = cached_layer(
        n, h, w, c, weight.shape[0], (kernel_h, kernel_w), stride, padding,
        residual is not None, relu, second, scale is not None, precision,
    )  # fmt: skip
    compute_layer(layer, Operands(x, weight, bias, residual, x2, scale, shift), out, config)


def _empty(
    x: Tensor, weight: Tensor, bias: Tensor, residual: Tensor | None, x2: Tensor | None, scale: Tensor | None,
    shift: Tensor | None, geometry: list[int], relu: bool, precision: str, config: str,
) -> Tensor:  # fmt: skip
    """Return memory for the result; its sizes may be symbolic."""
    kernel_h, kernel_w, stride, padding, _ = geometry
    n, _, h, w = x.shape
    shape = (n, weight.shape[0], out_size(h, kernel_h, stride, padding), out_size(w, kernel_w, stride, padding))
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)


register_op("conv_bias_act", _write, _empty)
