# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False, disallow-untyped-decorators=False
"""The convolution of conv_tma.py with its loads and products in different warps, in Gluon, for sm_90 alone.

Why: plain Triton reshapes a box of more than a row in registers (conv_tma.py). Here the box is reshaped in shared
memory, where wgmma reads it; one warp loads boxes ahead of the eight that multiply, and a program computes tile after
tile, so that the loads of a tile overlap with the products of the one before. It is for `bench constants`: its speed
shows whether this design is worth developing. No network uses it.

It supports stride 1, fp16 or bf16, bias, ReLU and a residual, and channels that are multiples of the blocks. The depth
has conv.py's order, taps outside and channels inside, and the epilogue adds in the same order: results are bit-equal to
conv.py's with the same block_k.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, prod
from typing import Any

import triton
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon._runtime import GluonASTSource
from triton.experimental.gluon.language.nvidia.hopper import (
    fence_async_shared,
    mbarrier,
    tma,
    warpgroup_mma,
    warpgroup_mma_wait,
)
from triton.experimental.gluon.nvidia.hopper import TensorDescriptor

from kernels.launch import Launch, Operands, empty_output
from kernels.packing import DTYPES
from kernels.space.layer import Layer
from kernels.space.tiling import output_pixels

PRODUCER_REGISTERS = 24
barrier_of_warps = getattr(gl, "thread_barrier", None) or gl.barrier  # of a partition's threads: Triton 3.6, 3.7
TYPES = {"fp16": gl.float16, "bf16": gl.bfloat16}


@dataclass(frozen=True)
class Cut:
    """A configuration: a box (images, height, width) of output pixels by block_n channels, in steps of block_k."""

    box: tuple[int, int, int]
    block_n: int
    block_k: int = 64
    stages: int = 3
    warps: int = 8  # that multiply; one more loads

    def __str__(self) -> str:
        rows = ".".join(map(str, self.box))
        return f"gluon-{rows}x{self.block_n}x{self.block_k}-w{self.warps}+1-s{self.stages}"


@gluon.jit
def _tile(
    t, boxes_h, boxes_w, n_tiles,
    BOX_N: gl.constexpr, BOX_H: gl.constexpr, BOX_W: gl.constexpr, BLOCK_N: gl.constexpr,
):  # fmt: skip
    """Return tile t's first image, row, column and channel. A box's channel tiles are consecutive: x stays in L2."""
    box = t // n_tiles
    image = box // (boxes_h * boxes_w) * BOX_N
    return image, box // boxes_w % boxes_h * BOX_H, box % boxes_w * BOX_W, t % n_tiles * BLOCK_N


@gluon.jit
def _load(
    # Descriptors, as in _kernel
    x, w, residual,
    # Shared memory: rings of STAGES boxes of x and tiles of w, with barriers for full and for empty; a tile of out,
    # into which the residual is loaded, with two barriers
    xs, ws, filled, emptied, outs, residual_filled, outs_emptied,
    # Sizes: tiles in all, boxes in an image's height and width; and as in _kernel
    tiles, boxes_h, boxes_w,
    C: gl.constexpr, K: gl.constexpr, S: gl.constexpr, PAD: gl.constexpr, STEPS: gl.constexpr,
    BOX_N: gl.constexpr, BOX_H: gl.constexpr, BOX_W: gl.constexpr, BLOCK_N: gl.constexpr, BLOCK_K: gl.constexpr,
    STAGES: gl.constexpr, HAS_RESIDUAL: gl.constexpr, STEP_BYTES: gl.constexpr, TILE_BYTES: gl.constexpr,
):  # fmt: skip
    """Run the loading warp: each step loads a box of x and a tile of w into the next empty buffer."""
    tap_steps: gl.constexpr = C // BLOCK_K
    step_count = 0
    tile_count = 0
    for t in range(gl.program_id(0), tiles, gl.num_programs(0)):
        image, top, left, k = _tile(t, boxes_h, boxes_w, K // BLOCK_N, BOX_N, BOX_H, BOX_W, BLOCK_N)
        if HAS_RESIDUAL:
            mbarrier.wait(outs_emptied, (tile_count & 1) ^ 1)
            mbarrier.expect(residual_filled, TILE_BYTES)
            tma.async_copy_global_to_shared(residual, [image, top, left, k], residual_filled, outs)
        for step in range(STEPS):
            buffer = step_count % STAGES
            mbarrier.wait(emptied.index(buffer), ((step_count // STAGES) & 1) ^ 1)
            tap = step // tap_steps
            channel = step % tap_steps * BLOCK_K
            full = filled.index(buffer)
            mbarrier.expect(full, STEP_BYTES)
            tma.async_copy_global_to_shared(w, [k, tap * C + channel], full, ws.index(buffer))
            corner = [image, top + tap // S - PAD, left + tap % S - PAD, channel]
            tma.async_copy_global_to_shared(x, corner, full, xs.index(buffer))
            step_count += 1
        tile_count += 1  # noqa: SIM113 - Gluon has no enumerate


@gluon.jit
def _multiply(
    # A descriptor and a pointer, as in _kernel
    out, bias,
    # Shared memory and sizes, as in _load
    xs, ws, filled, emptied, outs, residual_filled, outs_emptied, tiles, boxes_h, boxes_w,
    K: gl.constexpr, STEPS: gl.constexpr, BOX_N: gl.constexpr, BOX_H: gl.constexpr, BOX_W: gl.constexpr,
    BLOCK_N: gl.constexpr, BLOCK_K: gl.constexpr, STAGES: gl.constexpr, HAS_RESIDUAL: gl.constexpr, RELU: gl.constexpr,
    DTYPE: gl.constexpr, WARPS: gl.constexpr,
):  # fmt: skip
    """Run the multiplying warps: one product of block_k stays in flight; then the epilogue."""
    BLOCK_M: gl.constexpr = BOX_N * BOX_H * BOX_W
    layout: gl.constexpr = gl.NVMMADistributedLayout(
        version=[3, 0], warps_per_cta=[WARPS, 1], instr_shape=[16, BLOCK_N, 16]
    )
    step_count = 0
    tile_count = 0
    for t in range(gl.program_id(0), tiles, gl.num_programs(0)):
        image, top, left, k = _tile(t, boxes_h, boxes_w, K // BLOCK_N, BOX_N, BOX_H, BOX_W, BLOCK_N)
        b = gl.load(bias + k + gl.arange(0, BLOCK_N, gl.SliceLayout(0, layout)))  # overlaps with the loop
        acc = gl.zeros([BLOCK_M, BLOCK_N], gl.float32, layout)
        for _step in range(STEPS):
            buffer = step_count % STAGES
            mbarrier.wait(filled.index(buffer), (step_count // STAGES) & 1)
            a = xs.index(buffer).reshape([BLOCK_M, BLOCK_K])  # of [BOX_N, BOX_H, BOX_W, BLOCK_K], in place
            acc = warpgroup_mma(a, ws.index(buffer).permute((1, 0)), acc, is_async=True)
            acc = warpgroup_mma_wait(1, deps=[acc])
            # All warps are past the previous product, so its buffer is empty. The first has none before it; at a later
            # tile's first step it is the last of the tile before, waited for below.
            if step_count > 0:
                barrier_of_warps()
                mbarrier.arrive(emptied.index((step_count - 1) % STAGES), count=1)
            step_count += 1
        acc = warpgroup_mma_wait(0, deps=[acc])
        y = acc + b[None, :]
        flat = outs.reshape([BLOCK_M, BLOCK_N])
        if HAS_RESIDUAL:
            mbarrier.wait(residual_filled, tile_count & 1)
            y += flat.load(layout).to(gl.float32)
        if RELU:
            y = gl.maximum(y, 0.0)
        if not HAS_RESIDUAL:
            tma.store_wait(0)  # the previous tile has been copied from `outs`
        barrier_of_warps()
        flat.store(y.to(DTYPE))
        fence_async_shared()
        barrier_of_warps()
        tma.async_copy_shared_to_global(out, [image, top, left, k], outs)
        if HAS_RESIDUAL:
            tma.store_wait(0)
            barrier_of_warps()
            mbarrier.arrive(outs_emptied, count=1)
        tile_count += 1  # noqa: SIM113 - Gluon has no enumerate
    tma.store_wait(0)


@gluon.jit(do_not_specialize=["n", "out_h", "out_w"])
def _kernel(
    # Descriptors, with their boxes: x [N, H, W, C] by [BOX_N, BOX_H, BOX_W, BLOCK_K], w [K, columns] by [BLOCK_N,
    # BLOCK_K], residual and out [N, OH, OW, K] by [BOX_N, BOX_H, BOX_W, BLOCK_N]; and a pointer, bias [K]
    x, w, bias, residual, out,
    # Sizes that are not constexpr: images, pixels of out
    n, out_h, out_w,
    # Channels of x and out; taps in a row of the window, zeros around the image; steps of BLOCK_K
    C: gl.constexpr, K: gl.constexpr, S: gl.constexpr, PAD: gl.constexpr, STEPS: gl.constexpr,
    # Meta-parameters: the configuration (`Cut`), the epilogue's ReLU, out's dtype, registers of the loading warp
    BOX_N: gl.constexpr, BOX_H: gl.constexpr, BOX_W: gl.constexpr, BLOCK_N: gl.constexpr, BLOCK_K: gl.constexpr,
    STAGES: gl.constexpr, RELU: gl.constexpr, DTYPE: gl.constexpr, PRODUCER_REGISTERS: gl.constexpr,
    num_warps: gl.constexpr,
):  # fmt: skip
    """Allocate shared memory and barriers, and start the multiplying warps and the loading warp."""
    boxes_h = (out_h + BOX_H - 1) // BOX_H
    boxes_w = (out_w + BOX_W - 1) // BOX_W
    tiles = (n + BOX_N - 1) // BOX_N * boxes_h * boxes_w * (K // BLOCK_N)
    ROWS: gl.constexpr = BOX_N * BOX_H * BOX_W
    HAS_RESIDUAL: gl.constexpr = residual is not None
    xs = gl.allocate_shared_memory(DTYPE, [STAGES, BOX_N, BOX_H, BOX_W, BLOCK_K], x.layout)
    ws = gl.allocate_shared_memory(DTYPE, [STAGES, BLOCK_N, BLOCK_K], w.layout)
    outs = gl.allocate_shared_memory(DTYPE, [BOX_N, BOX_H, BOX_W, BLOCK_N], out.layout)
    BARS: gl.constexpr = mbarrier.MBarrierLayout()
    filled = gl.allocate_shared_memory(gl.int64, [STAGES, 1], BARS)
    emptied = gl.allocate_shared_memory(gl.int64, [STAGES, 1], BARS)
    residual_filled = gl.allocate_shared_memory(gl.int64, [1], BARS)
    outs_emptied = gl.allocate_shared_memory(gl.int64, [1], BARS)
    for i in gl.static_range(STAGES):
        mbarrier.init(filled.index(i), count=1)
        mbarrier.init(emptied.index(i), count=1)
    mbarrier.init(residual_filled, count=1)
    mbarrier.init(outs_emptied, count=1)
    gl.warp_specialize(
        [
            (_multiply, (
                out, bias, xs, ws, filled, emptied, outs, residual_filled, outs_emptied, tiles, boxes_h, boxes_w,
                K, STEPS, BOX_N, BOX_H, BOX_W, BLOCK_N, BLOCK_K, STAGES, HAS_RESIDUAL, RELU, DTYPE, num_warps,
            )),
            (_load, (
                x, w, residual, xs, ws, filled, emptied, outs, residual_filled, outs_emptied, tiles, boxes_h, boxes_w,
                C, K, S, PAD, STEPS, BOX_N, BOX_H, BOX_W, BLOCK_N, BLOCK_K, STAGES, HAS_RESIDUAL,
                (ROWS + BLOCK_N) * BLOCK_K * 2, ROWS * BLOCK_N * 2,
            )),
        ],
        [1], [PRODUCER_REGISTERS],
    )  # fmt: skip


def rejection_reason(layer: Layer, cut: Cut) -> str | None:
    """Say why this kernel cannot compute the layer in this configuration, or return None."""
    if layer.dtype not in TYPES:
        return f"dtype: {layer.dtype}, and this kernel is for 16 bits"
    if layer.kind != "conv" or layer.stride != 1 or layer.second or layer.prologue or layer.columns.flat:
        return "this kernel is for plain convolutions at stride 1"
    if layer.c_in % cut.block_k or layer.c_out % cut.block_n:
        return f"{layer.c_in} and {layer.c_out} channels, which blocks of {cut.block_k} and {cut.block_n} do not divide"
    return None


def count_tiles(layer: Layer, cut: Cut) -> int:
    """Return how many tiles cover a layer's output."""
    covered = zip(output_pixels(layer), cut.box, strict=True)
    return prod(ceil(size / box) for size, box in covered) * (layer.c_out // cut.block_n)


def bind_launch(layer: Layer, cut: Cut, operands: Operands, out: Tensor, programs: int) -> tuple[Launch, list[Any]]:
    """Return a layer's launch and its arguments, with at most `programs` programs, one an SM. Raises ValueError."""
    if reason := rejection_reason(layer, cut):
        raise ValueError(f"{cut} for {layer.key}: {reason}")
    steps = prod(layer.kernel) * (layer.c_in // cut.block_k)
    constants = {
        "C": layer.c_in, "K": layer.c_out, "S": layer.kernel[1], "PAD": layer.padding, "STEPS": steps,
        **dict(zip(("BOX_N", "BOX_H", "BOX_W"), cut.box, strict=True)),
        "BLOCK_N": cut.block_n, "BLOCK_K": cut.block_k, "STAGES": cut.stages,
        "RELU": layer.relu, "DTYPE": TYPES[layer.dtype], "PRODUCER_REGISTERS": PRODUCER_REGISTERS,
    }  # fmt: skip
    n, h, w = output_pixels(layer)
    if layer.pointwise:
        layer = layer.reshaped(n, h, w)
    o, tile = operands, (*cut.box, cut.block_n)
    image = (layer.n, layer.out_h, layer.out_w, layer.c_out)
    arguments = [
        _boxes(o.x, (layer.n, layer.h, layer.w, layer.c_in), (*cut.box, cut.block_k)),
        _boxes(o.weight, tuple(o.weight.shape), (cut.block_n, cut.block_k)),
        o.bias,
        None if o.residual is None else _boxes(o.residual, image, tile),
        _boxes(out, image, tile),
        *image[:3],
    ]
    return Launch(_kernel, constants, (min(count_tiles(layer, cut), programs),), {"num_warps": cut.warps}), arguments


def _boxes(x: Tensor, shape: tuple[int, ...], block: tuple[int, ...]) -> TensorDescriptor:
    """Return a descriptor of a contiguous tensor, viewed as `shape`, in boxes of `block`."""
    strides = [prod(shape[i + 1 :]) for i in range(len(shape))]
    layout = gl.NVMMASharedLayout.get_default_for(list(block), TYPES[DTYPES[x.dtype]])
    return TensorDescriptor(x, list(shape), strides, list(block), layout)


def compile_ahead(layer: Layer, cut: Cut, arch: int = 90) -> triton.compiler.CompiledKernel:
    """Compile what `bind_launch` would launch, without a GPU."""
    launch, arguments = bind_launch(layer, cut, Operands.empty(layer), empty_output(layer, "meta"), 1)
    source = launch.compilation(*arguments)
    ast_source = GluonASTSource(source.kernel, dict(source.signature), dict(source.constants), dict(source.attributes))
    return triton.compile(ast_source, target=GPUTarget("cuda", arch, 32), options=dict(source.options))
