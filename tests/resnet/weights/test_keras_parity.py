"""v1 and v2 against the six models of `keras.applications` that they stand for, and the files that Keras writes.

Weights, biases and norm statistics are all random, so that none of them can be swapped, dropped or transposed unseen.
"""

import os

os.environ["KERAS_BACKEND"] = "torch"  # read when keras is first imported

import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from resnet.archs import Spec
from resnet.model import ResNet
from resnet.weights.checkpoint import load_contents, load_into
from resnet.weights.keras_layout import to_state_dict

h5py = pytest.importorskip("h5py", reason="h5py is not installed: pip install h5py")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # those of keras about its own imports are not ours to fail on
    keras = pytest.importorskip("keras", reason="keras is not installed: pip install keras")
if keras.backend.backend() != "torch":
    pytest.skip(f"keras runs on {keras.backend.backend()}, not torch", allow_module_level=True)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:keras", "ignore:.*HDF5 file via:UserWarning")

PAIRS = {
    "ResNet50": "resnet50v1",
    "ResNet101": "resnet101v1",
    "ResNet152": "resnet152v1",
    "ResNet50V2": "resnet50v2",
    "ResNet101V2": "resnet101v2",
    "ResNet152V2": "resnet152v2",
}
SPREAD = {  # uniform between these; the kernels keep the initialisation of Keras
    "bias": (-0.2, 0.2),
    "gamma": (0.5, 1.5),
    "beta": (-0.5, 0.5),
    "moving_mean": (-0.5, 0.5),
    "moving_variance": (0.5, 1.5),
}


def original(name: str, size: int, classes: int = 1000) -> Any:
    """The Keras model of that name for pictures [N, size, size, 3], giving logits; random in every array."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    build = getattr(keras.applications, name)
    model = build(weights=None, input_shape=(size, size, 3), classes=classes, classifier_activation=None)
    for weight in model.weights:
        if weight.name in SPREAD:
            weight.assign(rng.uniform(*SPREAD[weight.name], size=weight.shape))
    return model


def load_keras(model: ResNet, keras_model: Any) -> None:
    """Copy the weights of a live Keras model as those of its file."""
    arrays = {
        layer.name: {weight.name: keras.ops.convert_to_numpy(weight) for weight in layer.weights}
        for layer in keras_model.layers
        if layer.weights
    }
    load_contents(model, to_state_dict(arrays), f"Keras model {keras_model.name}")


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("ResNet50", 224),
        ("ResNet101", 32),
        ("ResNet50V2", 224),
        ("ResNet50V2", 97),  # odd: padding and strides meet the far edges in another way
        ("ResNet152V2", 32),  # a depth and a version once: blocks are counted in test_archs and test_model
    ],
)
def test_same_function(name: str, size: int) -> None:
    theirs = original(name, size)
    ours = ResNet(Spec.parse(PAIRS[name])).eval().requires_grad_(False)
    load_keras(ours, theirs)
    batch = torch.randn(2, 3, size, size)
    with torch.no_grad():
        want = torch.as_tensor(theirs(batch.permute(0, 2, 3, 1).contiguous(), training=False)).cpu()
        have = ours(batch)
    largest = want.abs().max()
    assert (want[0] - want[1]).abs().max() > 1e-3 * largest  # the logits depend on the picture
    assert (have - want).abs().max() < 1e-5 * largest
    # Beside variances near one an epsilon of 1e-5 in the place of 1.001e-5 is too small to be seen in the logits.
    epsilons = {layer.epsilon for layer in theirs.layers if isinstance(layer, keras.layers.BatchNormalization)}
    assert {module.eps for module in ours.modules() if isinstance(module, nn.BatchNorm2d)} == epsilons


# --- files ---


@pytest.fixture(scope="module", params=["ResNet50", "ResNet50V2"])
def pair(request: pytest.FixtureRequest) -> tuple[Any, ResNet]:
    """A Keras model of ten classes and ours with its weights, carried over in memory."""
    theirs = original(request.param, 64, classes=10)
    ours = blank(PAIRS[request.param])
    load_keras(ours, theirs)
    return theirs, ours


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that is emptied after the test: pytest keeps the last three, and these files are large."""
    yield tmp_path
    shutil.rmtree(tmp_path)


def blank(name: str, classes: int = 10) -> ResNet:
    return ResNet(Spec.parse(name), num_classes=classes).eval()


def write_as_tensorflow_did(theirs: Any, path: Path) -> None:
    """The legacy layout with TensorFlow's names: what keras-applications distributes, which Keras 3 cannot write."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in theirs.layers]
        for layer in theirs.layers:
            group = file.create_group(layer.name)
            names = [f"{layer.name}/{weight.name}:0" for weight in layer.weights]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, weight in zip(names, layer.weights, strict=True):
                group[name] = keras.ops.convert_to_numpy(weight)


def write(theirs: Any, path: Path) -> None:
    if path.name == "legacy-weights.h5":
        write_as_tensorflow_did(theirs, path)
    elif path.name.endswith(".weights.h5"):
        theirs.save_weights(path)
    else:
        theirs.save(path)


@pytest.mark.parametrize("name", ["model.weights.h5", "model.keras", "legacy-weights.h5", "legacy-model.h5"])
def test_file(pair: tuple[Any, ResNet], name: str, folder: Path) -> None:
    theirs, want = pair
    write(theirs, folder / name)
    have = blank(want.spec.name)
    load_into(have, folder / name)
    assert all(torch.equal(a, b) for a, b in zip(have.state_dict().values(), want.state_dict().values(), strict=True))


def test_file_of_another_model(pair: tuple[Any, ResNet], folder: Path) -> None:
    theirs, ours = pair
    theirs.save_weights(folder / "model.weights.h5")
    with pytest.raises(ValueError) as caught:
        load_into(blank("resnet101v2", classes=1000), folder / "model.weights.h5")
    assert f"it looks like {ours.spec.name}, num_classes=10, in_channels=3" in str(caught.value)


def test_truncated_file(pair: tuple[Any, ResNet], folder: Path) -> None:
    theirs, ours = pair
    path = folder / "model.weights.h5"
    theirs.save_weights(path)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    with pytest.raises(ValueError, match=r"model\.weights\.h5 cannot be read: it is cut short"):
        load_into(ours, path)


def test_live_model_of_another_depth(pair: tuple[Any, ResNet]) -> None:
    theirs, _ = pair
    with pytest.raises(ValueError, match=f"Keras model {theirs.name} does not fit resnet18v2"):
        load_keras(blank("resnet18v2"), theirs)


def test_model_without_its_classifier(pair: tuple[Any, ResNet]) -> None:
    theirs, ours = pair
    headless = keras.Model(theirs.input, theirs.get_layer("avg_pool").output)  # as `include_top=False` makes it
    with pytest.raises(ValueError, match=r"it lacks the classifier, fc: .*\n  missing: fc\.weight, fc\.bias"):
        load_keras(ours, headless)
