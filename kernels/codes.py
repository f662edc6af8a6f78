# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False, disallow-untyped-decorators=False
"""The 8-bit end of a kernel: exact sums of products of codes become codes of the result, in one order of operations.

A value is its code times a scale: one of each activation, one of each output channel of a weight. Of a layer the sums
of products of codes are exact, in int32 (int8) or float32 (e4m3). The result's code is, in float32 and in this order,

    sum * factors[k] + bias[k] + residual's code * factors[K]  ->  ReLU  ->  clamped  ->  rounded, ties to even

A second operand's products in int8 are multiplied, before x's are added, by the whole numbers factors[K + 1 + k], so
that both are exact in one accumulator though their weights differ in size; in e4m3 they have the same unit.

In the formula factors[k] = scale(x) * scale(w, k) / scale(y), bias is divided by scale(y), and factors[K] is
scale(residual) / scale(y): nothing is divided here. `launch_options` forbids the compiler to join a product and a sum,
so that a kernel, the interpreter and `rescaled` round the same. Three roundings of values below 256 are 5e-5 of a code
at most.

Activations are symmetric, int8 -127..127 or e4m3, zero is code 0. With a zero point, uint8 would have a bit more behind
a ReLU; but tensor cores read padding, which bulk copies and masked asynchronous copies fill with zeros alone, and
Triton's `tl.dot` has no product of uint8 and int8. A shift of the codes by 128 needs other biases at the border.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

from kernels.packing import unpack
from kernels.space.layer import Layer

if TYPE_CHECKING:
    from kernels.launch import Operands

LARGEST = {"int8": 127.0, "fp8": 448.0}  # code of a scale's largest value


@triton.jit
def rescale(acc, factors, bias, k, in_k, residual, K: tl.constexpr, RELU: tl.constexpr):
    """Return sums as unrounded codes, float32. `k`: their channels; `residual`: its codes, or None."""
    y = acc.to(tl.float32) * tl.load(factors + k, mask=in_k, other=0.0) + tl.load(bias + k, mask=in_k, other=0.0)
    if residual is not None:
        y += residual.to(tl.float32) * tl.load(factors + K)
    if RELU:
        y = tl.maximum(y, 0.0)
    return y


@triton.jit
def load_multiples(factors, k, K: tl.constexpr):
    """Return how many units of x's products one of x2's is, [1, BLOCK_N], int32; `k`: channels."""
    return tl.load(factors + (K + 1) + k, mask=k < K, other=1.0).to(tl.int32)[None, :]


@triton.jit
def round_int8(y):
    """Return float32 values as the nearest of -128 to 127, ties to even, still float32."""
    y = tl.minimum(tl.maximum(y, -128.0), 127.0)
    return (y + 12582912.0) - 12582912.0  # 1.5 * 2^23, from which on float32 has no fractions


@triton.jit
def to_codes(y, dtype: tl.constexpr):
    """Return float32 values rounded to the codes of `dtype`, int8 or e4m3."""
    if dtype == tl.int8:
        codes = round_int8(y).to(tl.int8)
    else:
        codes = tl.minimum(tl.maximum(y, -448.0), 448.0).to(dtype)
    return codes


def code_sums(layer: Layer, operands: Operands) -> Tensor:
    """Return a convolution's exact sums of products of codes, [N, K, H', W'], float64."""
    weight, weight2 = (view.double() for view in unpack(operands.weight, layer))
    y = F.conv2d(operands.x.double(), weight, None, layer.stride, layer.padding)
    if operands.x2 is not None and layer.second is not None:
        y2 = F.conv2d(operands.x2.double(), weight2, stride=layer.second[3])
        assert operands.factors is not None
        y += y2 * operands.factors[layer.c_out + 1 :].double().view(-1, 1, 1) if layer.dtype == "int8" else y2
    return y


def rescaled(sums: Tensor, operands: Operands, relu: bool) -> Tensor:
    """Return unrounded codes [N, K, H, W] of exact sums, in the dtype of `sums`: in float32 as kernels have them."""
    assert operands.factors is not None
    factors, channels = operands.factors.to(sums.dtype), sums.shape[1]
    y = sums * factors[:channels, None, None] + operands.bias.to(sums.dtype)[:, None, None]
    if operands.residual is not None:
        y += operands.residual.to(sums.dtype) * factors[channels]
    return y.clamp_(min=0) if relu else y


def round_codes(y: Tensor, dtype: torch.dtype) -> Tensor:
    """Return unrounded codes rounded to those of `dtype`, ties to even."""
    if dtype == torch.int8:
        return y.clamp(-128, 127).round().to(dtype)
    return y.float().clamp(-448, 448).to(dtype)
