"""A builder that a user names, `mymodule:build`: a function, a class or a module of the current folder's code.

It runs, as `python -m mymodule` would. So it is named on the command line or in a plan alone, never by a record.
"""

from __future__ import annotations

import copy
import importlib
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from resnet.outside.sources import ModelError, code_folder, find_module
from resnet.outside.wrapper import first_line


def user_builder(source: str, within: str, name: str) -> Callable[..., Any]:
    """Return what `source:within` names, as a builder. Raises ModelError where it cannot be imported or called."""
    module = user_module(source, name)
    try:
        target: Any = module
        for part in within.split("."):
            target = getattr(target, part)
    except AttributeError:
        callables = [word for word, value in vars(module).items() if callable(value) and not word.startswith("_")]
        has = f"; it has {', '.join(callables[:5])}" if callables else ""
        raise ModelError(f"{name}: the module {source} has no {within}{has}") from None
    if isinstance(target, nn.Module):
        return partial(copy.deepcopy, target)
    if not callable(target):
        raise ModelError(f"{name} is a {type(target).__name__}, not a function that returns a model")
    builder: Callable[..., Any] = target
    return builder


def user_module(source: str, name: str) -> Any:
    """Import the module `source`, the one in the user's folder before any other of that name. Raises ModelError."""
    spec = find_module(source)
    if spec is None:
        raise ModelError(f"{name}: there is no module {source} in {code_folder()}, nor is one installed")
    folder = str(code_folder())
    if folder not in sys.path:
        sys.path.insert(0, folder)  # for good: a model may import more of its folder when it runs
    try:
        module = importlib.import_module(source)
    except (Exception, SystemExit) as error:  # a script without a main guard exits
        raise ModelError(f"{name}: the module {source} cannot be imported: {first_line(error)}") from error
    top = sys.modules[source.partition(".")[0]]
    if spec.origin and getattr(top, "__file__", None) and not Path(spec.origin).samefile(str(top.__file__)):
        raise ModelError(f"{name}: the name {source} is already that of another module; rename the file")
    return module
