"""The candidate configurations of a head, ordered by a cost model: arithmetic, without torch or a GPU.

It does for heads what kernels.space.conv does for convolutions. A head is a `Layer` with a `mean`. With a `block_m` of
1 it is one kernel, with any other two: the averages, and their product with the weights in that configuration
(kernels/head.py says which is better when).
"""

from __future__ import annotations

from itertools import product
from math import ceil

from kernels.cards.constants import cached
from kernels.space import conv as conv_space
from kernels.space.config import Config
from kernels.space.layer import BYTES, Layer
from kernels.space.machine import Machine, machine_of
from kernels.space.tiling import MEAN_BLOCK_PIXELS, linear_layer

L2_RATE_OF_ONE_SM = 112e9  # bytes/s, most that one SM reads: 64 a cycle, at 1.755 GHz
START_US = 1.0  # estimate, not measured: a kernel's first loads and last stores


def rejection_reason(layer: Layer, config: Config, arch: int) -> str | None:
    """Say why this layer may not be computed with this configuration, or return None: impossible, or unsafe."""
    if config.block_m > 1:
        return conv_space.rejection_reason(linear_layer(layer), config, arch)
    if layer.reads:
        return "block_m: averages of codes are stored, as they are a step that is checked"
    if (config.impl, config.split_k) != ("ptr", 1):
        return "block_m: one image at a time has pointer loads, and no split"
    return None


def hazard_reason(layer: Layer, config: Config, arch: int) -> str | None:
    """Say why a compiled kernel may compute wrong numbers, or return None."""
    return conv_space.hazard_reason(linear_layer(layer), config, arch)


def predicted_us(layer: Layer, config: Config, machine: Machine) -> float:
    """Return the microseconds of a head's kernels in a CUDA graph, by the model of kernels/head.py's table."""
    size, pixels = BYTES[layer.in_dtype], layer.h * layer.w
    x_bytes, start_us = layer.n * pixels * layer.c_in * size, machine.constants.launch_time_us(config.pdl) + START_US
    if config.block_m > 1:
        return (
            start_us + 1e6 * x_bytes / machine.copy_rate + conv_space.predicted_us(linear_layer(layer), config, machine)
        )
    programs = layer.n * ceil(layer.c_out / config.block_n)
    program_bytes = (pixels + config.block_n) * layer.c_in * size
    sm_rate = min(L2_RATE_OF_ONE_SM, machine.constants.l2_bytes_per_s.value / min(programs, machine.sms))
    memory = (x_bytes + layer.c_out * layer.c_in * size) / machine.copy_rate
    return start_us + 1e6 * max(ceil(programs / machine.sms) * program_bytes / sm_rate, memory)


@cached
def candidates(layer: Layer, arch: int, sms: int | None = None, gpu: str = "") -> tuple[Config, ...]:
    """Return the configurations that compute this head and fit the GPU, the model's best first."""
    machine = machine_of(arch, sms, gpu)
    fused = [] if layer.reads else _fused_candidates(layer, arch)
    configs = [*fused, *conv_space.candidates(linear_layer(layer), arch, sms, gpu)]
    return tuple(sorted(configs, key=lambda config: round(predicted_us(layer, config, machine), 1)))


@cached
def default_config(layer: Layer, arch: int, sms: int | None = None, gpu: str = "") -> Config:
    """Return the better by the model: one kernel, or two with the matrix product's default configuration."""
    machine, two_kernels = machine_of(arch, sms, gpu), conv_space.default_config(linear_layer(layer), arch, sms, gpu)
    if layer.reads:
        return two_kernels
    return min((fused_config(layer, arch), two_kernels), key=lambda config: predicted_us(layer, config, machine))


def fused_config(layer: Layer, arch: int) -> Config:
    """Return the configuration of one kernel: steps of 256 bytes of channels, four in flight."""
    return Config("ptr", 1, 16, 256 // BYTES[layer.dtype], 8, 4, pdl=arch >= 90)


def _fused_candidates(layer: Layer, arch: int) -> list[Config]:
    """Return configurations of one kernel: 8 to 64 classes a program, 128 to 512 bytes of channels a step."""
    configs = []
    for n, depth, warps, stages in product((8, 16, 32, 64), (128, 256, 512), (4, 8), (2, 3, 4)):
        config = Config("ptr", 1, n, depth // BYTES[layer.dtype], warps, stages, pdl=arch >= 90)
        # float32 values of a thread: classes by channels, and pixels by channels
        values = config.block_k * (n + min(layer.h * layer.w, MEAN_BLOCK_PIXELS)) // (32 * warps)
        if values <= 128 and (n == 8 or n < 2 * layer.c_out):
            configs.append(config)
    return configs
