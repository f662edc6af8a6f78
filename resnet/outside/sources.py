"""The reasons why a model from outside cannot be built here, read without running anything, and their error.

The standard library alone: the parent process asks before it starts a child.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from resnet.code import CodeError, find_code, value_of
from resnet.names import is_outside, outside_parts

PACKAGES = ("timm", "torchvision")
# The minor release of torchvision is that of the torch 2 it is for, and this: 0.28 is for 2.13.
TORCHVISION_AHEAD = 15
TIMM_NEEDS = "timm huggingface_hub safetensors pyyaml"


class ModelError(CodeError):
    """A model from outside cannot be built or judged; the message is a sentence, with the cure where there is one."""


def why_not_built(name: str) -> str | None:
    """Return the reason why the model `name` cannot be built in this environment, with the cure, or None."""
    if not is_outside(name):
        return None
    source = outside_parts(name)[0]
    if source not in PACKAGES:
        return find_code(name)
    return None if find_spec(source) else f"{source} is not installed: {pip_line(source)}"


def pip_line(source: str) -> str:
    """Return the commands that install `source` and leave torch as it is, which a plain install may replace."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        major, minor, *_ = version("torch").split(".")
        pin = f"'torchvision==0.{int(minor) + TORCHVISION_AHEAD}.*'" if major == "2" else "torchvision"
    except (PackageNotFoundError, ValueError):
        pin = "torchvision"
    return f"pip install --no-deps {pin}" + (f" {TIMM_NEEDS}" if source == "timm" else "")


def arguments_of(name: str) -> dict[str, Any]:
    """Return the arguments behind a model's name, `@width=64,deep=true`, as Python values."""
    return {key: value_of(text) for key, text in outside_parts(name)[2].items()}
