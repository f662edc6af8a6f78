"""A program's steps by the vendor library: the rivals that `mixed` holds our kernels against, group for group."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnet.program import STEM_PADDING, STEM_STRIDE, Conv, Head, Stem, Step
from resnet.steps import Values
from resnet.variants.library_ops import CudnnConv


class LibraryConv(nn.Module):
    """A convolution and, before it, the projection that it adds, if there is one: [N, K, H', W']."""

    def __init__(self, step: Conv, dtype: torch.dtype) -> None:
        super().__init__()
        self.source, self.residual, self.relu = step.source, step.residual, step.relu
        self.conv = _cudnn(step.weight, step.bias, step.stride, step.padding, dtype)
        self.shortcut, self.projection = None, None
        if step.shortcut is not None:
            self.shortcut = step.shortcut.source
            self.projection = _cudnn(step.shortcut.weight, step.shortcut.bias, step.shortcut.stride, 0, dtype)

    def forward(self, values: Values) -> Tensor:
        return self.conv(values[self.source], self._residual(values), self.relu)

    def decide(self, values: Values) -> None:
        self.conv.decide(values[self.source], self._residual(values), self.relu)

    def _residual(self, values: Values) -> Tensor | None:
        if self.projection is not None and self.shortcut is not None:
            return self.projection(values[self.shortcut])
        return None if self.residual is None else values[self.residual]


class LibraryStem(nn.Module):
    """The 7x7 convolution, then the pool."""

    def __init__(self, step: Stem, dtype: torch.dtype) -> None:
        super().__init__()
        self.source, self.relu = step.source, step.relu
        self.conv = _cudnn(step.weight, step.bias, STEM_STRIDE, STEM_PADDING, dtype)

    def forward(self, values: Values) -> Tensor:
        y = self.conv(values[self.source], None, self.relu)
        # without a ReLU the pool's padding is zeros, which is not max pooling's own
        return F.max_pool2d(y, 3, 2, 1) if self.relu else F.max_pool2d(F.pad(y, (1, 1, 1, 1)), 3, 2)

    def decide(self, values: Values) -> None:
        self.conv.decide(values[self.source], None, self.relu)


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

    def decide(self, values: Values) -> None:
        """There is one way."""


LibraryStep = LibraryConv | LibraryStem | LibraryHead


def library(step: Step, dtype: torch.dtype) -> LibraryStep | None:
    """A step by the library, or None where it would take more than the step's own convolutions, pool and product."""
    if isinstance(step, Stem):
        return LibraryStem(step, dtype)
    if step.prologue is not None:
        return None
    if isinstance(step, Head):
        return LibraryHead(step, dtype)
    return LibraryConv(step, dtype) if step.shortcut is None or step.shortcut.learned else None


def _cudnn(weight: Tensor, bias: Tensor | None, stride: int, padding: int, dtype: torch.dtype) -> CudnnConv:
    k, c, r, s = weight.shape
    conv = nn.Conv2d(c, k, (r, s), stride, padding, bias=bias is not None, device="meta")
    conv.weight, conv.bias = (
        nn.Parameter(weight.detach(), False),
        None if bias is None else nn.Parameter(bias.detach(), False),
    )
    return CudnnConv(conv, dtype, torch.channels_last)
