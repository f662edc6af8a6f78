"""Which configurations are worth trying for a stem, and in what order: arithmetic, without torch and without a GPU.

As kernels.space.conv for convolutions. A stem is a `Layer` with a `pool`; of a `Config` `block_m` counts pooled
pixels, one more than a program makes, and `group_m` the pooled rows that it makes one after the other.
"""

from __future__ import annotations

from functools import cache
from itertools import product
from math import ceil, gcd, prod

from kernels.cards.archs import ARCHS
from kernels.cards.constants import on_change
from kernels.space.config import Config
from kernels.space.layer import BYTES, Layer
from kernels.space.machine import Machine, machine_of
from kernels.space.tiling import stem_grid

# Own estimates, to be replaced by measurements: a program's start; of a row of it, what it issues beside its products,
# and how long it waits while no other program has the tensor cores.
START_US, ISSUE_US, EXPOSED_US = 1.5, 0.1, 0.6


def shared_bytes(layer: Layer, config: Config, arch: int) -> int:
    """A block's shared memory, an upper estimate: weights, and windows or a tile on its way out."""
    r, run, size = layer.kernel[0], layer.window[0], BYTES[layer.dtype]
    windows = config.block_m * run * size * (r if _from_shared(layer, config, arch) else 1)
    return 2 * config.block_n * r * run * size + max(windows, 4 * config.block_m * config.block_n) + 128


def registers(layer: Layer, config: Config) -> int:
    """A thread's registers, fitted to what is emitted: windows, accumulator, running maximum, addresses, the rest."""
    size, threads, windows = BYTES[layer.dtype], 32 * config.warps, config.block_m * layer.window[0]
    loads = windows // (threads * gcd(layer.w * layer.c_in, 2 * layer.stride * layer.c_in, 16 // size))
    products = 2 * config.block_m * config.block_n
    values = (layer.kernel[0] * windows * size + products * (4 + size)) / (4 * threads)
    return int(1.45 * values) + 32 + max(4 * loads - 16, 0)


def _from_shared(layer: Layer, config: Config, arch: int) -> bool:
    """Whether wgmma or tcgen05 multiply, which want 64 rows and read them from shared memory."""
    return arch in (90, 100, 103) and config.block_m >= 64 and layer.dtype != "fp32"


def unfit(layer: Layer, config: Config, arch: int) -> str | None:
    """Why the kernel should not compute this layer so on this architecture, or None."""
    fixed = (config.impl, config.block_k, config.stages, config.split_k)
    if fixed != ("ptr", layer.window[0], 1, 1) or config.block_m < 16:
        return f"pointer loads, block_m from 16, block_k {layer.window[0]}, one stage and no split are all there is"
    shared, needed = ARCHS[arch].shared, shared_bytes(layer, config, arch)
    return f"{needed} bytes of shared memory, of {shared}" if needed > shared else None


def unsafe(layer: Layer, config: Config, arch: int) -> str | None:
    """Why what is compiled of it may compute wrong numbers: of none it may, a stem's x comes from shared memory."""
    return None


def predicted_us(layer: Layer, config: Config, machine: Machine) -> float:
    """Microseconds in a CUDA graph, by a model that is there to order configurations, not to be quoted."""
    used, shared = min(registers(layer, config), 255), shared_bytes(layer, config, machine.arch)
    resident = max(ARCHS[machine.arch].resident_blocks(config.warps, used, shared), 1)
    multiplied = 2 * config.block_m * 2 * config.block_n * layer.kernel[0] * config.block_k
    row = 1e6 * multiplied / (machine.product_rate(layer.dtype, "ptr") / machine.sms)

    def together(sharing: int) -> float:
        """For `sharing` programs at once on an SM."""
        rows = (2 * config.group_m + 1) * max(sharing * (row + ISSUE_US), row + EXPOSED_US)
        return START_US + rows if sharing else 0

    waves, rest = divmod(ceil(prod(stem_grid(layer, config)) / machine.sms), resident)
    elements = layer.n * (layer.h * layer.w * layer.c_in + prod(layer.pooled) * layer.c_out)
    memory = 1e6 * elements * BYTES[layer.dtype] / machine.copy_rate
    return machine.constants.launch_time_us(config.pdl) + max(waves * together(resident) + together(rest), memory)


@cache
def space(layer: Layer, arch: int, sms: int | None = None, gpu: str = "") -> tuple[Config, ...]:
    """Configurations that compute this stem and fit the GPU, the model's best first."""
    machine, (high, _), (run, _) = machine_of(arch, sms, gpu), layer.pooled, layer.window
    strips = sorted({ceil(high / parts) for parts in range(1, high + 1)}, reverse=True)
    found = [
        Config("ptr", m, n, run, warps, 1, group_m=strip, pdl=machine.arch >= 90)
        for m, n, strip, warps in product((128, 64, 32, 16), (64, 32, 16), strips, (4, 8))
        if n == 16 or n < 2 * layer.c_out
    ]
    # the estimate of registers is not that good; what spills is refused
    fits = [c for c in found if registers(layer, c) <= 280 and not unfit(layer, c, machine.arch)]
    return tuple(sorted(fits, key=lambda config: round(predicted_us(layer, config, machine), 1)))


@cache
def default(layer: Layer, arch: int, sms: int | None = None, gpu: str = "") -> Config:
    """The model's choice of those that spill nothing; with 4 warps, as `space.default`."""
    known = machine_of(arch).arch
    for config in space(layer, arch, sms, gpu):
        # float32, and what is multiplied from registers, take more of them than are counted
        most = 255 if _from_shared(layer, config, known) and BYTES[layer.dtype] == 2 else 200
        if config.warps == 4 and config.block_m <= 64 and registers(layer, config) <= most:
            return config
    raise ValueError(f"packed: a {layer.kernel} window over {layer.c_in} channels is too large for sm_{arch}")


on_change(space.cache_clear)
on_change(default.cache_clear)
