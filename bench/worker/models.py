"""The model of a case, and pictures that it takes, as every job has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

import resnet
from bench.plans.network import network_asked
from resnet.inputs import Source, as_channels, pictures
from resnet.model import ResNet
from resnet.names import Build


@dataclass(frozen=True)
class Built:
    """A model in float32 on the CPU, in eval mode, and what a record says of it: its field `network`."""

    module: ResNet
    facts: dict[str, Any]

    @property
    def channels(self) -> int:
        """The channels of the pictures that it takes."""
        channels: int = self.facts["in_channels"]
        return channels


def build_model(name: str, build: Build, seed: int, source: Source) -> Built:
    """Build the model `name`. Raises ValueError where `build` does not fit it."""
    module = resnet.build(
        name,
        seed=seed,
        num_classes=build.num_classes or None,
        in_channels=build.in_channels or None,
        weights=build.weights or None,
        source=source,
    )
    facts = {
        "origin": "resnet-bench",
        **network_asked(build),
        "num_classes": module.fc.out_features,
        "in_channels": module.conv1.in_channels,
        "parameters": sum(parameter.numel() for parameter in module.parameters()),
    }
    return Built(module, facts)


def draw(count: int, image: int, channels: int, seed: int, source: Source) -> Tensor:
    """Return pictures for a model as a float32 batch [count, channels, image, image] on the CPU."""
    return as_channels(pictures(count, image, seed=seed, source=source), channels)
