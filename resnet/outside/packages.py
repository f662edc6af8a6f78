"""Models of timm and torchvision, by the packages' own builders."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterable
from typing import Any

import torch

from resnet.outside.sources import ModelError, pip_line
from resnet.outside.wrapper import first_line

# torchvision's operators whose fake kernels it registers on import. Where its library cannot be loaded (a wheel built
# for CUDA beside a torch for CPUs) they have no schema, and that alone makes the import fail.
FAKED = ("nms", "qnms")
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_schemas: list[torch.library.Library] = []  # which hold only as long as this object lives


def package_builder(source: str, within: str, name: str) -> tuple[Callable[..., Any], str]:
    """Return the builder of a package's model, and the package with its version. Raises ModelError."""
    try:
        torchvision = import_torchvision()  # which timm imports too
        if source == "torchvision":
            return _torchvision_builder(torchvision, within, name), f"torchvision {_plain(torchvision.__version__)}"
        import timm
    except ImportError as error:
        raise ModelError(f"{name} needs a package that is not there ({error}): {pip_line(source)}") from error
    if within not in timm.list_models():
        raise ModelError(f"timm has no model {within}{_near(within, timm.list_models())}")

    def build(**keywords: Any) -> Any:
        return timm.create_model(within, **keywords)

    return build, f"timm {_plain(timm.__version__)}"


def import_torchvision() -> Any:
    """Return torchvision, also where its compiled operators do not load. Raises ImportError where it is not there."""
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise ImportError(f"torchvision does not import: {first_line(error)}") from error
        _define_schemas()
        for module in [module for module in sys.modules if module.partition(".")[0] == "torchvision"]:
            del sys.modules[module]  # half imported
        import torchvision
    return torchvision


def _define_schemas() -> None:
    if not _schemas:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in FAKED:
            library.define(operator + _SCHEMA)
        _schemas.append(library)


def _torchvision_builder(torchvision: Any, within: str, name: str) -> Callable[..., Any]:
    models = torchvision.models
    classifiers = models.list_models(module=models)
    if within in classifiers:
        builder: Callable[..., Any] = models.get_model_builder(within)
        return builder
    if within in models.list_models():
        raise ModelError(f"{name} is no classifier: it answers with boxes, masks or frames, not with [N, classes]")
    raise ModelError(f"torchvision has no model {within}{_near(within, classifiers)}")


def _plain(version: str) -> str:
    return version.partition("+")[0]


def _near(word: str, words: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(words), n=3)
    return f"; near: {', '.join(near)}" if near else ""
