"""What is known of a network before it is built: what a record says of it where its process did not come so far."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.errors import PlanError
from resnet.names import Build
from resnet.weight_files import absolute, digest_of, locate


def checkpoint_from(folder: Path, word: str) -> str:
    """Return the word for a checkpoint from any folder; `word` is from `folder`. Raises PlanError where none is there.

    An entry in the file, `FILE#ENTRY`, stays behind the path.
    """
    path, entry = locate(word)
    path = folder / path
    if not path.is_file():
        raise PlanError(f"weights {word}: {path} is {'a folder' if path.is_dir() else 'not there'}; name a checkpoint")
    return absolute(f"{path}#{entry}" if entry else path)


def network_asked(build: Build) -> dict[str, Any]:
    """Return the part of a record's `network` that `build` tells. Raises PlanError for weights that cannot be read."""
    given: dict[str, Any] = {"num_classes": build.num_classes, "in_channels": build.in_channels}
    asked: dict[str, Any] = {"weights": "synthetic"}
    if build.weights:
        given["entry"] = locate(build.weights)[1]
        asked = {"weights": "file", "file": _digest(build.weights)}
    return asked | {"given": {key: value for key, value in given.items() if value}}


def _digest(weights: str) -> str:
    try:
        return digest_of(weights)
    except OSError as error:
        raise PlanError(f"the weights cannot be read: {error.strerror}: {error.filename}") from None
    except ValueError as error:
        raise PlanError(f"the weights cannot be read: {error}") from None
