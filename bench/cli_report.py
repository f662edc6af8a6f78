"""`bench report`: the tables of some results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench import report as reports
from bench.console import FAILED, Json, ViewName, known_view, out, print_json, tell
from bench.environment import ROOT
from bench.frame import export
from bench.show import show
from bench.store import load
from bench.views import as_json as as_json_of


def report(
    folders: Annotated[list[Path] | None, typer.Argument(metavar="DIR...", help="Results folders.")] = None,
    splice: Annotated[bool, typer.Option("--splice", help="Make the tables in README and docs anew.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Exit 1 if a table in README or docs is stale.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
    parquet: Annotated[Path | None, typer.Option("--parquet", metavar="FILE", help="Write every record there.")] = None,
    view: ViewName = None,
    as_json: Json = False,
) -> None:
    """The table of some results; or the tables inside the documents of this checkout."""
    shown = known_view(view or "speed")
    if splice or check:
        changed = [str(path.relative_to(ROOT)) for path in reports.splice(write=not check)]
        verb = "stale (make report)" if check else "made anew"
        out.print(f"{verb}: {', '.join(changed)}" if changed else "every table is as its records say")
        raise typer.Exit(FAILED if check and changed else 0)
    if not folders:
        raise typer.BadParameter("name a results folder, or --splice or --check")
    if parquet:
        export(folders, parquet)
        out.print(f"{parquet}: what bench.load gives of {len(folders)} folder(s)", markup=False, soft_wrap=True)
        return
    records, damage = load(folders)
    for line in damage:
        tell(f"bench: {line}")
    if as_json:
        print_json(as_json_of(records))
    elif markdown:
        print(reports.markdown(records, shown), end="")
    else:
        show(out, records, None, shown)
