"""Files that fit load whole; files that do not say what differs, and change nothing."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from resnet.archs import Spec
from resnet.model import ResNet
from resnet.weights.checkpoint import build_from, build_resnet, load_into


def model(name: str = "resnet18", num_classes: int = 10, in_channels: int = 3) -> ResNet:
    return ResNet(Spec.parse(name), num_classes, in_channels).eval()


@pytest.fixture(scope="module")
def source() -> ResNet:
    """A resnet18 of ten classes whose every array is random."""
    torch.manual_seed(0)
    random = model()
    for value in random.state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.5, 1.5)
    return random


def equal(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def complaint(target: nn.Module, path: Path) -> str:
    """The text of the error that loading `path` into `target` raises; `target` is unchanged by it."""
    before = {key: value.clone() for key, value in target.state_dict().items()}
    with pytest.raises(ValueError) as caught:
        load_into(target, path)
    after = target.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert str(caught.value).startswith(path.name)
    assert str(path.parent) not in str(caught.value)
    return str(caught.value)


# --- files that fit ---


def test_a_file_that_fits_loads_whole_and_what_was_chosen_is_said(source: ResNet, tmp_path: Path) -> None:
    average = {f"module.{key}": value for key, value in source.state_dict().items()}
    torch.save({"state_dict": model().state_dict(), "state_dict_ema": average}, tmp_path / "weights.pth.tar")
    target = model()
    choice = load_into(target, tmp_path / "weights.pth.tar")
    assert equal(target, source)
    assert choice.startswith("EMA weights of state_dict_ema.module; not those of state_dict, which FILE#state_dict")
    choice = load_into(target, f"{tmp_path}/weights.pth.tar#state_dict")
    assert not equal(target, source)
    assert choice == "weights of state_dict"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_file_of_another_precision_gives_a_float32_model(dtype: torch.dtype, tmp_path: Path) -> None:
    source, target = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)
    torch.save({key: value.to(dtype) for key, value in source.state_dict().items()}, tmp_path / "half.pt")
    assert load_into(target, tmp_path / "half.pt") == ""
    assert target.weight.dtype == torch.float32
    assert torch.equal(target.weight, source.weight.to(dtype).float())


def test_counts_that_are_not_asked_for_are_the_files(source: ResNet, tmp_path: Path) -> None:
    path = tmp_path / "ten.pt"
    torch.save({"model": source.state_dict()}, path)
    spec = Spec.parse("resnet18")
    loaded = build_resnet(spec, path)
    assert loaded.choice == "weights of model; num_classes=10, as in the file"
    assert equal(loaded, source)
    assert not loaded.training
    assert build_resnet(spec, path, 10, 3).choice == "weights of model"
    with pytest.raises(ValueError, match="ask for what it has, --num-classes 10"):
        build_resnet(spec, path, 1000)
    with pytest.raises(ValueError, match=r"--in-channels 3, or leave it out \(in Python in_channels=3\)"):
        build_resnet(spec, path, 0, 1)


def test_counts_of_a_module_from_outside(tmp_path: Path) -> None:
    def make(classes: int, channels: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(channels or 3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, classes or 1000, 1))

    path = tmp_path / "own.pt"
    torch.save({"net": make(7, 1).state_dict()}, path)
    module, choice = build_from(path, make)
    assert choice == "weights of net; in_channels=1, as in the file; num_classes=7, as in the file"
    assert module(torch.ones(1, 1, 8, 8)).shape == (1, 7, 6, 6)
    wide = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 7, 1))
    torch.save(wide.state_dict(), tmp_path / "wide.pt")
    with pytest.raises(
        ValueError, match=r"wide\.pt does not fit Sequential: it is of another model\n  wrong shape: 0\.weight"
    ):
        build_from(tmp_path / "wide.pt", make)


# --- files that do not ---


def test_another_number_of_classes(source: ResNet, tmp_path: Path) -> None:
    torch.save(source.state_dict(), tmp_path / "ten.pt")
    text = complaint(model(num_classes=1000), tmp_path / "ten.pt")
    assert "does not fit resnet18, num_classes=1000, in_channels=3" in text
    assert "fc.weight [10, 512] instead of [1000, 512]" in text
    assert "ask for what it has, --num-classes 10, or leave it out (in Python num_classes=10)" in text


def test_another_number_of_channels(source: ResNet, tmp_path: Path) -> None:
    torch.save(source.state_dict(), tmp_path / "colour.pt")
    text = complaint(model(in_channels=1), tmp_path / "colour.pt")
    assert "conv1.weight [64, 3, 7, 7] instead of [64, 1, 7, 7]" in text
    assert "ask for what it has, --in-channels 3" in text


@pytest.mark.parametrize(
    ("target", "differing"),
    [
        ("resnet18v1", "missing: conv1.bias, layer1.0.conv1.bias, layer1.0.conv2.bias and "),
        ("resnet18v2", "missing: conv1.bias, layer1.0.preact_bn.weight,"),
        ("resnet34", "missing: layer1.2.conv1.weight,"),
        ("resnet18-none", "unexpected: layer2.0.downsample.0.weight,"),
        ("resnet50", "wrong shape: layer1.0.conv1.weight [64, 64, 3, 3] instead of [64, 64, 1, 1],"),
    ],
)
def test_another_model(source: ResNet, target: str, differing: str, tmp_path: Path) -> None:
    torch.save(source.state_dict(), tmp_path / "resnet18.pt")
    text = complaint(model(target), tmp_path / "resnet18.pt")
    assert differing in text
    assert "it looks like resnet18, num_classes=10, in_channels=3: --model resnet18" in text


def test_a_key_too_few(source: ResNet, tmp_path: Path) -> None:
    state = source.state_dict()
    del state["layer3.0.conv2.weight"]
    torch.save(state, tmp_path / "short.pt")
    text = complaint(model(), tmp_path / "short.pt")
    assert "missing: layer3.0.conv2.weight" in text
    assert "no ResNet here has exactly these keys and shapes" in text


# --- weights that no network works with ---


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("1.weight", torch.tensor([1.0, float("nan"), 1, 1]), "NaN or infinite weights, as a training that diverged"),
        ("1.bias", torch.tensor([1.0, float("inf"), 1, 1]), "NaN or infinite weights"),
        ("1.bias", torch.tensor([1.0, 1e300, 1, 1], dtype=torch.float64), "NaN or infinite weights"),
        ("1.running_var", torch.tensor([1.0, -1, 1, 1]), "negative variances"),
        ("1.weight", torch.ones(4, dtype=torch.int8), "int8 weights, of which floats cannot be made"),
        ("1.weight", torch.ones(4).to_sparse(), "sparse weights"),
    ],
)
def test_values_that_no_network_works_with(key: str, value: Tensor, words: str, tmp_path: Path) -> None:
    target = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    torch.save(target.state_dict() | {key: value}, tmp_path / "broken.pt")
    text = complaint(target, tmp_path / "broken.pt")
    assert text.startswith(f"broken.pt holds {words}")
    assert text.endswith(f": {key}")


def test_weights_under_a_parametrization_are_named(tmp_path: Path) -> None:
    target = nn.Sequential(nn.Conv2d(3, 4, 3))
    normed = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3)))
    torch.save(normed.state_dict(), tmp_path / "normed.pt")
    text = complaint(target, tmp_path / "normed.pt")
    assert (
        "0.parametrizations.weight.original0 is of weight or spectral norm: torch.nn.utils.parametrize.remove" in text
    )


def test_a_backbone_and_a_shard_are_told(source: ResNet, tmp_path: Path) -> None:
    body = {key: value for key, value in source.state_dict().items() if not key.startswith("fc.")}
    torch.save({"state_dict": {f"backbone.{key}": value for key, value in body.items()}}, tmp_path / "body.pt")
    assert "it lacks the classifier, fc: a backbone alone" in complaint(model(), tmp_path / "body.pt")
    shard = tmp_path / "model-00001-of-00002.pt"
    torch.save({key: value for key, value in body.items() if key < "layer3"}, shard)
    assert "it is shard 1 of 2: give their index" in complaint(model(), shard)
