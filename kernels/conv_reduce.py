# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False, disallow-untyped-decorators=False
"""The reduction of a convolution whose depth is split: partial sums are added in a fixed order, with the epilogue.

Why: where a layer has fewer tiles than the GPU has SMs, as 7x7 pixels of 512 channels at batch 1 have, several programs
share a tile's depth (`Config.split_k`). Each writes its sums in float32, 4 * split_k bytes a value, which this kernel
reads again: 0.4 MB each way for that layer at split_k 4, in L2, against idle SMs. Without atomics the result has the
same bits each time.
"""

from __future__ import annotations

from functools import cache
from math import ceil

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.codes import rescale, to_codes
from kernels.launch import INTERPRETED, Launch, launch_options
from kernels.space.config import Config
from kernels.space.layer import Layer
from kernels.space.tiling import needs_64_bit
from kernels.tf32 import input_precision, round_to

REDUCE_BLOCK = 1024


@triton.jit(do_not_specialize=["values"])
def _kernel(
    # Pointers: parts [SPLIT_K, rows, K], float32 or int32; bias [K], factors [K + 1], float32; residual, out [rows, K]
    parts, bias, residual, factors, out,
    # Sizes: rows * K values of a part, K of a row
    values, K: tl.constexpr,
    # Meta-parameters: the epilogue's ReLU, rounding of out, 64-bit offsets; parts, values of a program, PDL
    RELU: tl.constexpr, PRECISION: tl.constexpr, WIDE: tl.constexpr,
    SPLIT_K: tl.constexpr, BLOCK: tl.constexpr, PDL: tl.constexpr,
):  # fmt: skip
    """Write BLOCK values of act(sum of parts + bias + residual) to out."""
    if PDL:
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()
    start = tl.program_id(0)
    if WIDE:
        start, values = start.to(tl.int64), values.to(tl.int64)
    index = start * BLOCK + tl.arange(0, BLOCK)  # [BLOCK], as all below
    inside = index < values
    epilogue = None
    if factors is None:
        epilogue = tl.load(bias + index % K, mask=inside, other=0.0)
        if residual is not None:
            epilogue += tl.load(residual + index, mask=inside, other=0.0).to(tl.float32)
    elif residual is not None:
        epilogue = tl.load(residual + index, mask=inside)
    acc = tl.load(parts + index, mask=inside, other=0.0)
    for part in tl.static_range(1, SPLIT_K):
        acc += tl.load(parts + part * values + index, mask=inside, other=0.0)
    if factors is None:
        acc += epilogue
        if RELU:
            acc = tl.maximum(acc, 0.0)
        y = round_to(acc, out.dtype.element_ty, PRECISION)
    else:
        y = to_codes(rescale(acc, factors, bias, index % K, inside, epilogue, K, RELU), out.dtype.element_ty)
    tl.store(out + index, y, mask=inside)


@cache
def reduce_launch(layer: Layer, config: Config) -> Launch:
    """Return the launch that reduces a layer's partial sums."""
    constants = {
        "K": layer.c_out, "RELU": layer.relu, "PRECISION": input_precision(layer.dtype), "WIDE": needs_64_bit(layer,
        config), "SPLIT_K": config.split_k, "BLOCK": REDUCE_BLOCK, "PDL": config.pdl and not INTERPRETED,
    }  # fmt: skip
    grid = (ceil(layer.rows * layer.c_out / REDUCE_BLOCK),)
    return Launch(_kernel, constants, grid, {**launch_options(config, layer), "num_warps": 4})


def scratch_bytes(layer: Layer, config: Config) -> int:
    """Return the bytes of a split depth's partial sums, float32, or int32 of int8; 0 without a split."""
    return 4 * config.split_k * layer.rows * layer.c_out if config.split_k > 1 else 0


def partial_sums(scratch: Tensor | None, layer: Layer, config: Config, out: Tensor) -> Tensor:
    """Return memory for the partial sums, from `scratch`, or if None newly allocated on `out`'s device."""
    size = scratch_bytes(layer, config)
    memory = out.new_empty(size, dtype=torch.uint8) if scratch is None else scratch[:size]
    return memory.view(torch.int32 if layer.dtype == "int8" else torch.float32)
