"""What a layer is, to the kernels: data, without torch.

y = act(conv(act'(x)) + conv1x1(x2) + bias + residual) on channels-last tensors, [n, h, w, c_in] -> [n, out_h, out_w,
c_out]. As a matrix product its rows are the output pixels, its columns the output channels, and its depth the taps and
channels of the window. `act` is ReLU or nothing, `act'` a scale and shift per channel with ReLU (`prologue`), x2 a
second operand (the input of a down-sampling 1x1, summed with the last convolution of a block), each there or not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil, prod
from typing import Literal

Kind = Literal["conv", "stem", "head"]

BYTES = {"fp32": 4, "tf32": 4, "fp16": 2, "bf16": 2}

# Fewer input channels than one tensor-core step of 16 are not worth padding: a 7x7 over 3 channels has a depth of 147,
# and 784 with channels padded to 16.
FLAT_BELOW = 16


@dataclass(frozen=True)
class Columns:
    """What the columns of a packed weight row are: the depth of the matrix product, in the order the kernels walk it.

    `flat`: taps and channels as one run of kernel_h * (kernel_w * c_in) columns, padded at the end. Otherwise each tap
    has `c` columns, c_in padded. The second operand's columns follow. Padding is zeros, to 16 bytes: what a bulk copy's
    strides and 16-byte loads ask for.
    """

    flat: bool
    c: int
    first: int
    second: int

    @property
    def all(self) -> int:
        return self.first + self.second


def columns(c_in: int, kernel: tuple[int, int], c_in2: int, dtype: str) -> Columns:
    align = 16 // BYTES[dtype]
    flat = c_in < FLAT_BELOW
    c = c_in if flat else round_up(c_in, align)
    return Columns(flat, c, round_up(prod(kernel) * c, align), round_up(c_in2, align))


@dataclass(frozen=True)
class Layer:
    """A convolution's shape: what a configuration is chosen for.

    `dtype` is fp32, tf32, fp16 or bf16. `second` is x2 as (h, w, c, stride), or None; its 1x1 needs no padding. `pool`:
    a 3x3 max-pool at stride 2 with a border of zeros is behind it, in the same kernel (`kernels.stem`). `mean`: what it
    multiplies are the means over all pixels of act'(x), one pixel an image (`kernels.head`).
    """

    n: int
    h: int
    w: int
    c_in: int
    c_out: int
    kernel: tuple[int, int]
    stride: int = 1
    padding: int = 0
    residual: bool = False
    relu: bool = True
    second: tuple[int, int, int, int] | None = None
    prologue: bool = False
    dtype: str = "fp16"
    pool: bool = False
    mean: bool = False

    @cached_property
    def kind(self) -> Kind:
        """Which of the kernels it is for: the key of `kernels.kinds.KINDS`."""
        return "stem" if self.pool else "head" if self.mean else "conv"

    @cached_property
    def out_h(self) -> int:
        """Of the convolution, before a pool."""
        return 1 if self.mean else (self.h + 2 * self.padding - self.kernel[0]) // self.stride + 1

    @cached_property
    def out_w(self) -> int:
        return 1 if self.mean else (self.w + 2 * self.padding - self.kernel[1]) // self.stride + 1

    @cached_property
    def rows(self) -> int:
        """Pixels that the convolution makes."""
        return self.n * self.out_h * self.out_w

    @cached_property
    def c_in2(self) -> int:
        return self.second[2] if self.second else 0

    @cached_property
    def columns(self) -> Columns:
        return columns(self.c_in, self.kernel, self.c_in2, self.dtype)

    @cached_property
    def window(self) -> tuple[int, int]:
        """What a stem's pooled column reads of a row: `run` values, of which `lead` stand before its window.

        Column g reads from (2 * g * stride - padding) * c_in - `lead` on. The least power of two, and of these the best
        aligned. The windows of the two pixels of the convolution begin at `lead` and at lead + stride * c_in.
        """
        candidates = []
        for align in (1, 2, 4, 8):
            if 2 * self.stride * self.c_in % align == 0 and align * BYTES[self.dtype] <= 16:
                lead = -self.padding * self.c_in % align
                needed = max(lead + (self.kernel[1] + self.stride) * self.c_in, 16)
                candidates.append((1 << (needed - 1).bit_length(), -align, lead))
        run, _, lead = min(candidates)
        return run, lead

    @cached_property
    def pooled(self) -> tuple[int, int]:
        """Height and width behind a stem's pool."""
        return (self.out_h + 1) // 2, (self.out_w + 1) // 2

    @cached_property
    def weight_shape(self) -> tuple[int, int]:
        """Of the weight as the kernels read it: [c_out, columns], a stem's as `kernels.stem.widen` lays it out."""
        if self.kind == "stem":
            return 2 * self.c_out, self.kernel[0] * self.window[0]
        return self.c_out, self.columns.all

    @cached_property
    def out_shape(self) -> tuple[int, ...]:
        """Of what the kernels write: [n, c_out, h, w], a head's [n, c_out]."""
        if self.kind == "head":
            return self.n, self.c_out
        return self.n, self.c_out, *(self.pooled if self.kind == "stem" else (self.out_h, self.out_w))

    @cached_property
    def key(self) -> str:
        """The layer in a line, the same in every process and version: `fp16-n32-56x56x64-3x3-s1-p1-k64-relu`."""
        parts = [self.dtype, f"n{self.n}", f"{self.h}x{self.w}x{self.c_in}", "{}x{}".format(*self.kernel)]
        parts += [f"s{self.stride}", f"p{self.padding}", f"k{self.c_out}"]
        if self.second:
            parts.append("and{}x{}x{}s{}".format(*self.second))
        for name in ("prologue", "residual", "relu", "pool", "mean"):
            if getattr(self, name):
                parts.append(name)
        return "-".join(parts)

    @cached_property
    def pointwise(self) -> bool:
        """Whether each output pixel reads its own pixel alone, so that the image's shape does not matter."""
        alone = self.kernel == (1, 1) and (self.stride, self.padding) == (1, 0) and not (self.pool or self.mean)
        return alone and (not self.second or self.second[3] == 1)

    def reshaped(self, n: int, h: int, w: int) -> Layer:
        """A pointwise layer with its pixels counted another way."""
        assert self.pointwise
        return replace(self, n=n, h=h, w=w, second=(h, w, self.c_in2, 1) if self.second else None)

    @cached_property
    def flops(self) -> int:
        """Two per multiplication and addition, padding not counted."""
        return 2 * self.rows * self.c_out * (prod(self.kernel) * self.c_in + self.c_in2)

    @cached_property
    def bytes(self) -> int:
        """Least traffic with memory: every operand read once, the output written once, nothing in between.

        Of a strided window smaller than its stride only the pixels that it meets.
        """
        size = BYTES[self.dtype]
        met_h = self.h if self.mean else min(self.h, self.out_h * self.kernel[0])
        met_w = self.w if self.mean else min(self.w, self.out_w * self.kernel[1])
        written = self.n * prod(self.pooled) if self.pool else self.rows
        elements = self.n * met_h * met_w * self.c_in + self.rows * self.c_in2
        elements += self.c_out * (prod(self.kernel) * self.c_in + self.c_in2)
        elements += written * self.c_out * (2 if self.residual else 1)
        return elements * size + 4 * self.c_out + (8 * self.c_in if self.prologue else 0)


def round_up(value: int, multiple: int) -> int:
    return ceil(value / multiple) * multiple
