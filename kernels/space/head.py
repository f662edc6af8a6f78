"""Which configurations are worth trying for a head, and in what order: arithmetic, without torch and without a GPU.

As kernels.space.conv for convolutions. A head is a `Layer` with a `mean`. A `block_m` of 1 says one kernel, any other
two: averages, and their product with the weights by that configuration (kernels/head.py says which is better when).
"""

from __future__ import annotations

from functools import cache
from itertools import product as every
from math import ceil

from kernels.cards.constants import on_change
from kernels.space import conv as conv_space
from kernels.space.config import Config
from kernels.space.layer import BYTES, Layer
from kernels.space.machine import Machine, machine_of
from kernels.space.tiling import PIXELS, product

L2_ONE_SM = 112e9  # bytes/s that one SM takes at most: 64 a cycle, at 1.755 GHz
START_US = 1.0  # own estimate: a kernel's first loads and its last stores


def unfit(layer: Layer, config: Config, arch: int) -> str | None:
    """Why the kernels cannot compute this layer so, or None. What may come out wrong is no way to compute it either."""
    if config.block_m > 1:
        return conv_space.unfit(product(layer), config, arch)
    if (config.impl, config.split_k) != ("ptr", 1):
        return "block_m: one image at a time has pointer loads, and no split"
    return None


def unsafe(layer: Layer, config: Config, arch: int) -> str | None:
    """Why what is compiled of it may compute wrong numbers, or None."""
    return conv_space.unsafe(product(layer), config, arch)


def predicted_us(layer: Layer, config: Config, machine: Machine) -> float:
    """Microseconds in a CUDA graph, by the model of kernels/head.py's table."""
    size, pixels = BYTES[layer.dtype], layer.h * layer.w
    rate = machine.copy_rate
    x, start = layer.n * pixels * layer.c_in * size, machine.constants.launch_time_us(config.pdl) + START_US
    if config.block_m > 1:
        return start + 1e6 * x / rate + conv_space.predicted_us(product(layer), config, machine)
    programs = layer.n * ceil(layer.c_out / config.block_n)
    each = (pixels + config.block_n) * layer.c_in * size
    one = min(L2_ONE_SM, machine.constants.l2_bytes_per_s.value / min(programs, machine.sms))
    memory = (x + layer.c_out * layer.c_in * size) / rate
    return start + 1e6 * max(ceil(programs / machine.sms) * each / one, memory)


@cache
def space(layer: Layer, arch: int, sms: int | None = None, gpu: str = "") -> tuple[Config, ...]:
    """Configurations that compute this head and fit the GPU, the model's best first."""
    machine = machine_of(arch, sms, gpu)
    found = [*_one(layer, arch), *conv_space.space(product(layer), arch, sms, gpu)]
    return tuple(sorted(found, key=lambda config: round(predicted_us(layer, config, machine), 1)))


@cache
def default(layer: Layer, arch: int, sms: int | None = None, gpu: str = "") -> Config:
    """The better by the model: one kernel, or two with the product's own default."""
    machine, two = machine_of(arch, sms, gpu), conv_space.default(product(layer), arch, sms, gpu)
    return min((fused(layer, arch), two), key=lambda config: predicted_us(layer, config, machine))


def fused(layer: Layer, arch: int) -> Config:
    """One kernel: steps of 256 bytes of channels, four in flight."""
    return Config("ptr", 1, 16, 256 // BYTES[layer.dtype], 8, 4, pdl=arch >= 90)


def _one(layer: Layer, arch: int) -> list[Config]:
    """One kernel, from few classes a program to many: 128 to 512 bytes of channels a step, two to four in flight."""
    found = []
    for n, depth, warps, stages in every((8, 16, 32, 64), (128, 256, 512), (4, 8), (2, 3, 4)):
        config = Config("ptr", 1, n, depth // BYTES[layer.dtype], warps, stages, pdl=arch >= 90)
        # what a thread adds up: classes by channels, and before them pixels by channels
        held = config.block_k * (n + min(layer.h * layer.w, PIXELS)) // (32 * warps)
        if held <= 128 and (n == 8 or n < 2 * layer.c_out):
            found.append(config)
    return found


on_change(space.cache_clear)
on_change(default.cache_clear)
