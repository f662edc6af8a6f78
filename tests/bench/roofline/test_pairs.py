"""The stages of layers, of any network."""

from __future__ import annotations

import pytest

from bench.roofline.pairs import stages_of
from resnet.cost import operations


@pytest.mark.parametrize("model", ["resnet18", "resnet50v2", "resnet152"])
def test_the_stages_of_a_resnet_are_its_own(model: str) -> None:
    names = [operation.name for operation in operations(model, 1, 224, "fp32")]
    stages = stages_of(names)
    assert list(dict.fromkeys(stages.values())) == ["stem", "layer1", "layer2", "layer3", "layer4", "head"]
    assert (stages["conv1"], stages["maxpool"], stages["fc"]) == ("stem", "stem", "head")


def test_the_stages_of_others_are_what_their_names_begin_with() -> None:
    names = [
        "stem.0",
        "stages.0.blocks.1.conv_dw",
        "stages.1.blocks.0.fc",
        "features.28",
        "features.denseblock2.conv",
        "fc",
    ]
    assert list(stages_of(names).values()) == [
        "stem",
        "stages.0",
        "stages.1",
        "features",
        "features.denseblock2",
        "head",
    ]
