"""Weights from files that other tools wrote, with an error that explains why a file does not fit.

| file | written by | fits |
|---|---|---|
| `.pt` `.pth` `.bin` `.tar` `.ckpt` | `torch.save` of a state dict, or of a checkpoint that holds one | every version |
| `.safetensors` | safetensors: timm and others on the Hugging Face hub | every version |
| `.safetensors.index.json` `.bin.index.json` | the index of a file's shards | every version |
| `.h5` `.keras` | Keras: legacy `.h5`, Keras 3 `.weights.h5` and `.keras` | v1 and v2 at depths 50, 101 and 152 |

The content says which of these a file is. `FILE#ENTRY` takes the weights under an entry, where a file has several.

torchvision's names are this package's, and timm's plain `resnet18 34 50 101 152` have the same. A state dict does not
distinguish all models: shortcuts `A` and `none` have the same keys, and so do v1.5 and a v1 without convolution bias.
Any module takes weights here: what is said of ResNets serves the messages alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from resnet.archs import Spec
from resnet.model import ResNet
from resnet.weight_files import locate
from resnet.weights.entries import IGNORED, Weights, find_weights, listed
from resnet.weights.families import describe, differences, likely_family, likely_model
from resnet.weights.files import read_contents

M = TypeVar("M", bound=nn.Module)
State = Mapping[str, Tensor]

FIRST = "layer1.0.conv1.weight"  # the key by which a ResNet is found behind a prefix
# keys of weights that are not the layers' own, and what brings these back before they are saved
UNDONE = (
    (r"\.parametrizations\.|_(g|v|u)$", "weight or spectral norm: torch.nn.utils.parametrize.remove_parametrizations"),
    (r"weight_(orig|mask)$", "pruning or spectral norm: torch.nn.utils.prune.remove"),
    (r"_flat_param|\.flat_param", "FSDP's shards: its full state dict, StateDictType.FULL_STATE_DICT"),
    (r"\.lora_[AB]\.", "low-rank adapters: merge_and_unload of peft"),
    (r"_packed_params|weight_fake_quant|\.quant_state", "quantization: the float model that was quantized"),
)


def load_into(module: nn.Module, weights: str | Path) -> str:
    """Copy the weights in the file `weights` into `module`, all of them or, where they do not fit, none.

    Return what was decided in reading the file, "EMA weights of state_dict_ema" say, or "" where nothing was. Tensors
    take the module's dtype and device. A missing `num_batches_tracked` is no fault: it serves training alone.

    Raises `ValueError` where the file cannot be read, or does not fit: the message names the first keys that differ,
    and the model that the file looks like. Raises `ImportError` with the pip line for a format whose package is not
    installed, and `OSError` for a path that cannot be opened.
    """
    path, entry = locate(weights)
    return load_contents(module, read_contents(path), path.name, entry)


def load_contents(module: nn.Module, contents: object, name: str, entry: str = "") -> str:
    """Do as `load_into` does with the `contents` of a file, which messages call `name`."""
    model_state = _tensors_of(module)
    file_weights = _find(contents, model_state, name, entry)
    _load(module, model_state, file_weights, name)
    return "; ".join(file_weights.notes)


def build_from(
    weights: str | Path,
    make: Callable[[int, int], M],
    num_classes: int = 0,
    in_channels: int = 0,
    part: Callable[[M], nn.Module] = lambda module: module,
) -> tuple[M, str]:
    """Return `make(num_classes, in_channels)` with the weights of a file, and what was decided in reading it.

    A count that is 0 is the file's: `make` is called with 0 for the model's own, and again if the file has another.
    `part` returns the module within a made one that the weights are of. Raises as `load_into` does.
    """
    path, entry = locate(weights)
    contents = read_contents(path)
    module = make(num_classes, in_channels)
    model_state = _tensors_of(part(module))
    file_weights = _find(contents, model_state, path.name, entry)
    notes = list(file_weights.notes)
    counts = counts_of(model_state, file_weights.state)
    classes, channels = num_classes or counts.get("num_classes", 0), in_channels or counts.get("in_channels", 0)
    if (classes, channels) != (num_classes, in_channels):
        module = make(classes, channels)
        model_state = _tensors_of(part(module))
        notes += [f"{name}={count}, as in the file" for name, count in counts.items()]
    _load(part(module), model_state, file_weights, path.name)
    return module, "; ".join(notes)


def build_resnet(spec: Spec, weights: str | Path, num_classes: int = 0, in_channels: int = 0) -> ResNet:
    """Return a ResNet with the weights of a file, in eval mode without gradients, as `build_from` does."""
    model, choice = build_from(weights, partial(ResNet, spec), num_classes, in_channels)
    model.choice = choice
    return model.eval().requires_grad_(False)


def counts_of(model_state: State, file_state: State) -> dict[str, int]:
    """Return `num_classes` and `in_channels` of a file where these are all that differs from a model, else nothing."""
    faults = differences(model_state, file_state)
    reshaped = faults.pop("wrong shape")
    if any(faults.values()):
        return {}
    counts: dict[str, int] = {}
    for key in reshaped:
        want, have = model_state[key].shape, file_state[key].shape
        if want[1:] == have[1:]:
            name, count = "num_classes", have[0]
        elif len(want) == len(have) == 4 and (want[0], *want[2:]) == (have[0], *have[2:]):
            name, count = "in_channels", have[1]
        else:
            return {}
        if counts.setdefault(name, count) != count:
            return {}
    sizes = {model_state[key].shape[0] for key in reshaped if model_state[key].shape[1:] == file_state[key].shape[1:]}
    return counts if len(sizes) < 2 else {}


def _tensors_of(module: nn.Module) -> dict[str, Tensor]:
    """Return a module's state dict without what is no tensor."""
    return {key: value for key, value in module.state_dict().items() if isinstance(value, Tensor)}


