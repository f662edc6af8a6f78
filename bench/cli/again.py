"""The command that is running, once more: with all words that it was given, and those that it needs to go on."""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import ContextVar
from enum import Enum
from typing import Any

from typer.core import TyperCommand

from bench.cli.light import Light
from bench.commands import command_line

_running: ContextVar[Any] = ContextVar("running")  # a context of typer's or of click's, as the version has it


class Command(Light, TyperCommand):
    """A command that `again` repeats while it runs."""

    def invoke(self, ctx: Any) -> Any:
        token = _running.set(ctx)
        try:
            return super().invoke(ctx)
        finally:
            _running.reset(token)


def again(**changes: object) -> str:
    """Return the running command as it can be pasted, with its words; `changes` are parameters that it gets then."""
    context = _running.get()
    words = [str(context.command.name)]
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name)
        if parameter.name in changes:
            words += _words(parameter, changes[parameter.name])
        elif source and source.name == "COMMANDLINE":
            words += _words(parameter, context.params.get(parameter.name))
    return command_line(*words)


def _words(parameter: Any, value: Any) -> Iterator[str]:
    """Yield the words that give a parameter its value: none for nothing, and one for a flag."""
    is_option = parameter.param_type_name == "option"
    for item in value if isinstance(value, list | tuple) else [value]:
        if item is False and is_option and parameter.secondary_opts:
            yield parameter.secondary_opts[0]
        if item is None or item is False:
            continue
        if is_option:
            yield parameter.opts[0]
        if item is not True:
            yield str(item.value if isinstance(item, Enum) else item).removesuffix(".0" * isinstance(item, float))
