# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False, disallow-untyped-decorators=False
# mypy: disable-error-code=assignment
"""A network's first layers in one kernel: convolution, bias, ReLU and the 3x3 max-pool at stride 2.

Why: at batch 32, fp16, the 7x7 over 224x224x3 reads 9.6 MB and computes 112x112x64, 51.4 MB; pooled it is 12.8 MB. Two
kernels write and read the 51.4 MB between them: 125 MB, 30 us at 4.2 TB/s. Here they stay in registers: 22.5 MB,
5.4 us. The rest is arithmetic, 7.6 GFLOP, and the loads of the windows. The alternatives, per pooled pixel, for 132 SMs
of 2048 multiplications and 32 loads a cycle, 100,352 pooled pixels a batch, 1.755 GHz (MODEL, both at their peak):

| a program's product | depth x columns | cycles | loads | us |
|---|---|---|---|---|
| nine taps of the pool, each computed, running maximum | 9 x 160 x 64 | 45 | 1440 of 2 bytes | 19.5; 19.5 |
| 17x17 pixels for 8x8, pooled by shifts of the tile | 4.5 x 160 x 64 | 23 | 720 of 2 bytes | 9.8; 9.8 |
| **two side by side, the third from the neighbour** | 2 x 224 x 128 | 28 | 32 of 8 bytes | 12.2; 0.4 |

A load takes some ten instructions, with its address, its mask and its store to shared memory: the second line takes
three times its figure to issue. The last is this kernel:
- A row of the product is a pooled pixel. Its columns are two neighbours of the convolution by channels, its depth the
  window of both: 9 pixels of an image row, 27 values, 32 with alignment. Windows are 12 values apart, so every load is
  8 bytes wide. `widen` lays the weights out accordingly, once. The maximum of the two is within a thread.
- A program moves down the image with a running maximum over rows, and computes a row of the convolution once, except
  one per strip. The windows slide in registers, loaded a row ahead; the weights stay in shared memory.
- The third column is the left neighbour's second. Rows of the product continue over all images, so the neighbour is the
  row before (`tl.gather`: shuffles within a warp); a tile's first row serves only the second, and is computed twice.
  With a product by a shifted identity instead, an infinity would spread over the tile, to other images.

Rounding and the bias are monotone, so the maximum may be taken of rounded values: the result equals that of pooling a
stored convolution. The pool's border is zeros: after a ReLU that equals torch's minus infinity, and without one it is a
pre-activation network's pool (`resnet.model`). A value that is not finite spreads (0 * inf) to the neighbour that
shares its window, and no further. In fp32, unlike tf32, arithmetic and not traffic is the limit, and the zeros in the
widened weights add half as much again.

MODEL, H200, batch 32: 15 us at peak, 32 by `predicted_us`; two kernels take 43 by `space.conv.predicted_us`, and 16 for
the pool. Compiled, 64x64, 4 warps, sm_90: 246 registers, no spills, 86,016 bytes, two programs an SM, 14 HGMMA a row.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from math import prod

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor, nn

from kernels.codes import rescaled, to_codes
from kernels.launch import INTERPRETED, Call, Launch, Operands, launch_options
from kernels.packing import Packed, unpack
from kernels.space.config import Config
from kernels.space.layer import FLAT_BELOW, Layer
from kernels.space.tiling import stem_grid
from kernels.tf32 import input_precision, round_to


class Widened(nn.Module):
    """A first convolution's weights for `conv_bias_relu_pool`, from `widen`; `.to(device)` moves them.

    `weight` [2 * c_out, kernel_h * run] has two rows per output channel, for the left and the right of two pixels.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, packed: Packed, stride: int, padding: int) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", packed.bias)
        self.c_in, self.c_out, self.kernel, self.precision = packed.c_in, packed.c_out, packed.kernel, packed.precision
        self.stride, self.padding, self.dtype = stride, padding, packed.dtype


@torch.no_grad()
def widen(packed: Packed, stride: int = 2, padding: int = 3) -> Widened:
    """Lay out packed weights over fewer than 16 channels for the fused kernel. Raises ValueError for others."""
    if not isinstance(packed, Packed):
        raise ValueError(f"packed: a {type(packed).__name__}, not what kernels.pack returns")
    if packed.c_in >= FLAT_BELOW or packed.c_in2:
        raise ValueError(f"packed: {packed.c_in} channels and {packed.c_in2} of a second operand; this is for a stem")
    if stride < 1 or padding < 0:
        raise ValueError(f"stride, padding: {stride}, {padding}, and the least are 1, 0")
    (r, s), c, k = packed.kernel, packed.c_in, packed.c_out
    layer = Layer(1, r, s, c, k, (r, s), stride, padding, dtype=packed.precision)
    weight, (run, lead) = unpack(packed.weight, layer)[0], layer.window
    wide = weight.new_zeros(k, 2, r, run)
    for start, pixel in ((lead, 0), (lead + stride * c, 1)):
        wide[:, pixel, :, start : start + s * c] = weight.permute(0, 2, 3, 1).flatten(2)
    return Widened(wide.reshape(2 * k, r * run), packed, stride, padding)


