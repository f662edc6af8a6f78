"""What is known of a network before it is built: what a record says of it where its process did not come so far."""

from __future__ import annotations

from typing import Any

from bench.errors import PlanError
from resnet.names import Build
from resnet.weight_files import digest_of, locate


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
