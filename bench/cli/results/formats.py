"""`bench export` and `bench import`: records as files of other tools, and files of other tools as records."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from bench.cli.console import USAGE, Filter, ToFile, hint, read_records, stop, tell
from bench.errors import InteropError
from bench.files import write_file
from bench.plans.words import matches
from bench.records.formats import EXPORTS, import_pytest_benchmark, with_latency
from bench.records.store import Store

Format = StrEnum("Format", {name: name for name in EXPORTS})  # type: ignore[misc]


def export(
    folders: Annotated[list[Path], Argument(metavar="DIR...", help="Results folders.")],
    format: Annotated[Format, Option(help="Tool whose format to write.")],
    filter: Filter = None,
    output: Annotated[Path | None, ToFile(help="File to write.  \\[default: stdout]")] = None,
) -> None:
    """Records as the JSON of pytest-benchmark, github-action-benchmark or Bencher."""
    records = [record for record in read_records(folders) if matches(record.case.name, filter or ())]
    chosen = with_latency(records)
    text = json.dumps(EXPORTS[format.value](chosen), indent=1) + "\n"
    if len(chosen) < len(records):
        tell(f"Left out: {len(records) - len(chosen)} records without a time (failed, skipped, or a largest batch)")
    if output is None:
        print(text, end="")
        return
    write_file(output, text)
    hint(f"Written: {len(chosen)} records of {len({r.case for r in chosen})} cases, in {output}")


def import_(
    file: Annotated[Path, Argument(metavar="FILE", help="JSON file of pytest-benchmark.")],
    output: Annotated[Path, Option("-o", "--output", metavar="DIR", help="New results folder.")],
) -> None:
    """Records from the JSON of pytest-benchmark, as `pytest bench/suite --benchmark-json FILE` writes it."""
    try:
        records, left = import_pytest_benchmark(json.loads(file.read_text()))
    except OSError as error:
        stop(f"cannot read {file}: {error.strerror}", USAGE)
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
    hint(
        f"Written: {len(records)} records of {len({r.case for r in records})} cases; `bench report {output}` shows them"
    )
