# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False, disallow-untyped-decorators=False
"""Device functions that the convolutions share: the order of tiles, and a step's product."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def tile_of(pid, row_tiles, channel_tiles, GROUP_M: tl.constexpr):
    """Return the (row tile, channel tile) of a program.

    GROUP_M row tiles are computed for all channel tiles together, so that the weights they share stay in L2, as in
    Triton's tutorial 03.
    """
    first = pid // (GROUP_M * channel_tiles) * GROUP_M
    height = tl.minimum(row_tiles - first, GROUP_M)
    return first + pid % (GROUP_M * channel_tiles) % height, pid % (GROUP_M * channel_tiles) // height


@triton.jit
def add_product(acc, a, b, PRECISION: tl.constexpr, SERIAL: tl.constexpr):
    """Return acc [M, N] plus a [M, K] times b [N, K] transposed; codes of a are multiplied in b's wider type.

    Tensor cores of sm_89 and sm_90 keep 14 bits of sums of e4m3, with which a depth of 4608 is off by codes. So each
    step's sums are added to float32: on sm_90 by `max_num_imprecise_acc`, elsewhere where a step is SERIAL.
    """
    if a.dtype != b.dtype:
        a = a.to(b.dtype)
    if b.dtype != tl.float8e4nv:
        acc = tl.dot(a, tl.trans(b), acc, input_precision=PRECISION, out_dtype=acc.dtype)
        if SERIAL:
            acc = read_accumulator(acc)
    elif SERIAL:
        acc += read_accumulator(tl.dot(a, tl.trans(b)))
    else:
        acc = tl.dot(a, tl.trans(b), acc, max_num_imprecise_acc=a.shape[1])
    return acc


@triton.jit
def read_accumulator(acc):
    """Return the sums unchanged, but read by an empty asm, for which the compiler waits for the products.

    It emits no instruction. Where a product reads A from registers, Triton leaves products in flight, and ptxas before
    CUDA 13.3 overwrites what they read (`kernels.compiled.hazards`).
    """
    if acc.dtype == tl.int32:
        acc = tl.inline_asm_elementwise("", "=r,0", [acc], dtype=tl.int32, is_pure=True, pack=1)
    else:
        acc = tl.inline_asm_elementwise("", "=f,0", [acc], dtype=tl.float32, is_pure=True, pack=1)
    return acc
