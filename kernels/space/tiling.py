"""The tiles, grid and steps of a layer's kernels, which launches and the cost model share.

The digest of a bundle of kernels covers this file, `layer` and `config`, and not the cost model.
"""

from __future__ import annotations

from dataclasses import replace
from math import ceil, prod

from kernels.space.config import Config
from kernels.space.layer import Layer

MEAN_BLOCK_PIXELS = 64  # most pixels that a head's kernel averages at once


def output_pixels(layer: Layer) -> tuple[int, int, int]:
    """Return images, height and width of the output; a pointwise layer's pixels are one long row."""
    return (1, 1, layer.rows) if layer.pointwise else (layer.n, layer.out_h, layer.out_w)


def row_tiles(layer: Layer, config: Config) -> int:
    """Return how many blocks of block_m rows, or boxes of output pixels, cover the output."""
    if config.box is None:
        return ceil(layer.rows / config.block_m)
    return prod(ceil(size / box) for size, box in zip(output_pixels(layer), config.box, strict=True))


def channel_tiles(layer: Layer, config: Config) -> int:
    return ceil(layer.c_out / config.block_n)


def depth_steps(layer: Layer, config: Config) -> tuple[int, int]:
    """Return the steps of block_k over the first and the second operand's depth. A step stays within one tap."""
    block_k = config.block_k
    if layer.columns.flat:
        first = ceil(prod(layer.kernel) * layer.c_in / block_k)
    else:
        first = prod(layer.kernel) * ceil(layer.c_in / block_k)
    return first, ceil(layer.c_in2 / block_k)


def stem_grid(layer: Layer, config: Config) -> tuple[int, int, int]:
    """Return a stem's grid: a program computes block_m - 1 pooled pixels by block_n channels of `group_m` rows."""
    height, width = layer.pooled
    m_tiles = ceil(layer.n * width / (config.block_m - 1))
    return m_tiles, ceil(height / config.group_m), ceil(layer.c_out / config.block_n)


def linear_layer(layer: Layer) -> Layer:
    """Return the second of a head's two kernels: a 1x1 convolution of the averages, images of one pixel."""
    return replace(layer, h=1, w=1, prologue=False, mean=False, reads="")


def needs_64_bit(layer: Layer, config: Config) -> bool:
    """Tell whether an offset passes 2^31. 64-bit offsets cost registers in the loop, so only then are they used."""
    h2, w2, c2, _ = layer.second or (0, 0, 0, 1)
    read = max(layer.n * layer.h * layer.w * layer.c_in, layer.n * h2 * w2 * c2)
    return max(read, layer.rows * layer.c_out * config.split_k) >= 2**31
