"""Files that fit load whole; files that do not say what differs, and change nothing."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from resnet.archs import MODELS, SHORTCUTS, VERSIONS, Spec
from resnet.model import ResNet
from resnet.weights.checkpoint import likely_model, load_into

State = dict[str, Tensor]


def model(name: str = "resnet18", num_classes: int = 10, in_channels: int = 3) -> ResNet:
    return ResNet(Spec.parse(name), num_classes, in_channels).eval()


def meta_state(name: str, num_classes: int = 10, in_channels: int = 3) -> State:
    with torch.device("meta"):
        return model(name, num_classes, in_channels).state_dict()


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


def complaint(target: ResNet, path: Path) -> str:
    """The text of the error that loading `path` into `target` raises; `target` is unchanged by it."""
    before = {key: value.clone() for key, value in target.state_dict().items()}
    with pytest.raises(ValueError) as caught:
        load_into(target, path)
    after = target.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert str(path) in str(caught.value)
    return str(caught.value)


# --- files that fit ---

WRAPPERS: dict[str, Callable[[State], Any]] = {
    "plain": lambda state: state,
    "state_dict": lambda state: {"epoch": 3, "arch": "resnet18", "state_dict": state},
    "torchvision training": lambda state: {"model": state, "epoch": 3, "args": argparse.Namespace(lr=0.1)},
    "data parallel": lambda state: {f"module.{key}": value for key, value in state.items()},
    "compiled, then data parallel": lambda state: {f"module._orig_mod.{key}": v for key, v in state.items()},
    "data parallel, then compiled": lambda state: {f"_orig_mod.module.{key}": v for key, v in state.items()},
    "compiled by layer": lambda state: {key.replace("layer1.", "layer1._orig_mod."): v for key, v in state.items()},
    "a trainer's": lambda state: {"state_dict": {f"model.{key}": v for key, v in state.items()}},
    "without counters": lambda state: {key: v for key, v in state.items() if not key.endswith("num_batches_tracked")},
}


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_torch_file(source: ResNet, wrap: Callable[[State], Any], tmp_path: Path) -> None:
    torch.save(wrap(source.state_dict()), tmp_path / "weights.pth")
    target = model()
    load_into(target, tmp_path / "weights.pth")
    assert equal(target, source)


@pytest.mark.parametrize("name", ["weights.pt", "pytorch_model.bin", "checkpoint.pth.tar", "WEIGHTS.PTH"])
def test_suffixes_of_torch(source: ResNet, name: str, tmp_path: Path) -> None:
    torch.save(source.state_dict(), tmp_path / name)
    target = model()
    load_into(target, str(tmp_path / name))
    assert equal(target, source)


def test_safetensors_file(source: ResNet, tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch", reason="safetensors is not installed")
    safetensors.save_file(source.state_dict(), tmp_path / "model.safetensors")
    target = model()
    load_into(target, tmp_path / "model.safetensors")
    assert equal(target, source)


def test_half_precision_file_gives_a_float32_model(source: ResNet, tmp_path: Path) -> None:
    half = {key: value.half() for key, value in source.state_dict().items() if value.is_floating_point()}
    torch.save(half, tmp_path / "half.pt")
    target = model()
    load_into(target, tmp_path / "half.pt")
    assert target.fc.weight.dtype == torch.float32
    assert torch.equal(target.fc.weight, source.fc.weight.half().float())


# --- files that do not ---


def test_another_number_of_classes(source: ResNet, tmp_path: Path) -> None:
    torch.save(source.state_dict(), tmp_path / "ten.pt")
    text = complaint(model(num_classes=1000), tmp_path / "ten.pt")
    assert "does not fit resnet18, num_classes=1000, in_channels=3" in text
    assert "fc.weight [10, 512] instead of [1000, 512]" in text
    assert "the file has 10 classes, the model 1000: build it with num_classes=10" in text


def test_another_number_of_channels(source: ResNet, tmp_path: Path) -> None:
    torch.save(source.state_dict(), tmp_path / "colour.pt")
    text = complaint(model(in_channels=1), tmp_path / "colour.pt")
    assert "conv1.weight [64, 3, 7, 7] instead of [64, 1, 7, 7]" in text
    assert "it looks like resnet18, num_classes=10, in_channels=3" in text


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
    assert "it looks like resnet18, num_classes=10, in_channels=3" in text


def test_a_key_too_few(source: ResNet, tmp_path: Path) -> None:
    state = source.state_dict()
    del state["layer3.0.conv2.weight"]
    torch.save(state, tmp_path / "short.pt")
    text = complaint(model(), tmp_path / "short.pt")
    assert "missing: layer3.0.conv2.weight\n" in text
    assert "no ResNet here has exactly these keys and shapes" in text


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([1, 2], "it holds a list, not a state dict"),
        ({"epoch": 3, "net": {"conv1.weight": 0}}, "it holds no tensors by name, only epoch, net"),
        (nn.Linear(2, 2), "it holds objects other than tensors"),
    ],
)
def test_no_state_dict(content: object, reason: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "odd.pt")
    assert reason in complaint(model(), tmp_path / "odd.pt")


@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ".h5", ".keras"])
@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04" + bytes(100)], ids=["empty", "text", "zip"])
def test_not_weights_at_all(suffix: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"odd{suffix}"
    path.write_bytes(content)
    assert f"cannot be read as {suffix} weights: it is damaged or something else" in complaint(model(), path)


@pytest.mark.parametrize("keep", [0.1, 0.9])
@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
def test_truncated(source: ResNet, name: str, keep: float, tmp_path: Path) -> None:
    path = tmp_path / name
    if path.suffix == ".pt":
        torch.save(source.state_dict(), path)
    else:
        safetensors = pytest.importorskip("safetensors.torch", reason="safetensors is not installed")
        safetensors.save_file(source.state_dict(), path)
    with path.open("r+b") as file:
        file.truncate(int(path.stat().st_size * keep))
    assert "it is damaged or something else" in complaint(model(), path)


def test_h5_file_that_is_not_of_keras(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["data"] = [1, 2, 3]
    assert "neither the `layer_names`" in complaint(model("resnet50v1"), tmp_path / "other.h5")


def test_unknown_suffix(tmp_path: Path) -> None:
    assert "ending in .pt, .pth, .bin" in complaint(model(), tmp_path / "weights.npz")


def test_missing_path_and_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.pt"):
        load_into(model(), tmp_path / "gone.pt")
    (tmp_path / "folder.pt").mkdir()
    with pytest.raises(OSError, match=r"folder\.pt"):
        load_into(model(), tmp_path / "folder.pt")


@pytest.mark.parametrize(
    ("suffix", "module", "package"),
    [(".safetensors", "safetensors.torch", "safetensors"), (".h5", "h5py", "h5py"), (".keras", "h5py", "h5py")],
)
def test_missing_package(
    suffix: str, module: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # what Python keeps for a module that cannot be imported
    path = tmp_path / f"weights{suffix}"
    path.touch()
    with pytest.raises(ImportError, match=f"pip install {package}"):
        load_into(model(), path)


# --- which model a state dict is of ---


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
