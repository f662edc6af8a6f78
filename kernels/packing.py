"""Weights packed for the kernels: laid out, padded and rounded once, ahead of time.

There is a row per output channel, [c_out, columns]: the taps in order, within a tap the input channels, behind them
the second operand's channels (`layer.Columns`). The depth is contiguous, as in a channels-last activation, so that
both sides of the product reach the tensor cores in the layout that all their precisions accept.

The 7x7 stem over 3 channels does not fit the tensor cores' shapes. Its window is 147 deep; an image is 150,528 values
in and 802,816 out, so at fp16 it moves 1.9 MB and computes 236 MFLOP. The alternatives:

| layout | depth | FLOP | input | loads of one window |
|---|---|---|---|---|
| channels padded to 16 | 784 | 5.3x | 5.3x the bytes, a copy | 16 bytes wide |
| channels padded to 4, a tap row at a time (7 x 28 -> 7 x 32) | 224 | 1.5x | 1.3x the bytes, a copy | 8 bytes wide |
| 2x2 pixels as 12 channels, 4x4 taps | 192 | 1.3x | the same bytes, a copy | 8 bytes wide |
| plain image, the window's 7 rows of 21 values as one run | 147 -> 160 | 1.1x | as it is | one value each |

The last is the layout with `flat` columns, used for every layer with fewer than 16 channels. Its loads are narrow: 160
values a pixel in warps of 32 are 63k load instructions an image, at one a cycle and SM 15k cycles or 8.6 us for 32
images on 132 SMs at 1.755 GHz, under the 14.5 us that the layer's 61 MB take at 4.2 TB/s. The others need a copy of
the image, 0.3 MB read and as much written, in the timed call or untimed in the placing of the input. So the input
stays the plain channels-last image.
"""

from __future__ import annotations

from math import prod
from typing import Literal

import torch
from torch import Tensor, nn

from kernels.space.layer import Columns, Layer, packed_columns
from kernels.tf32 import round_tf32

