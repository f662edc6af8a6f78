"""Commands of typer's without what typer and rich import for each and these do not use: most of the time to start."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

# of typer's help, half of whose imports they are: help here is no Markdown, and no exception is shown in colours
UNUSED = {"rich.markdown": "Markdown", "rich.traceback": "Traceback"}
PATHS = (Path, list[Path])  # annotations of options that hold names of files


class Light:
    """A command or a group of them, of typer's, that imports what it needs alone."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        _import_help()
        super().format_help(ctx, formatter)  # type: ignore[misc]

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Read the words of the command line."""
        for parameter in self.get_params(ctx):  # type: ignore[attr-defined]
            parameter.process_value = partial(_process_value, parameter)
        return super().parse_args(ctx, args)  # type: ignore[misc]


def _import_help() -> None:
    """Import typer's help with empty modules in the place of UNUSED ones, which stay as they are for others."""
    absent = UNUSED.keys() - sys.modules.keys()
    for name in absent:
        sys.modules[name] = ModuleType(name)
        setattr(sys.modules[name], UNUSED[name], type(UNUSED[name], (), {}))
    try:
        import typer.rich_utils  # noqa: F401
    finally:
        for name in absent:
            del sys.modules[name]


def _process_value(parameter: Any, ctx: Any, value: Any) -> Any:
    """Return the value of an option: as typer does, which imports pydantic, where it is to be converted or refused."""
    described: Any = getattr(parameter, "type_descriptor", None)
    kind = getattr(described, "annotation", None)
    if value is None and not parameter.required:
        value = () if parameter.multiple or parameter.nargs == -1 else None
    elif kind in PATHS and value and not described.parameter_info.parser:
        paths = [value] if kind is Path else value
        if any(os.path.exists(path) and not os.access(path, os.R_OK) for path in paths):
            return type(parameter).process_value(parameter, ctx, value)  # which says that it cannot be read
        value = Path(value) if kind is Path else [Path(path) for path in value]
    elif type(value) is not kind and not (kind == list[str] and value):
        return type(parameter).process_value(parameter, ctx, value)
    return parameter.callback(ctx, parameter, value) if parameter.callback else value
