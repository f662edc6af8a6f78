"""The three kinds of layer: a table of the modules that list each kind's configurations and compute it.

Choosing a configuration needs no torch, so the table has the modules' names, and imports them on first use. Modules
that list configurations have the functions of `Space`, modules that compute a layer those of `Kernels`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from kernels.space.config import Config
from kernels.space.layer import Kind, Layer

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from kernels.launch import Call, Operands
    from kernels.space.machine import Machine


# by kind and `Config.impl`, the module that computes the layer; `kernels.space` has a module of each kind's name
KINDS: Mapping[Kind, Mapping[str, str]] = {
    # act(conv(act'(x)) + conv1x1(x2) + bias + residual)
    "conv": {"ptr": "kernels.conv", "tma": "kernels.conv_tma"},
    # maxpool(act(conv(x) + bias))
    "stem": {"ptr": "kernels.stem", "tma": "kernels.stem"},
    # mean(act'(x)) * weight + bias; its product is a convolution, which `impl` is for
    "head": {"ptr": "kernels.head", "tma": "kernels.head"},
}


class Space(Protocol):
    """A module with the configurations of a kind of layer; it needs no torch.

    - `candidates`: those that compute the layer and fit the GPU, the model's best first;
    - `default_config`: the model's choice for a layer that was never measured, of those that need no checking;
    - `predicted_us`: microseconds in a CUDA graph by the cost model, which is for ordering configurations;
    - `rejection_reason`: why the layer may not be computed with the configuration, impossible or unsafe, or None;
    - `hazard_reason`: why a compiled kernel may compute wrong numbers, or None.
    """

    def candidates(self, layer: Layer, arch: int, sms: int | None = None, gpu: str = "") -> Iterable[Config]: ...
    def default_config(self, layer: Layer, arch: int, sms: int | None = None, gpu: str = "") -> Config: ...
    def predicted_us(self, layer: Layer, config: Config, machine: Machine) -> float: ...
    def rejection_reason(self, layer: Layer, config: Config, arch: int) -> str | None: ...
    def hazard_reason(self, layer: Layer, config: Config, arch: int) -> str | None: ...


class Kernels(Protocol):
    """A module that computes a kind of layer.

    - `reference`: the layer in aten, computed in `dtype`;
    - `calls`: its launches with their arguments, in order; `scratch`: memory of `scratch_bytes` for what one kernel
      passes to the next, allocated by `calls` if None.
    """

    def reference(self, layer: Layer, operands: Operands, dtype: torch.dtype) -> Tensor: ...
    def calls(
        self, layer: Layer, config: Config, operands: Operands, out: Tensor, scratch: Tensor | None = None
    ) -> Iterator[Call]: ...
    def scratch_bytes(self, layer: Layer, config: Config) -> int: ...


if TYPE_CHECKING:  # so that mypy checks the table's modules against the protocols
    from kernels import conv, conv_tma, head, stem
    from kernels.space import conv as conv_space
    from kernels.space import head as head_space
    from kernels.space import stem as stem_space

    _kernels: tuple[Kernels, ...] = (conv, conv_tma, stem, head)
    _spaces: tuple[Space, ...] = (conv_space, stem_space, head_space)


_module = cache(import_module)


def space_of(layer: Layer) -> Space:
    """Return the module with this layer's configurations."""
    return cast(Space, _module(f"kernels.space.{layer.kind}"))


def implementation(layer: Layer, config: Config) -> Kernels:
    """Return the module that computes this layer in this configuration."""
    return cast(Kernels, _module(KINDS[layer.kind][config.impl]))


def reference(layer: Layer, operands: Operands, dtype: torch.dtype) -> Tensor:
    """Return the layer computed in aten in `dtype` from the rounded operands; the result is not rounded further."""
    module = cast(Kernels, _module(KINDS[layer.kind]["ptr"]))
    return module.reference(layer, operands, dtype)
