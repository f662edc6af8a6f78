"""The words for what cannot be read: a value that does not fit its annotation, and lines of a file left out for it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence, Set
from pathlib import Path
from typing import Any

from bench.errors import Lost

INT64_END = 1 << 63  # whole numbers are smaller than this in absolute value
SHOWN = 40  # characters of a wrong value
NAMED = 10  # lines left out of a file that are named, each with its reason


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


def describe_damage(
    file: Path, left_out: Sequence[tuple[int, str, str, int]], there: Set[tuple[str, int]], read: int
) -> list[str]:
    """Return a sentence for each of the first NAMED lines that are left out, and of several one that counts them.

    `left_out` has the number of each line, and the fields of its `LeftOut`; `there` the cases and rounds of the others.
    A sentence that is `Lost` is of a line that no other stands for, as one does where a sweep was cut and resumed.
    """
    told: list[str] = []
    lost_first = sorted(left_out, key=lambda row: (row[2], row[3]) in there)
    for number, reason, case, round_ in sorted(lost_first[:NAMED], key=lambda row: row[0]):
        text = f"{file}:{number}: left out: {reason}"
        told.append(f"{text}; another line has that round" if (case, round_) in there else Lost(text))
    more = [f"{file}: {len(left_out)} lines are left out, {read} are read"] if len(left_out) > 1 else []
    return told + more
