"""`bench report`: the tables of results folders, as text, as a page, as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from bench.cli.again import again
from bench.cli.chosen import Results, Save, chosen_folders, print_runs, save_as, store_of_runs
from bench.cli.console import damage_on_stderr, read_records
from bench.cli.options import Csv, Exclude, Filter, Json, Markdown
from bench.cli.reported import ViewName, nothing_measured, print_records
from bench.cli.results.manual import describe_command, describe_names, describe_shared
from bench.cli.results.pictures import draw_badges, draw_picture
from bench.cli.tables import out
from bench.errors import FAILED, ArgumentError
from bench.machine.environment import ROOT
from bench.records.frame import export_parquet
from bench.report import markdown as reports
from bench.report.terminal import ROWS
from bench.text import plural

KINDS: dict[str, reports.Renderer] = {
    "picture": draw_picture,
    "command": describe_command,
    "options": describe_shared,
    "names": describe_names,
    "badges": draw_badges,
}
STILLS = (
    "Write the answer, the heat map and each chart as SVG and PNG: NAME-slide (16:9, for slides), NAME-light and "
    "NAME-dark (for a README or a page)."
)


def report(
    folders: Results = None,
    filter: Filter = None,
    exclude: Exclude = None,
    html: Annotated[Path | None, Option(metavar="FILE", help="Write an HTML page that needs no network.")] = None,
    stills: Annotated[Path | None, Option(metavar="DIR", help=STILLS)] = None,
    splice: Annotated[bool, Option("--splice", help="Renew tables and pictures in README and docs.")] = False,
    check: Annotated[bool, Option("--check", help="Exit 1 if one of these is out of date.")] = False,
    as_csv: Csv = False,
    as_markdown: Markdown = False,
    save: Save = None,
    parquet: Annotated[Path | None, Option(metavar="FILE", help="Write every record as Parquet.")] = None,
    view: ViewName = None,
    every: Annotated[bool, Option("--all", help=f"On a terminal, too, all cases of more than {ROWS}.")] = False,
    as_json: Json = False,
) -> None:
    """The table of results folders, or a page with charts; or the tables inside this checkout's documents.

    Without a folder it is that of the latest run. A folder of runs, as results/local, is listed.
    """
    if splice or check:
        changed = [str(path.relative_to(ROOT)) for path in reports.splice(write=not check, kinds=KINDS)]
        verb = "out of date (make report)" if check else "renewed"
        out.print(f"{verb}: {', '.join(changed)}" if changed else "every table and picture is as its records say")
        raise typer.Exit(FAILED if check and changed else 0)
    if store := store_of_runs(folders):
        if html or stills or parquet or save:
            raise ArgumentError(f"{store} is a folder of runs: name those that are wanted, as {store}/*")
        print_runs(store, as_json, as_csv, as_markdown)
        return
    if (html or stills or parquet) and (filter or exclude or as_json or as_csv or as_markdown):
        raise typer.BadParameter(
            "--html, --stills and --parquet write files of whole folders: not with -f, --exclude, --json, --csv or "
            "--markdown"
        )
    folders = chosen_folders(folders)
    save_as(save, folders)
    if parquet:
        with damage_on_stderr():
            export_parquet(folders, parquet)
        of = f"{len(folders)} {plural(len(folders), 'folder')}"
        out.print(f"{parquet}: the frame of bench.load, of {of}", markup=False, soft_wrap=True)
    if html or stills:
        _write_pictures(folders, html, stills)
    if parquet or html or stills:
        return
    records = read_records(folders, filter or (), exclude or (), brief=True)
    all_of_them = "" if every else again(every=True)
    print_records(records, None, view or "", as_json, as_csv, as_markdown, every=all_of_them)
    if nothing := nothing_measured(records):
        raise typer.Exit(nothing)


def _write_pictures(folders: Sequence[Path], html: Path | None, stills: Path | None) -> None:
    """Write the page, the pictures, or both."""
    from bench.files import OTHER, check_writable, write_file
    from bench.kinds import PAGE
    from bench.report.page.document import render_page
    from bench.report.page.stills import save_stills

    if html:
        check_writable(html, PAGE, f"{OTHER} with --html")
        text = render_page(folders)
        write_file(html, text, kind=PAGE)
        out.print(f"{html}: {len(text.encode()) / 1e6:.1f} MB; open it in a browser", markup=False, soft_wrap=True)
    if stills:
        out.print(f"{stills}: {len(save_stills(folders, stills))} pictures", markup=False, soft_wrap=True)
