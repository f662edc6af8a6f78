"""Weights from files that other tools wrote, with an error that explains why a file does not fit.

| suffix | written by | fits |
|---|---|---|
| `.pt` `.pth` `.bin` `.tar` | `torch.save` of a state dict, or of a checkpoint that holds one | every version |
| `.safetensors` | safetensors: timm and others on the Hugging Face hub | every version |
| `.h5` `.keras` | Keras: legacy `.h5`, Keras 3 `.weights.h5` and `.keras` | v1 and v2 at depths 50, 101 and 152 |

torchvision's names are this package's, and timm's plain `resnet18 34 50 101 152` have the same. A state dict does not
distinguish all models: shortcuts `A` and `none` have the same keys, and so do v1.5 and a v1 without convolution bias.
"""

import argparse
import re
from collections.abc import Callable, Mapping
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor

from resnet.archs import ARCHS, BlockKind, Shortcut, Spec, Version
from resnet.model import ResNet
from resnet.weights import keras_layout

State = Mapping[str, Tensor]

CLASSIFIER = {"fc.weight", "fc.bias"}
SHOWN = 3  # keys of each kind that an error lists


def load_into(model: ResNet, path: str | Path) -> None:
    """Copy the weights in the file at `path` into `model`, all of them or, where they do not fit, none.

    Tensors take the model's dtype and device. A missing `num_batches_tracked` is no fault: it serves training alone.

    Raises `ValueError` where the file cannot be read as its suffix says, or does not fit: the message names the first
    keys that differ and the model that the file looks like. Raises `ImportError` with the pip line for a format whose
    package is not installed, and `OSError` for a path that cannot be opened.
    """
    path = Path(path)
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise ValueError(f"{path}: weights are read from files ending in {', '.join(_READERS)}")
    with path.open("rb"):
        pass  # so that a missing path, a folder or a forbidden file is reported as such, not as corrupt
    try:
        state = read(path)
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        raise ImportError(f"{path}: needs {package}, which is not installed: pip install {package}") from error
    except MemoryError:
        raise
    except Exception as error:  # a damaged file makes the parsers fail in any way there is: KeyError, struct.error, ...
        raise ValueError(f"{path}: cannot be read as {path.suffix} weights: {_reason(error)}") from error
    _load_state(model, state, str(path))


def _read_torch(path: Path) -> State:
    # Training scripts, torchvision's and timm's too, store their arguments with the weights; a Namespace is plain data.
    with torch.serialization.safe_globals([argparse.Namespace]):
        contents = torch.load(path, map_location="cpu", weights_only=True)
    for wrapper in ("state_dict", "model"):
        if isinstance(contents, Mapping) and isinstance(contents.get(wrapper), Mapping):
            contents = contents[wrapper]
    if not isinstance(contents, Mapping):
        raise ValueError(f"it holds a {type(contents).__name__}, not a state dict")
    state = {_without_wrappers(key): value for key, value in contents.items() if isinstance(value, Tensor)}
    if not state:
        raise ValueError(f"it holds no tensors by name, only {_first_few(list(map(str, contents)))}")
    return state


def _read_safetensors(path: Path) -> State:
    from safetensors.torch import load_file

    return {_without_wrappers(key): value for key, value in load_file(path).items()}


def _read_keras(path: Path) -> State:
    return keras_layout.to_state_dict(keras_layout.read_file(path))


_READERS: dict[str, Callable[[Path], State]] = {
    **dict.fromkeys((".pt", ".pth", ".bin", ".tar"), _read_torch),
    ".safetensors": _read_safetensors,
    **dict.fromkeys((".h5", ".keras"), _read_keras),
}


def _without_wrappers(key: str) -> str:
    """Drop the prefixes of DataParallel (`module.`), trainers (`model.`) and torch.compile (`_orig_mod.`)."""
    return re.sub(r"^((module|model)\.)+", "", key.replace("_orig_mod.", ""))


def _reason(error: Exception) -> str:
    if type(error) is ValueError:  # raised here, with a sentence
        return str(error)
    if "Unsupported global" in str(error):  # torch's text advises to run whatever code the file brings
        return "it holds objects other than tensors; save the model's state_dict() alone"
    first_line = str(error).strip().partition("\n")[0]
    return f"it is damaged or something else ({type(error).__name__}: {first_line[:120]})"


