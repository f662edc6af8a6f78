"""Where a model from outside comes from, and why it cannot be built here. The standard library alone: nothing runs.

The parent process asks this before it starts a child, so packages and modules are looked for on disk and not imported.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from resnet.names import is_outside, outside_parts

PACKAGES = ("timm", "torchvision")
# The folder whose modules a name may mean: the current one, unless the parent says which, as a child that runs another
# checkout has that as its current folder.
FOLDER_VARIABLE = "RESNET_BENCH_FOLDER"
# torchvision 0.28 is torch 2.13's, and so on for each minor release
TORCHVISION_AHEAD = 15

Value = int | float | bool | str | None


class ModelError(ValueError):
    """A model from outside cannot be built, or its answers cannot be judged; the message is a sentence with the cure."""


def why_not_built(name: str) -> str | None:
    """Return the reason why the model `name` cannot be built in this environment, with the cure, or None."""
    if not is_outside(name):
        return None
    source, within, _ = outside_parts(name)
    if source in PACKAGES:
        return None if find_spec(source) else f"{name} needs {source}, which is not installed: {pip_line(source)}"
    if find_module(source) is None:
        return (
            f"{name}: there is no module {source} in {code_folder()}, the current folder, nor is one installed; "
            f"the form is {'MODULE:FUNCTION' if within else 'SOURCE:NAME'}, and the packages are {', '.join(PACKAGES)}"
        )
    return None


def pip_line(source: str) -> str:
    """Return the commands that install `source` and leave torch as it is, which a plain install may replace."""
    try:
        major, minor, *_ = version("torch").split(".")
        pin = f"torchvision==0.{int(minor) + TORCHVISION_AHEAD}.*" if major == "2" else "torchvision"
    except (PackageNotFoundError, ValueError):
        pin = "torchvision"
    without = f"pip install --no-deps '{pin}'"
    return without if source == "torchvision" else f"{without} timm && pip install huggingface_hub safetensors pyyaml"


def code_folder() -> Path:
    """Return the folder in which a model's module is looked for first."""
    return Path(os.environ.get(FOLDER_VARIABLE) or Path.cwd())


def find_module(name: str) -> ModuleSpec | None:
    """Return the spec of the first part of a dotted module's name, from the user's folder or an installed package."""
    return PathFinder.find_spec(name.partition(".")[0], [str(code_folder()), *sys.path])


def arguments_of(name: str) -> dict[str, Value]:
    """Return the arguments of a model's name, `@width=64,deep=true`, as whole numbers, numbers, truth values or text."""
    return {key: value_of(text) for key, text in outside_parts(name)[2].items()}


def value_of(text: str) -> Value:
    """Return the value that a word means: 3, 0.5, True, None, or the word itself."""
    words: Mapping[str, Value] = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
