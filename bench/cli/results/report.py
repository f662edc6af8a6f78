"""`bench report`: the tables of some results, as a page, as pictures, as text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.console import FAILED, Json, ViewName, known_view, out, print_json, tell
from bench.machine.environment import ROOT
from bench.records.frame import export
from bench.records.store import load
from bench.report import markdown as reports
from bench.report.plot import plot_lines
from bench.report.rows import describe_fastest, rows_from_records
from bench.report.terminal import print_report
from bench.report.views import report_as_json


def report(
    folders: Annotated[list[Path] | None, typer.Argument(metavar="DIR...", help="Results folders.")] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write one page that needs no net.")
    ] = None,
    stills: Annotated[
        Path | None, typer.Option("--stills", metavar="DIR", help="Write the page's charts as SVG and PNG.")
    ] = None,
    plot: Annotated[bool, typer.Option("--plot", help="Print latency over batch as a plot.")] = False,
    splice: Annotated[bool, typer.Option("--splice", help="Make the tables in README and docs anew.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Exit 1 if a table in README or docs is stale.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
    parquet: Annotated[Path | None, typer.Option("--parquet", metavar="FILE", help="Write every record there.")] = None,
    view: ViewName = None,
    as_json: Json = False,
) -> None:
    """The table of some results, or a page of them; or the tables inside the documents of this checkout."""
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
    if html or stills:
        _pictures(folders, html, stills)
    if parquet or html or stills:
        return
    records, damage = load(folders)
    for line in damage:
        tell(f"bench: {line}")
    if as_json:
        print_json(report_as_json(records))
    elif markdown:
        print(reports.render_markdown(records, shown), end="")
    elif plot:
        found = rows_from_records(records)
        out.print(describe_fastest(found), markup=False, end="\n\n")
        for line in plot_lines(found, out.width):
            out.print(line, markup=False, soft_wrap=True)
    else:
        print_report(out, records, None, shown)


def _pictures(folders: Sequence[Path], html: Path | None, stills: Path | None) -> None:
    """Write the page, the pictures, or both."""
    from bench.files import write as write_file
    from bench.report.page.document import render_page
    from bench.report.page.stills import save_stills

    if html:
        text = render_page(folders)
        write_file(html, text)
        out.print(f"{html}: {len(text.encode()) / 1e6:.1f} MB; open it in a browser", markup=False, soft_wrap=True)
    if stills:
        made = save_stills(folders, stills)
        out.print(f"{stills}: {len(made)} pictures", markup=False, soft_wrap=True)
