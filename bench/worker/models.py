"""The model of a case, and pictures that it takes, as every job has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

import resnet
from bench.plans.network import network_asked
from resnet.archs import Spec
from resnet.inputs import Source, as_channels, pictures
from resnet.model import ResNet
from resnet.names import Build
from resnet.weights.checkpoint import build_resnet


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
    choice, counts = "", (build.num_classes, build.in_channels)
    if build.weights:
        module, choice = build_resnet(Spec.parse(name), build.weights, *counts)
    else:
        classes, channels = (count or None for count in counts)
        module = resnet.build(name, seed=seed, num_classes=classes, in_channels=channels, source=source)
    facts = {
        "origin": "resnet-bench",
        **network_asked(build),
        "choice": choice,
        "num_classes": module.fc.out_features,
        "in_channels": module.conv1.in_channels,
        "parameters": sum(parameter.numel() for parameter in module.parameters()),
    }
    return Built(module, facts)


def draw(count: int, image: int, channels: int, seed: int, source: Source) -> Tensor:
    """Return pictures for a model as a float32 batch [count, channels, image, image] on the CPU."""
    return as_channels(pictures(count, image, seed=seed, source=source), channels)
