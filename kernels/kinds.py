"""The three kinds of layer, and for each who cuts it and who computes it: one table, which all others ask.

Choosing configurations needs no torch, so the modules of the table are named here and imported when they are asked for.
Those that cut a layer have the functions of `Space`, those that compute it the functions of `Kernels`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from kernels.space.config import Config
from kernels.space.layer import Kind, Layer

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from kernels.launch import Argument, Compilation, Launch, Operands
    from kernels.space.machine import Machine


@dataclass(frozen=True)
class Row:
    """Modules' names: `space` lists configurations; `kernels`, by `Config.impl`, compute the layer."""

    space: str
    kernels: Mapping[str, str]


KINDS: Mapping[Kind, Row] = {
    # act(conv(act'(x)) + conv1x1(x2) + bias + residual)
    "conv": Row("kernels.space.conv", {"ptr": "kernels.conv", "tma": "kernels.conv_tma"}),
    # maxpool(act(conv(x) + bias))
    "stem": Row("kernels.space.stem", {"ptr": "kernels.stem", "tma": "kernels.stem"}),
    # mean(act'(x)) * weight + bias; its product is a convolution, which `impl` is for
    "head": Row("kernels.space.head", {"ptr": "kernels.head", "tma": "kernels.head"}),
}


class Space(Protocol):
    """How a kind of layer may be cut; no torch."""

    def candidates(self, layer: Layer, arch: int, sms: int | None = None, gpu: str = "") -> Iterable[Config]: ...
    def default_config(self, layer: Layer, arch: int, sms: int | None = None, gpu: str = "") -> Config: ...
    def predicted_us(self, layer: Layer, config: Config, machine: Machine) -> float: ...
    def rejection_reason(self, layer: Layer, config: Config, arch: int) -> str | None: ...
    def hazard_reason(self, layer: Layer, config: Config, arch: int) -> str | None: ...


class Kernels(Protocol):
    """What computes a kind of layer.

    - `reference`: the same in aten, computed in `dtype`;
    - `calls`: its launches with their arguments, in order; `scratch_bytes`: the size of what they pass between them,
      for which `scratch` is memory;
    - `launch`, `compilation`: the same run, and compiled.
    """

    def reference(self, layer: Layer, operands: Operands, dtype: torch.dtype) -> Tensor: ...
    def calls(
        self, layer: Layer, config: Config, operands: Operands, out: Tensor, scratch: Tensor | None = None
    ) -> Iterator[tuple[Launch, list[Argument]]]: ...
    def scratch_bytes(self, layer: Layer, config: Config) -> int: ...
    def launch(self, layer: Layer, config: Config, operands: Operands, out: Tensor) -> None: ...
    def compilation(self, layer: Layer, config: Config) -> tuple[Compilation, ...]: ...


if TYPE_CHECKING:  # so that mypy holds the modules of the table against what is said of them
    from kernels import conv, conv_tma, head, stem
    from kernels.space import conv as conv_space
    from kernels.space import head as head_space
    from kernels.space import stem as stem_space

    _kernels: tuple[Kernels, ...] = (conv, conv_tma, stem, head)
    _spaces: tuple[Space, ...] = (conv_space, stem_space, head_space)


@cache
def _space(kind: Kind) -> Any:
    return import_module(KINDS[kind].space)


@cache
def _kernels_of(kind: Kind, impl: str) -> Any:
    return import_module(KINDS[kind].kernels[impl])


def space_of(layer: Layer) -> Space:
    """Who says how this layer may be cut."""
    module: Space = _space(layer.kind)
    return module


def implementation(layer: Layer, config: Config) -> Kernels:
    """What computes this layer when it is cut so."""
    module: Kernels = _kernels_of(layer.kind, config.impl)
    return module


def reference(layer: Layer, operands: Operands, dtype: torch.dtype) -> Tensor:
    """The layer in plain aten, computed in `dtype` from the rounded operands, the result not rounded further."""
    module: Kernels = _kernels_of(layer.kind, "ptr")
    return module.reference(layer, operands, dtype)


def candidates(layer: Layer, arch: int, sms: int | None = None, gpu: str = "") -> Iterable[Config]:
    """Configurations that compute this layer and fit the GPU, the model's best first."""
    return space_of(layer).candidates(layer, arch, sms, gpu)


def default_config(layer: Layer, arch: int, sms: int | None = None, gpu: str = "") -> Config:
    """The model's choice for a layer that was never measured, of those that need no checking."""
    return space_of(layer).default_config(layer, arch, sms, gpu)


def predicted_us(layer: Layer, config: Config, machine: Machine) -> float:
    """Microseconds in a CUDA graph, by a model that is there to order configurations."""
    return space_of(layer).predicted_us(layer, config, machine)


def rejection_reason(layer: Layer, config: Config, arch: int) -> str | None:
    """Why the kernels cannot compute this layer so, or None. What may come out wrong is no way to compute it either."""
    return space_of(layer).rejection_reason(layer, config, arch)


def hazard_reason(layer: Layer, config: Config, arch: int) -> str | None:
    """Why what is compiled of it may compute wrong numbers, or None."""
    return space_of(layer).hazard_reason(layer, config, arch)
