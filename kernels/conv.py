# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False, disallow-untyped-decorators=False
"""A convolution with bias, residual and ReLU in one kernel: implicit matrix product, pointer loads, sm_80 and up.

Why: with batch norm folded, torch runs a ResNet layer as a convolution and one or two passes over its output. At batch
32 the 1x1 from 64 to 256 channels on 56x56 reads 12.8 MB, writes 51.4 MB and multiplies for 3.3 us at 989 TFLOP/s
(fp16); adding bias and residual and the ReLU afterwards reads 102.8 MB and writes 51.4 MB more, 37 us at 4.2 TB/s.
Here the epilogue is in registers: of those 154 MB the residual's 51.4 remain, and a layer's traffic is `Layer.bytes`.

Two more operations of a block are fused for the same reason:
- `second`: the down-sampling 1x1 of a block is summed with its last convolution before the ReLU. Accumulated here, its
  output (51.4 MB in stage 1 at batch 32, fp16) is neither written nor read.
- `prologue`: in a pre-activation block batch norm and ReLU come before a convolution and after a sum that the shortcut
  reads too, so they fold into no weight. The alternative is that the kernel of the sum writes it twice, raw and
  activated: one more write of the tensor (51.4 MB as above), against none here. The cost is arithmetic before the
  tensor cores, repeated for each tap and channel tile. Padding is zero after the prologue, not before.

One loop walks the depth, taps and channels together. Nested loops over the taps do not pipeline at 64 channels, and
compile for 3.5 to 15 s (Triton 3.6, 3.7). Inductor's kernel of this form gave wrong results with 8 warps on windows
larger than one pixel (pytorch#173068): the tuner checks every configuration that it times, and
`space.conv.default_config`, whose choice is used unchecked, avoids those.

On sm_90 wgmma reads a prologue's values from registers, and compilers have let the next step overwrite these while the
product of this one still read them (`kernels.compiled.hazards`). `Config.serial` makes each step wait for its products.

Split depth: each of `split_k` programs writes its sums in float32, and conv_reduce.py's kernel adds and finishes them.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

from kernels.codes import code_sums, load_multiples, rescale, rescaled, to_codes
from kernels.conv_reduce import partial_sums, reduce_launch, scratch_bytes
from kernels.launch import INTERPRETED, Call, Launch, Operands, launch_options
from kernels.packing import unpack
from kernels.space.config import Config
from kernels.space.layer import Layer
from kernels.space.tiling import channel_tiles, depth_steps, needs_64_bit, row_tiles
from kernels.tf32 import input_precision, round_tf32, round_to
from kernels.tile import add_product, tile_of

__all__ = ["calls", "reference", "scratch_bytes"]


def reference(layer: Layer, operands: Operands, dtype: torch.dtype) -> Tensor:
    """Return the layer in aten in `dtype` from the rounded operands, not rounded further; sums of codes are exact."""
    if operands.factors is not None:
        return rescaled(code_sums(layer, operands).to(dtype), operands, layer.relu)
    weight, weight2 = unpack(operands.weight, layer)
    a = operands.x.to(dtype)
    if operands.scale is not None and operands.shift is not None:
        a = a * operands.scale.to(dtype)[:, None, None] + operands.shift.to(dtype)[:, None, None]
        a = a.clamp(min=0).to(operands.x.dtype)
        a = (round_tf32(a) if layer.dtype == "tf32" else a).to(dtype)
    y = F.conv2d(a, weight.to(dtype), operands.bias.to(dtype), layer.stride, layer.padding)
    if operands.x2 is not None and layer.second is not None:
        y += F.conv2d(operands.x2.to(dtype), weight2.to(dtype), stride=layer.second[3])
    if operands.residual is not None:
        y += operands.residual.to(dtype)
    return y.clamp(min=0) if layer.relu else y


@triton.jit
def _accumulate_window(
    # The tile: sums [BLOCK_M, BLOCK_N]; its rows [BLOCK_M] and channels k [BLOCK_N]; the range of depth steps
    acc, x, w, scale, shift, rows, all_rows, k, low, high,
    # As in _kernel
    H: tl.constexpr, W: tl.constexpr, C: tl.constexpr, K: tl.constexpr, OH: tl.constexpr, OW: tl.constexpr,
    R: tl.constexpr, S: tl.constexpr, STRIDE: tl.constexpr, PAD: tl.constexpr,
    COLUMNS: tl.constexpr, TAP_COLUMNS: tl.constexpr, FLAT: tl.constexpr, PROLOGUE: tl.constexpr,
    BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, PRECISION: tl.constexpr, WIDE: tl.constexpr, SERIAL: tl.constexpr,
):  # fmt: skip
    """Return acc plus the window of x times w, over the steps `low` to `high`."""
    j = tl.arange(0, BLOCK_K)
    top = rows // OW % OH * STRIDE - PAD  # [BLOCK_M]: the image row where a pixel's window begins
    left = rows % OW * STRIDE - PAD
    image = rows // (OH * OW)
    if WIDE:
        image = image.to(tl.int64)
    corner = ((image * H + top) * W + left) * C  # the window's offset in x; outside the image it is masked
    in_rows = rows < all_rows
    tap_steps: tl.constexpr = (C + BLOCK_K - 1) // BLOCK_K
    for step in range(low, high):
        if FLAT:
            column = step * BLOCK_K + j
            r, run = column // (S * C), column % (S * C)  # the pixels of a tap row are contiguous: S * C values
            channel = column % C
            inside = in_rows[:, None] & (column < R * S * C)[None, :]
            if PAD > 0:
                in_row = (left * C)[:, None] + run[None, :]
                y = top[:, None] + r[None, :]
                inside = inside & (y >= 0) & (y < H) & (in_row >= 0) & (in_row < W * C)
            offset = r * (W * C) + run
            w_inside = (column < COLUMNS)[None, :]
        else:
            tap = step // tap_steps
            r, s = tap // S, tap % S
            channel = step % tap_steps * BLOCK_K + j
            column = tap * TAP_COLUMNS + channel
            inside = in_rows
            if PAD > 0:
                inside = inside & (top + r >= 0) & (top + r < H) & (left + s >= 0) & (left + s < W)
            inside = inside[:, None]
            if C % BLOCK_K != 0:
                inside = inside & (channel < C)[None, :]
            offset = (r * W + s) * C + channel
            w_inside = (channel < TAP_COLUMNS)[None, :]
        a = tl.load(x + corner[:, None] + offset[None, :], mask=inside, other=0.0)  # [BLOCK_M, BLOCK_K]; 0 is padding
        b = _weights(w, k, column, w_inside, K, COLUMNS, FLAT or TAP_COLUMNS % BLOCK_K != 0, BLOCK_N)
        if PROLOGUE:
            of_scale = tl.load(scale + channel, mask=channel < C, other=0.0)  # [BLOCK_K]
            of_shift = tl.load(shift + channel, mask=channel < C, other=0.0)
            activated = tl.maximum(a.to(tl.float32) * of_scale[None, :] + of_shift[None, :], 0.0)
            a = round_to(tl.where(inside, activated, 0.0), a.dtype, PRECISION)
        acc = add_product(acc, a, b, PRECISION, SERIAL)  # [BLOCK_M, BLOCK_N], float32, or int32 of int8
    return acc


@triton.jit
def _accumulate_second(
    # The tile, as in _accumulate_window
    acc, x2, w, rows, all_rows, k, low, high,
    # As in _kernel
    H2: tl.constexpr, W2: tl.constexpr, C2: tl.constexpr, STRIDE2: tl.constexpr,
    K: tl.constexpr, OH: tl.constexpr, OW: tl.constexpr, COLUMNS: tl.constexpr, FIRST_COLUMNS: tl.constexpr,
    BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, PRECISION: tl.constexpr, WIDE: tl.constexpr, SERIAL: tl.constexpr,
):  # fmt: skip
    """Return acc plus strided pixels of x2 times w's columns after the first operand's, over `low` to `high`."""
    j = tl.arange(0, BLOCK_K)
    image = rows // (OH * OW)
    if WIDE:
        image = image.to(tl.int64)
    pixel = ((image * H2 + rows // OW % OH * STRIDE2) * W2 + rows % OW * STRIDE2) * C2
    in_rows = (rows < all_rows)[:, None]
    for step in range(low, high):
        channel = step * BLOCK_K + j
        inside = in_rows
        if C2 % BLOCK_K != 0:
            inside = inside & (channel < C2)[None, :]
        a = tl.load(x2 + pixel[:, None] + channel[None, :], mask=inside, other=0.0)  # [BLOCK_M, BLOCK_K]
        column = FIRST_COLUMNS + channel
        b = _weights(w, k, column, (column < COLUMNS)[None, :], K, COLUMNS, C2 % BLOCK_K != 0, BLOCK_N)
        acc = add_product(acc, a, b, PRECISION, SERIAL)
    return acc


@triton.jit
def _weights(w, k, column, inside, K: tl.constexpr, COLUMNS: tl.constexpr, RAGGED: tl.constexpr, BLOCK_N: tl.constexpr):
    """Return a tile of packed weights, [BLOCK_N, BLOCK_K], masked only where it can exceed them."""
    pointers = w + k[:, None] * COLUMNS + column[None, :]
    if K % BLOCK_N != 0:
        tile = tl.load(pointers, mask=(k < K)[:, None] & inside, other=0.0)
    elif RAGGED:
        tile = tl.load(pointers, mask=inside, other=0.0)
    else:
        tile = tl.load(pointers)
    return tile


@triton.jit(do_not_specialize=["n"])  # one kernel for every batch size
def _kernel(
    # Pointers, activations channels-last: x [N, H, W, C], w [K, COLUMNS], bias [K], residual [N, OH, OW, K],
    # x2 [N, H2, W2, C2], scale and shift [C], factors [K + 1], out [N, OH, OW, K], or sums [SPLIT_K, N, OH, OW, K]
    x, w, bias, residual, x2, scale, shift, factors, out,
    # Sizes: images, the only size not constexpr; pixels and channels of x; channels and pixels of out
    n, H: tl.constexpr, W: tl.constexpr, C: tl.constexpr, K: tl.constexpr, OH: tl.constexpr, OW: tl.constexpr,
    # The window: R x S taps, STRIDE pixels apart, PAD zeros around the image
    R: tl.constexpr, S: tl.constexpr, STRIDE: tl.constexpr, PAD: tl.constexpr,
    # The second operand, if C2 > 0: its pixels and channels, of which every STRIDE2-th pixel is read
    H2: tl.constexpr, W2: tl.constexpr, C2: tl.constexpr, STRIDE2: tl.constexpr,
    # Columns of w (`space.layer.Columns`): of a row, of x's part, of a tap; FLAT: the taps are one run
    COLUMNS: tl.constexpr, FIRST_COLUMNS: tl.constexpr, TAP_COLUMNS: tl.constexpr, FLAT: tl.constexpr,
    # The depth: steps of BLOCK_K over x and over x2
    FIRST_STEPS: tl.constexpr, SECOND_STEPS: tl.constexpr,
    # Meta-parameters: the epilogue's ReLU, tl.dot's input precision, 64-bit offsets;
    RELU: tl.constexpr, PRECISION: tl.constexpr, WIDE: tl.constexpr,
    # and the configuration (`Config`)
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
    SPLIT_K: tl.constexpr, GROUP_M: tl.constexpr, PDL: tl.constexpr, SERIAL: tl.constexpr,
):  # fmt: skip
    """Compute a tile of out, [BLOCK_M, BLOCK_N]: rows are output pixels, columns output channels."""
    if PDL:
        tl.extra.cuda.gdc_wait()  # kernels before this one write x, and may still read `out`
        tl.extra.cuda.gdc_launch_dependents()
    all_rows = n * OH * OW
    m_tile, n_tile = tile_of(tl.program_id(0), tl.cdiv(all_rows, BLOCK_M), tl.cdiv(K, BLOCK_N), GROUP_M)
    rows = m_tile * BLOCK_M + tl.arange(0, BLOCK_M)  # pixels of all images
    k = n_tile * BLOCK_N + tl.arange(0, BLOCK_N)
    acc = tl.zeros((BLOCK_M, BLOCK_N), tl.int32 if w.dtype.element_ty == tl.int8 else tl.float32)
    if SPLIT_K == 1:  # constant bounds: a loop of one step is no loop
        low, middle, high = 0, FIRST_STEPS, FIRST_STEPS + SECOND_STEPS
    else:
        share: tl.constexpr = (FIRST_STEPS + SECOND_STEPS + SPLIT_K - 1) // SPLIT_K
        low = tl.program_id(1) * share
        high = tl.minimum(low + share, FIRST_STEPS + SECOND_STEPS)
        middle = tl.minimum(tl.maximum(low, FIRST_STEPS), high)
    SCALED: tl.constexpr = C2 > 0 and w.dtype.element_ty == tl.int8  # x2's products have a multiple of x's unit
    if SCALED:
        second_low = 0 if SPLIT_K == 1 else tl.maximum(low, FIRST_STEPS) - FIRST_STEPS
        acc = _accumulate_second(
            acc, x2, w, rows, all_rows, k, second_low, high - FIRST_STEPS,
            H2, W2, C2, STRIDE2, K, OH, OW, COLUMNS, FIRST_COLUMNS, BLOCK_N, BLOCK_K, PRECISION, WIDE, SERIAL,
        )  # fmt: skip
        acc *= load_multiples(factors, k, K)
    acc = _accumulate_window(
        acc, x, w, scale, shift, rows, all_rows, k, low, middle,
        H, W, C, K, OH, OW, R, S, STRIDE, PAD, COLUMNS, TAP_COLUMNS, FLAT, scale is not None,
        BLOCK_N, BLOCK_K, PRECISION, WIDE, SERIAL,
    )  # fmt: skip
    if C2 > 0 and not SCALED:
        if SPLIT_K > 1:
            middle = tl.maximum(low, FIRST_STEPS)
        acc = _accumulate_second(
            acc, x2, w, rows, all_rows, k, middle - FIRST_STEPS, high - FIRST_STEPS,
            H2, W2, C2, STRIDE2, K, OH, OW, COLUMNS, FIRST_COLUMNS, BLOCK_N, BLOCK_K, PRECISION, WIDE, SERIAL,
        )  # fmt: skip
    _epilogue(acc, bias, residual, factors, out, rows, all_rows, k, K, RELU, PRECISION, WIDE, SPLIT_K)


@triton.jit
def _epilogue(
    # The tile, and pointers, as in _kernel
    acc, bias, residual, factors, out, rows, all_rows, k,
    # As in _kernel
    K: tl.constexpr, RELU: tl.constexpr, PRECISION: tl.constexpr, WIDE: tl.constexpr, SPLIT_K: tl.constexpr,
):  # fmt: skip
    """Write act(acc + bias + residual) to out, or with a split depth this part's sums unchanged."""
    if WIDE:
        rows = rows.to(tl.int64)
    offset = rows[:, None] * K + k[None, :]  # [BLOCK_M, BLOCK_N], as all below
    inside = (rows < all_rows)[:, None] & (k < K)[None, :]
    if SPLIT_K > 1:
        part = tl.program_id(1)
        if WIDE:
            part = part.to(tl.int64)
        tl.store(out + part * all_rows * K + offset, acc, mask=inside)
    elif factors is not None:
        codes = None
        if residual is not None:
            codes = tl.load(residual + offset, mask=inside)
        y = rescale(acc, factors, bias, k[None, :], (k < K)[None, :], codes, K, RELU)
        tl.store(out + offset, to_codes(y, out.dtype.element_ty), mask=inside)
    else:
        acc += tl.load(bias + k, mask=k < K, other=0.0)[None, :]
        if residual is not None:
            acc += tl.load(residual + offset, mask=inside, other=0.0).to(tl.float32)
        if RELU:
            acc = tl.maximum(acc, 0.0)
        tl.store(out + offset, round_to(acc, out.dtype.element_ty, PRECISION), mask=inside)


