"""The columns of a results folder as lists, for what is compared: pandas takes as long to import as a comparison."""

from __future__ import annotations

from itertools import compress
from pathlib import Path
from typing import Any

from bench.records.columns import COLUMNS, row_maker
from bench.records.comparable import Lists as Lists
from bench.records.frame import INDEX_FROM, file_of, load, warn_of
from bench.records.misfit import describe_damage
from bench.records.record import Record, parse_each
from bench.records.store import not_read
from kernels.cards.reading import open_lines


def read_lists(folder: Path) -> Lists:
    """Return the columns that `bench.records.frame.load` has of a folder or a file, with its warnings and errors."""
    names = [name for name in COLUMNS if name != "folder"]
    file = file_of(folder)
    try:
        if file.suffix == ".parquet" or file.stat().st_size >= INDEX_FROM:  # it has an index
            frame = load(folder).drop(columns="folder").astype("object")
            return {str(name): values.where(values.notna(), None).tolist() for name, values in frame.items()}
        with open_lines(file) as data:
            content = data.read()
    except OSError as error:
        raise not_read(file, error) from None
    row_of, rows, left_out, count = row_maker(names), dict[tuple[str, int], list[Any]](), [], 0
    for number, record in parse_each(lines := content.splitlines()):
        if isinstance(record, Record):
            count += 1
            rows.pop((record.case.name, record.round), None)  # of a round that was run again, the last counts
            rows[record.case.name, record.round] = row_of(record)
        elif number < len(lines) or content.endswith(b"\n"):  # else the line is being written
            left_out.append((number, *record))
    warn_of(describe_damage(file, left_out, rows.keys(), count))
    columns = zip(*rows.values(), strict=True) if rows else ([] for _ in names)
    return dict(zip(names, map(list, columns), strict=True))


def kept(lists: Lists, keep: list[bool]) -> Lists:
    """Return the rows whose place in `keep` is true."""
    return {name: list(compress(values, keep)) for name, values in lists.items()}
