# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False, disallow-untyped-decorators=False
"""What the kernels of convolutions have in common: the order of tiles, and how a step waits for its product."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def tile_of(pid, row_tiles, channel_tiles, GROUP_M: tl.constexpr):
    """Program number -> (row tile, channel tile), GROUP_M row tiles going through all channel tiles together: what they
    read of w is then in L2. Triton's tutorial 03 draws it.
    """
    first = pid // (GROUP_M * channel_tiles) * GROUP_M
    height = tl.minimum(row_tiles - first, GROUP_M)
    return first + pid % (GROUP_M * channel_tiles) % height, pid % (GROUP_M * channel_tiles) // height


@triton.jit
def used(acc):
    """The sums as they are, but read by something: the compiler waits for the products that make them.

    No instruction comes of it. Where a product reads A from registers, Triton leaves products in flight and ptxas
    before CUDA 13.3 writes to what they read (`kernels.compiled.hazards`).
    """
    return tl.inline_asm_elementwise("", "=f,0", [acc], dtype=tl.float32, is_pure=True, pack=1)
