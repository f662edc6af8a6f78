"""The shape of a layer that kernels compute: data, without torch.

y = act(conv(act'(x)) + conv1x1(x2) + bias + residual) on channels-last tensors, [n, h, w, c_in] -> [n, out_h, out_w,
c_out]. As a matrix product its rows are the output pixels, its columns the output channels, and its depth the taps and
channels of the window. `act` is ReLU or nothing, `act'` a scale and shift per channel with ReLU (`prologue`), x2 a
second operand (the input of a down-sampling 1x1, summed with the last convolution of a block); each is optional.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil, prod
from typing import Literal

Kind = Literal["conv", "stem", "head"]

BYTES = {"fp32": 4, "tf32": 4, "fp16": 2, "bf16": 2, "fp8": 1, "int8": 1}

# Fewer input channels than one tensor-core step of 16 are not worth padding: a 7x7 over 3 channels has a depth of 147,
# and 784 with channels padded to 16.
FLAT_BELOW = 16


@dataclass(frozen=True)
class Columns:
    """The columns of a packed weight row: the depth of the matrix product, in the order of the kernels' loop.

    `flat`: taps and channels are one run of kernel_h * (kernel_w * c_in) columns, padded at the end. Otherwise each tap
    has `per_tap` columns, c_in padded. `first` columns are x's, the `second` that follow are x2's. Padding is zeros, to
    16 bytes, which strides of bulk copies and wide loads require.
    """

    flat: bool
    per_tap: int
    first: int
    second: int

    @property
    def total(self) -> int:
        """Columns of a row: the stride between rows."""
        return self.first + self.second


def out_size(size: int, kernel: int, stride: int, padding: int) -> int:
    """Return the height or width of a convolution's or a pool's output."""
    return (size + 2 * padding - kernel) // stride + 1


def packed_columns(c_in: int, kernel: tuple[int, int], c_in2: int, dtype: str) -> Columns:
    """Return the columns of weights for c_in channels under a window `kernel`, and c_in2 channels of x2 (0: none)."""
    align = 16 // BYTES[dtype]
    flat = c_in < FLAT_BELOW
    per_tap = c_in if flat else round_up(c_in, align)
    return Columns(flat, per_tap, round_up(prod(kernel) * per_tap, align), round_up(c_in2, align))


@dataclass(frozen=True)
class Layer:
    """The shape of a convolution, which a configuration is chosen for.

    `dtype` is what is multiplied: fp32, tf32, fp16, bf16, or codes of 8 bits, int8 or fp8. Where x, x2 and residual, or
    the result, are codes beside a wider product, `reads` and `writes` are int8 or fp8. `second` is x2 as (h, w, c,
    stride), or None; its 1x1 needs no padding. `pool`: a 3x3 max-pool at stride 2 with a border of zeros follows in the
    same kernel (`kernels.stem`). `mean`: the convolution is of act'(x) averaged over all pixels, one pixel an image
    (`kernels.head`).
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
    reads: str = ""
    writes: str = ""

    @cached_property
    def kind(self) -> Kind:
        """The key of `kernels.kinds.KINDS`."""
        return "stem" if self.pool else "head" if self.mean else "conv"

    @cached_property
    def in_dtype(self) -> str:
        """The precision of x, x2 and residual."""
        return self.reads or self.dtype

    @cached_property
    def out_dtype(self) -> str:
        return self.writes or self.dtype

    @cached_property
    def factors(self) -> int:
        """How many float32 factors turn sums into codes, or a head's averages of codes into numbers; 0: none."""
        if BYTES[self.out_dtype] == 1:
            return self.c_out + 1 + (self.c_out if self.second and self.dtype == "int8" else 0)
        return int(self.mean and BYTES[self.in_dtype] == 1)

    @cached_property
    def out_h(self) -> int:
        return 1 if self.mean else out_size(self.h, self.kernel[0], self.stride, self.padding)

    @cached_property
    def out_w(self) -> int:
        return 1 if self.mean else out_size(self.w, self.kernel[1], self.stride, self.padding)

    @cached_property
    def rows(self) -> int:
        """Pixels of the convolution's output, all images together."""
        return self.n * self.out_h * self.out_w

    @cached_property
    def c_in2(self) -> int:
        return self.second[2] if self.second else 0

    @cached_property
    def columns(self) -> Columns:
        return packed_columns(self.c_in, self.kernel, self.c_in2, self.dtype)

    @cached_property
    def window(self) -> tuple[int, int]:
        """The values (run, lead) that a stem's pooled column reads of an image row: `run`, of which `lead` precede it.

        Column g reads from (2 * g * stride - padding) * c_in - lead on. `run` is the least power of two that suffices,
        by the best alignment. The windows of a pair of convolution pixels begin at lead and at lead + stride * c_in.
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
        """Height and width of a stem's output, after the pool."""
        return (self.out_h + 1) // 2, (self.out_w + 1) // 2

    @cached_property
    def weight_shape(self) -> tuple[int, int]:
        """Shape of the packed weight: [c_out, columns], or a stem's, which `kernels.stem.widen` lays out."""
        if self.kind == "stem":
            return 2 * self.c_out, self.kernel[0] * self.window[0]
        return self.c_out, self.columns.total

    @cached_property
    def out_shape(self) -> tuple[int, ...]:
        """Shape of the result: [n, c_out, h, w], a head's [n, c_out]."""
        if self.kind == "head":
            return self.n, self.c_out
        return self.n, self.c_out, *(self.pooled if self.kind == "stem" else (self.out_h, self.out_w))

    @cached_property
    def key(self) -> str:
        """The layer as text, the same in every process and version: `fp16-n32-56x56x64-3x3-s1-p1-k64-relu`."""
        parts = [self.dtype, f"n{self.n}", f"{self.h}x{self.w}x{self.c_in}", "{}x{}".format(*self.kernel)]
        parts += [f"s{self.stride}", f"p{self.padding}", f"k{self.c_out}"]
        if self.second:
            parts.append("and{}x{}x{}s{}".format(*self.second))
        for name in ("prologue", "residual", "relu", "pool", "mean"):
            if getattr(self, name):
                parts.append(name)
        parts += [f"{name}-{value}" for name in ("reads", "writes") if (value := getattr(self, name))]
        return "-".join(parts)

    @cached_property
    def pointwise(self) -> bool:
        """True if each output pixel reads only the same pixel of the input: the image's shape is irrelevant."""
        plain = self.kernel == (1, 1) and (self.stride, self.padding) == (1, 0) and not (self.pool or self.mean)
        return plain and (not self.second or self.second[3] == 1)

    def reshaped(self, n: int, h: int, w: int) -> Layer:
        """Return a pointwise layer with the same pixels as n images of h x w."""
        assert self.pointwise
        return replace(self, n=n, h=h, w=w, second=(h, w, self.c_in2, 1) if self.second else None)

    @cached_property
    def flops(self) -> int:
        """Floating-point operations, two per multiply-add, padding not counted."""
        return 2 * self.rows * self.c_out * (prod(self.kernel) * self.c_in + self.c_in2)

    @cached_property
    def bytes(self) -> int:
        """Least traffic with memory: every operand is read once, the output is written once, and nothing in between.

        Of an image whose stride exceeds its window only the pixels under windows count.
        """
        read_h = self.h if self.mean else min(self.h, self.out_h * self.kernel[0])
        read_w = self.w if self.mean else min(self.w, self.out_w * self.kernel[1])
        written = self.n * prod(self.pooled) if self.pool else self.rows
        size = BYTES[self.in_dtype]
        total = (self.n * read_h * read_w * self.c_in + self.rows * self.c_in2) * size
        total += self.c_out * (prod(self.kernel) * self.c_in + self.c_in2) * BYTES[self.dtype]
        total += written * self.c_out * (BYTES[self.out_dtype] + (size if self.residual else 0))
        return total + 4 * (self.c_out + self.factors) + (8 * self.c_in if self.prologue else 0)


def round_up(value: int, multiple: int) -> int:
    return ceil(value / multiple) * multiple
