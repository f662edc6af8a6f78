"""What a layer may be cut by, whichever kernel it is for: a convolution, a stem (`pool`) or a head (`mean`).

All of it is arithmetic, without torch and without a GPU.
"""

from __future__ import annotations

from collections.abc import Iterable

from kernels import config as of_conv
from kernels.config import Config, Layer
from kernels.space import conv as conv_space
from kernels.space import head as head_space
from kernels.space import stem as stem_space
from kernels.space.conv import Machine


def space(layer: Layer, arch: int, sms: int | None = None, gpu: str = "") -> Iterable[Config]:
    """Configurations that compute this layer and fit the GPU, the model's best first."""
    if layer.pool:
        return stem_space.space(layer, arch, sms, gpu)
    return head_space.space(layer, arch, sms, gpu) if layer.mean else conv_space.space(layer, arch, sms, gpu)


def default(layer: Layer, arch: int, sms: int | None = None, gpu: str = "") -> Config:
    """The model's choice for a layer that was never measured, of those that need no checking."""
    if layer.pool:
        return stem_space.default(layer, arch, sms, gpu)
    return head_space.default(layer, arch, sms, gpu) if layer.mean else conv_space.default(layer, arch, sms, gpu)


def predicted_us(layer: Layer, config: Config, machine: Machine) -> float:
    """Microseconds in a CUDA graph, by a model that is there to order configurations."""
    if layer.pool:
        return stem_space.predicted_us(layer, config, machine)
    return (head_space if layer.mean else conv_space).predicted_us(layer, config, machine)


def unfit(layer: Layer, config: Config, arch: int) -> str | None:
    """Why the kernels cannot compute this layer so, or None. What may come out wrong is no way to compute it either."""
    if layer.pool:
        return stem_space.unfit(layer, config, arch)
    return (head_space if layer.mean else of_conv).unfit(layer, config) or unsafe(layer, config, arch)


def unsafe(layer: Layer, config: Config, arch: int) -> str | None:
    """Why what is compiled of it may compute wrong numbers, or None. A stem's x comes from shared memory."""
    return None if layer.pool else of_conv.unsafe(head_space.product(layer) if layer.mean else layer, config, arch)
