# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False, disallow-untyped-decorators=False
"""Rounding to tf32, which is float32 with 10 bits of mantissa: the tensor cores would truncate instead.

wgmma and mma.sync read the upper 19 bits of a float32 operand, so an unrounded operand is rounded toward zero: every
product is too small, and the errors, twice as large and all of one sign, add up over a network instead of cancelling
(tests/resnet/variants/test_tf32.py: the error of ResNet-50's logits is several times as large). Weights are rounded
when they are packed, the image when it is placed, activations where they are written, which costs three integer
instructions an element beside a loop of thousands; a residual is the same tensor, and rounded with it.

The rounding is to nearest, ties away from zero, as of PTX's `cvt.rna.tf32.f32`, which every architecture from sm_80 on
has. It works on the bits, so it is the same in torch, in the interpreter and on any GPU: half a unit is added to the
magnitude; overflow gives infinity, and a NaN, whose bits could wrap around to zero, is kept.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

# Half a unit in the last place, and a mask of the upper 19 bits. The kernel has them as literals: Triton's cache key of
# a kernel that calls one with a global constexpr depends on the functions that were hashed before it in the process,
# so that a kernel compiled by one process would be compiled again by another.
HALF_UNIT, KEPT_BITS = 1 << 12, -1 << 13


def input_precision(dtype: str) -> str:
    """Return `tl.dot`'s input_precision for a layer's dtype; it has no effect on 16-bit operands."""
    return "ieee" if dtype == "fp32" else "tf32"


def round_tf32(x: Tensor) -> Tensor:
    """Return a float32 tensor rounded to tf32, in the same layout."""
    nearest = x.view(torch.int32).add(HALF_UNIT).bitwise_and_(KEPT_BITS).view(torch.float32)
    return torch.where(x.isnan(), x, nearest)


@triton.jit
def round_to(x, dtype: tl.constexpr, precision: tl.constexpr):
    """Return a float32 tile in `dtype`, rounded to tf32 if `precision` is that and `dtype` float32."""
    if dtype == tl.float32 and precision == "tf32":
        bits = (x.to(tl.int32, bitcast=True) + (1 << 12)) & (-1 << 13)
        x = tl.where(x == x, bits.to(tl.float32, bitcast=True), x)
    return x.to(dtype)
