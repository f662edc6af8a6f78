"""The model of a case, and pictures that it takes, as every job has them."""

from __future__ import annotations

from torch import Tensor

import resnet
from resnet.inputs import Source, as_channels, pictures
from resnet.model import ResNet
from resnet.names import Build


def build_model(name: str, build: Build, seed: int, source: Source) -> ResNet:
    """Build the model `name` in float32 on the CPU, in eval mode. Raises ValueError where `build` does not fit it."""
    return resnet.build(
        name,
        seed=seed,
        num_classes=build.num_classes or None,
        in_channels=build.in_channels or None,
        weights=build.weights or None,
        source=source,
    )


def draw(count: int, image: int, build: Build, seed: int, source: Source) -> Tensor:
    """Return pictures for a model as a float32 batch [count, channels, image, image] on the CPU."""
    return as_channels(pictures(count, image, seed=seed, source=source), build.in_channels or 3)
