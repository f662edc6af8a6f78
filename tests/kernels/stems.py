"""A stem's layer, weights and pooling, for tests."""

import torch
import torch.nn.functional as F
from torch import Tensor

from kernels import Layer, Widened, pack, widen

STEM = Layer(32, 224, 224, 3, 64, (7, 7), 2, 3, pool=True)


def packed(k: int = 8, dtype: torch.dtype = torch.float32) -> Widened:
    return widen(pack(torch.randn(k, 3, 7, 7), torch.randn(k), dtype))


def pooled(y: Tensor) -> Tensor:
    """As a pre-activation network pools (`resnet.model`); behind a ReLU the same as `max_pool2d(y, 3, 2, 1)`."""
    return F.max_pool2d(F.pad(y, (1, 1, 1, 1)), 3, 2)
