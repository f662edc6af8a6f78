"""Error rates on a terminal, and the provenance of a file of them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from bench.machine.provenance import this_commit
from bench.text import WORDS, grid
from bench.verdicts.selftest import tables


def provenance_fields(words: Sequence[str]) -> dict[str, Any]:
    """Return the schema of a file, and the command, the day and the commit that wrote it; `words` are the command's."""
    date, command = datetime.now(UTC).date().isoformat(), shlex.join(["bench", *words])
    return {"schema": tables.SCHEMA, "made": {"command": command, "date": date, "commit": this_commit(12)}}


def print_error_rates(out: Console, results: dict[str, Any]) -> None:
    """Print the answer, then the tables, within 80 columns."""
    if sentence := tables.verdict(results):
        out.print(sentence, markup=False, style="bold")
    out.print(tables.provenance(results), markup=False, style="dim")
    for block in tables.blocks(results):
        table = grid(*block.titles, text=block.words)
        for row in block.rows:
            table.add_row(*row)
        out.print(f"\n{block.caption}:", markup=False)
        out.print(table)
        for note in block.notes:
            out.print(f"  {note}", markup=False, style="dim")
    out.print(WORDS, style="dim")
