"""What a configuration makes of a layer: its tiles, its grid, its steps. What a launch is made of, and a prediction.

The digest of a bundle covers this file, as it does `layer` and `config`; how configurations are ranked is elsewhere.
"""

from __future__ import annotations

from dataclasses import replace
from math import ceil, prod

from kernels.space.config import Config
from kernels.space.layer import Layer

PIXELS = 64  # at most, of a block that a head averages


def pixels(layer: Layer) -> tuple[int, int, int]:
    """Images, height, width of the output as boxes cover it: one long row where the image's shape does not matter."""
    return (1, 1, layer.rows) if layer.pointwise else (layer.n, layer.out_h, layer.out_w)


def row_tiles(layer: Layer, config: Config) -> int:
    if config.box is None:
        return ceil(layer.rows / config.block_m)
    return prod(ceil(size / box) for size, box in zip(pixels(layer), config.box, strict=True))


def channel_tiles(layer: Layer, config: Config) -> int:
    return ceil(layer.c_out / config.block_n)


def steps(layer: Layer, config: Config) -> tuple[int, int]:
    """Steps of block_k over the first and over the second operand's depth. A step stays within one tap."""
    block_k, cols = config.block_k, layer.columns
    if cols.flat:
        first = ceil(prod(layer.kernel) * layer.c_in / block_k)
    else:
        first = prod(layer.kernel) * ceil(layer.c_in / block_k)
    return first, ceil(layer.c_in2 / block_k)


def stem_grid(layer: Layer, config: Config) -> tuple[int, int, int]:
    """A program makes block_m - 1 pooled pixels in a row by block_n channels, `group_m` pooled rows of them."""
    high, wide = layer.pooled
    m_tiles = ceil(layer.n * wide / (config.block_m - 1))
    return m_tiles, ceil(high / config.group_m), ceil(layer.c_out / config.block_n)


def product(layer: Layer) -> Layer:
    """The second of a head's two kernels: a 1x1 convolution of the averages, images of one pixel."""
    return replace(layer, h=1, w=1, prologue=False, mean=False)


def wide(layer: Layer, config: Config) -> bool:
    """Whether an offset passes 2^31, which 64-bit arithmetic is kept for: it costs registers in the loop."""
    h2, w2, c2, _ = layer.second or (0, 0, 0, 1)
    read = max(layer.n * layer.h * layer.w * layer.c_in, layer.n * h2 * w2 * c2)
    return max(read, layer.rows * layer.c_out * config.split_k) >= 2**31
