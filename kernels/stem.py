# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False, disallow-untyped-decorators=False
# mypy: disable-error-code=assignment
"""A network's first layers in one kernel: convolution, bias, ReLU and the 3x3 max-pool at stride 2 behind it.

Why: at batch 32, fp16, the 7x7 over 224x224x3 reads 9.6 MB and makes 112x112x64, 51.4 MB; pooled it is 12.8 MB. In two
kernels the 51.4 MB are written and read between them: 125 MB, 30 us at 4.2 TB/s. Here they stay in registers: 22.5 MB,
5.4 us. What is left is the arithmetic, 7.6 GFLOP, and the loads of the windows. Weighed, per pooled pixel, for 132 SMs
of 2048 multiplications and 32 loads a cycle, 100,352 pooled pixels a batch, 1.755 GHz (MODEL, both at their peak):

| a program's product | depth x columns | cycles | loads | us |
|---|---|---|---|---|
| nine taps of the pool, each computed, running maximum | 9 x 160 x 64 | 45 | 1440 of 2 bytes | 19.5; 19.5 |
| 17x17 pixels for 8x8, pooled by shifts of the tile | 4.5 x 160 x 64 | 23 | 720 of 2 bytes | 9.8; 9.8 |
| **two side by side, the third from the neighbour** | 2 x 224 x 128 | 28 | 32 of 8 bytes | 12.2; 0.4 |

A load is some ten instructions, with its address, its mask and its way to shared memory: the second line takes three
times its figure to issue. The last is this kernel:
- A row of the product is a pooled pixel. Its columns are two neighbours of the convolution by channels, its depth the
  window of both: 9 pixels of an image row, 27 values, 32 with what aligns them. Windows are 12 values apart, so every
  load is 8 bytes wide. `widen` lays the weights out so, once. The maximum of the two is within a thread.
- A program goes down the image: the maximum over rows is a running one, and a row of the convolution is computed once,
  save one per strip. The windows slide in registers, loaded a row ahead; the weights stay in shared memory.
- The third column is the left neighbour's second. Rows of the product run on over all images, so the neighbour is the
  row before (`tl.gather`: shuffles within a warp); a tile's first row is there for the second's sake, and made twice.
  By a product with a shifted identity, an infinity would spread over the tile, to other images.

Rounding and the bias are monotone, so the maximum may be taken of rounded values: the result is what pooling a written
convolution gives. The pool's border is zeros: behind a ReLU the same as torch's minus infinity, and without one what a
pre-activation network has (`resnet.model`). A value that is not finite spreads (0 * inf) to the neighbour that shares
its window, and no further. Not for fp32 (not tf32) where arithmetic, not traffic, is the
limit: the zeros in the widened weights are half as much again.

MODEL, H200, batch 32: 15 us at peak, 32 by `predicted_us`; in two kernels 43 by `space.predicted_us`, 16 for the pool.
Emitted, 64x64, 4 warps, sm_90: 246 registers, no spills, 86,016 bytes, two programs an SM, 14 HGMMA a row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from math import prod

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor, nn

from kernels.call import check_activation, check_input, check_rows, run
from kernels.config import FLAT_BELOW, Config, Layer
from kernels.launch import INTERPRETED, Argument, Compilation, Launch, Operands, options
from kernels.packing import TORCH_TYPES, Packed, unpack
from kernels.space.stem import grid_of, pooled, window
from kernels.tf32 import multiplied, rounded_to


class Widened(nn.Module):
    """A first convolution's weights for `conv_bias_relu_pool`; made by `widen`, moved by `.to(device)`.

    `weight` [2 * c_out, kernel_h * run]: two rows per output channel, for the left and the right of two pixels.
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
    """What `pack` made of a convolution over fewer than 16 channels, laid out for the fused kernel."""
    if not isinstance(packed, Packed):
        raise ValueError(f"packed: a {type(packed).__name__}, not what kernels.pack returns")
    if packed.c_in >= FLAT_BELOW or packed.c_in2:
        raise ValueError(f"packed: {packed.c_in} channels and {packed.c_in2} of a second operand; this is for a stem")
    if stride < 1 or padding < 0:
        raise ValueError(f"stride, padding: {stride}, {padding}, and the least are 1, 0")
    (r, s), c, k = packed.kernel, packed.c_in, packed.c_out
    layer = Layer(1, r, s, c, k, (r, s), stride, padding, dtype=packed.precision)
    weight, (run, lead) = unpack(packed.weight, layer)[0], window(layer)
    wide = weight.new_zeros(k, 2, r, run)
    for start, pixel in ((lead, 0), (lead + stride * c, 1)):
        wide[:, pixel, :, start : start + s * c] = weight.permute(0, 2, 3, 1).flatten(2)
    return Widened(wide.reshape(2 * k, r * run), packed, stride, padding)


