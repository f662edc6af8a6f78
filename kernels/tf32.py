# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False, disallow-untyped-decorators=False
"""tf32 is float32 with 10 bits of mantissa, and who writes one rounds it: the tensor cores cut the others off.

wgmma and mma.sync read the upper 19 bits of a float32 operand, so what comes to them unrounded is rounded toward zero:
every product too small, the errors all of one sign, twice as large an operand and adding up over a network instead of
cancelling. (tests/resnet/variants/test_tf32.py: ResNet-50's logits are several times as far off.) Weights are rounded
when they are packed, the image when it is placed, activations where they are written, which costs three integer
instructions an element beside a loop of thousands; a residual is the same tensor, and rounded with it.

To nearest, ties away from zero: the rounding of PTX's `cvt.rna.tf32.f32`, the one that every architecture from sm_80 on
has. Done on the bits, it is the same in torch, in the interpreter and on any GPU. Half a unit is added to the
magnitude; what overflows is infinite, and a NaN, whose bits could wrap around to zero, stays as it is.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

# half a unit in the last place, and the bits that stay
HALF, KEPT = tl.constexpr(1 << 12), tl.constexpr(-1 << 13)


def multiplied(dtype: str) -> str:
    """How a kernel multiplies float32, as Triton calls it: a layer of 16 bits has none."""
    return "ieee" if dtype == "fp32" else "tf32"


def rounded(x: Tensor) -> Tensor:
    """A float32 tensor rounded to tf32, laid out as it was."""
    nearest = x.view(torch.int32).add(HALF.value).bitwise_and_(KEPT.value).view(torch.float32)
    return torch.where(x.isnan(), x, nearest)


@triton.jit
def rounded_to(x, dtype: tl.constexpr, precision: tl.constexpr):
    """A float32 tile in `dtype`, rounded to tf32 where that is what float32 is multiplied as."""
    if dtype == tl.float32 and precision == "tf32":
        bits = (x.to(tl.int32, bitcast=True) + HALF) & KEPT
        x = tl.where(x == x, bits.to(tl.float32, bitcast=True), x)
    return x.to(dtype)
