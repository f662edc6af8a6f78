"""Which configurations are worth trying for a stem, and in what order: arithmetic, without torch and without a GPU.

As kernels.space.conv for convolutions. A stem is a `Layer` with a `pool`; of a `Config` `block_m` counts pooled
pixels, one more than a program makes, and `group_m` the pooled rows that it makes one after the other.
"""

from __future__ import annotations

from functools import cache
from itertools import product
from math import ceil, gcd, prod

from kernels.cards.constants import on_change
from kernels.config import ARCHS, BYTES, Config, Layer
from kernels.space.conv import Machine, machine_of

# Own estimates, to be replaced by measurements: a program's start; of a row of it, what it issues beside its products,
# and how long it waits while no other program has the tensor cores.
START_US, ISSUE_US, EXPOSED_US = 1.5, 0.1, 0.6


def window(layer: Layer) -> tuple[int, int]:
    """What the g-th pooled column reads of an image row: `run` values from (2 * g * stride - padding) * c - `lead`.

    The least power of two, and of these the best aligned. The pair's windows begin at `lead` and at lead + stride * c.
    """
    c, found = layer.c_in, []
    for align in (1, 2, 4, 8):
        if 2 * layer.stride * c % align == 0 and align * BYTES[layer.dtype] <= 16:
            lead = -layer.padding * c % align
            needed = max(lead + (layer.kernel[1] + layer.stride) * c, 16)
            found.append((1 << (needed - 1).bit_length(), -align, lead))
    run, _, lead = min(found)
    return run, lead


def pooled(layer: Layer) -> tuple[int, int]:
    return (layer.out_h + 1) // 2, (layer.out_w + 1) // 2


def grid_of(layer: Layer, config: Config) -> tuple[int, int, int]:
    """A program makes block_m - 1 pooled pixels in a row by block_n channels, `group_m` pooled rows of them."""
    high, wide = pooled(layer)
    m_tiles = ceil(layer.n * wide / (config.block_m - 1))
    return m_tiles, ceil(high / config.group_m), ceil(layer.c_out / config.block_n)


def shared_bytes(layer: Layer, config: Config, arch: int) -> int:
    """A block's shared memory, an upper estimate: weights, and windows or a tile on its way out."""
    r, run, size = layer.kernel[0], window(layer)[0], BYTES[layer.dtype]
    windows = config.block_m * run * size * (r if _from_shared(layer, config, arch) else 1)
    return 2 * config.block_n * r * run * size + max(windows, 4 * config.block_m * config.block_n) + 128


def registers(layer: Layer, config: Config) -> int:
    """A thread's registers, fitted to what is emitted: windows, accumulator, running maximum, addresses, the rest."""
    size, threads, windows = BYTES[layer.dtype], 32 * config.warps, config.block_m * window(layer)[0]
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
    if fixed != ("ptr", window(layer)[0], 1, 1) or config.block_m < 16:
        return f"pointer loads, block_m from 16, block_k {window(layer)[0]}, one stage and no split are all there is"
    shared, needed = ARCHS[arch].shared, shared_bytes(layer, config, arch)
    return f"{needed} bytes of shared memory, of {shared}" if needed > shared else None


def predicted_us(layer: Layer, config: Config, machine: Machine) -> float:
    """Microseconds in a CUDA graph, by a model that is there to order configurations, not to be quoted."""
    used, shared = min(registers(layer, config), 255), shared_bytes(layer, config, machine.arch)
    resident = max(ARCHS[machine.arch].blocks(config.warps, used, shared), 1)
    multiplied = 2 * config.block_m * 2 * config.block_n * layer.kernel[0] * config.block_k
    row = 1e6 * multiplied / (machine.product_rate(layer.dtype, "ptr") / machine.sms)

    def together(sharing: int) -> float:
        """For `sharing` programs at once on an SM."""
        rows = (2 * config.group_m + 1) * max(sharing * (row + ISSUE_US), row + EXPOSED_US)
        return START_US + rows if sharing else 0

    waves, rest = divmod(ceil(prod(grid_of(layer, config)) / machine.sms), resident)
    elements = layer.n * (layer.h * layer.w * layer.c_in + prod(pooled(layer)) * layer.c_out)
    memory = 1e6 * elements * BYTES[layer.dtype] / machine.copy_rate
    return machine.constants.launch(config.pdl) + max(waves * together(resident) + together(rest), memory)


@cache
def space(layer: Layer, arch: int, sms: int | None = None, gpu: str = "") -> tuple[Config, ...]:
    """Configurations that compute this stem and fit the GPU, the model's best first."""
    machine, (high, _), (run, _) = machine_of(arch, sms, gpu), pooled(layer), window(layer)
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
