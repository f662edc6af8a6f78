"""A call of an op: its arguments are checked, a configuration is chosen, and the kernel or aten computes it.

On CUDA the kernel runs in the configuration of the installed table (`table.install`) or of the cost model. On a CPU
aten computes in float32, or with TRITON_INTERPRET=1 the kernel, interpreted, except for bf16, which the interpreter
multiplies wrong (docs/KERNELS.md, traps).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from kernels import kinds
from kernels.cards.cards import OLDEST
from kernels.codes import round_codes
from kernels.launch import INTERPRETED, Operands, launch_layer
from kernels.packing import Packed, describe_shape
from kernels.space.config import Config
from kernels.space.layer import BYTES, Layer
from kernels.space.machine import machine_of
from kernels.stem import Widened
from kernels.table import config_for
from kernels.tf32 import round_tf32

LARGEST_ROWS = 2**31 - 512  # rows are counted in 32 bits, and the last tile runs past the end


class Target(NamedTuple):
    """A GPU that configurations are chosen for: its name, compute capability as 90, and number of SMs."""

    gpu: str
    arch: int
    sms: int | None


# the interpreter runs configurations for the oldest supported architecture
INTERPRETER = Target("", OLDEST, None)


def check_input(x: Tensor, packed: Packed | Widened) -> None:
    """Raise ValueError unless x is [N, C, H, W], channels-last, and of these weights' channels, dtype and device."""
    check_activation("x", x, x)
    if x.dtype != packed.dtype or packed.weight.dtype != packed.dtype or packed.bias.dtype != torch.float32:
        raise ValueError(
            f"packed: for {packed.dtype}, with a weight of {packed.weight.dtype} and a bias of {packed.bias.dtype}; "
            f"x is {x.dtype}"
        )
    if packed.weight.device != x.device or packed.bias.device != x.device:
        raise ValueError(f"packed: on {packed.weight.device}, its bias on {packed.bias.device}, and x on {x.device}")
    if x.shape[1] != packed.c_in:
        raise ValueError(f"x: {x.shape[1]} channels, and weights packed for {packed.c_in}")


def check_activation(name: str, tensor: Tensor, x: Tensor, shape: tuple[int, ...] | None = None) -> None:
    """Raise ValueError unless a tensor has x's dtype and device, is channels-last, and has `shape` if one is given."""
    if not isinstance(tensor, Tensor) or tensor.dim() != 4:
        raise ValueError(f"{name}: {describe_shape(tensor)}, not a tensor [N, C, H, W]")
    if tensor.dtype != x.dtype or tensor.device != x.device:
        raise ValueError(f"{name}: {tensor.dtype} on {tensor.device}, and x {x.dtype} on {x.device}")
    if shape is not None and tensor.shape != shape:
        raise ValueError(f"{name}: {list(tensor.shape)}, not {list(shape)}")
    _, c, h, w = tensor.shape
    # strides are compared for torch 2.11, where no tensor of a symbolic batch is_contiguous in channels-last
    if not tensor.is_contiguous(memory_format=torch.channels_last) and tensor.stride() != (h * w * c, 1, w * c, c):
        raise ValueError(f"{name}: strides {tensor.stride()} are not channels-last, and nothing is copied here")


def check_prologue(prologue: tuple[Tensor, Tensor] | None, x: Tensor) -> None:
    """Raise ValueError unless a prologue is scale and shift, float32 [C], on x's device."""
    if prologue is not None and (len(prologue) != 2 or not all(isinstance(tensor, Tensor) for tensor in prologue)):
        raise ValueError("prologue: not the two tensors scale and shift")
    for tensor in prologue or ():
        if tensor.shape != (x.shape[1],) or tensor.dtype != torch.float32:
            raise ValueError(f"prologue: {tensor.dtype} {list(tensor.shape)}, not float32 [{x.shape[1]}]")
        if tensor.device != x.device or not tensor.is_contiguous():
            raise ValueError(f"prologue: not contiguous on {x.device}")


def check_rows(rows: int, what: str) -> None:
    """Raise ValueError for more rows than the kernels can count. Elements may exceed 2^31: offsets are then 64-bit."""
    if rows > LARGEST_ROWS:
        raise ValueError(f"x: {rows} {what} are more than 32 bits count; give it fewer images at once")


def register_op(name: str, write: Callable[..., None], empty: Callable[..., Tensor]) -> None:
    """Register the ops `name`, which returns a new tensor, and `name`_out, which writes its last argument.

    `write` takes the arguments and the result to write, `empty` takes the arguments and returns memory for the result;
    their annotations are the ops' schemas. `empty` is also the fake implementation.
    """

    def compute(*arguments: Any) -> Tensor:
        out = empty(*arguments)
        write(*arguments, out)
        return out

    tags = (torch.Tag.needs_exact_strides,)
    schema = torch.library.infer_schema(empty, mutates_args=())
    op = torch.library.custom_op(f"resnet_bench::{name}", compute, mutates_args=(), schema=schema, tags=tags)
    op.register_fake(empty)
    torch.library.custom_op(f"resnet_bench::{name}_out", write, mutates_args=("out",), tags=tags)


cached_layer = cache(Layer)  # a layer caches what is computed from it


def call_op(name: str, operands: tuple[Any, ...], config: Config | None, out: Tensor | None) -> Tensor:
    """Return the result of the op `name`, new or written to `out`; `config` overrides the table."""
    arguments = (*operands, "" if config is None else str(config))
    if out is None:
        return getattr(torch.ops.resnet_bench, name)(*arguments)
    getattr(torch.ops.resnet_bench, f"{name}_out")(*arguments, out)
    return out


def compute_layer(layer: Layer, operands: Operands, out: Tensor, text: str) -> None:
    """Compute a layer into `out`; `text` is a configuration that overrides the table, or empty."""
    if out.numel() == 0:
        return
    target = target_of(out.device, layer.dtype)
    if target is None:
        y = kinds.reference(layer, operands, torch.float32)
        if BYTES[layer.out_dtype] == 1:
            y = round_codes(y, out.dtype)
        out.copy_(round_tf32(y) if layer.dtype == "tf32" else y)
        return
    config = Config.parse(text) if text else config_for(layer, *target)
    _check_config(layer, config, machine_of(target.arch).arch)
    with torch.cuda.device(out.device) if out.device.type == "cuda" else nullcontext():
        launch_layer(layer, config, operands, out)


@cache
def _check_config(layer: Layer, config: Config, arch: int) -> None:
    """Raise ValueError for a configuration that may not compute a layer."""
    if reason := kinds.space_of(layer).rejection_reason(layer, config, arch):
        raise ValueError(f"config: {config} for {layer.key}: {reason}")


def target_of(device: torch.device, precision: str) -> Target | None:
    """Return the target of a device, or None where aten computes: on a CPU that does not interpret, or in bf16."""
    if device.type == "cuda":
        return _gpu_target(device)
    return INTERPRETER if INTERPRETED and precision != "bf16" else None


@cache
def _gpu_target(device: torch.device) -> Target:
    gpu = torch.cuda.get_device_properties(device)
    return Target(gpu.name, gpu.major * 10 + gpu.minor, gpu.multi_processor_count)