@cache
def conv_launch(layer: Layer, config: Config) -> Launch:
    """Return the launch of the convolution alone, without a split depth's reduction."""
    first, second = depth_steps(layer, config)
    h2, w2, c2, stride2 = layer.second or (0, 0, 0, 1)
    constants = {
        "H": layer.h, "W": layer.w, "C": layer.c_in, "K": layer.c_out, "OH": layer.out_h, "OW": layer.out_w,
        "R": layer.kernel[0], "S": layer.kernel[1], "STRIDE": layer.stride, "PAD": layer.padding,
        "H2": h2, "W2": w2, "C2": c2, "STRIDE2": stride2,
        "COLUMNS": layer.columns.total, "FIRST_COLUMNS": layer.columns.first, "TAP_COLUMNS": layer.columns.per_tap,
        "FIRST_STEPS": first, "SECOND_STEPS": second, "FLAT": layer.columns.flat,
        "RELU": layer.relu, "PRECISION": input_precision(layer.dtype), "WIDE": needs_64_bit(layer, config),
        "BLOCK_M": config.block_m, "BLOCK_N": config.block_n, "BLOCK_K": config.block_k,
        "SPLIT_K": config.split_k, "GROUP_M": config.group_m, "PDL": config.pdl and not INTERPRETED,
        "SERIAL": config.serial and not INTERPRETED,
    }  # fmt: skip
    grid = (row_tiles(layer, config) * channel_tiles(layer, config), config.split_k)
    return Launch(_kernel, constants, grid, launch_options(config, layer))


def calls(
    layer: Layer, config: Config, operands: Operands, out: Tensor, scratch: Tensor | None = None
) -> Iterator[Call]:
    """Yield a layer's launches with their arguments, in order.

    A split depth's partial sums are written to `scratch` of `scratch_bytes(layer, config)` bytes, or to new memory.
    """
    if layer.pointwise:
        layer = layer.reshaped(layer.rows, 1, 1)  # all image sizes share a kernel, without divisions
    o, split = operands, config.split_k > 1
    target = partial_sums(scratch, layer, config, out) if split else out
    residual = None if split else o.residual
    yield (
        conv_launch(layer, config),
        [o.x, o.weight, o.bias, residual, o.x2, o.scale, o.shift, o.factors, target, layer.n],
    )
    if split:
        yield reduce_launch(layer, config), [target, o.bias, o.residual, o.factors, out, out.numel()]
