"""The table of some records, in the form that a command is told: for the terminal, JSON, CSV or Markdown."""

from __future__ import annotations

from pathlib import Path

from bench.cli.console import out, print_csv, print_json, print_text
from bench.records.record import Record
from bench.report.markdown import render_markdown
from bench.report.terminal import print_report
from bench.report.views import report_as_json, report_as_rows


def print_records(
    records: list[Record], folder: Path | None, view: str, as_json: bool, as_csv: bool, as_markdown: bool
) -> None:
    """Print the table of `records`; `folder` is where they have just been written, for the terminal."""
    if as_json:
        print_json(report_as_json(records))
    elif as_csv:
        print_csv(report_as_rows(records))
    elif as_markdown:
        print_text(render_markdown(records, view))
    else:
        print_report(out, records, folder, view)
