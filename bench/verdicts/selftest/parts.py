"""The other parts of a self-test beside the comparison: what is simulated of history, and of processes."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.verdicts.selftest.tables import Block

COMPARISON = "comparison"
# Each is a module beside this one, with a function that simulates it and one that gives its tables.
PARTS = {
    "history": ("simulate_history", "history_blocks"),
    "processes": ("simulate_processes", "process_blocks"),
}


def simulate_part(name: str, seed: int, quick: bool) -> dict[str, Any]:
    """Return the results of a part as a file keeps them under its name."""
    results: dict[str, Any] = getattr(import_module(_module(name)), PARTS[name][0])(seed, quick)
    return results


def part_blocks(name: str, results: dict[str, Any]) -> list[Block]:
    """Return the tables of a part."""
    blocks: list[Block] = getattr(import_module(_module(name)), PARTS[name][1])(results)
    return blocks


def _module(name: str) -> str:
    return f"{__package__}.{name}"