def reference(layer: Layer, operands: Operands, dtype: torch.dtype) -> Tensor:
    """The same in plain aten, computed in `dtype` from the rounded operands, the result not rounded further."""
    (r, s), c, (run, lead) = layer.kernel, layer.c_in, window(layer)
    narrow = operands.weight.view(layer.c_out, 2, r, run)[:, 0, :, lead : lead + s * c]
    weight = narrow.unflatten(2, (s, c)).permute(0, 3, 1, 2).to(dtype)
    y = F.conv2d(operands.x.to(dtype), weight, operands.bias.to(dtype), layer.stride, layer.padding)
    return F.max_pool2d(F.pad(y.clamp(min=0) if layer.relu else y, (1, 1, 1, 1)), 3, 2)


@triton.jit
def _input_row(x, at, inside, y, H: tl.constexpr, ROW: tl.constexpr):
    """What row `y` of the image has under every window: zeros outside the image."""
    return tl.load(x + y * ROW + at, mask=inside & (y >= 0) & (y < H), other=0.0)


@triton.jit(do_not_specialize=["n"])  # one kernel for every batch size
def _kernel(
    x, w, bias, out, n,
    H: tl.constexpr, W: tl.constexpr, C: tl.constexpr, K: tl.constexpr, OH: tl.constexpr, OW: tl.constexpr,
    R: tl.constexpr, STRIDE: tl.constexpr, PAD: tl.constexpr, LEFT: tl.constexpr, RUN: tl.constexpr,
    RELU: tl.constexpr, PRECISION: tl.constexpr, WIDE: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, STRIP: tl.constexpr, PDL: tl.constexpr,
):  # fmt: skip
    if PDL:
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()
    ROW: tl.constexpr = W * C
    PW: tl.constexpr = (OW + 1) // 2
    SLIDE: tl.constexpr = STRIDE if STRIDE < R else R
    DTYPE: tl.constexpr = x.dtype.element_ty
    m = tl.arange(0, BLOCK_M)
    rows = tl.program_id(0) * (BLOCK_M - 1) - 1 + m  # the first is there to be the second's neighbour
    live = (rows >= 0) & (rows < n * PW)
    image, left = rows // PW, rows % PW
    if WIDE:
        image = image.to(tl.int64)
    at = (left * (2 * STRIDE * C) - LEFT)[:, None] + tl.arange(0, RUN)[None, :]
    inside = live[:, None] & (at >= 0) & (at < ROW)
    at += (image * (H * ROW))[:, None]
    top = tl.program_id(1) * STRIP
    k2 = tl.program_id(2) * (2 * BLOCK_N) + tl.arange(0, 2 * BLOCK_N)
    k = tl.program_id(2) * BLOCK_N + tl.arange(0, BLOCK_N)
    weights = ()
    for r in tl.static_range(R):
        column = r * RUN + tl.arange(0, RUN)
        tap = tl.load(w + k2[:, None] * (R * RUN) + column[None, :], mask=(k2 < 2 * K)[:, None], other=0.0)
        weights += (tl.trans(tap),)
    low = tl.maximum(2 * top - 1, 0)
    high = tl.minimum(2 * (top + STRIP), OH)
    windows = ()
    for r in tl.static_range(R):
        windows += (_input_row(x, at, inside, low * STRIDE - PAD + r, H, ROW),)
    above = tl.where(top == 0, 0.0, float("-inf"))  # the border, or rows that are still to come
    even = (tl.zeros((BLOCK_M, BLOCK_N), tl.float32) + above).to(DTYPE)
    odd = even
    for oh in range(low, high):
        fresh = ()
        for r in tl.static_range(SLIDE):
            fresh += (_input_row(x, at, inside, (oh + 1) * STRIDE - PAD + R - SLIDE + r, H, ROW),)
        acc = tl.zeros((BLOCK_M, 2 * BLOCK_N), tl.float32)
        for r in tl.static_range(R):
            acc = tl.dot(windows[r], weights[r], acc, input_precision=PRECISION)
        windows = windows[SLIDE:] + fresh
        b = tl.load(bias + k, mask=k < K, other=0.0)[None, :]
        new_even, new_odd = acc.reshape(BLOCK_M, BLOCK_N, 2).split()
        new_even = (new_even + b).to(DTYPE)
        new_odd = (new_odd + b).to(DTYPE)
        even = tl.maximum(even, new_even).to(DTYPE)
        odd = tl.maximum(odd, new_odd).to(DTYPE)
        if (oh % 2 == 1) | (oh == OH - 1):
            if oh >= 2 * top:
                if OW % 2 == 1:
                    odd = tl.where((2 * left + 1 < OW)[:, None], odd, 0.0).to(DTYPE)
                before = tl.gather(odd, tl.broadcast_to(tl.maximum(m - 1, 0)[:, None], (BLOCK_M, BLOCK_N)), 0)
                before = tl.where((left > 0)[:, None], before, 0.0).to(DTYPE)
                y = tl.maximum(tl.maximum(even, odd), before)
                if RELU:
                    y = tl.maximum(y, 0.0)
                elif OH % 2 == 1:
                    y = tl.where(oh == OH - 1, tl.maximum(y, 0.0), y)  # the border below
                pixel = (image * ((OH + 1) // 2) + oh // 2) * PW + left
                inside_out = (live & (m > 0))[:, None] & (k < K)[None, :]
                y = rounded_to(y, DTYPE, PRECISION)
                tl.store(out + pixel[:, None] * K + k[None, :], y, mask=inside_out)
            even, odd = new_even, new_odd


@cache
def stem_launch(layer: Layer, config: Config) -> Launch:
    run, lead = window(layer)
    read, written = layer.h * layer.w * layer.c_in, prod(pooled(layer)) * layer.c_out
    constants = {
        "H": layer.h, "W": layer.w, "C": layer.c_in, "K": layer.c_out, "OH": layer.out_h, "OW": layer.out_w,
        "R": layer.kernel[0], "STRIDE": layer.stride, "PAD": layer.padding,
        "LEFT": layer.padding * layer.c_in + lead, "RUN": run,
        "RELU": layer.relu, "PRECISION": multiplied(layer.dtype),
        "WIDE": layer.n * max(read, written) >= 2**31, "BLOCK_M": config.block_m, "BLOCK_N": config.block_n,
        "STRIP": config.group_m, "PDL": config.pdl and not INTERPRETED,
    }  # fmt: skip
    return Launch(_kernel, constants, grid_of(layer, config), options(config))


def calls(
    layer: Layer, config: Config, operands: Operands, out: Tensor, scratch: Tensor | None = None
) -> Iterator[tuple[Launch, list[Argument]]]:
    """The launch of a layer with its arguments, the image the first; it needs no scratch."""
    yield stem_launch(layer, config), [operands.x, operands.weight, operands.bias, out, layer.n]


def scratch_bytes(layer: Layer, config: Config) -> int:
    return 0


def launch(layer: Layer, config: Config, operands: Operands, out: Tensor) -> None:
    for step, arguments in calls(layer, config, operands, out):
        step.run(*arguments)


def output(layer: Layer, device: torch.device | str) -> Tensor:
    """An uninitialised output [N, K, pooled_h, pooled_w], channels-last."""
    shape = (layer.n, layer.c_out, *pooled(layer))
    return torch.empty(shape, dtype=TORCH_TYPES[layer.dtype], device=device, memory_format=torch.channels_last)


def compilation(layer: Layer, config: Config) -> tuple[Compilation, ...]:
    """What `launch` would compile."""
    meta, out = Operands.of(replace(layer, pool=True)), output(layer, "meta")
    return tuple(step.compilation(*arguments) for step, arguments in calls(layer, config, meta, out))


def conv_bias_relu_pool(
    x: Tensor, packed: Widened, stride: int = 2, padding: int = 3, pool: int = 3, pool_stride: int = 2,
    pool_padding: int = 1, relu: bool = True, out: Tensor | None = None, config: Config | None = None,
) -> Tensor:  # fmt: skip
    """maxpool(act(conv(x) + bias)), [N, C, H, W] -> [N, K, H', W'] in x's dtype, both channels-last.

    `act` is ReLU if `relu`. The pool is 3x3 at stride 2 over a border of one zero, and no other: with `relu` that is
    `F.max_pool2d(y, 3, 2, 1)`. `out` is written and returned. `config` overrides the table. Raises `ValueError`, naming
    the argument, for what it cannot take.
    """
    if not isinstance(packed, Widened):
        raise ValueError(f"packed: a {type(packed).__name__}, not what kernels.widen returns")
    if (stride, padding) != (packed.stride, packed.padding):
        raise ValueError(f"stride, padding: {stride}, {padding}; widened for {packed.stride}, {packed.padding}")
    if (pool, pool_stride, pool_padding) != (3, 2, 1):
        raise ValueError(f"pool: {pool} by {pool_stride} with a padding of {pool_padding}, not 3 by 2 with 1")
    check_input(x, packed)
    geometry = [*packed.kernel, stride, padding]
    shape = _shape(x, packed.c_out, geometry)
    if shape[2] < 1 or shape[3] < 1:
        raise ValueError(f"x: {x.shape[2]} x {x.shape[3]} pixels leave no output of a {packed.kernel} window")
    check_rows(shape[0] * shape[2] * shape[3], "pooled pixels")
    if out is not None:
        check_activation("out", out, x, shape)
    operands = (x, packed.weight, packed.bias, geometry, relu, packed.precision, "" if config is None else str(config))
    if out is None:
        return torch.ops.resnet_bench.conv_bias_relu_pool(*operands)
    torch.ops.resnet_bench.conv_bias_relu_pool_out(*operands, out)
    return out


@torch.library.custom_op("resnet_bench::conv_bias_relu_pool", mutates_args=(), tags=(torch.Tag.needs_exact_strides,))
def _conv_bias_relu_pool(
    x: Tensor, weight: Tensor, bias: Tensor, geometry: list[int], relu: bool, precision: str, config: str
) -> Tensor:
    """`geometry`: kernel height and width, stride, padding. `config`: text, or empty."""
    layer = _layer(x.shape, bias.shape[0], (*geometry,), relu, precision)
    y = output(layer, x.device)
    run(layer, Operands(x, weight, bias), y, config, reference, launch)
    return y


@_conv_bias_relu_pool.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor, geometry: list[int], relu: bool, precision: str, config: str) -> Tensor:
    shape = _shape(x, bias.shape[0], geometry)
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)


