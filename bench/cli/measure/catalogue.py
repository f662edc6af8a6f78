"""The list of all that can be named, as a bare `bench list` prints it."""

from __future__ import annotations

from typing import Any

from rich.markup import escape
from rich.padding import Padding

from bench.cli.console import device_line
from bench.cli.tables import Column, console_for, print_table
from bench.commands import command_line
from bench.machine.facts import Environment
from bench.text import plural

COLUMNS = (
    Column("name", "name", text=True),
    Column("runs", "runs", lambda runs: "yes" if runs else "no", text=True),
    Column("here", "here", text=True),
    Column("why", "why", text=True),
    Column("reason", "reason", text=True),
)


def print_catalogue(catalogue: dict[str, list[dict[str, Any]]], env: Environment, as_markdown: bool = False) -> None:
    """Print each group of names with their why, and beside what this machine cannot run the reason."""
    out = console_for(as_markdown)
    out.print(f"Device here: {device_line(env)}", markup=False)
    for title, rows in catalogue.items():
        out.print(f"\n{title.capitalize()}", style="bold")
        if as_markdown:
            print_table(COLUMNS, [row | {"here": _extent(row).strip()} for row in rows], as_markdown=True)
            continue
        for row in rows:
            mark = "[green]runs   [/]" if row["runs"] else "[yellow]skipped[/]"
            out.print(f"{mark} {escape(row['name'])}{escape(_extent(row))}")
            reason = f" [dim]({escape(row['reason'])})[/]" if row["reason"] else ""
            out.print(Padding(f"{escape(row['why'])}{reason}", (0, 0, 0, 8), expand=False))
    examples = command_line("list", "quick"), command_line("list", "resnet18", "--batch", "1,8")
    out.print(f"\nThe cases of a plan, a name or axes: {', '.join(examples)}", markup=False, soft_wrap=True)


def _extent(row: dict[str, Any]) -> str:
    """Return how much of a row this machine runs: a plan's cases, the precisions of a variant."""
    if "cases" in row:
        return f"  {row['cases_here']} of {row['cases']} {plural(row['cases'], 'case')} here"
    return f"  {', '.join(row['precisions'])}" if row.get("precisions") else ""
