# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False, disallow-untyped-decorators=False
"""The convolution of conv.py with its tiles moved by the copy engine (tiled TMA), for sm_90 and up.

Why: pointer loads spend a thread's registers and instructions on addresses and masks, more of them the larger the
window; here one thread requests a box and the hardware fills what lies outside the image with zeros, which is the
padding. The bytes are those of conv.py. Layers of fewer than 16 channels, prologues, fp32 and the others that
`kernels.space.fit.incompatibility_reason` names are not supported.

A tile's rows are a box of output pixels, (images, height, width), whose input pixels are one box per tap: at stride 1
of x itself, [N, H, W, C], shifted by the tap; at stride 2 of x viewed as 2x2 blocks, [N, H/2, 2, W/2, 2C], where a tap
is one parity of row and column, shifted by whole blocks. Boxes need not divide the image: pixels of a box beyond it
read as zero and are not written. For a 1x1 at stride 1 all pixels are one long row.

On sm_90 wgmma reads a box of one row from shared memory. Any other box is a reshape, for which the compiler puts x into
registers (Triton 3.6 and 3.7: `comesFromLoadOrBlockArg` stops at a reshape); on sm_100 it does not. Such a kernel needs
`Config.serial`, as conv.py's prologue does, and `candidates` has only rows for sm_90.

Descriptors are built on the host at each launch and contain addresses: a CUDA graph replays those that it captured, so
the buffers must not move, as for any graph.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from math import ceil

import triton
import triton.language as tl
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

from kernels.codes import load_multiples, rescale, to_codes
from kernels.conv import conv_launch as pointer_launch
from kernels.conv import reference
from kernels.conv_reduce import partial_sums, reduce_launch, scratch_bytes
from kernels.launch import Call, Launch, Operands
from kernels.space.config import Config
from kernels.space.layer import Layer
from kernels.tf32 import round_to
from kernels.tile import add_product, tile_of

__all__ = ["calls", "reference", "scratch_bytes"]

DTYPES = {"tf32": tl.float32, "fp16": tl.float16, "bf16": tl.bfloat16, "fp8": tl.float8e4nv, "int8": tl.int8}


@triton.jit
def _accumulate_window(
    # The tile: sums [BLOCK_M, BLOCK_N]; the first output pixel of its box, its first channel; the range of depth steps
    acc, x, w, image, top, left, k, low, high,
    # As in _kernel
    C: tl.constexpr, S: tl.constexpr, STRIDE: tl.constexpr, PAD: tl.constexpr, TAP_COLUMNS: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_K: tl.constexpr, PRECISION: tl.constexpr, SERIAL: tl.constexpr,
):  # fmt: skip
    """Return acc plus the window of x times w, over the steps `low` to `high`."""
    tap_steps: tl.constexpr = (C + BLOCK_K - 1) // BLOCK_K
    for step in range(low, high):
        tap = step // tap_steps
        channel = step % tap_steps * BLOCK_K
        r, s = tap // S - PAD, tap % S - PAD
        if STRIDE == 1:
            a = x.load([image, top + r, left + s, channel])  # [BOX_N, BOX_H, BOX_W, BLOCK_K]; 0 outside the image
        else:  # image row 2 * (top + r // 2) + r % 2; shift and mask round down if r < 0
            a = x.load([image, top + (r >> 1), r & 1, left + (s >> 1), (s & 1) * C + channel])
        b = w.load([k, tap * TAP_COLUMNS + channel])  # [BLOCK_N, BLOCK_K]
        acc = add_product(acc, a.reshape(BLOCK_M, BLOCK_K), b, PRECISION, SERIAL)
    return acc


@triton.jit
def _accumulate_second(
    # As in _accumulate_window
    acc, x2, w, image, top, left, k, low, high,
    # As in _kernel
    FIRST_COLUMNS: tl.constexpr, BLOCK_K: tl.constexpr, PRECISION: tl.constexpr, SERIAL: tl.constexpr,
):  # fmt: skip
    """Return acc plus the pixels of x2 times w's columns after the first operand's, over `low` to `high`."""
    for step in range(low, high):
        a = x2.load([image, top, left, step * BLOCK_K])  # [BOX_N, BOX_H, BOX_W, BLOCK_K]
        b = w.load([k, FIRST_COLUMNS + step * BLOCK_K])  # [BLOCK_N, BLOCK_K]
        acc = add_product(acc, a.reshape(acc.shape[0], BLOCK_K), b, PRECISION, SERIAL)
    return acc


@triton.jit
def _codes(
    acc, factors, bias, residual, image, top, left, k,
    K: tl.constexpr, RELU: tl.constexpr, DTYPE: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """Return sums as codes of DTYPE, [BLOCK_M, BLOCK_N] (`kernels.codes`)."""
    channel = k + tl.arange(0, BLOCK_N)
    codes = None
    if residual is not None:
        codes = residual.load([image, top, left, k]).reshape(BLOCK_M, BLOCK_N)
    return to_codes(rescale(acc, factors, bias, channel[None, :], (channel < K)[None, :], codes, K, RELU), DTYPE)


@triton.jit(do_not_specialize=["n", "out_h", "out_w"])  # one kernel for every batch and image size
def _kernel(
    # Descriptors, with their boxes: x [N, H, W, C] by [BOX_N, BOX_H, BOX_W, BLOCK_K], at stride 2 as 2x2 blocks
    # (`_input`); w [K, columns] by [BLOCK_N, BLOCK_K]; residual and out [N, OH, OW, K] by [BOX_N, BOX_H, BOX_W,
    # BLOCK_N]; x2 [N, OH, OW, C2], already strided; and pointers, bias [K], factors
    x, w, bias, residual, x2, factors, out,
    # Sizes that are not constexpr: images, pixels of out
    n, out_h, out_w,
    # Sizes: channels of x and out. The window: taps in a row, pixels between windows, zeros around the image
    C: tl.constexpr, K: tl.constexpr, S: tl.constexpr, STRIDE: tl.constexpr, PAD: tl.constexpr,
    # Columns of w: of x's part, of a tap. The depth: steps of BLOCK_K over x and over x2
    FIRST_COLUMNS: tl.constexpr, TAP_COLUMNS: tl.constexpr, FIRST_STEPS: tl.constexpr, SECOND_STEPS: tl.constexpr,
    # Meta-parameters: the epilogue's ReLU, tl.dot's input precision, out's dtype;
    RELU: tl.constexpr, PRECISION: tl.constexpr, DTYPE: tl.constexpr,
    # and the configuration (`Config`)
    BOX_N: tl.constexpr, BOX_H: tl.constexpr, BOX_W: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
    SPLIT_K: tl.constexpr, GROUP_M: tl.constexpr, PDL: tl.constexpr, SERIAL: tl.constexpr,
):  # fmt: skip
    """Compute a tile of out, [BLOCK_M, BLOCK_N]: rows are the output pixels of a box, columns output channels."""
    if PDL:
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()
    BLOCK_M: tl.constexpr = BOX_N * BOX_H * BOX_W
    boxes_h = tl.cdiv(out_h, BOX_H)
    boxes_w = tl.cdiv(out_w, BOX_W)
    row_tiles = tl.cdiv(n, BOX_N) * boxes_h * boxes_w
    m_tile, n_tile = tile_of(tl.program_id(0), row_tiles, tl.cdiv(K, BLOCK_N), GROUP_M)
    image = m_tile // (boxes_h * boxes_w) * BOX_N
    top = m_tile // boxes_w % boxes_h * BOX_H
    left = m_tile % boxes_w * BOX_W
    k = n_tile * BLOCK_N
    if SPLIT_K == 1:
        low, middle, high = 0, FIRST_STEPS, FIRST_STEPS + SECOND_STEPS
    else:
        share: tl.constexpr = (FIRST_STEPS + SECOND_STEPS + SPLIT_K - 1) // SPLIT_K
        low = tl.program_id(1) * share
        high = tl.minimum(low + share, FIRST_STEPS + SECOND_STEPS)
        middle = tl.minimum(tl.maximum(low, FIRST_STEPS), high)
    acc = tl.zeros((BLOCK_M, BLOCK_N), tl.int32 if w.dtype == tl.int8 else tl.float32)
    SCALED: tl.constexpr = SECOND_STEPS > 0 and w.dtype == tl.int8  # x2's products have multiples of x's unit
    if SCALED:
        second = 0 if SPLIT_K == 1 else tl.maximum(low, FIRST_STEPS) - FIRST_STEPS
        acc = _accumulate_second(
            acc, x2, w, image, top, left, k, second, high - FIRST_STEPS, FIRST_COLUMNS, BLOCK_K, PRECISION, SERIAL
        )  # fmt: skip
        acc *= load_multiples(factors, k + tl.arange(0, BLOCK_N), K)
    acc = _accumulate_window(
        acc, x, w, image, top, left, k, low, middle,
        C, S, STRIDE, PAD, TAP_COLUMNS, BLOCK_M, BLOCK_K, PRECISION, SERIAL,
    )  # fmt: skip
    if SECOND_STEPS > 0 and not SCALED:
        if SPLIT_K > 1:
            middle = tl.maximum(low, FIRST_STEPS)
        second = middle - FIRST_STEPS
        acc = _accumulate_second(
            acc, x2, w, image, top, left, k, second, high - FIRST_STEPS, FIRST_COLUMNS, BLOCK_K, PRECISION, SERIAL
        )  # fmt: skip
    if SPLIT_K > 1:
        out.store([tl.program_id(1), image, top, left, k], acc.reshape(1, BOX_N, BOX_H, BOX_W, BLOCK_N))
    elif factors is not None:
        y = _codes(acc, factors, bias, residual, image, top, left, k, K, RELU, DTYPE, BLOCK_M, BLOCK_N)
        out.store([image, top, left, k], y.reshape(BOX_N, BOX_H, BOX_W, BLOCK_N))
    else:
        channel = k + tl.arange(0, BLOCK_N)  # [BLOCK_N]
        acc += tl.load(bias + channel, mask=channel < K, other=0.0)[None, :]
        if residual is not None:
            acc += residual.load([image, top, left, k]).reshape(BLOCK_M, BLOCK_N).to(tl.float32)
        if RELU:
            acc = tl.maximum(acc, 0.0)
        y = round_to(acc, DTYPE, PRECISION)
        out.store([image, top, left, k], y.reshape(BOX_N, BOX_H, BOX_W, BLOCK_N))


@cache
def conv_launch(layer: Layer, config: Config) -> Launch:
    """Return the launch of the convolution alone, without a split depth's reduction."""
    assert config.box is not None
    pointers = pointer_launch(layer, config)
    constants = {name: value for name, value in pointers.constants.items() if name in _kernel.arg_names}
    constants |= dict(zip(("BOX_N", "BOX_H", "BOX_W"), config.box, strict=True)) | {"DTYPE": DTYPES[layer.out_dtype]}
    return replace(pointers, kernel=_kernel, constants=constants)


