"""A program's steps by the vendor library: which `per-layer` compares with this project's kernels, group by group."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kernels.tf32 import round_tf32
from resnet.fused.program import Conv, Head, Step
from resnet.fused.steps import Values
from resnet.library.ops import CudnnConv, as_conv
from resnet.runner import DTYPES


class LibraryConv(nn.Module):
    """A convolution and, if it has them, the projection that it adds, computed before, and its pool: [N, K, H', W'].

    For tf32 the result is rounded to it, because this project's kernels would truncate it. The rounding is one more
    pass over the result, and its time counts as a cost of the library in `per-layer`.
    """

    def __init__(self, step: Conv, precision: str) -> None:
        super().__init__()
        dtype, self.rounds = DTYPES[precision], precision == "tf32"
        self.source, self.residual, self.relu, self.pool = step.source, step.residual, step.relu, step.pool
        self.conv = _cudnn_conv(step.weight, step.bias, step.stride, step.padding, dtype)
        self.shortcut, self.projection = None, None
        if step.shortcut is not None:
            self.shortcut = step.shortcut.source
            self.projection = _cudnn_conv(step.shortcut.weight, step.shortcut.bias, step.shortcut.stride, 0, dtype)

    def forward(self, values: Values) -> Tensor:
        y = self.conv(values[self.source], self._residual(values), self.relu)
        if self.pool:  # without a ReLU its padding is zeros, not max_pool2d's minus infinity
            y = F.max_pool2d(y, 3, 2, 1) if self.relu else F.max_pool2d(F.pad(y, (1, 1, 1, 1)), 3, 2)
        return round_tf32(y) if self.rounds else y

    def choose(self, values: Values) -> None:
        self.conv.choose(values[self.source], self._residual(values), self.relu)

    def _residual(self, values: Values) -> Tensor | None:
        if self.projection is not None and self.shortcut is not None:
            return self.projection(values[self.shortcut])
        return None if self.residual is None else values[self.residual]


class LibraryHead(nn.Module):
    """Mean over the pixels, then the classifier by cuBLAS: [N, classes]."""

    weight: Tensor
    bias: Tensor

    def __init__(self, step: Head, dtype: torch.dtype) -> None:
        super().__init__()
        self.source = step.source
        self.register_buffer("weight", step.weight.detach().to(dtype))
        self.register_buffer("bias", step.bias.detach().to(dtype))

    def forward(self, values: Values) -> Tensor:
        return F.linear(F.adaptive_avg_pool2d(values[self.source], 1).flatten(1), self.weight, self.bias)

    def choose(self, values: Values) -> None:
        """Do nothing: there is one implementation."""


LibraryStep = LibraryConv | LibraryHead


def library_step(step: Step, precision: str) -> LibraryStep | None:
    """Return a step by the library, or None if that takes more than the step's convolutions, pool and product."""
    if isinstance(step, Head):
        return None if step.prologue else LibraryHead(step, DTYPES[precision])
    selects = step.shortcut is not None and not step.shortcut.learned
    return None if step.prologue or selects else LibraryConv(step, precision)


def _cudnn_conv(weight: Tensor, bias: Tensor | None, stride: int, padding: int, dtype: torch.dtype) -> CudnnConv:
    return CudnnConv(as_conv(weight, bias, stride, padding), dtype, torch.channels_last)