DTYPES = {torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16"}
CODES = {"int8": torch.int8, "fp8": torch.float8_e4m3fn}
TORCH_TYPES = {name: dtype for dtype, name in DTYPES.items()} | {"tf32": torch.float32} | CODES

SecondOperand = tuple[Tensor, Tensor | None]


class Packed(nn.Module):
    """A convolution's weights for `conv_bias_act`, from `pack`; `.to(device)` moves them.

    It is a module so that a network's `.to`, byte counts and exports include its buffers: `weight` [c_out, columns] in
    the activations' dtype, `bias` [c_out] float32.
    """

    weight: Tensor
    bias: Tensor

    def __init__(
        self, weight: Tensor, bias: Tensor, c_in: int, kernel: tuple[int, int], c_in2: int, precision: str
    ) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.c_in, self.kernel, self.c_in2, self.precision = c_in, kernel, c_in2, precision
        self.c_out = weight.shape[0]
        # from the precision, not from the weight, so that a call notices a stray .half() on a network
        self.dtype = TORCH_TYPES[precision]

    def extra_repr(self) -> str:
        second = f" + {self.c_in2}" if self.c_in2 else ""
        return f"{self.c_in}{second} -> {self.c_out}, {self.kernel[0]}x{self.kernel[1]}, {self.precision}"


@torch.no_grad()
def pack(
    weight: Tensor,
    bias: Tensor | None = None,
    dtype: torch.dtype | None = None,
    *,
    second: SecondOperand | None = None,
    tf32: bool = False,
) -> Packed:
    """Pack `weight` [K, C, R, S] and `bias` [K], and `second`'s weight [K, C2, 1, 1] and bias to accumulate with it.

    `dtype` is the activations', by default the weight's. The biases are added in float32. `tf32`: float32 activations
    whose products the tensor cores compute with 10 bits of mantissa, to which the weights are rounded here. Raises
    ValueError, naming the argument, for what it cannot pack.
    """
    if not isinstance(weight, Tensor):
        raise ValueError(f"weight: of type {type(weight).__name__}, not a tensor [K, C, R, S]")
    dtype = dtype or weight.dtype
    if dtype not in DTYPES:
        raise ValueError(f"dtype: {dtype} is none of {', '.join(map(str, DTYPES))}")
    if tf32 and dtype != torch.float32:
        raise ValueError(f"tf32: a way of multiplying float32, not {dtype}")
    if weight.dim() != 4 or 0 in weight.shape:
        raise ValueError(f"weight: of shape {list(weight.shape)}, not [K, C, R, S] of at least one each")
    k = weight.shape[0]
    _check_bias("bias", bias, weight)
    bias_sum = torch.zeros(k, device=weight.device) if bias is None else bias.float()
    if second is not None:
        weight2, bias2 = second
        if weight2.dim() != 4 or weight2.shape[0] != k or weight2.shape[2:] != (1, 1) or weight2.shape[1] < 1:
            raise ValueError(f"second: a weight of shape {list(weight2.shape)}, not [{k}, C2, 1, 1]")
        if weight2.device != weight.device:
            raise ValueError(f"second: a weight on {weight2.device}, and the first on {weight.device}")
        _check_bias("second", bias2, weight)
        bias_sum = bias_sum if bias2 is None else bias_sum + bias2.float()
    precision = "tf32" if tf32 else DTYPES[dtype]
    return pack_codes(weight, second[0] if second else None, bias_sum.detach().clone(), precision)


def pack_codes(weight: Tensor, weight2: Tensor | None, bias: Tensor, precision: str) -> Packed:
    """Lay out weights [K, C, R, S] and [K, C2, 1, 1], or their codes, in the type of `precision`; bias is float32."""
    k, c, r, s = weight.shape
    c2 = 0 if weight2 is None else weight2.shape[1]
    cols = packed_columns(c, (r, s), c2, precision)
    if k * cols.total >= 2**31:
        raise ValueError(f"weight: {k} x {cols.total} columns are more than 32-bit offsets reach")
    rows = torch.zeros(k, cols.total, dtype=TORCH_TYPES[precision], device=weight.device)
    first, after = _weight_views(rows, cols, c, (r, s), c2)
    first.copy_(weight.permute(0, 2, 3, 1))
    if weight2 is not None:
        after.copy_(weight2.flatten(1))
    return Packed(round_tf32(rows) if precision == "tf32" else rows, bias, c, (r, s), c2, precision)


def pack_linear(weight: Tensor, bias: Tensor | None, dtype: torch.dtype | None = None, tf32: bool = False) -> Packed:
    """Pack a fully connected layer's weight [classes, C] and bias [classes] for `pool_linear`."""
    if not isinstance(weight, Tensor) or weight.dim() != 2:
        raise ValueError(f"weight: {describe_shape(weight)}, not a tensor [classes, C]")
    return pack(weight[:, :, None, None], bias, dtype, tf32=tf32)


def describe_shape(value: object) -> str:
    """Return a value's shape, or the type of what is no tensor, for a message."""
    return f"of shape {list(value.shape)}" if isinstance(value, Tensor) else f"of type {type(value).__name__}"


def unpack(weight: Tensor, layer: Layer) -> tuple[Tensor, Tensor]:
    """Return views of a packed weight, [K, C, R, S] and [K, C2, 1, 1]."""
    first, after = _weight_views(weight, layer.columns, layer.c_in, layer.kernel, layer.c_in2)
    return first.permute(0, 3, 1, 2), after[:, :, None, None]


def _weight_views(rows: Tensor, cols: Columns, c: int, kernel: tuple[int, int], c2: int) -> tuple[Tensor, Tensor]:
    """Return views of the columns that are weights, not padding: [K, R, S, C] and [K, C2]."""
    taps = rows[:, : prod(kernel) * cols.per_tap].unflatten(1, (*kernel, cols.per_tap))
    return taps[..., :c], rows[:, cols.first : cols.first + c2]


def _check_bias(name: Literal["bias", "second"], bias: Tensor | None, weight: Tensor) -> None:
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(f"{name}: a bias of shape {list(bias.shape)}, not [{weight.shape[0]}]")
    if bias is not None and bias.device != weight.device:
        raise ValueError(f"{name}: a bias on {bias.device}, and the weight on {weight.device}")
