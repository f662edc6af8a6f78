from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import Tensor

from resnet.calibration import Calibration
from resnet.onnx.quantized import QuantizedOrtRunner
from resnet.variants import prepare


@pytest.fixture(scope="session")
def batch() -> Tensor:
    """Two images [2, 3, 32, 32]."""
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="session")
def calibration() -> Calibration:
    return Calibration(torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(2)), "minmax")


@pytest.fixture(scope="session")
def quantized(build, batch: Tensor, calibration: Calibration) -> Callable[..., QuantizedOrtRunner]:
    """ONNX Runtime's int8 form of a ResNet by name, with layers that stay wide."""

    @cache
    def make(name: str, *wide: str) -> QuantizedOrtRunner:
        choice = Calibration(calibration.pictures, calibration.method, wide)
        return prepare("onnxruntime", build(name), batch, "int8", "stream", choice)

    return make
