"""The model of a case, pictures that it takes, and the work in it, as every job has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

import resnet
from bench.plans.network import network_given
from bench.runs.job import Ended, NetworkAnswer, NetworkJob, Notify
from resnet.inputs import Source, as_channels, pictures
from resnet.model import ResNet
from resnet.names import Build
from resnet.outside.build import bare_outside
from resnet.outside.counting import CountError, count_module
from resnet.outside.wrapper import OutsideModel


@dataclass(frozen=True)
class Built:
    """A model in float32 on the CPU, in eval mode, and what it was built with."""

    module: ResNet | OutsideModel
    build: Build

    @property
    def channels(self) -> int:
        """The channels of the pictures that it takes."""
        return self.module.conv1.in_channels if isinstance(self.module, ResNet) else self.module.channels

    @property
    def classes(self) -> int:
        """Its logits for a picture."""
        return self.module.fc.out_features if isinstance(self.module, ResNet) else self.module.classes

    @property
    def ends(self) -> tuple[int, int]:
        """The channels that it takes and the classes that it answers with."""
        return self.channels, self.classes

    def facts(self) -> dict[str, Any]:
        """Return a record's `network`. It reads the checkpoint for its digest, which is no part of a cold start."""
        parameters = sum(parameter.numel() for parameter in self.module.parameters())
        return {
            "origin": "resnet-bench",
            **network_given(self.build),
            "choice": self.module.choice,
            **_described(self.module, self.build.weights),
            **dict(zip(("in_channels", "num_classes"), self.ends, strict=True)),
            "parameters": parameters,
        }


def build_model(name: str, build: Build, seed: int, source: Source, image: int) -> Built:
    """Build the model `name` for pictures of `image` pixels. Raises ValueError where `build` does not fit it."""
    module: ResNet | OutsideModel = resnet.build(
        name,
        seed=seed,
        num_classes=build.num_classes or None,
        in_channels=build.in_channels or None,
        weights=build.weights or None,
        source=source,
        image=image,
    )
    return Built(module, build)


def _described(module: ResNet | OutsideModel, given: str) -> dict[str, Any]:
    """Return what the module itself tells of a record's `network`; `given` is the checkpoint's path, or empty."""
    if isinstance(module, ResNet):
        return {} if given or not module.spec.task else {"weights": "trained"}
    facts: dict[str, Any] = {"origin": module.origin, "weights": module.weights}
    if module.code:
        facts["code"] = module.code
    if module.clones:
        facts["copies_input"] = True
    return facts


def draw(count: int, image: int, channels: int, seed: int, source: Source, first: int = 0) -> Tensor:
    """Return pictures `first` and on of a seed, for a model: float32 [count, channels, image, image] on the CPU."""
    return as_channels(pictures(count, image, seed=seed, source=source, first=first), channels)


def count_work(model: nn.Module, image: int) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Return the facts of one picture of `image` pixels, and the kernels that each module's time counts to, by name.

    There are none of this project's networks, which have `resnet.cost`.
    """
    if not isinstance(model, OutsideModel):
        return {}, {}
    try:
        counted = count_module(model, (1, model.channels, image, image))
    except CountError as error:
        return {"uncounted": str(error)}, {}
    return {"flops": counted.flops, "groups": counted.rows}, counted.kernels.modules


def count_network(job: NetworkJob, notify: Notify) -> NetworkAnswer | Ended:
    """Build the model and count it. Raises ModelError for one that cannot be built."""
    classes, channels = job.build.num_classes or None, job.build.in_channels or None
    model = bare_outside(job.model_name, image=job.image, num_classes=classes, in_channels=channels)
    facts = {"origin": model.origin, "num_classes": model.classes, "in_channels": model.channels}
    return {"status": "ok", "network": facts | count_work(model, job.image)[0]}
