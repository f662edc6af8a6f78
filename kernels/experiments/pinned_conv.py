# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False, disallow-untyped-decorators=False
"""conv.py's kernel with its address arithmetic before the wait for the previous kernel (sm_90 and up).

Why: with programmatic dependent launch a kernel starts during the end of the one before, and may compute until its wait
what does not depend on that one. In conv.py the wait comes first. Moving it down in the source has no effect: the
compiler sinks the arithmetic to its uses. Here that arithmetic passes through asm that may be neither moved nor
removed, and the first weights are prefetched into L2, before the wait. `tl.multiple_of` restores what asm hides:
without it the loads of x are neither 16 bytes wide nor asynchronous.

It is for `bench constants`, which measures the gain at batch 1. It supports plain convolutions whose channels are
multiples of the blocks; results are bit-equal to conv.py's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import triton
import triton.language as tl
from torch import Tensor

from kernels.conv import conv_launch as plain_launch
from kernels.conv_reduce import partial_sums, reduce_launch
from kernels.launch import Call, Compilation, Launch, Operands, empty_output
from kernels.space.config import Config
from kernels.space.layer import Layer
from kernels.space.tiling import depth_steps
from kernels.tile import tile_of


@triton.jit
def _pinned(value, MULTIPLE: tl.constexpr, ON: tl.constexpr):
    """Return `value`, multiples of MULTIPLE, computed at this point: the compiler may not move it down."""
    if ON:
        value = tl.inline_asm_elementwise("mov.b32 $0, $1;", "=r,r", [value], dtype=tl.int32, is_pure=False, pack=1)
        value = tl.multiple_of(value, MULTIPLE)  # here, as it is lost across a call's return
    return value


@triton.jit(do_not_specialize=["n"])
def _kernel(
    # Pointers, activations channels-last: x [N, H, W, C], w [K, R * S * C], bias [K], residual and out [N, OH, OW, K],
    # or partial sums [SPLIT_K, N, OH, OW, K]
    x, w, bias, residual, out,
    # Sizes: images, the only size that is not constexpr; pixels and channels of x; channels and pixels of out
    n, H: tl.constexpr, W: tl.constexpr, C: tl.constexpr, K: tl.constexpr, OH: tl.constexpr, OW: tl.constexpr,
    # The window: R x S taps, STRIDE pixels apart, PAD zeros around the image. The depth: steps of BLOCK_K
    R: tl.constexpr, S: tl.constexpr, STRIDE: tl.constexpr, PAD: tl.constexpr, STEPS: tl.constexpr,
    # Meta-parameters: the epilogue's ReLU, tl.dot's input precision; and the configuration (`Config`)
    RELU: tl.constexpr, PRECISION: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
    SPLIT_K: tl.constexpr, GROUP_M: tl.constexpr, PDL: tl.constexpr,
):  # fmt: skip
    """Compute a tile of out, [BLOCK_M, BLOCK_N]: rows are output pixels, columns output channels."""
    all_rows = n * OH * OW
    m_tile, n_tile = tile_of(tl.program_id(0), tl.cdiv(all_rows, BLOCK_M), tl.cdiv(K, BLOCK_N), GROUP_M)
    rows = m_tile * BLOCK_M + tl.arange(0, BLOCK_M)
    k = n_tile * BLOCK_N + tl.arange(0, BLOCK_N)
    j = tl.arange(0, BLOCK_K)
    share: tl.constexpr = (STEPS + SPLIT_K - 1) // SPLIT_K
    low = tl.program_id(1) * share
    high = tl.minimum(low + share, STEPS)
    top = rows // OW % OH * STRIDE - PAD
    left = rows % OW * STRIDE - PAD
    corner = _pinned(((rows // (OH * OW) * H + top) * W + left) * C, BLOCK_K, PDL)
    top = _pinned(top, 1, PDL)
    left = _pinned(left, 1, PDL)
    if PDL:
        # no kernel writes weights: the first 128 bytes of each row are prefetched into L2
        first = w + k * (R * S * C) + low * BLOCK_K
        tl.inline_asm_elementwise(
            "prefetch.global.L2 [$1]; mov.u32 $0, 0;", "=r,l", [first], dtype=tl.int32, is_pure=False, pack=1
        )
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()
    acc = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for step in range(low, high):
        tap = step // (C // BLOCK_K)
        r, s = tap // S, tap % S
        channel = step % (C // BLOCK_K) * BLOCK_K + j
        inside = rows < all_rows
        if PAD > 0:
            inside = inside & (top + r >= 0) & (top + r < H) & (left + s >= 0) & (left + s < W)
        # x: [BLOCK_M, BLOCK_K], 0 is padding; w: [BLOCK_N, BLOCK_K]
        a = tl.load(x + corner[:, None] + ((r * W + s) * C + channel)[None, :], mask=inside[:, None], other=0.0)
        b = tl.load(w + k[:, None] * (R * S * C) + (tap * C + channel)[None, :])
        acc = tl.dot(a, tl.trans(b), acc, input_precision=PRECISION)
    offset = rows[:, None] * K + k[None, :]  # [BLOCK_M, BLOCK_N]
    inside = (rows < all_rows)[:, None]
    if SPLIT_K > 1:
        tl.store(out + tl.program_id(1) * all_rows * K + offset, acc, mask=inside)
    else:
        acc += tl.load(bias + k)[None, :]
        if residual is not None:
            acc += tl.load(residual + offset, mask=inside, other=0.0).to(tl.float32)
        if RELU:
            acc = tl.maximum(acc, 0.0)
        tl.store(out + offset, acc.to(out.dtype.element_ty), mask=inside)


def rejection_reason(layer: Layer, config: Config) -> str | None:
    """Say why this kernel cannot compute the layer in this configuration, or return None."""
    if layer.kind != "conv" or layer.second or layer.prologue or layer.columns.flat:
        return "this kernel is for plain convolutions"
    if config.impl != "ptr" or config.split_k > depth_steps(layer, config)[0]:
        return f"not by {config}"
    if layer.c_in % config.block_k or layer.c_out % config.block_n:
        return f"{layer.c_in} and {layer.c_out} channels, which {config} does not divide"
    return None


@cache
def conv_launch(layer: Layer, config: Config) -> Launch:
    """Return the launch of the convolution alone, without a split depth's reduction."""
    plain = plain_launch(layer, config)
    constants = {name: plain.constants[name] for name in _kernel.arg_names if name in plain.constants}
    return replace(plain, kernel=_kernel, constants={**constants, "STEPS": depth_steps(layer, config)[0]})


def calls(
    layer: Layer, config: Config, operands: Operands, out: Tensor, scratch: Tensor | None = None
) -> Iterator[Call]:
    """Yield a layer's launches with their arguments, in order, as in conv.py. Raises ValueError."""
    if reason := rejection_reason(layer, config):
        raise ValueError(f"{layer.key}: {reason}")
    o, split = operands, config.split_k > 1
    target = partial_sums(scratch, layer, config, out) if split else out
    yield conv_launch(layer, config), [o.x, o.weight, o.bias, None if split else o.residual, target, layer.n]
    if split:
        yield reduce_launch(layer, config), [target, o.bias, o.residual, None, out, out.numel()]


def launch(layer: Layer, config: Config, operands: Operands, out: Tensor) -> None:
    for step, arguments in calls(layer, config, operands, out):
        step.enqueue(*arguments)


def compilation(layer: Layer, config: Config) -> tuple[Compilation, ...]:
    meta = Operands.empty(layer)
    return tuple(
        step.compilation(*arguments) for step, arguments in calls(layer, config, meta, empty_output(layer, "meta"))
    )
