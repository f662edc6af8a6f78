"""The candidate configurations of a stem, ordered by a cost model: arithmetic, without torch or a GPU.

It does for stems what kernels.space.conv does for convolutions. A stem is a `Layer` with a `pool`; in its `Config`
`block_m` counts pooled pixels, one more than a program computes, and `group_m` the pooled rows that it computes in
turn.
"""

from __future__ import annotations

from itertools import product
from math import ceil, gcd, prod

from kernels.cards.archs import ARCHS
from kernels.cards.constants import cached
from kernels.space.config import Config
from kernels.space.layer import BYTES, Layer
from kernels.space.machine import Machine, machine_of
from kernels.space.registers import multiplies_from_shared
from kernels.space.tiling import stem_grid

# Estimates, not measured: a program's start; the time a row takes to issue beside its products, and the latency exposed
# while no other program uses the tensor cores.
START_US, ISSUE_US, EXPOSED_US = 1.5, 0.1, 0.6


def shared_bytes(layer: Layer, config: Config, arch: int) -> int:
    """Return an upper estimate of a block's shared memory: weights, and the larger of windows and the output tile."""
    r, run, size = layer.kernel[0], layer.window[0], BYTES[layer.dtype]
    windows = config.block_m * run * size * (r if _multiplies_from_shared(layer, config, arch) else 1)
    return 2 * config.block_n * r * run * size + max(windows, 4 * config.block_m * config.block_n) + 128


def registers(layer: Layer, config: Config) -> int:
    """Return an estimate of a thread's registers: windows, accumulator, running maximum, addresses and a constant."""
    size, threads, windows = BYTES[layer.dtype], 32 * config.warps, config.block_m * layer.window[0]
    loads = windows // (threads * gcd(layer.w * layer.c_in, 2 * layer.stride * layer.c_in, 16 // size))
    products = 2 * config.block_m * config.block_n
    values = (layer.kernel[0] * windows * size + products * (4 + size)) / (4 * threads)
    return int(1.45 * values) + 32 + max(4 * loads - 16, 0)


def _multiplies_from_shared(layer: Layer, config: Config, arch: int) -> bool:
    """Tell whether wgmma or tcgen05 multiply, which need 64 rows and read them from shared memory."""
    return multiplies_from_shared(layer, arch) and config.block_m >= 64


def rejection_reason(layer: Layer, config: Config, arch: int) -> str | None:
    """Say why this layer may not be computed with this configuration, or return None."""
    fixed = (config.impl, config.block_k, config.stages, config.split_k)
    if fixed != ("ptr", layer.window[0], 1, 1) or config.block_m < 16:
        return f"pointer loads, block_m from 16, block_k {layer.window[0]}, one stage and no split are all there is"
    limit, needed = ARCHS[arch].shared, shared_bytes(layer, config, arch)
    return f"{needed} bytes of shared memory, of {limit}" if needed > limit else None


def hazard_reason(layer: Layer, config: Config, arch: int) -> str | None:
    """Return None: no hazard is seen in a stem, as its products read x from shared memory."""
    return None


def predicted_us(layer: Layer, config: Config, machine: Machine) -> float:
    """Return the cost model's microseconds of a stem in a CUDA graph."""
    per_thread, shared = min(registers(layer, config), 255), shared_bytes(layer, config, machine.arch)
    resident = max(ARCHS[machine.arch].resident_blocks(config.warps, per_thread, shared), 1)
    row_flops = 2 * config.block_m * 2 * config.block_n * layer.kernel[0] * config.block_k
    row_us = 1e6 * row_flops / (machine.product_rate(layer.dtype, "ptr") / machine.sms)

    def wave_us(programs: int) -> float:
        rows_us = (2 * config.group_m + 1) * max(programs * (row_us + ISSUE_US), row_us + EXPOSED_US)
        return START_US + rows_us if programs else 0

    waves, rest = divmod(ceil(prod(stem_grid(layer, config)) / machine.sms), resident)
    read, written = layer.h * layer.w * layer.c_in, prod(layer.pooled) * layer.c_out
    memory_us = 1e6 * layer.n * (read * BYTES[layer.dtype] + written * BYTES[layer.out_dtype]) / machine.copy_rate
    return machine.constants.launch_time_us(config.pdl) + max(waves * wave_us(resident) + wave_us(rest), memory_us)


@cached
def candidates(layer: Layer, arch: int, sms: int | None = None, gpu: str = "") -> tuple[Config, ...]:
    """Return the configurations that compute this stem and fit the GPU, the model's best first."""
    machine, (height, _), (run, _) = machine_of(arch, sms, gpu), layer.pooled, layer.window
    strips = sorted({ceil(height / parts) for parts in range(1, height + 1)}, reverse=True)
    configs = [
        Config("ptr", m, n, run, warps, 1, group_m=strip, pdl=machine.arch >= 90)
        for m, n, strip, warps in product((128, 64, 32, 16), (64, 32, 16), strips, (4, 8))
        if n == 16 or n < 2 * layer.c_out
    ]
    # above 255 registers, as they are an estimate; the tuner rejects spills
    fitting = [c for c in configs if registers(layer, c) <= 280 and not rejection_reason(layer, c, machine.arch)]
    return tuple(sorted(fitting, key=lambda config: round(predicted_us(layer, config, machine), 1)))


@cached
def default_config(layer: Layer, arch: int, sms: int | None = None, gpu: str = "") -> Config:
    """Return the model's first choice that spills nothing, with 4 warps. Raises ValueError if no configuration fits."""
    table_arch = machine_of(arch).arch
    for config in candidates(layer, arch, sms, gpu):
        # kernels of float32, or that multiply from registers, use more than the estimate
        limit = 255 if _multiplies_from_shared(layer, config, table_arch) and BYTES[layer.dtype] == 2 else 200
        limit = min(limit, 240) if layer.writes and table_arch >= 100 else limit  # codes take some more there
        if config.warps == 4 and config.block_m <= 64 and registers(layer, config) <= limit:
            return config
    raise ValueError(f"packed: a {layer.kernel} window over {layer.c_in} channels is too large for sm_{arch}")
