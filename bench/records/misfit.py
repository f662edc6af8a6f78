"""The error for a value that does not fit its annotation, in words: where it is, and what belongs there."""

from __future__ import annotations

import json
import re
from typing import Any

INT64_END = 1 << 63  # whole numbers are smaller than this in absolute value
SHOWN = 40  # characters of a wrong value


class Misfit(ValueError):
    """A value that does not fit its annotation; `path` leads to it."""

    def __init__(self, expected: str, value: Any) -> None:
        self.expected, self.value = expected, value
        self.path: list[str | int] = []

    def at(self, *path: str | int) -> Misfit:
        """Put `path` before the path so far, as seen from an enclosing value; returns this error."""
        self.path[:0] = path
        return self

    def __str__(self) -> str:
        return f"{_describe_path(self.path) or 'it'} is {_describe_value(self.value)}, where {self.expected} belongs"


def _describe_path(path: list[str | int]) -> str:
    """Return a path as in `environment.cpu.cores` or `latency_ns[3]`; keys that are no names are quoted."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{_describe_key(part)}" for part in path]
    return "".join(parts).removeprefix(".")


def _describe_key(key: str) -> str:
    return key if re.fullmatch(r"[\w-]+", key, re.ASCII) else json.dumps(key[:SHOWN])


def _describe_value(value: Any) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list) and (not 1 <= len(value) <= 4 or any(isinstance(one, dict | list) for one in value)):
        return f"a list of {len(value)}" if value else "an empty list"
    if type(value) is int and abs(value) >= INT64_END:
        return "a number past 64 bits"
    text = json.dumps(value[: SHOWN + 1] if isinstance(value, str) else value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
