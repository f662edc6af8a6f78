"""The weights of `keras.applications` ResNets under this package's names and in PyTorch's layout.

| Keras | here |
|---|---|
| `conv1_conv`, `conv1_bn`, `post_bn`, `predictions` | `conv1`, `bn1`, `post_bn`, `fc` |
| `conv3_block2_1_conv`, `conv3_block2_1_bn` | `layer2.1.conv1`, `layer2.1.bn1` |
| `conv3_block1_0_conv`, `conv3_block1_0_bn` (projection) | `layer2.0.downsample.0`, `layer2.0.downsample.1` |
| `conv3_block2_preact_bn` | `layer2.1.preact_bn` |
| `kernel` [H, W, in, out] or [in, out], `bias` | `weight` [out, in, H, W] or [out, in], `bias` |
| `gamma`, `beta`, `moving_mean`, `moving_variance` | `weight`, `bias`, `running_mean`, `running_var` |

Keras trained these weights on preprocessed inputs (`keras.applications.resnet.preprocess_input`: BGR minus a mean;
`resnet_v2.preprocess_input`: -1 to 1). This module does not preprocess.
"""

import io
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Arrays = dict[str, dict[str, NDArray[Any]]]  # layer -> weight -> array, in Keras's names and layout

_OUTSIDE_BLOCKS = {"conv1_conv": "conv1", "conv1_bn": "bn1", "post_bn": "post_bn", "predictions": "fc"}
_IN_BLOCK = re.compile(r"conv(?P<stage>[2-5])_block(?P<block>\d+)_(?P<part>preact|\d)_(?P<kind>conv|bn)")
_WEIGHTS = {"kernel": "weight", "bias": "bias", "gamma": "weight", "beta": "bias"}
_WEIGHTS |= {"moving_mean": "running_mean", "moving_variance": "running_var"}
# The order in which Keras 3 numbers the variables of a layer, `vars/0` first.
_KERNEL_ORDER = ("kernel", "bias")
_NORM_ORDER = ("gamma", "beta", "moving_mean", "moving_variance")


def read_file(path: Path) -> Arrays:
    """Read the arrays of a `.keras` archive, a Keras 3 `.weights.h5` or a legacy `.h5` of weights or a whole model.

    Raises `ValueError`, or what h5py and zipfile raise, where the file is none of these.
    """
    import h5py

    source: Path | io.BytesIO = path
    if path.suffix.lower() == ".keras":
        with zipfile.ZipFile(path) as archive:
            source = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(source, "r") as file:
        legacy = file.get("model_weights", file)  # `model.save` nests what `model.save_weights` has at the top
        if "layer_names" in legacy.attrs:
            return _read_legacy(legacy)
        if "layers" in file:
            return _read_keras3(file["layers"])
    raise ValueError("it has neither the `layer_names` of a legacy Keras file nor the `layers` of a Keras 3 one")


def to_state_dict(arrays: Arrays) -> dict[str, Tensor]:
    """Return `arrays` as a state dict. A layer that is in no ResNet of Keras keeps its name, for an error to show."""
    state = {}
    for layer, weights in arrays.items():
        module = module_name(layer)
        for weight, array in weights.items():
            key = f"{module}.{_WEIGHTS[weight]}" if module and weight in _WEIGHTS else f"{layer}/{weight}"
            if weight == "kernel":  # the output channels come first; a convolution's input channels second
                array = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T
            state[key] = torch.from_numpy(np.ascontiguousarray(array))
    return state


def module_name(layer: str) -> str | None:
    """Return the name of the module of a Keras layer, or `None` for a layer that is in none of these models."""
    if layer in _OUTSIDE_BLOCKS:
        return _OUTSIDE_BLOCKS[layer]
    match = _IN_BLOCK.fullmatch(layer)
    if match is None:
        return None
    part, kind = match["part"], match["kind"]
    if part == "0":
        leaf = "downsample.0" if kind == "conv" else "downsample.1"
    else:
        leaf = f"preact_{kind}" if part == "preact" else f"{kind}{part}"
    return f"layer{int(match['stage']) - 1}.{int(match['block']) - 1}.{leaf}"


def _read_legacy(group: Any) -> Arrays:
    # TensorFlow's Keras writes names as bytes with ":0" behind ("conv1_conv/kernel:0"), Keras 3 writes plain strings.
    arrays: Arrays = {}
    for layer in map(_text, group.attrs["layer_names"]):
        paths = list(map(_text, group[layer].attrs["weight_names"]))
        if paths:
            arrays[layer] = {path.split("/")[-1].removesuffix(":0"): group[layer][path][()] for path in paths}
    return arrays


def _read_keras3(layers: Any) -> Arrays:
    # Groups are called after the class and a counter (`conv2d_17`); the layer's name is an attribute.
    arrays: Arrays = {}
    for group_name, group in layers.items():
        variables = group.get("vars", {})
        values = [variables[str(index)][()] for index in range(len(variables))]
        if not values:
            continue
        if "name" not in variables.attrs:
            raise ValueError(f"layers/{group_name} does not say which layer it is; save it again with Keras 3")
        order = _NORM_ORDER if values[0].ndim == 1 else _KERNEL_ORDER
        arrays[variables.attrs["name"]] = dict(zip(order, values, strict=False))  # a kernel may have no bias
    return arrays


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)
