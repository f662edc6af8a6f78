"""Which model a state dict is of: one of this project's, a relative of theirs, or another family."""

import pytest
import torch
from torch import Tensor

from resnet.archs import MODELS, SHORTCUTS, VERSIONS, Spec
from resnet.model import ResNet
from resnet.weights.families import likely_family, likely_model

State = dict[str, Tensor]


def meta_state(name: str, num_classes: int = 10, in_channels: int = 3) -> State:
    with torch.device("meta"):
        return ResNet(Spec.parse(name), num_classes, in_channels).state_dict()


@pytest.mark.parametrize("name", MODELS)
def test_likely_model(name: str) -> None:
    assert likely_model(meta_state(name, 7, 4)) == f"{name}, num_classes=7, in_channels=4"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("shortcut", [word for word in SHORTCUTS if word != "B"])
def test_likely_shortcut(version: str, shortcut: str) -> None:
    spec = Spec(50, version, shortcut)  # type: ignore[arg-type]
    stem = spec.name.removesuffix(f"-{shortcut}")
    # Neither A nor none has parameters of its own: the keys cannot tell them apart.
    want = f"{stem}-C" if shortcut == "C" else f"{stem}-A or {stem}-none"
    assert likely_model(meta_state(spec.name)) == f"{want}, num_classes=10, in_channels=3"


def test_likely_model_without_a_classifier() -> None:
    state = {key: value for key, value in meta_state("resnet34").items() if not key.startswith("fc.")}
    assert likely_model(state) == "resnet34, no classifier (fc), in_channels=3"


@pytest.mark.parametrize(
    "change",
    [
        {"layer1.0.conv2.weight": torch.empty(128, 64, 3, 3, device="meta")},  # a wide ResNet
        {"layer1.0.se.fc1.weight": torch.empty(8, 64, 1, 1, device="meta")},  # squeeze and excitation
        {"conv1.weight": torch.empty(64, device="meta")},
    ],
)
def test_near_relatives_are_not_taken_for_ours(change: State) -> None:
    assert likely_model(meta_state("resnet50") | change) is None


def test_other_networks_are_no_model() -> None:
    assert likely_model({"features.0.weight": torch.empty(64, 3, 3, 3)}) is None
    assert likely_model({}) is None


def resized(name: str, shapes: dict[str, tuple[int, ...]]) -> State:
    return meta_state(name) | {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}


@pytest.mark.parametrize(
    ("name", "shapes", "what", "asked"),
    [
        ("resnet50", {"layer1.0.conv2.weight": (128, 128, 3, 3)}, "a wide ResNet-50", "torchvision:wide_resnet50_2"),
        ("resnet101", {"layer1.0.conv2.weight": (256, 8, 3, 3)}, "32 groups of 8", "torchvision:resnext101_32x8d"),
        ("resnet101", {"layer1.0.conv2.weight": (128, 4, 3, 3)}, "32 groups of 4", "timm:resnext101_32x4d"),
        ("resnet50", {"conv1.0.weight": (32, 3, 3, 3)}, "deep stem", "timm:resnet50d"),
        ("resnet50", {"layer1.0.se.fc1.weight": (16, 256, 1, 1)}, "squeeze and excitation", "timm:seresnet50"),
        ("resnet50", {"layer1.0.se.conv.weight": (1, 1, 5)}, "channel attention", "timm:ecaresnet50"),
    ],
)
def test_relatives_of_resnet(name: str, shapes: dict[str, tuple[int, ...]], what: str, asked: str) -> None:
    found = likely_family(resized(name, shapes))
    assert found is not None
    assert what in found[0]
    assert found[1] == asked


@pytest.mark.parametrize(
    ("key", "asked"),
    [
        ("stages.0.blocks.0.norm1.weight", "timm:resnetv2_50"),
        ("stages.0.blocks.0.conv_dw.weight", "timm:convnext_tiny"),
        ("model.blocks.0.attn.qkv.weight", "timm:vit_base_patch16_224"),
        ("features.denseblock1.denselayer1.norm1.weight", "torchvision:densenet121"),
        ("model.0.conv.weight", ""),
    ],
)
def test_other_families_by_a_key_of_theirs(key: str, asked: str) -> None:
    found = likely_family({key: torch.empty(1)})
    assert found is not None
    assert found[1] == asked


def test_a_network_of_no_family_is_none() -> None:
    assert likely_family({"a.weight": torch.empty(1)}) is None
    assert likely_family(meta_state("resnet50")) is None
