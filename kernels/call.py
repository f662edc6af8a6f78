"""What the ops share at a call: what does not fit is refused by its name; a configuration, then aten or the kernel.

On CUDA it is the kernel that the installed table (`table.use`) or the model names; on a CPU plain aten in float32, and
with TRITON_INTERPRET=1 the kernel itself, interpreted, except for bf16, which the interpreter multiplies wrong
(docs/KERNELS.md, traps).
"""

from __future__ import annotations

from contextlib import nullcontext
from functools import cache
from typing import Protocol

import torch
from torch import Tensor

from kernels import kinds
from kernels.cards.cards import OLDEST
from kernels.launch import INTERPRETED, Operands
from kernels.packing import shape_of
from kernels.space.config import Config
from kernels.space.layer import Layer
from kernels.space.machine import machine_of
from kernels.table import config_for
from kernels.tf32 import rounded

LARGEST_ROWS = 2**31 - 512  # rows are counted in 32 bits, and the last tile runs past the end


class Weights(Protocol):
    """`Packed` or `Widened`."""

    weight: Tensor
    bias: Tensor
    dtype: torch.dtype
    c_in: int


def check_input(x: Tensor, packed: Weights) -> None:
    """Raises ValueError for an x [N, C, H, W] that these weights are not for, or that is not channels-last."""
    if not isinstance(x, Tensor) or x.dim() != 4:
        raise ValueError(f"x: {shape_of(x)}, not a tensor [N, C, H, W]")
    if x.dtype != packed.dtype or packed.weight.dtype != packed.dtype or packed.bias.dtype != torch.float32:
        held = f"{packed.weight.dtype} and a bias of {packed.bias.dtype}"
        raise ValueError(f"packed: for {packed.dtype}, holding {held}; x is {x.dtype}")
    if packed.weight.device != x.device or packed.bias.device != x.device:
        raise ValueError(f"packed: on {packed.weight.device}, its bias on {packed.bias.device}, and x on {x.device}")
    if x.shape[1] != packed.c_in:
        raise ValueError(f"x: {x.shape[1]} channels, and weights packed for {packed.c_in}")
    check_activation("x", x, x)


def check_activation(name: str, tensor: Tensor, x: Tensor, shape: tuple[int, ...] | None = None) -> None:
    """Raises ValueError for what is not of x's type and place, channels-last, and of this shape if one is given."""
    if not isinstance(tensor, Tensor) or tensor.dim() != 4:
        raise ValueError(f"{name}: {shape_of(tensor)}, not a tensor [N, C, H, W]")
    if tensor.dtype != x.dtype or tensor.device != x.device:
        raise ValueError(f"{name}: {tensor.dtype} on {tensor.device}, and x {x.dtype} on {x.device}")
    if shape is not None and tensor.shape != shape:
        raise ValueError(f"{name}: {list(tensor.shape)}, not {list(shape)}")
    _, c, h, w = tensor.shape
    # the strides themselves for torch 2.11, to which no tensor of a symbolic batch is channels-last
    if not tensor.is_contiguous(memory_format=torch.channels_last) and tensor.stride() != (h * w * c, 1, w * c, c):
        raise ValueError(f"{name}: strides {tensor.stride()} are not channels-last, and nothing is copied here")


def check_prologue(prologue: tuple[Tensor, Tensor] | None, x: Tensor) -> None:
    """Raises ValueError unless it is scale and shift [C], float32, beside x."""
    if prologue is not None and (len(prologue) != 2 or not all(isinstance(tensor, Tensor) for tensor in prologue)):
        raise ValueError("prologue: not the two tensors scale and shift")
    for tensor in prologue or ():
        if tensor.shape != (x.shape[1],) or tensor.dtype != torch.float32:
            raise ValueError(f"prologue: {tensor.dtype} {list(tensor.shape)}, not float32 [{x.shape[1]}]")
        if tensor.device != x.device or not tensor.is_contiguous():
            raise ValueError(f"prologue: not contiguous on {x.device}")


def check_rows(rows: int, what: str) -> None:
    """Raises ValueError for more than the kernels count; elements past 2^31 are no matter, they have 64-bit offsets."""
    if rows > LARGEST_ROWS:
        raise ValueError(f"x: {rows} {what} are more than 32 bits count; give it fewer images at once")


def run(layer: Layer, operands: Operands, out: Tensor, text: str) -> None:
    """Writes `out`. `text` is a configuration that overrides the table, or empty."""
    if out.numel() == 0:
        return
    on_gpu = out.device.type == "cuda"
    if not on_gpu and not (INTERPRETED and layer.dtype != "bf16"):
        y = kinds.reference(layer, operands, torch.float32)
        out.copy_(rounded(y) if layer.dtype == "tf32" else y)
        return
    name, arch, sms = _gpu(out.device) if on_gpu else ("", OLDEST, None)  # interpreted as for the oldest
    config = Config.parse(text) if text else config_for(layer, name, arch, sms)
    _check_config(layer, config, machine_of(arch).arch)
    with torch.cuda.device(out.device) if on_gpu else nullcontext():
        kinds.implementation(layer, config).launch(layer, config, operands, out)


@cache
def _check_config(layer: Layer, config: Config, arch: int) -> None:
    if reason := kinds.rejection_reason(layer, config, arch):
        raise ValueError(f"config: {config} for {layer.key}: {reason}")


@cache
def _gpu(device: torch.device) -> tuple[str, int, int]:
    """Name, compute capability as 90, number of SMs."""
    found = torch.cuda.get_device_properties(device)
    return found.name, found.major * 10 + found.minor, found.multi_processor_count
