"""The candidate configurations of a convolution, ordered by a cost model: arithmetic, without torch or a GPU.

The tuner measures what `candidates` lists, in the order of `predicted_us`; `default_config` is the model's choice for a
layer that was never measured. The model has waves of programs over SMs, the tensor cores, L2, memory and the launch. It
is for ordering candidates; its times are not results.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import product
from math import ceil, prod

from kernels.cards.archs import ARCHS
from kernels.cards.constants import cached
from kernels.space.config import Config
from kernels.space.fit import (
    hazard_reason,
    incompatibility_reason,
    may_be_wrong,
    needs_serial,
    rejection_reason,
    shared_bytes,
    wgmma_reads_registers,
)
from kernels.space.layer import BYTES, Layer
from kernels.space.machine import Machine, machine_of
from kernels.space.registers import may_spill, multiplies_from_shared, registers
from kernels.space.tiling import channel_tiles, depth_steps, output_pixels, row_tiles

__all__ = ["boxes", "candidates", "default_config", "hazard_reason", "predicted_us", "rejection_reason"]

# Estimates, not measured: the latency of a load that misses L2; a tile's start and epilogue, which its loop excludes.
LOAD_US = 0.7
TILE_US = 1.0


def predicted_us(layer: Layer, config: Config, machine: Machine) -> float:
    """Return the cost model's microseconds of a layer's kernels in a CUDA graph."""
    size, x_size = BYTES[layer.dtype], BYTES[layer.in_dtype]
    depth = ceil(sum(depth_steps(layer, config)) / config.split_k)
    tiles = row_tiles(layer, config) * channel_tiles(layer, config) * config.split_k
    resident = _resident_programs(layer, config, machine)
    flops = machine.product_rate(layer.dtype, config.impl) / machine.sms
    l2, launch_us = machine.l2_per_sm, machine.constants.launch_time_us(config.pdl)

    def wave_seconds(programs: int) -> float:
        tensor = programs * 2 * config.block_m * config.block_n * config.block_k / flops
        fetch = programs * (config.block_m * x_size + config.block_n * size) * config.block_k / l2
        latency = LOAD_US * 1e-6 / max(config.stages - 1, 1)
        return depth * max(tensor, fetch, latency) + TILE_US * 1e-6 / programs

    waves, rest = divmod(ceil(tiles / machine.sms), resident)
    busy = waves * wave_seconds(resident) + (wave_seconds(rest) if rest else 0)
    memory = layer.bytes / machine.copy_rate
    us = launch_us + 1e6 * max(busy, memory)
    if config.split_k > 1:
        partial = 2 * 4 * config.split_k * layer.rows * layer.c_out  # written and read, in L2 where it fits
        us += launch_us + 1e6 * partial / (l2 * machine.sms)
    return us


def candidates(layer: Layer, arch: int, sms: int | None = None, gpu: str = "") -> list[Config]:
    """Return the configurations that compute this layer and fit the GPU, the best first.

    With programmatic dependent launch wherever there is any (sm_90 and up), and serial where `needs_serial`.
    """
    machine = machine_of(arch, sms, gpu)
    configs = [
        replace(config, split_k=split_k, serial=needs_serial(layer, config, machine.arch))
        for config in _configs(layer, machine)
        for split_k in _splits(layer, config, machine)
    ]
    shared = ARCHS[machine.arch].shared
    fitting = [
        config
        for config in configs
        if not incompatibility_reason(layer, config)
        and shared_bytes(layer, config, machine.arch) <= shared
        and registers(layer, config, machine.arch) <= 280  # above 255, as it is an estimate; the tuner rejects spills
    ]
    fitting.sort(
        key=lambda config: (round(predicted_us(layer, config, machine), 1), *_tie_break(layer, config, machine))
    )
    return fitting


def _resident_programs(layer: Layer, config: Config, machine: Machine) -> int:
    per_thread = min(registers(layer, config, machine.arch), 255)
    shared = shared_bytes(layer, config, machine.arch)
    return max(ARCHS[machine.arch].resident_blocks(config.warps, per_thread, shared), 1)


def _tie_break(layer: Layer, config: Config, machine: Machine) -> tuple[int, bool, int, int, int, int, int, str]:
    """Return a sort key for configurations with equal predictions: the first is tried first.

    Preferred are: no split; on windows 4 warps, with which wrong numbers were never seen (`may_be_wrong`); up to 16
    warps on an SM where warps issue the products; a depth of about 128 bytes; 3 or 4 stages; tiles near 128x128, and
    of these the most warps, which hide more latency.
    """
    warps = config.warps * _resident_programs(layer, config, machine)
    issuing = 0 if multiplies_from_shared(layer, machine.arch) else -min(warps, 16)
    depth, stages = (
        abs(config.block_k.bit_length() - (8 if BYTES[layer.dtype] == 1 else 7)),
        (3, 4, 2, 5).index(config.stages),
    )
    tile = abs(config.block_m.bit_length() - 8) + abs(config.block_n.bit_length() - 8)
    many_warps = config.warps > 4 and layer.kernel != (1, 1)
    return config.split_k, many_warps, issuing, depth, stages, tile, -warps, str(config)


@cached
def default_config(layer: Layer, arch: int, sms: int | None = None, gpu: str = "") -> Config:
    """Return the model's first choice that needs no checking; if all may spill, that with the fewest registers."""
    table_arch = machine_of(arch).arch
    safe = [config for config in candidates(layer, arch, sms, gpu) if not may_be_wrong(layer, config, table_arch)]
    unspilled = (config for config in safe if not may_spill(layer, config, table_arch))
    return next(unspilled, None) or min(safe, key=lambda config: registers(layer, config, table_arch))


