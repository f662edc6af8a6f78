"""Launches of Triton kernels, and the compilations of the same launches ahead of time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import Any, TypeAlias

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.compiler.compiler import make_backend
from triton.runtime import interpreter
from triton.runtime.jit import JITFunction, create_function_from_signature
from triton.tools.tensor_descriptor import TensorDescriptor

from kernels.kinds import implementation
from kernels.packing import TORCH_TYPES
from kernels.space.config import Config
from kernels.space.layer import Layer

INTERPRETED: bool = triton.knobs.runtime.interpret


def _accept_one_element_bounds() -> None:
    """Allow a tensor of one element as the bound of a loop, in Triton 3.6 beside numpy 2.4 and later.

    The interpreter keeps a scalar in an array of shape [1]. Triton 3.6 passes that to `int`, which numpy rejects from
    2.4 on (before, it warned); 3.7 squeezes it first, so this changes nothing there.
    """
    original = interpreter._patch_lang_tensor

    def patched(tensor: Any, scope: Any) -> None:
        original(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda self: int(self.handle.data.squeeze()))

    interpreter._patch_lang_tensor = patched


def _convert_to_e4m3() -> None:
    """Let the interpreter round to e4m3 as torch does; its result is off where a mantissa carries (3.6, 3.7)."""
    original = interpreter._convert_float

    def converted(data: Any, source: Any, target: Any, rounding: Any) -> Any:
        if (source, target) != (tl.float32, tl.float8e4nv):
            return original(data, source, target, rounding)
        codes = torch.from_numpy(data.reshape(-1)).to(torch.float8_e4m3fn)
        return codes.view(torch.uint8).numpy().reshape(data.shape)

    interpreter._convert_float = converted


if INTERPRETED:
    _accept_one_element_bounds()
    _convert_to_e4m3()

Argument: TypeAlias = Tensor | TensorDescriptor | int | None
Call: TypeAlias = tuple["Launch", list[Argument]]  # a launch and its arguments


@dataclass(frozen=True)
class Operands:
    """The tensors that a layer reads: x, residual and x2, channels-last; packed weight; float32 vectors by channel.

    The weight is from `pack`, a stem's from `widen`. `factors`: of `kernels.codes`, `Layer.factors` of them.
    """

    x: Tensor
    weight: Tensor
    bias: Tensor
    residual: Tensor | None = None
    x2: Tensor | None = None
    scale: Tensor | None = None
    shift: Tensor | None = None
    factors: Tensor | None = None

    @staticmethod
    def empty(layer: Layer, device: str = "meta") -> Operands:
        """Return uninitialised operands of a layer; on `meta` they have shapes and no memory."""
        dtype = TORCH_TYPES[layer.in_dtype]

        def activation(h: int, w: int, c: int) -> Tensor:
            return torch.empty(layer.n, c, h, w, dtype=dtype, device=device, memory_format=torch.channels_last)

        def vector(size: int) -> Tensor:
            return torch.empty(size, device=device)

        return Operands(
            activation(layer.h, layer.w, layer.c_in),
            torch.empty(layer.weight_shape, dtype=TORCH_TYPES[layer.dtype], device=device),
            vector(layer.c_out),
            activation(layer.out_h, layer.out_w, layer.c_out) if layer.residual else None,
            activation(*layer.second[:3]) if layer.second else None,
            vector(layer.c_in) if layer.prologue else None,
            vector(layer.c_in) if layer.prologue else None,
            vector(layer.factors) if layer.factors else None,
        )


def empty_output(layer: Layer, device: torch.device | str) -> Tensor:
    """Return uninitialised memory for a layer's result: [N, K, H, W], channels-last, or a head's [N, classes]."""
    order = torch.channels_last if len(layer.out_shape) == 4 else torch.contiguous_format
    return torch.empty(layer.out_shape, dtype=TORCH_TYPES[layer.out_dtype], device=device, memory_format=order)


@dataclass(frozen=True)
class Compilation:
    """The arguments of triton.compile for the kernel of a launch; the architecture is chosen when compiling."""

    kernel: Any
    signature: Mapping[str, str]
    constants: Mapping[str, Any]
    attributes: Mapping[tuple[int, ...], list[list[Any]]]
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Launch:
    """A kernel with the constants, grid and options that a layer and a configuration fix."""

    kernel: Any
    constants: Mapping[str, Any]
    grid: tuple[int, ...]
    options: Mapping[str, Any]

    def enqueue(self, *arguments: Argument) -> Any:
        """Launch the kernel on the current stream, and return Triton's compiled kernel."""
        return self.kernel[self.grid](*arguments, **self.constants, **self.options)

    def compilation(self, *arguments: Argument) -> Compilation:
        """Return what a launch with these arguments compiles, with the same key in Triton's cache.

        The steps are those of `JITFunction.run` up to where it needs the driver, by Triton's functions, as the spelling
        of constants, types and alignment differs between versions (3.6, 3.7).
        """
        if INTERPRETED:
            raise RuntimeError(
                "kernels defined under TRITON_INTERPRET=1 cannot be compiled: unset it before the import"
            )
        kernel, backend = self.kernel, make_backend(ANY_TARGET)
        debug = {"debug": kernel.debug or triton.knobs.runtime.debug}
        options = dict(self.options) | debug | {"instrumentation_mode": triton.knobs.compilation.instrumentation_mode}
        keywords = {**self.constants, **options}
        bound, specialization, rest = _binder(kernel)(*arguments, **keywords)
        _, signature, constants, attributes = kernel._pack_args(backend, keywords, bound, specialization, rest)
        by_name = {kernel.arg_names[position]: value for (position,), value in constants.items()}
        return Compilation(kernel, signature, by_name, attributes, options)


def launch_layer(layer: Layer, config: Config, operands: Operands, out: Tensor) -> None:
    """Enqueue a layer's kernels on the current stream, which write `out`. Raises ValueError for unaligned memory."""
    for launch, arguments in implementation(layer, config).calls(layer, config, operands, out):
        launch.enqueue(*arguments)


def compilations(layer: Layer, config: Config) -> tuple[Compilation, ...]:
    """Return the compilations of the kernels that `launch_layer` would enqueue, in order."""
    calls = implementation(layer, config).calls(layer, config, Operands.empty(layer), empty_output(layer, "meta"))
    return tuple(launch.compilation(*arguments) for launch, arguments in calls)


# arguments are specialised in the same way for all of NVIDIA's architectures
ANY_TARGET = GPUTarget("cuda", 80, 32)


@cache
def _binder(kernel: Any) -> Any:
    """Return Triton's function that binds a call's arguments by name, specialises them and separates the options."""
    return create_function_from_signature(kernel.signature, kernel.params, make_backend(ANY_TARGET))


def launch_options(config: Config, layer: Layer) -> dict[str, Any]:
    """Return Triton's options of a launch in this configuration; codes are rounded as `kernels.codes` says."""
    options = {"num_warps": config.warps, "num_stages": config.stages}
    if layer.factors:
        options["enable_fp_fusion"] = False
    return {**options, "launch_pdl": True} if config.pdl and not INTERPRETED else options


@contextmanager
def serialized_parsing() -> Iterator[None]:
    """Let one thread at a time parse kernels: Python 3.11's parser is not thread-safe (cpython#106905)."""
    parse, lock = JITFunction.parse, Lock()

    def parse_locked(kernel: JITFunction) -> Any:
        with lock:
            return parse(kernel)

    JITFunction.parse = parse_locked
    try:
        yield
    finally:
        JITFunction.parse = parse
