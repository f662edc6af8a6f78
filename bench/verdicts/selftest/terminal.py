"""Error rates on a terminal, and what a file of them says of how it was made."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from bench.machine.provenance import this_commit
from bench.text import WORDS, grid
from bench.verdicts.selftest import tables


def made_by(words: Sequence[str]) -> dict[str, Any]:
    """The schema, and the command, day and commit that a file was made with; `words` are the command's."""
    date = datetime.now(UTC).date().isoformat()
    return {
        "schema": tables.SCHEMA,
        "made": {"command": shlex.join(["bench", *words]), "date": date, "commit": this_commit(12)},
    }


def show(out: Console, results: dict[str, Any]) -> None:
    """Within 80 columns; the answer first."""
    out.print(tables.verdict(results), markup=False, style="bold")
    out.print(tables.made(results), markup=False, style="dim")
    for block in tables.blocks(results):
        table = grid(*block.titles, text=block.words)
        for row in block.rows:
            table.add_row(*row)
        out.print(f"\n{block.caption}:", markup=False)
        out.print(table)
        for note in block.notes:
            out.print(f"  {note}", markup=False, style="dim")
    out.print(WORDS, style="dim")