def reference(layer: Layer, operands: Operands, dtype: torch.dtype) -> Tensor:
    """Return the layer computed in aten in `dtype` from the rounded operands; the result is not rounded further."""
    (r, s), c, (run, lead) = layer.kernel, layer.c_in, layer.window
    narrow = operands.weight.view(layer.c_out, 2, r, run)[:, 0, :, lead : lead + s * c]
    weight = narrow.unflatten(2, (s, c)).permute(0, 3, 1, 2).to(dtype)
    if operands.factors is None:
        y = F.conv2d(operands.x.to(dtype), weight, operands.bias.to(dtype), layer.stride, layer.padding)
    else:
        sums = F.conv2d(operands.x.double(), weight.double(), None, layer.stride, layer.padding).to(dtype)
        y = rescaled(sums, operands, layer.relu)
    return F.max_pool2d(F.pad(y.clamp(min=0) if layer.relu else y, (1, 1, 1, 1)), 3, 2)


@triton.jit
def _input_row(x, offsets, inside, y, H: tl.constexpr, ROW: tl.constexpr):
    """Return the values of image row `y` in every window, [BLOCK_M, RUN], zeros outside the image."""
    return tl.load(x + y * ROW + offsets, mask=inside & (y >= 0) & (y < H), other=0.0)


@triton.jit
def _finished(sums, b, factors, k, K: tl.constexpr, DTYPE: tl.constexpr, CODES: tl.constexpr):
    """Return sums with their bias, rounded to DTYPE; or the codes of `kernels.codes`, which fp16 has exactly."""
    if factors is None:
        y = (sums + b).to(DTYPE)
    else:
        factor = tl.load(factors + k, mask=k < K, other=0.0)[None, :]
        y = to_codes(sums * factor + b, CODES).to(DTYPE)
    return y


@triton.jit(do_not_specialize=["n"])  # one kernel for every batch size
def _kernel(
    # Pointers, channels-last: x [N, H, W, C], w [2 * K, R * RUN] as `widen` lays it out, bias [K],
    # out [N, (OH + 1) // 2, (OW + 1) // 2, K]
    # and, for codes, factors [K + 1]
    x, w, bias, factors, out,
    # Sizes: images, the only size not constexpr; pixels and channels of x; channels and pixels of the convolution
    n, H: tl.constexpr, W: tl.constexpr, C: tl.constexpr, K: tl.constexpr, OH: tl.constexpr, OW: tl.constexpr,
    # The window: R rows, STRIDE rows apart, PAD zeros above the image; values left of a pair's pixel, and in its window
    R: tl.constexpr, STRIDE: tl.constexpr, PAD: tl.constexpr, LEFT: tl.constexpr, RUN: tl.constexpr,
    # Meta-parameters: the epilogue's ReLU, tl.dot's input precision, 64-bit offsets;
    RELU: tl.constexpr, PRECISION: tl.constexpr, WIDE: tl.constexpr,
    # and the configuration (`Config`; STRIP: pooled rows of a program)
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, STRIP: tl.constexpr, PDL: tl.constexpr,
):  # fmt: skip
    """Compute BLOCK_M - 1 pooled pixels by BLOCK_N channels, in STRIP rows one below the other."""
    if PDL:
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()
    ROW: tl.constexpr = W * C
    PW: tl.constexpr = (OW + 1) // 2
    SLIDE: tl.constexpr = STRIDE if STRIDE < R else R
    DTYPE: tl.constexpr = x.dtype.element_ty
    m = tl.arange(0, BLOCK_M)
    rows = tl.program_id(0) * (BLOCK_M - 1) - 1 + m  # the first is the second's left neighbour
    in_rows = (rows >= 0) & (rows < n * PW)
    image, left = rows // PW, rows % PW
    if WIDE:
        image = image.to(tl.int64)
    offsets = (left * (2 * STRIDE * C) - LEFT)[:, None] + tl.arange(0, RUN)[None, :]  # [BLOCK_M, RUN], in an image row
    inside = in_rows[:, None] & (offsets >= 0) & (offsets < ROW)
    offsets += (image * (H * ROW))[:, None]
    top = tl.program_id(1) * STRIP
    k2 = tl.program_id(2) * (2 * BLOCK_N) + tl.arange(0, 2 * BLOCK_N)
    k = tl.program_id(2) * BLOCK_N + tl.arange(0, BLOCK_N)
    weights = ()
    for r in tl.static_range(R):
        column = r * RUN + tl.arange(0, RUN)
        tap = tl.load(w + k2[:, None] * (R * RUN) + column[None, :], mask=(k2 < 2 * K)[:, None], other=0.0)
        weights += (tl.trans(tap),)  # R of [RUN, 2 * BLOCK_N]
    low = tl.maximum(2 * top - 1, 0)
    high = tl.minimum(2 * (top + STRIP), OH)
    windows = ()
    for r in tl.static_range(R):
        windows += (_input_row(x, offsets, inside, low * STRIDE - PAD + r, H, ROW),)
    above = tl.where(top == 0, 0.0, float("-inf"))  # the border's zeros, or nothing yet
    even = (tl.zeros((BLOCK_M, BLOCK_N), tl.float32) + above).to(DTYPE)
    odd = even
    for oh in range(low, high):
        next_rows = ()
        for r in tl.static_range(SLIDE):
            next_rows += (_input_row(x, offsets, inside, (oh + 1) * STRIDE - PAD + R - SLIDE + r, H, ROW),)
        acc = tl.zeros((BLOCK_M, 2 * BLOCK_N), tl.float32)
        for r in tl.static_range(R):
            acc = tl.dot(windows[r], weights[r], acc, input_precision=PRECISION)  # [BLOCK_M, 2 * BLOCK_N]
        windows = windows[SLIDE:] + next_rows
        b = tl.load(bias + k, mask=k < K, other=0.0)[None, :]
        new_even, new_odd = acc.reshape(BLOCK_M, BLOCK_N, 2).split()  # the pair's pixels, [BLOCK_M, BLOCK_N] each
        new_even = _finished(new_even, b, factors, k, K, DTYPE, out.dtype.element_ty)
        new_odd = _finished(new_odd, b, factors, k, K, DTYPE, out.dtype.element_ty)
        even = tl.maximum(even, new_even).to(DTYPE)
        odd = tl.maximum(odd, new_odd).to(DTYPE)
        if (oh % 2 == 1) | (oh == OH - 1):
            if oh >= 2 * top:
                _write_pooled_row(
                    out, even, odd, oh, m, in_rows, image, left, k, K, OH, OW, RELU, PRECISION, BLOCK_M, BLOCK_N
                )
            even, odd = new_even, new_odd