def _find(contents: object, model_state: State, name: str, entry: str) -> Weights:
    try:
        return find_weights(contents, model_state.keys(), entry)
    except ValueError as error:
        raise ValueError(f"{name} cannot be read: {error}") from None


def _load(module: nn.Module, model_state: State, file_weights: Weights, name: str) -> None:
    """Load the weights that were file_weights, or raise `ValueError` before anything is changed."""
    faults = differences(model_state, file_weights.state)
    faults["missing"] = [key for key in faults["missing"] if not key.endswith(IGNORED)]
    if any(faults.values()):
        raise ValueError(_mismatch_message(module, model_state, file_weights.state, faults, name))
    _check_values(model_state, file_weights.state, name)
    module.load_state_dict(file_weights.state, strict=False)


def _check_values(model_state: State, state: State, name: str) -> None:
    """Raise ValueError for values that no network works with, or that are not the weights themselves."""
    coded = [key for key, value in state.items() if model_state[key].is_floating_point() and not _plain(value)]
    if coded:
        first = state[coded[0]]
        kind = "sparse" if first.layout != torch.strided else str(first.dtype).removeprefix("torch.")
        raise ValueError(f"{name} holds {kind} weights, of which floats cannot be made here: {listed(coded)}")
    broken = [key for key, value in state.items() if not value.float().isfinite().all()]
    if broken:
        raise ValueError(f"{name} holds NaN or infinite weights, as a training that diverged leaves: {listed(broken)}")
    negative = [key for key, value in state.items() if key.endswith("running_var") and (value < 0).any()]
    if negative:
        raise ValueError(f"{name} holds negative variances: {listed(negative)}")


def _plain(value: Tensor) -> bool:
    return value.is_floating_point() and value.layout == torch.strided


def _mismatch_message(
    module: nn.Module, model_state: State, state: State, faults: dict[str, list[str]], name: str
) -> str:
    """Return what differs, behind a first line with the reason and the cure, which progress shows alone."""
    ours = isinstance(module, ResNet)
    model = describe(module.spec.name, model_state) if isinstance(module, ResNet) else type(module).__name__
    shapes = [
        f"{key} {list(state[key].shape)} instead of {list(model_state[key].shape)}" for key in faults["wrong shape"]
    ]
    why = _recounted(model_state, state) or _undone(state) or _shard(name)
    why = why or _headless(model_state, faults) or _likely(state, ours)
    lines = [f"{name} does not fit {model}: {why}"]
    lines += [f"  {fault}: {listed(keys)}" for fault, keys in (faults | {"wrong shape": shapes}).items() if keys]
    return "\n".join(lines)


def _recounted(model_state: State, state: State) -> str:
    """Return the sentence for a file that differs in classes or channels alone, or ""."""
    counts = counts_of(model_state, state)
    if not counts:
        return ""
    options = " ".join(f"--{key.replace('_', '-')} {count}" for key, count in counts.items())
    keywords = ", ".join(f"{key}={count}" for key, count in counts.items())
    return f"ask for what it has, {options}, or leave it out (in Python {keywords})"


def _headless(model_state: State, faults: dict[str, list[str]]) -> str:
    """Return the sentence for a file that has all but a model's last layer, or ""."""
    last = list(model_state)[-1].rpartition(".")[0]
    if faults["unexpected"] or faults["wrong shape"] or {key.rpartition(".")[0] for key in faults["missing"]} != {last}:
        return ""
    return f"it lacks the classifier, {last}: a backbone alone gives no logits, and they are what is checked"


def _undone(state: State) -> str:
    """Return the sentence for keys that a tool which changes layers left, or ""."""
    for tell, cure in UNDONE:
        key = next((key for key in state if re.search(tell, key)), None)
        if key:
            return f"{key} is of {cure} brings the layer's own weights back, before they are saved"
    return ""


def _shard(name: str) -> str:
    shard = re.search(r"-(\d+)-of-(\d+)\.", name)
    return f"it is shard {int(shard[1])} of {int(shard[2])}: give their index, a file *.index.json" if shard else ""


def _likely(state: State, ours: bool) -> str:
    """Return the sentence that says what the file looks like, with the option that takes it."""
    root = next((key[: -len(FIRST)] for key in state if key.endswith(FIRST)), "")
    state = {key.removeprefix(root): value for key, value in state.items()}
    if likely := likely_model(state):
        return f"it looks like {likely}: --model {likely.partition(',')[0].partition(' ')[0]}"
    if family := likely_family(state):
        what, name = family
        return f"it looks like {what}" + (f": --model {name}, or another of that family" if name else "")
    return "no ResNet here has exactly these keys and shapes" if ours else "it is of another model"
