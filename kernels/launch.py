"""One launch of a Triton kernel, and the same launch as a compilation: what is compiled ahead of time is what runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import Any, TypeAlias

import torch
import triton
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.compiler.compiler import make_backend
from triton.runtime.jit import JITFunction, create_function_from_signature
from triton.tools.tensor_descriptor import TensorDescriptor

from kernels.interpreter import take_sizes_of_one
from kernels.packing import TORCH_TYPES
from kernels.space.config import Config
from kernels.space.layer import Layer

INTERPRETED: bool = triton.knobs.runtime.interpret
if INTERPRETED:
    take_sizes_of_one()

Argument: TypeAlias = Tensor | TensorDescriptor | int | None


@dataclass(frozen=True)
class Operands:
    """What a layer reads: x [N, C, H, W] and the like channels-last, packed weight, float32 per-channel vectors.

    The weight is of `pack`, and a stem's of `widen`.
    """

    x: Tensor
    weight: Tensor
    bias: Tensor
    residual: Tensor | None = None
    x2: Tensor | None = None
    scale: Tensor | None = None
    shift: Tensor | None = None

    @staticmethod
    def of(layer: Layer, device: str = "meta") -> Operands:
        """Uninitialised operands of a layer; on `meta` they have shapes and no memory."""
        dtype = TORCH_TYPES[layer.dtype]

        def activation(h: int, w: int, c: int) -> Tensor:
            return torch.empty(layer.n, c, h, w, dtype=dtype, device=device, memory_format=torch.channels_last)

        def vector(size: int) -> Tensor:
            return torch.empty(size, device=device)

        return Operands(
            activation(layer.h, layer.w, layer.c_in),
            torch.empty(layer.weight_shape, dtype=dtype, device=device),
            vector(layer.c_out),
            activation(layer.out_h, layer.out_w, layer.c_out) if layer.residual else None,
            activation(*layer.second[:3]) if layer.second else None,
            vector(layer.c_in) if layer.prologue else None,
            vector(layer.c_in) if layer.prologue else None,
        )


def output(layer: Layer, device: torch.device | str) -> Tensor:
    """Uninitialised memory for what a layer makes: [N, K, H, W], channels-last, and of a head logits [N, classes]."""
    order = torch.channels_last if len(layer.out_shape) == 4 else torch.contiguous_format
    return torch.empty(layer.out_shape, dtype=TORCH_TYPES[layer.dtype], device=device, memory_format=order)


@dataclass(frozen=True)
class Compilation:
    """What triton.compile needs to make the kernel that a launch runs; the options leave the architecture open."""

    kernel: Any
    signature: Mapping[str, str]
    constants: Mapping[str, Any]
    attributes: Mapping[tuple[int, ...], list[list[Any]]]
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Launch:
    """A kernel with all that a layer and a configuration fix; its arguments come with the call."""

    kernel: Any
    constants: Mapping[str, Any]
    grid: tuple[int, ...]
    options: Mapping[str, Any]

    def run(self, *arguments: Argument) -> Any:
        """Enqueues it on the current stream; returns Triton's compiled kernel."""
        return self.kernel[self.grid](*arguments, **self.constants, **self.options)

    def compilation(self, *arguments: Argument) -> Compilation:
        """What a launch with these arguments compiles, down to the spelling by which Triton finds it again.

        Triton's own launcher says it, by the steps of `JITFunction.run` up to where it would ask the driver: what is
        constant, typed and aligned is spelled otherwise from version to version (3.6, 3.7).
        """
        if INTERPRETED:
            raise RuntimeError(
                "kernels defined under TRITON_INTERPRET=1 cannot be compiled: unset it before the import"
            )
        kernel, backend = self.kernel, make_backend(ANY)
        debug = {"debug": kernel.debug or triton.knobs.runtime.debug}
        given = dict(self.options) | debug | {"instrumentation_mode": triton.knobs.compilation.instrumentation_mode}
        told = {**self.constants, **given}
        bound, specialization, rest = _binder(kernel)(*arguments, **told)
        _, signature, constants, attributes = kernel._pack_args(backend, told, bound, specialization, rest)
        named = {kernel.arg_names[position]: value for (position,), value in constants.items()}
        return Compilation(kernel, signature, named, attributes, given)


# how arguments are specialised is one for all of NVIDIA's architectures
ANY = GPUTarget("cuda", 80, 32)


@cache
def _binder(kernel: Any) -> Any:
    """Triton's own reading of a call's arguments: bound by name, specialised, options apart."""
    return create_function_from_signature(kernel.signature, kernel.params, make_backend(ANY))


def options(config: Config) -> dict[str, Any]:
    launched = {"num_warps": config.warps, "num_stages": config.stages}
    return {**launched, "launch_pdl": True} if config.pdl and not INTERPRETED else launched


@contextmanager
def parsed_in_turn() -> Iterator[None]:
    """Python 3.11's parser counts its depth in one place for all threads, and fails if two meet (cpython#106905)."""
    parse, turn = JITFunction.parse, Lock()

    def alone(kernel: JITFunction) -> Any:
        with turn:
            return parse(kernel)

    JITFunction.parse = alone
    try:
        yield
    finally:
        JITFunction.parse = parse
