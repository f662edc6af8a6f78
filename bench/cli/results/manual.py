"""docs/COMMANDS.md: each command as its own help describes it, so that no option in that page is typed."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

from bench.plans.plan import load_plan, plan_names
from bench.report.markdown import Files
from bench.text import markdown_table
from resnet.variants import VARIANTS

MANY = 4  # commands that have an option with the same meaning: it stands once, in the table of `describe_shared`
SHARED = "options-of-many-commands"  # the anchor of that table
WORDS, WHYS = ("word", "meaning"), ("name", "why it is there")  # titles of the tables
VALUES = {int: "N", float: "X", str: "TEXT", Path: "PATH"}  # of options that do not name theirs


@dataclass(frozen=True)
class Word:
    """An option or an argument: its name, how it is written, its meaning."""

    name: str
    written: str
    meaning: str

    @property
    def cells(self) -> tuple[str, str]:
        return f"`{self.written}`", _as_text(self.meaning)


def describe_command(_: Path, name: str, files: Files) -> str:
    """Return what a command does, how it is called, and its options: those of many commands by name alone."""
    from bench.cli import load

    command, words = load(name), _words(name)
    call = " ".join(("bench", name, *(_in_a_call(one) for one in command.params if _is_argument(one))))
    shared = [f"`{word.name}`" for word in words if word in _shared()]
    lines = [_as_text(command.help), "", f"`{call}`", ""]
    if rest := [word for word in words if word not in _shared()]:
        lines += [*markdown_table(WORDS, (word.cells for word in rest), 2), ""]
    lines += [f"And of the [{SHARED.replace('-', ' ')}](#{SHARED}): {', '.join(shared)}.", ""] * bool(shared)
    return "\n".join(lines)


def describe_shared(_: Path, source: str, files: Files) -> str:
    """Return the table of the options that many commands have."""
    return "\n".join(markdown_table(WORDS, (word.cells for word in _shared()), 2)) + "\n"


def describe_names(_: Path, source: str, files: Files) -> str:
    """Return the table of the plans or of the variants, with why each is there."""
    named = map(load_plan, plan_names()) if source == "plans" else VARIANTS.values()
    rows = [(f"`{one.name}`", _as_text(one.why)) for one in named]
    return "\n".join(markdown_table(WHYS, rows, 2)) + "\n"


@cache
def _shared() -> list[Word]:
    from bench.cli import PLACES

    counts = Counter(word for name in PLACES for word in _words(name))
    return [word for word, count in counts.items() if count >= MANY]


@cache
def _words(name: str) -> list[Word]:
    from bench.cli import load

    return [_word(parameter) for parameter in load(name).params]


def _word(parameter: Any) -> Word:
    meaning = (parameter.help or "").replace("\\[", "[")
    if _is_argument(parameter):
        return Word(_value(parameter), _value(parameter), meaning)
    default = parameter.default.value if isinstance(parameter.default, Enum) else parameter.default
    if default not in (None, False, "", ()) and "[default" not in meaning:
        meaning += f" [default: {default}]"
    names = [*parameter.opts, *parameter.secondary_opts]
    value = "" if parameter.is_flag else f" {_value(parameter)}"
    return Word(max(parameter.opts, key=len), ", ".join(names) + value, meaning)


def _value(parameter: Any) -> str:
    """Return the value of an option, or an argument, as the help names it."""
    if parameter.metavar:
        return str(parameter.metavar).strip("[]")
    kind = parameter.type_descriptor.annotation
    kind = next(iter(getattr(kind, "__args__", ())), kind)  # of a list, its elements
    return "|".join(one.value for one in kind) if issubclass(kind, Enum) else VALUES[kind]


def _is_argument(parameter: Any) -> bool:
    return bool(parameter.param_type_name == "argument")


def _in_a_call(parameter: Any) -> str:
    return _value(parameter) if parameter.required else f"[{_value(parameter)}]"


def _as_text(help_text: str) -> str:
    """Return a text of the help as Markdown: in paragraphs, its stars no emphasis, code between backticks as it is."""
    pieces = re.split(r"(`[^`]*`)", help_text)
    return "".join(one if one.startswith("`") else one.replace("*", r"\*").replace("<", "&lt;") for one in pieces)
