"""Folders of records, written for tests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.plans.case import Case
from bench.records.record import Record

NAME = "resnet18/eager/fp32/b1/i64/stream"
Make = Callable[..., Record]


def write(folder: Path, *records: Record | str | bytes) -> Path:
    """A results folder with these records, or lines, added to what it has."""
    folder.mkdir(exist_ok=True)
    with (folder / "records.jsonl").open("ab") as file:
        for record in records:
            line = record.line() if isinstance(record, Record) else record
            file.write((line.encode() if isinstance(line, str) else line) + b"\n")
    return folder


def quick(name: str = NAME, round: int = 0, **fields: Any) -> Record:
    """A record without a machine, for tests that need many."""
    return Record(Case.parse(name), round, fields.pop("status", "ok"), **fields)