@triton.jit
def _write_pooled_row(
    # Pointer; running maxima of the two columns, [BLOCK_M, BLOCK_N] each; the last convolution row in them
    out, even, odd, oh,
    # The tile's rows [BLOCK_M]: number, whether it is a pixel, its image, its pooled column; and channels [BLOCK_N]
    m, in_rows, image, left, k,
    # As in _kernel
    K: tl.constexpr, OH: tl.constexpr, OW: tl.constexpr, RELU: tl.constexpr, PRECISION: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """Write a row of pooled pixels, each the maximum of a pair and of the left neighbour's second."""
    DTYPE: tl.constexpr = even.dtype
    if OW % 2 == 1:
        odd = tl.where((2 * left + 1 < OW)[:, None], odd, 0.0).to(DTYPE)
    left_odd = tl.gather(odd, tl.broadcast_to(tl.maximum(m - 1, 0)[:, None], (BLOCK_M, BLOCK_N)), 0)
    left_odd = tl.where((left > 0)[:, None], left_odd, 0.0).to(DTYPE)
    y = tl.maximum(tl.maximum(even, odd), left_odd)
    if RELU:
        y = tl.maximum(y, 0.0)
    elif OH % 2 == 1:
        y = tl.where(oh == OH - 1, tl.maximum(y, 0.0), y)  # the border below
    pixel = (image * ((OH + 1) // 2) + oh // 2) * ((OW + 1) // 2) + left
    inside = (in_rows & (m > 0))[:, None] & (k < K)[None, :]
    y = round_to(y, out.dtype.element_ty, PRECISION)  # [BLOCK_M, BLOCK_N]
    tl.store(out + pixel[:, None] * K + k[None, :], y, mask=inside)


@cache
def stem_launch(layer: Layer, config: Config) -> Launch:
    run, lead = layer.window
    read, written = layer.h * layer.w * layer.c_in, prod(layer.pooled) * layer.c_out
    constants = {
        "H": layer.h, "W": layer.w, "C": layer.c_in, "K": layer.c_out, "OH": layer.out_h, "OW": layer.out_w,
        "R": layer.kernel[0], "STRIDE": layer.stride, "PAD": layer.padding,
        "LEFT": layer.padding * layer.c_in + lead, "RUN": run,
        "RELU": layer.relu, "PRECISION": input_precision(layer.dtype),
        "WIDE": layer.n * max(read, written) >= 2**31, "BLOCK_M": config.block_m, "BLOCK_N": config.block_n,
        "STRIP": config.group_m, "PDL": config.pdl and not INTERPRETED,
    }  # fmt: skip
    return Launch(_kernel, constants, stem_grid(layer, config), launch_options(config, layer))


def calls(
    layer: Layer, config: Config, operands: Operands, out: Tensor, scratch: Tensor | None = None
) -> Iterator[Call]:
    """Yield a layer's launch with its arguments, the image first; it needs no scratch."""
    o = operands
    yield stem_launch(layer, config), [o.x, o.weight, o.bias, o.factors, out, layer.n]


def scratch_bytes(layer: Layer, config: Config) -> int:
    return 0