def _blocks(layer: Layer) -> list[tuple[int, int, int, int]]:
    """Return (block_m, block_n, block_k, warps), leaving out padding that a smaller block would avoid."""
    fp32 = layer.dtype == "fp32"
    depths = (16, 32, 64) if BYTES[layer.dtype] == 4 else (32, 64, 128)
    blocks = []
    for m, n, k, warps in product((16, 32, 64, 128, 256), (16, 32, 64, 128, 256), depths, (4, 8)):
        accumulators = m * n // (32 * warps)  # of a thread: at most 64 for the FMA units, 128 for the tensor cores
        if accumulators > (64 if fp32 else 128) or accumulators < 2:
            continue
        if (m > 16 and m >= 2 * layer.rows) or (m < 64 and layer.rows > 64) or (n > 16 and n >= 2 * layer.c_out):
            continue
        if n < 64 and layer.c_out >= 64:
            continue
        if k > depths[0] and k >= 2 * max(_contiguous_depth(layer), layer.c_in2):
            continue
        blocks.append((m, n, k, warps))
    return blocks


def _contiguous_depth(layer: Layer) -> int:
    """Return the columns that a step can read without leaving its tap."""
    return prod(layer.kernel) * layer.c_in if layer.columns.flat else layer.c_in


def _configs(layer: Layer, machine: Machine) -> Iterator[Config]:
    """Yield configurations without a split: pointer loads, and bulk copies of boxes that wgmma reads in place."""
    hopper = machine.arch >= 90
    for (m, n, k, warps), stages in product(_blocks(layer), (2, 3, 4, 5)):
        yield Config("ptr", m, n, k, warps, stages, pdl=hopper)
        for box in boxes(layer, m) if hopper and m >= 64 else ():
            bulk = Config("tma", m, n, k, warps, stages, box, pdl=True)
            if not wgmma_reads_registers(layer, bulk, machine.arch):
                yield bulk


@cache
def boxes(layer: Layer, block_m: int) -> tuple[tuple[int, int, int], ...]:
    """Return the two boxes of block_m pixels that pad the output least, and a single row if it pads at most 25 % more.

    On sm_90 wgmma reads a box of one row from shared memory, on sm_100 any box; others pass through registers, and
    `candidates` leaves them out.
    """
    powers = [2**i for i in range(9)]
    all_boxes = [
        (n, h, block_m // (n * h))
        for n, h in product(powers, powers)
        if block_m % (n * h) == 0 and block_m // (n * h) in powers
    ]
    sizes = output_pixels(layer)
    covered = {box: prod(ceil(size / b) * b for size, b in zip(sizes, box, strict=True)) for box in all_boxes}
    best = sorted(all_boxes, key=lambda box: (covered[box], -box[2], -box[1]))[:2]
    row = (1, 1, block_m)
    return tuple(dict.fromkeys([*best, row] if covered.get(row, 0) <= 1.25 * covered[best[0]] else best))


def _splits(layer: Layer, config: Config, machine: Machine) -> list[int]:
    """Return 1 and, where that leaves SMs without a program, the powers of two that do not."""
    tiles = row_tiles(layer, config) * channel_tiles(layer, config)
    depth = sum(depth_steps(layer, config))
    return [
        split for split in (1, 2, 4, 8, 16) if split == 1 or (tiles * split <= 2 * machine.sms and 2 * split <= depth)
    ]