@torch.library.custom_op(
    "resnet_bench::conv_bias_relu_pool_out", mutates_args=("out",), tags=(torch.Tag.needs_exact_strides,)
)
def _conv_bias_relu_pool_out(
    x: Tensor, weight: Tensor, bias: Tensor, geometry: list[int], relu: bool, precision: str, config: str, out: Tensor
) -> None:
    layer = _layer(x.shape, bias.shape[0], (*geometry,), relu, precision)
    run(layer, Operands(x, weight, bias), out, config, reference, launch)


@_conv_bias_relu_pool_out.register_fake
def _(*_: object) -> None:
    return None


def _shape(x: Tensor, k: int, geometry: list[int]) -> tuple[int, int, int, int]:
    (n, _, h, w), (kernel_h, kernel_w, stride, padding) = x.shape, geometry
    out_h, out_w = (h + 2 * padding - kernel_h) // stride + 1, (w + 2 * padding - kernel_w) // stride + 1
    return n, k, (out_h + 1) // 2, (out_w + 1) // 2


@cache
def _layer(shape: torch.Size, k: int, geometry: tuple[int, ...], relu: bool, precision: str) -> Layer:
    (n, c, h, w), (kernel_h, kernel_w, stride, padding) = shape, geometry
    return Layer(n, h, w, c, k, (kernel_h, kernel_w), stride, padding, relu=relu, dtype=precision, pool=True)
