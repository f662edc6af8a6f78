from collections import Counter
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F


@pytest.fixture(autouse=True)
def _without_gradients(without_gradients: None) -> None:
    """As a runner is to be called."""


@pytest.fixture
def cudnn_on_a_cpu() -> Iterator[Counter[str]]:
    """aten's two cuDNN ops with their own schemas, and plain arithmetic as their CPU kernels; counts the calls."""
    calls: Counter[str] = Counter()

    def relu(x, weight, bias, stride, padding, dilation, groups):
        calls["relu"] += 1
        return F.conv2d(x, weight, bias, stride, padding, dilation, groups).relu()

    def add_relu(x, weight, z, alpha, bias, stride, padding, dilation, groups):
        calls["add_relu"] += 1
        return (F.conv2d(x, weight, bias, stride, padding, dilation, groups) + alpha * z).relu()

    with torch.library._scoped_library("aten", "IMPL") as implemented:
        implemented.impl("cudnn_convolution_relu", relu, "CPU")
        implemented.impl("cudnn_convolution_add_relu", add_relu, "CPU")
        yield calls
