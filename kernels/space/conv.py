"""Which configurations are worth trying for a convolution, and in what order: arithmetic, without torch or a GPU.

The tuner measures what `space` lists, in the order of `predicted_us`; `default` is the model's first choice for a layer
that nobody measured. The model knows waves of programs over SMs, the tensor cores, L2, memory and the launch. It is
there to order candidates, not to be quoted.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import product
from math import ceil, prod

from kernels.cards.archs import ARCHS
from kernels.cards.constants import on_change
from kernels.space.config import Config
from kernels.space.fit import doubtful, from_registers, impossible, may_be_wrong, shared_bytes, unfit, unsafe
from kernels.space.layer import BYTES, Layer
from kernels.space.machine import Machine, machine_of
from kernels.space.registers import reads_shared, registers
from kernels.space.tiling import channel_tiles, pixels, row_tiles, steps

__all__ = ["boxes", "default", "predicted_us", "space", "unfit", "unsafe"]

# Own estimates, to be replaced by measurements: a load that misses L2, and a tile's start and epilogue beside its loop.
LOAD_US = 0.7
TILE_US = 1.0


def predicted_us(layer: Layer, config: Config, machine: Machine) -> float:
    """Microseconds in a CUDA graph, by the model."""
    size = BYTES[layer.dtype]
    depth = ceil(sum(steps(layer, config)) / config.split_k)
    tiles = row_tiles(layer, config) * channel_tiles(layer, config) * config.split_k
    resident = _resident(layer, config, machine)
    flops = machine.product_rate(layer.dtype, config.impl) / machine.sms
    l2, launch = machine.l2_per_sm, machine.constants.launch_time_us(config.pdl)

    def together(sharing: int) -> float:
        """Seconds for `sharing` programs at once on an SM."""
        tensor = sharing * 2 * config.block_m * config.block_n * config.block_k / flops
        fetch = sharing * (config.block_m + config.block_n) * config.block_k * size / l2
        hidden = LOAD_US * 1e-6 / max(config.stages - 1, 1)
        return depth * max(tensor, fetch, hidden) + TILE_US * 1e-6 / sharing

    waves, rest = divmod(ceil(tiles / machine.sms), resident)
    busy = waves * together(resident) + (together(rest) if rest else 0)
    memory = layer.bytes / machine.copy_rate
    us = launch + 1e6 * max(busy, memory)
    if config.split_k > 1:
        partial = 2 * 4 * config.split_k * layer.rows * layer.c_out  # written and read, in L2 where it fits
        us += launch + 1e6 * partial / (l2 * machine.sms)
    return us


def space(layer: Layer, arch: int, sms: int | None = None, gpu: str = "", limit: int = 0) -> list[Config]:
    """Configurations that compute this layer and fit the GPU, the model's best first; `limit` of them if set.

    With programmatic dependent launch wherever there is any (sm_90 and up), and in series where `from_registers`.
    """
    machine = machine_of(arch, sms, gpu)
    found = [
        replace(config, split_k=split_k, serial=from_registers(layer, config, machine.arch))
        for config in (*_pointers(layer, machine), *(_bulk(layer, machine) if machine.arch >= 90 else ()))
        for split_k in _splits(layer, config, machine)
    ]
    shared = ARCHS[machine.arch].shared
    found = [c for c in found if not impossible(layer, c) and shared_bytes(layer, c, machine.arch) <= shared]
    found = [
        c for c in found if registers(layer, c, machine.arch) <= 280
    ]  # the estimate is not that good; what spills is refused
    found.sort(key=lambda config: (round(predicted_us(layer, config, machine), 1), *_habits(layer, config, machine)))
    return found[:limit] if limit else found


def _resident(layer: Layer, config: Config, machine: Machine) -> int:
    """Programs at once on an SM."""
    used = min(registers(layer, config, machine.arch), 255)
    shared = shared_bytes(layer, config, machine.arch)
    return max(ARCHS[machine.arch].resident_blocks(config.warps, used, shared), 1)


def _habits(layer: Layer, config: Config, machine: Machine) -> tuple[int, bool, int, int, int, int, int, str]:
    """What is tried first where the model sees no difference.

    No split; on windows 4 warps, with which nobody has seen wrong numbers (`may_be_wrong`); 16 warps on an SM or as
    many as there are, where it is they that issue the products; a depth of 128 bytes or so; 3 or 4 stages; tiles of
    some 128x128, and of these the most warps, which hide more of what they wait for.
    """
    warps = config.warps * _resident(layer, config, machine)
    issuing = 0 if reads_shared(layer, machine.arch) else -min(warps, 16)
    depth, stages = abs(config.block_k.bit_length() - 7), (3, 4, 2, 5).index(config.stages)
    tile = abs(config.block_m.bit_length() - 8) + abs(config.block_n.bit_length() - 8)
    many = config.warps > 4 and layer.kernel != (1, 1)
    return config.split_k, many, issuing, depth, stages, tile, -warps, str(config)


@cache
def default(layer: Layer, arch: int, sms: int | None = None, gpu: str = "") -> Config:
    """The model's choice for a layer that was never measured, of those that need no checking.

    Where all may spill, it is the one that needs the fewest registers.
    """
    known, found = machine_of(arch).arch, space(layer, arch, sms, gpu)
    for config in found:
        if not doubtful(layer, config, known):
            return config
    safe = [config for config in found if not may_be_wrong(layer, config, known)]
    return min(safe, key=lambda config: registers(layer, config, known))


on_change(default.cache_clear)


def _blocks(layer: Layer, rows: int) -> list[tuple[int, int, int, int]]:
    """(block_m, block_n, block_k, warps) without padding that a smaller block would save."""
    fp32 = layer.dtype == "fp32"
    depths = {2: (32, 64, 128), 4: (16, 32, 64)}[BYTES[layer.dtype]]
    found = []
    for m, n, k, warps in product((16, 32, 64, 128, 256), (16, 32, 64, 128, 256), depths, (4, 8)):
        share = m * n // (32 * warps)  # accumulators a thread: 64 or fewer feed the FMA units, 128 the tensor cores
        if share > (64 if fp32 else 128) or share < 2:
            continue
        if (m > 16 and m >= 2 * rows) or (m < 64 and rows > 64) or (n > 16 and n >= 2 * layer.c_out):
            continue
        if n < 64 and layer.c_out >= 64:
            continue
        if k > depths[0] and k >= 2 * max(_run(layer), layer.c_in2):
            continue
        found.append((m, n, k, warps))
    return found


def _run(layer: Layer) -> int:
    """Length of the depth that a step may stay in."""
    return prod(layer.kernel) * layer.c_in if layer.columns.flat else layer.c_in


def _pointers(layer: Layer, machine: Machine) -> list[Config]:
    pdl = machine.arch >= 90
    return [
        Config("ptr", m, n, k, warps, stages, pdl=pdl)
        for (m, n, k, warps), stages in product(_blocks(layer, layer.rows), (2, 3, 4, 5))
    ]


def _bulk(layer: Layer, machine: Machine) -> list[Config]:
    return [
        Config("tma", m, n, k, warps, stages, box, pdl=True)
        for (m, n, k, warps), stages in product(_blocks(layer, layer.rows), (2, 3, 4, 5))
        for box in boxes(layer, m)
        if m >= 64 and not from_registers(layer, Config("tma", m, n, k, warps, stages, box), machine.arch)
    ]


@cache
def boxes(layer: Layer, block_m: int) -> tuple[tuple[int, int, int], ...]:
    """The two coverings of the output by boxes of block_m pixels that waste least, and pixels in a row; a row if near.

    On sm_90 a box in a row stays in shared memory for wgmma, as any does on sm_100; others pass through registers, and
    `space` leaves them out.
    """
    powers = [2**i for i in range(9)]
    found = [
        (n, h, block_m // (n * h))
        for n, h in product(powers, powers)
        if block_m % (n * h) == 0 and block_m // (n * h) in powers
    ]
    sizes = pixels(layer)
    covered = {box: prod(ceil(size / b) * b for size, b in zip(sizes, box, strict=True)) for box in found}
    best = sorted(found, key=lambda box: (covered[box], -box[2], -box[1]))[:2]
    row = (1, 1, block_m)
    return tuple(dict.fromkeys([*best, row] if covered.get(row, 0) <= 1.25 * covered[best[0]] else best))


def _splits(layer: Layer, config: Config, machine: Machine) -> list[int]:
    """1, and where that leaves SMs without a program, the powers of two that give them one."""
    tiles = row_tiles(layer, config) * channel_tiles(layer, config)
    depth = sum(steps(layer, config))
    return [
        split for split in (1, 2, 4, 8, 16) if split == 1 or (tiles * split <= 2 * machine.sms and 2 * split <= depth)
    ]