def calls(
    layer: Layer, config: Config, operands: Operands, out: Tensor, scratch: Tensor | None = None
) -> Iterator[Call]:
    """Yield a layer's launches with their arguments, in order; `scratch` as in conv.py.

    Raises ValueError for an address that is not a multiple of 16, which bulk copies require.
    """
    assert config.box is not None
    for name, tensor in (("x", operands.x), ("residual", operands.residual), ("second", operands.x2), ("out", out)):
        if tensor is not None and tensor.data_ptr() % 16:
            raise ValueError(f"{name}: at an address that is not a multiple of 16, as a bulk copy's must be")
    if layer.pointwise:
        layer = layer.reshaped(1, 1, layer.rows)
    o, split = operands, config.split_k > 1
    w = TensorDescriptor(o.weight, list(o.weight.shape), [layer.columns.total, 1], [config.block_n, config.block_k])
    x2 = None
    if o.x2 is not None and layer.second is not None:
        h2, w2, c2, stride2 = layer.second
        x2 = _pixels(o.x2, (layer.n, h2, w2, c2), (*config.box, config.block_k), stride2)
    shape, tile = (layer.n, layer.out_h, layer.out_w, layer.c_out), (*config.box, config.block_n)
    residual = _pixels(o.residual, shape, tile) if o.residual is not None and not split else None
    if split:
        parts = partial_sums(scratch, layer, config, out)
        image = [layer.out_h * layer.out_w * layer.c_out, layer.out_w * layer.c_out, layer.c_out, 1]
        target = TensorDescriptor(parts, [config.split_k, *shape], [layer.n * image[0], *image], [1, *tile])
    else:
        target = _pixels(out, shape, tile)
    x = _input(o.x, layer, config)
    yield conv_launch(layer, config), [x, w, o.bias, residual, x2, o.factors, target, *shape[:3]]
    if split:
        yield reduce_launch(layer, config), [parts, o.bias, o.residual, o.factors, out, out.numel()]


def _pixels(x: Tensor, shape: tuple[int, ...], block: tuple[int, ...], stride: int = 1) -> TensorDescriptor:
    """Return a descriptor of every stride-th pixel of a channels-last x of `shape` (n, h, w, c)."""
    n, h, w, c = shape
    strides = [h * w * c, stride * w * c, stride * c, 1]
    return TensorDescriptor(x, [n, ceil(h / stride), ceil(w / stride), c], strides, list(block))


def _input(x: Tensor, layer: Layer, config: Config) -> TensorDescriptor:
    """Return a descriptor of x, at stride 2 viewed as 2x2 blocks."""
    assert config.box is not None
    n, h, w, c = layer.n, layer.h, layer.w, layer.c_in
    box_n, box_h, box_w = config.box
    if layer.stride == 1:
        return _pixels(x, (n, h, w, c), (*config.box, config.block_k))
    shape, strides = [n, h // 2, 2, w // 2, 2 * c], [h * w * c, 2 * w * c, w * c, 2 * c, 1]
    return TensorDescriptor(x, shape, strides, [box_n, box_h, 1, box_w, config.block_k])
