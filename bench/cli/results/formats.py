"""`bench export` and `bench import`: records as files of other tools, and files of other tools as records."""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from bench.cli.chosen import Results, chosen_folders
from bench.cli.console import damage_on_stderr, hint, read_records, stop, tell
from bench.cli.options import Exclude, Filter, ToFile
from bench.commands import command_line
from bench.errors import USAGE, InteropError
from bench.files import write_file
from bench.kinds import kind_of
from bench.plans.words import narrow
from bench.records.formats import EXPORTS, import_pytest_benchmark, with_latency
from bench.records.frame import load
from bench.records.store import Store
from bench.text import plural, visible
from kernels.cards.reading import read_json_file

Format = StrEnum("Format", {name: name for name in ("csv", *EXPORTS)})  # type: ignore[misc]
CSV = Format("csv")


def export(
    folders: Results = None,
    format: Annotated[Format, Option(help="Tool whose format to write; csv: every column of bench.load.")] = CSV,
    filter: Filter = None,
    exclude: Exclude = None,
    output: Annotated[Path | None, ToFile(help="File to write.  \\[default: stdout]")] = None,
) -> None:
    """Records as CSV, a row for each case and round, or as the JSON of other tools for benchmarks."""
    places = chosen_folders(folders)
    if format is CSV:
        _export_frame(places, filter or (), exclude or (), output)
        return
    records = read_records(places, filter or (), exclude or ())
    chosen = with_latency(records)
    text = json.dumps(EXPORTS[format.value](chosen), indent=1) + "\n"
    if len(chosen) < len(records):
        tell(f"Left out: {len(records) - len(chosen)} records without a time (failed, skipped, or a largest batch)")
    if output is None:
        print(text, end="")
        return
    write_file(output, text, kind=kind_of(text.encode()))
    hint(f"Written: {_counted(len(chosen), len({r.case for r in chosen}))}, in {output}")


def _export_frame(folders: list[Path], only: Sequence[str], exclude: Sequence[str], output: Path | None) -> None:
    with damage_on_stderr():
        frame = load(*folders)
    frame = frame[frame["case"].isin(narrow(frame["case"].unique(), only, exclude, ", ".join(map(str, folders))))]
    text = visible(frame.to_csv(index=False, lineterminator="\n"))
    if output is None:
        print(text, end="")
        return
    write_file(output, text, kind=kind_of(text.encode()))
    hint(f"Written: {_counted(len(frame), frame['case'].nunique())}, in {output}")


def import_(
    file: Annotated[Path, Argument(metavar="FILE", help="JSON file of pytest-benchmark.")],
    output: Annotated[Path, Option("-o", "--output", metavar="DIR", help="New results folder.")],
) -> None:
    """Records from the JSON of pytest-benchmark, as `pytest bench/suite --benchmark-json FILE` writes it."""
    try:
        records, left = import_pytest_benchmark(read_json_file(file))
    except OSError as error:
        stop(f"cannot read {file}: {error.strerror or error}", USAGE)
    except (InteropError, ValueError) as error:
        stop(f"{file}: {error}", USAGE)
    store = Store(output)
    if store.file.exists():
        stop(f"{output} holds records already; choose another folder with -o", USAGE)
    with store.writing():
        for record in records:
            store.append(record)
    for text in left:
        tell(f"Left out: {text}")
    written = _counted(len(records), len({record.case for record in records}))
    hint(f"Written: {written}; `{command_line('report', output)}` shows them")


def _counted(records: int, cases: int) -> str:
    return f"{records} {plural(records, 'record')} of {cases} {plural(cases, 'case')}"
