"""Tables of the self-test, and the numbers in their cells."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

# Noise that a machine ties in time. In two sittings it passes for a change of the code where cases are few.
MACHINES = ("sitting", "drift", "machine-ar", "machine-states", "ar-0.3", "ar-0.7", "ar-mixed", "states")
MANY_CASES = 100


@dataclass(frozen=True)
class Block:
    """A table: its caption, its columns, the first `words` of which have words (or these), its rows, notes below it."""

    caption: str
    titles: tuple[str, ...]
    words: int | tuple[str, ...]
    rows: list[tuple[str, ...]]
    notes: tuple[str, ...] = ()


def grouped(rows: Iterable[dict[str, Any]], *keys: str) -> dict[tuple[Any, ...], list[dict[str, Any]]]:
    """Group rows by their values of some keys, in the order of the first of each group."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    return groups


def percent(share: float) -> str:
    """Return a share as `0.45 %`."""
    return f"{number(share)} %"


def number(share: float) -> str:
    """Return a share in percent, with two or three digits: 0.0045 is 0.45, 0.9712 is 97.1."""
    number = 100 * share
    if 0 < number < 0.01:
        return "<0.01"
    return f"{number:.3g}" if number >= 10 else f"{number:.2g}"