def _differences(model_state: State, file_state: State) -> dict[str, list[str]]:
    """Return the keys that differ between the states of a model and of a file, by fault."""
    want, have = (
        {key: value.shape for key, value in state.items() if not key.endswith("num_batches_tracked")}
        for state in (model_state, file_state)
    )
    return {
        "missing": [key for key in want if key not in have],
        "unexpected": [key for key in have if key not in want],
        "wrong shape": [key for key in want if key in have and want[key] != have[key]],
    }


def _load_state(model: ResNet, state: State, origin: str) -> None:
    """Load `state` into `model`, or raise `ValueError` before anything is changed."""
    differences = _differences(model.state_dict(), state)
    if any(differences.values()):
        raise ValueError(_mismatch_message(model, state, differences, origin))
    model.load_state_dict(state, strict=False)


def _mismatch_message(model: ResNet, state: State, differences: dict[str, list[str]], origin: str) -> str:
    want = model.state_dict()
    reshaped = differences["wrong shape"]
    shapes = [f"{key} {list(state[key].shape)} instead of {list(want[key].shape)}" for key in reshaped]
    lines = [f"{origin} does not fit {_describe(model.spec.name, want)}"]
    groups = differences | {"wrong shape": shapes}
    lines += [f"  {fault}: {_first_few(keys)}" for fault, keys in groups.items() if keys]
    if reshaped and CLASSIFIER.issuperset(chain(*differences.values())):
        have = len(state["fc.bias"])
        lines.append(
            f"  the file has {have} classes, the model {len(want['fc.bias'])}: build it with num_classes={have}"
        )
    elif likely := likely_model(state):
        lines.append(f"  it looks like {likely}")
    else:
        lines.append("  no ResNet here has exactly these keys and shapes")
    return "\n".join(lines)


def likely_model(state: State) -> str | None:
    """Describe the model whose keys and shapes `state` has: "resnet50v2, num_classes=10, in_channels=3".

    A state dict may lack the classifier. Returns `None` where no model of this package matches in every other key.
    """
    spec = _guess(state)
    if spec is None:
        return None
    classes = len(state["fc.weight"]) if "fc.weight" in state else 1000
    with torch.device("meta"):
        model = ResNet(spec, classes, in_channels=state["conv1.weight"].shape[1])
    if not CLASSIFIER.issuperset(chain(*_differences(model.state_dict(), state).values())):
        return None
    alternative = f" or {Spec(spec.depth, spec.version, 'none').name}" if spec.shortcut == "A" else ""
    return _describe(spec.name + alternative, state)


def _guess(state: State) -> Spec | None:
    """Return the spec that the names of the keys suggest; the caller compares the shapes."""
    blocks = {match[0]: match for key in state if (match := re.match(r"layer(\d)\.(\d+)\.", key))}
    counts = tuple(len({match[2] for match in blocks.values() if match[1] == stage}) for stage in "1234")
    kind: BlockKind = "bottleneck" if "layer1.0.conv3.weight" in state else "basic"
    depth = next((depth for depth, arch in ARCHS.items() if arch == (kind, counts)), None)
    ranks = (state[key].ndim if key in state else None for key in ("conv1.weight", "fc.weight"))
    if depth is None or tuple(ranks) not in ((4, 2), (4, None)):
        return None
    preact = "layer1.0.preact_bn.weight" in state
    version: Version = "v1.5" if "conv1.bias" not in state else "v2" if preact else "v1"
    projections = sum(f"{block}downsample.0.weight" in state for block in blocks)
    shortcut: Shortcut = "A" if not projections else "C" if projections == len(blocks) else "B"
    return Spec(depth, version, shortcut)


def _describe(name: str, state: State) -> str:
    classes = f"num_classes={len(state['fc.weight'])}" if "fc.weight" in state else "no classifier (fc)"
    return f"{name}, {classes}, in_channels={state['conv1.weight'].shape[1]}"


def _first_few(words: list[str]) -> str:
    more = f" and {len(words) - SHOWN} more" if len(words) > SHOWN else ""
    return ", ".join(words[:SHOWN]) + more
