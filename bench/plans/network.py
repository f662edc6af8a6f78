"""The facts of a network before it is built: a record has these where its process did not come so far."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.errors import PlanError
from resnet.names import Build
from resnet.weight_files import INDEX, absolute, digest_of, locate

# how the names of checkpoints end, as a rule; those that do not are read all the same
CHECKPOINTS = (".safetensors", INDEX, ".pt", ".pth", ".bin", ".ckpt", ".tar", ".h5", ".keras")


def checkpoint_from(folder: Path, word: str) -> str:
    """Return the word for a checkpoint from any folder; `word` is from `folder`. Raises PlanError where none is there.

    An entry in the file, `FILE#ENTRY`, stays behind the path.
    """
    path, entry = locate(word)
    path = folder / path
    if not path.is_file():
        raise PlanError(f"weights {word}: {path} is {_instead(path)}; name a checkpoint")
    return absolute(f"{path}#{entry}" if entry else path)


def _instead(path: Path) -> str:
    """Return what is at a path that is no file, with the checkpoints that a folder has."""
    if not path.is_dir():
        return "not there"
    names = sorted(child.name for child in path.iterdir() if child.name.endswith(CHECKPOINTS))
    return f"a folder with {', '.join(names[:3])}" if names else "a folder"


def network_given(build: Build) -> dict[str, Any]:
    """Return the part of a record's `network` that `build` tells. Raises PlanError for weights that cannot be read."""
    given: dict[str, Any] = {"num_classes": build.num_classes, "in_channels": build.in_channels}
    facts: dict[str, Any] = {"weights": "synthetic"}
    if build.weights:
        given["entry"] = locate(build.weights)[1]
        facts = {"weights": "file", "file": _digest(build.weights)}
    return facts | {"given": {key: value for key, value in given.items() if value}}


def _digest(weights: str) -> str:
    try:
        return digest_of(weights)
    except OSError as error:
        raise PlanError(f"the weights cannot be read: {error.strerror}: {error.filename}") from None
    except ValueError as error:
        raise PlanError(f"the weights cannot be read: {error}") from None
