# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False, disallow-untyped-decorators=False
"""A network's last layers: the average over all pixels and the fully connected layer, in one kernel or in two.

Why: for ResNet-50 at fp16 an image's last activation is 7x7x2048, 201 KB, its average 4 KB, the weights 4.1 MB. Fusing
saves a launch and those 4 KB; how often the rest is read matters more. Counted for an H200, L2 at 5.5 TB/s for all SMs
and 112 GB/s (64 bytes a cycle) for one, memory at 4.2 TB/s, 2.2 us for a kernel's launch, start and end (MODEL, us):

| a program | one image | 256 images |
|---|---|---|
| 16 classes of one image, which it averages | 63 x 266 KB: 5.2 | 16,128 x 266 KB: 788 |
| 128 classes of 16 images, which it averages | 8 x 0.7 MB: 8.7 | 128 x 3.7 MB: 91 |
| all classes of 128 channels of 32 images; then a sum over programs | 16 x 269 KB: 6.8 | 128 x 784 KB: 26 |
| averages; then their product with the weights | 6.2 | 24 |

An average is 1/49 of its pixels: a kernel that averages again for each block of classes reads 49 times as much as the
last line, which for more than an image or two costs more than a launch. The configuration selects one of two forms:

- `block_m` 1, the first line: a program computes block_n classes of one image, block_k channels a step. It works in
  float32 outside the tensor cores (2 million multiplications an image) and rounds only the result.
- otherwise the last line: averages, rounded to x's dtype as torch rounds them; then the 1x1 convolution of conv.py or
  conv_tma.py in that configuration, on images of one pixel. Where these are few it splits the depth.

`prologue` is the batch norm and ReLU of a pre-activation network between its last sum and the average, computed in
registers: a separate pass would read and write the activation, 51 MB each at batch 256. Without atomics, with all sums
in a fixed order, the result has the same bits each time.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from math import ceil

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.kinds import implementation
from kernels.launch import INTERPRETED, Call, Launch, Operands, launch_options
from kernels.packing import TORCH_TYPES, unpack
from kernels.space.config import Config
from kernels.space.layer import BYTES, Layer, round_up
from kernels.space.tiling import MEAN_BLOCK_PIXELS, linear_layer
from kernels.tf32 import input_precision, round_to

MEAN_CHANNELS = 64  # channels that a program of _means averages: a line of 128 bytes at 16 bits


def reference(layer: Layer, operands: Operands, dtype: torch.dtype) -> Tensor:
    """Return the layer computed in aten in `dtype` from the rounded operands; nothing is rounded in between.

    But for averages of codes, which are another step.
    """
    a = operands.x.to(dtype)
    if operands.scale is not None and operands.shift is not None:
        a = (a * operands.scale.to(dtype)[:, None, None] + operands.shift.to(dtype)[:, None, None]).clamp(min=0)
    weight, _ = unpack(operands.weight, layer)
    means = a.mean((2, 3)) if operands.factors is None else averages(layer, operands).to(dtype)
    return means @ weight.flatten(1).to(dtype).T + operands.bias.to(dtype)


def averages(layer: Layer, operands: Operands) -> Tensor:
    """Return the averages of codes as numbers, [N, C], rounded as the kernel rounds them; their sums are exact."""
    assert operands.factors is not None
    means = operands.x.double().sum((2, 3)).float() / (layer.h * layer.w)
    return (means * operands.factors).to(TORCH_TYPES[layer.dtype])


@triton.jit
def _channel_means(
    x, scale, shift, image, c, PIXELS: tl.constexpr, C: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr
):
    """Return the averages of the channels `c` [BLOCK_C] over an image, float32."""
    total = tl.zeros((BLOCK_P, BLOCK_C), tl.float32)
    for first in range(0, PIXELS, BLOCK_P):
        pixel = first + tl.arange(0, BLOCK_P)  # a: [BLOCK_P, BLOCK_C]
        inside = (pixel < PIXELS)[:, None] & (c < C)[None, :]
        a = tl.load(x + (image * PIXELS + pixel)[:, None] * C + c[None, :], mask=inside, other=0.0).to(tl.float32)
        if scale is not None:
            of_scale = tl.load(scale + c, mask=c < C, other=0.0)
            of_shift = tl.load(shift + c, mask=c < C, other=0.0)
            a = tl.where(inside, tl.maximum(a * of_scale[None, :] + of_shift[None, :], 0.0), 0.0)
        total += a
    return tl.sum(total, 0) / PIXELS


@triton.jit
def _means(
    # Pointers: x [N, PIXELS, C], scale and shift [C], factor [1] of codes, out [N, C]
    x, scale, shift, factor, out,
    # Sizes
    PIXELS: tl.constexpr, C: tl.constexpr,
    # Meta-parameters: rounding of out, 64-bit offsets; blocks of pixels and channels, dependent launch
    PRECISION: tl.constexpr, WIDE: tl.constexpr,
    BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr, PDL: tl.constexpr,
):  # fmt: skip
    """Write the averages of BLOCK_C channels of an image to out [N, C]."""
    if PDL:
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()
    image = tl.program_id(0)
    if WIDE:
        image = image.to(tl.int64)
    c = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    mean = _channel_means(x, scale, shift, image, c, PIXELS, C, BLOCK_P, BLOCK_C)
    if factor is not None:
        mean *= tl.load(factor)
    tl.store(out + image * C + c, round_to(mean, out.dtype.element_ty, PRECISION), mask=c < C)


@triton.jit
def _fused(
    # Pointers: x [N, PIXELS, C], w [K, COLUMNS], bias [K], scale and shift [C], out [N, K]
    x, w, bias, scale, shift, out,
    # Sizes, and the stride of a row of w
    PIXELS: tl.constexpr, C: tl.constexpr, K: tl.constexpr, COLUMNS: tl.constexpr,
    # Meta-parameters: rounding of out, 64-bit offsets; and the configuration (`Config`)
    PRECISION: tl.constexpr, WIDE: tl.constexpr,
    BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_N: tl.constexpr, STAGES: tl.constexpr, PDL: tl.constexpr,
):  # fmt: skip
    """Write BLOCK_N classes of an image, averages times w plus bias, to out [N, K]."""
    if PDL:
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()
    image = tl.program_id(0)
    if WIDE:
        image = image.to(tl.int64)
    k = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    acc = tl.zeros((BLOCK_N, BLOCK_C), tl.float32)
    for start in tl.range(0, C, BLOCK_C, num_stages=STAGES):
        c = start + tl.arange(0, BLOCK_C)
        inside = (k < K)[:, None] & (c < C)[None, :]
        tile = tl.load(w + k[:, None] * COLUMNS + c[None, :], mask=inside, other=0.0)  # [BLOCK_N, BLOCK_C]
        mean = _channel_means(x, scale, shift, image, c, PIXELS, C, BLOCK_P, BLOCK_C)  # [BLOCK_C]
        acc += tile.to(tl.float32) * mean[None, :]
    y = tl.sum(acc, 1) + tl.load(bias + k, mask=k < K, other=0.0)
    tl.store(out + image * K + k, round_to(y, out.dtype.element_ty, PRECISION), mask=k < K)


@cache
def head_launch(layer: Layer, config: Config) -> Launch:
    """Return the launch of the fused kernel, or with two kernels that of the averages."""
    pixels = layer.h * layer.w
    constants = {
        "PIXELS": pixels, "C": layer.c_in, "PRECISION": input_precision(layer.dtype),
        "WIDE": layer.n * max(pixels * layer.c_in, layer.c_out) >= 2**31,
        "BLOCK_P": min(1 << (pixels - 1).bit_length(), MEAN_BLOCK_PIXELS), "PDL": config.pdl and not INTERPRETED,
    }  # fmt: skip
    if config.block_m > 1:
        grid = (layer.n, ceil(layer.c_in / MEAN_CHANNELS))
        return Launch(
            _means, {**constants, "BLOCK_C": MEAN_CHANNELS}, grid, {**launch_options(config, layer), "num_warps": 4}
        )
    constants |= {
        "K": layer.c_out, "COLUMNS": layer.columns.total, "BLOCK_C": config.block_k, "BLOCK_N": config.block_n,
        "STAGES": config.stages,
    }  # fmt: skip
    return Launch(_fused, constants, (layer.n, ceil(layer.c_out / config.block_n)), launch_options(config, layer))


def scratch_bytes(layer: Layer, config: Config) -> int:
    """Return the bytes that kernels pass to each other: averages, and the partial sums of a split depth."""
    second = linear_layer(layer)
    split = implementation(second, config).scratch_bytes(second, config)
    return 0 if config.block_m == 1 else _means_bytes(layer) + split


def _means_bytes(layer: Layer) -> int:
    """Return the bytes of the averages, a multiple of 16, so that bulk copies can read what follows them."""
    return round_up(layer.n * layer.c_in * BYTES[layer.dtype], 16)


def calls(
    layer: Layer, config: Config, operands: Operands, out: Tensor, scratch: Tensor | None = None
) -> Iterator[Call]:
    """Yield a layer's launches with their arguments, in order.

    They pass averages and partial sums in `scratch` of `scratch_bytes(layer, config)` bytes, or in new memory.
    """
    o = operands
    if config.block_m == 1:
        yield head_launch(layer, config), [o.x, o.weight, o.bias, o.scale, o.shift, out]
        return
    if scratch is None:
        scratch = out.new_empty(scratch_bytes(layer, config), dtype=torch.uint8)
    size = _means_bytes(layer)
    means = scratch[:size].view(out.dtype)[: layer.n * layer.c_in].view(layer.n, layer.c_in, 1, 1)
    yield head_launch(layer, config), [o.x, o.scale, o.shift, o.factors, means]
    y, second = out.view(layer.n, layer.c_out, 1, 1), linear_layer(layer)
    averaged = Operands(means, o.weight, o.bias)
    yield from implementation(second, config).calls(second, config, averaged, y, scratch[size:])
