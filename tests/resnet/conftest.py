import copy
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from resnet.archs import Spec
from resnet.model import ResNet

# Largest error against float64, over the largest difference that the images make: roundings to 24, 11 and 8 bits.
# Plain float32 is up to 6e-5 off (depth 50), plain bf16 0.09 (depth 18); a wrong pixel at a border is more than 1e-3.
TOLERANCE = {"fp32": 1e-4, "tf32": 2e-2, "fp16": 2e-2, "bf16": 0.15, "int8": 0.5}


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("RESNET_CACHE", str(folder))
        yield folder


@pytest.fixture
def without_gradients() -> Iterator[None]:
    """As a runner is to be called."""
    with torch.no_grad():
        yield


@pytest.fixture(scope="session")
def build() -> Callable[[str], ResNet]:
    """A ResNet by name, like a trained one: its norms fit their inputs, and its logits depend on the image."""

    @cache
    def make(name: str) -> ResNet:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(0)
            model = ResNet(Spec.parse(name), num_classes=10, in_channels=3).requires_grad_(False)
            for module in model.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.momentum = 1.0  # the statistics of the one batch below
                    module.weight.uniform_(0.5, 1)
                    module.bias.normal_(0, 0.2)
            model.train()(torch.randn(8, 3, 64, 64))
        return model.eval()

    return make


@pytest.fixture(scope="session")
def batch() -> Tensor:
    """Two images [2, 3, 64, 64]."""
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="session")
def error() -> Callable[[ResNet, Tensor, Tensor], float]:
    """Largest difference of logits from the model's own in float64, over the largest difference between two images."""

    @cache
    def exact(model: ResNet, batch: Tensor) -> Tensor:
        return copy.deepcopy(model).cpu().double()(batch.cpu().double())

    def of(model: ResNet, batch: Tensor, logits: Tensor) -> float:
        want = exact(model, batch)
        return float((logits.cpu().double() - want).abs().max() / (want - want.flip(0)).abs().max())

    return of


@pytest.fixture(scope="session")
def tolerance() -> dict[str, float]:
    return TOLERANCE
