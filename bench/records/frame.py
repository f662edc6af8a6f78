"""Records as a pandas DataFrame: a row per case and round, of folders of any schema version or of a Parquet file.

A record is 3 to 30 KB of JSON, and one core reads 50 to 60 MB of it a second: a million records take minutes. As lines
never change, their rows are saved as Parquet in the cache folder (the index), and a later load parses only what was
appended since. A long file is parsed by several processes.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import dependence, stats
from bench.errors import Lost, StoreError
from bench.files import writing
from bench.kinds import PARQUET
from bench.machine import facts
from bench.plans import case, plan
from bench.records import columns, misfit, parse, quality, record, same, speed, typed
from bench.records import fields as parts
from bench.records.columns import schema
from bench.records.misfit import describe_damage
from bench.records.parse import ParsedLines
from bench.records.places import results_at
from bench.records.store import FILE, not_read
from kernels.cards import reading
from kernels.cards.reading import open_lines, open_regular
from resnet import archs, variants
from resnet.cache import cache_dir, subfolder

if TYPE_CHECKING:
    from pandas import DataFrame

INDEX_FROM = 1 << 20  # bytes: a shorter file, or several, is parsed as fast as an index is read
REWRITE_SHARE = 64  # an index is written again when a 64th of what it covers was appended
FINGERPRINT = 4096  # bytes at the start and the end of what an index covers, that must not have changed


class Damage(RuntimeWarning):
    """Lines that could not be read and are left out; the message has them, `lost` says if no other stands for one."""

    def __init__(self, message: str, lost: bool = False) -> None:
        super().__init__(message)
        self.lost = lost


def load(*folders: str | Path, samples: bool = False) -> DataFrame:
    """The records of results folders, saved names, `.jsonl` or `.parquet` files: a row per case and round.

    `bench.records.columns.COLUMNS` says what each column means: times are in nanoseconds (`p50_ns`), memory in bytes,
    and what a record does not have is NA or NaN. With `samples` the columns of `SAMPLES` are there too, a numpy array
    of integers in each cell; that parses every line. Where a folder holds a case and round several times, the last
    counts.

        load("results/a", "results/b").groupby(["model", "variant", "precision", "batch"])["p50_ns"].median()

    Lines that cannot be read are left out, with a warning `Damage`; a last line without its end is being written, and
    is left for the next time. Raises StoreError for a path that does not exist or holds no records.
    """
    import pandas as pd
    import pyarrow as pa

    tables, damage = [schema(samples).empty_table()], list[str]()
    places, parts = _without_repeats(map(results_at, folders)), dict[Path, ParsedLines]()
    with suppress(OSError):  # which whoever reads the file alone has, too
        parts = _read_all(file for file in map(file_of, places) if file.suffix != ".parquet")
    for place in places:
        tables += _tables(place, samples, damage, parts)
    warn_of(damage)
    types = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    return pa.concat_tables(tables).to_pandas(types_mapper=types.get, split_blocks=True)


def export_parquet(folders: Iterable[str | Path], path: str | Path) -> None:
    """Write the frame of `load(*folders, samples=True)` to one Parquet file, which `load` reads back.

    The file is written whole, or is as it was. Raises StoreError if it cannot be written, and as `load` does.
    """
    import pyarrow.parquet as pq

    path, damage = Path(path), list[str]()
    with writing(path, kind=PARQUET) as file, pq.ParquetWriter(file, schema(True), compression="zstd") as writer:
        for place in _without_repeats(folders):
            for table in _tables(place, True, damage, {}):
                writer.write_table(table)
    warn_of(damage)


def _without_repeats(folders: Iterable[str | Path]) -> list[Path]:
    """Return each place once, under the first of its names."""
    first_names: dict[Path, Path] = {}
    for place in map(Path, folders):
        first_names.setdefault(place.resolve(), place)
    return list(first_names.values())


def warn_of(damage: list[str]) -> None:
    if damage:
        warnings.warn(Damage("\n".join(damage), any(isinstance(text, Lost) for text in damage)), stacklevel=3)


def file_of(place: Path) -> Path:
    """Return the file of a results folder, or the file of records or of columns that a place is."""
    return place if place.suffix in (".jsonl", ".parquet") and not place.is_dir() else place / FILE


def _tables(place: Path, samples: bool, damage: list[str], parts: dict[Path, ParsedLines]) -> Iterator[Any]:
    """Yield the Arrow tables of one place, in the order of its lines; adds what could not be read to `damage`.

    `parts` has the rows of some files already, and loses them here.
    """
    import pyarrow as pa

    file = file_of(place)
    try:
        if file.suffix == ".parquet":
            yield from _read_exported(place, samples)
            return
        part = parts.pop(file, None) or _read_all([file])[file]
        keys = part.rows.select(["case", "round"])
        there = set(zip(*keys.to_pydict().values(), strict=True)) if part.damage else set()
        damage += describe_damage(file, part.damage, there, len(part.rows))
        repeats = keys.group_by(keys.column_names).aggregate([]).num_rows < len(keys)
        is_last = ~keys.to_pandas().duplicated(keep="last").to_numpy() if repeats else None
        # Parsed a second time for samples: which rows count shows at the end, and all samples may not fit into memory.
        spans = [(file, 0, part.end)]
        start = 0
        for rows in (lines.rows for lines in parse.parse_parts(spans, True)) if samples else [part.rows]:
            counted = rows if is_last is None else rows.filter(pa.array(is_last[start : start + len(rows)]))
            start += len(rows)
            folder = pa.array([str(place)], pa.string()).take(pa.nulls(len(counted), pa.int8()).fill_null(0))
            yield _with_all_columns(pa.table([folder, *counted.columns], ["folder", *counted.schema.names]), samples)
    except OSError as error:
        raise not_read(file, error) from None


def _read_exported(path: Path, samples: bool) -> Iterator[Any]:
    """Yield the rows of a file that `export_parquet` of any version wrote."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with open_regular(path) as data, pq.ParquetFile(data) as file:
            in_file = set(file.schema_arrow.names)
            if not {"folder", "case", "round", "status"} <= in_file:
                raise StoreError(f"{path} is no file that bench exported")
            names = [name for name in schema(samples).names if name in in_file]
            for group in range(file.num_row_groups):
                yield _with_all_columns(file.read_row_group(group, names), samples)
    except pa.ArrowException as error:
        raise StoreError(f"{path} is damaged, or no Parquet file: {str(error).splitlines()[0]}") from None


def _with_all_columns(table: Any, samples: bool) -> Any:
    """Return a table with every column of the schema, in order; those it lacks are null."""
    import pyarrow as pa

    wanted, names = schema(samples), set(table.column_names)
    columns = [table[f.name].cast(f.type) if f.name in names else pa.nulls(len(table), f.type) for f in wanted]
    return pa.table(columns, schema=wanted)


def _read_all(files: Iterable[Path]) -> dict[Path, ParsedLines]:
    """Return the lines of files as rows without samples: those in their indexes, and those appended since.

    A long file has an index, and short ones together that of the folder around them, if they are as long. Raises
    OSError if one of them cannot be read, or is no file of lines.
    """
    sizes = {}
    for file in files:
        with open_lines(file) as data:
            sizes[file] = os.fstat(data.fileno()).st_size
    short = [file for file, size in sizes.items() if size < INDEX_FROM]
    groups = [[file] for file, size in sizes.items() if size >= INDEX_FROM]
    groups += [short] if sum(sizes[file] for file in short) >= INDEX_FROM else []
    indexes = {path: group for group in groups if (path := _index_path(group))}
    indexed = {file: part for path, group in indexes.items() for file, part in _read_index(group, path).items()}
    starts = {file: part.end for file, part in indexed.items()}
    parts = dict(_read_on(sizes, indexed))
    for path, group in indexes.items():
        start, end = sum(starts.get(file, 0) for file in group), sum(parts[file].end for file in group)
        least = INDEX_FROM if len(group) == 1 and start else 0
        if end - start > max(least, start // REWRITE_SHARE):
            _write_index({file: parts[file] for file in group}, path)
    for file, part in parts.items():
        if part.end < sizes[file]:
            _read_last_line(file, part, sizes[file])
    return parts


def _read_on(sizes: Mapping[Path, int], indexed: Mapping[Path, ParsedLines]) -> Iterator[tuple[Path, ParsedLines]]:
    """Yield the whole lines of files of so many bytes, the first of which may be in `indexed`."""
    import pyarrow as pa

    starts = {file: indexed[file].end if file in indexed else 0 for file in sizes}
    spans = [(file, start, parse.end_of_whole_lines(file, start, sizes[file])) for file, start in starts.items()]
    parsed = parse.parse_parts(spans, False)
    for file, _, stop in spans:
        whole = indexed.get(file) or ParsedLines(schema(False, inner=True).empty_table(), 0, [], 0)
        tables = [whole.rows]
        while whole.end < stop:
            part = next(parsed)
            tables.append(pa.table(part.rows))
            whole.damage += [(whole.lines + number, reason, case, turn) for number, reason, case, turn in part.damage]
            whole.lines += part.lines
            whole.end = part.end
        whole.rows = pa.concat_tables(tables).unify_dictionaries() if len(tables) > 1 else whole.rows
        yield file, whole


def _read_last_line(file: Path, whole: ParsedLines, size: int) -> None:
    """Add a last line without its newline if it is a whole record; else it is being written at this moment."""
    import pyarrow as pa

    last_line = parse.parse_lines(file, whole.end, size, False)
    earlier = [row for row in last_line.damage if row[0] < last_line.lines]  # where lines end with CR alone
    whole.damage += [(whole.lines + row[0], *row[1:]) for row in earlier]
    if len(last_line.rows):
        whole.rows = pa.concat_tables([whole.rows, pa.table(last_line.rows)]).unify_dictionaries()
        whole.end = size


def _index_path(files: list[Path]) -> Path | None:
    """Return the path of the index of a file or of several, which need not exist; None without a cache to write to."""
    try:
        folder = subfolder(cache_dir(), "frames")
    except OSError:
        return None
    place = os.path.commonpath([file.resolve() for file in files])
    return folder / f"{hashlib.sha256(place.encode()).hexdigest()[:24]}.parquet"


def _read_index(files: Iterable[Path], index_path: Path) -> dict[Path, ParsedLines]:
    """Return what an index has of some files that only grew since, if this code wrote it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(index_path) as index:
            header = json.loads(index.schema_arrow.metadata[b"bench"])
            if header["code"] != _code_digest():
                return {}
            rows = index.read()
        parts = {}
        for file in files:
            seal, start, count, *about = header["files"].get(str(file.resolve())) or ("", 0, 0, 0)
            if seal == _fingerprint(file, about[-1]):
                own = rows.columns if count == len(rows) else map(_own_words, rows.slice(start, count).columns)
                parts[file] = ParsedLines(pa.table([*own], rows.schema.names), *about)
        return parts
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError):
        return {}


def _own_words(column: Any) -> Any:
    """Return a part of a column with the words that are in the part alone, in their order, as a parsed one has them."""
    return column.cast(column.type.value_type).dictionary_encode() if hasattr(column.type, "value_type") else column


def _write_index(parts: Mapping[Path, ParsedLines], index_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    start, files = 0, {}
    for file, part in parts.items():
        place = start, len(part.rows)
        files[str(file.resolve())] = _fingerprint(file, part.end), *place, part.lines, part.damage, part.end
        start += len(part.rows)
    header = json.dumps({"code": _code_digest(), "files": files})
    rows = pa.concat_tables([part.rows for part in parts.values()]).unify_dictionaries()
    with suppress(StoreError), writing(index_path) as index:
        pq.write_table(rows.replace_schema_metadata({"bench": header}), index, compression="lz4")


def _fingerprint(file: Path, end: int) -> str:
    """Return a digest that changes when a file is replaced, cut or rewritten, and not when it grows past `end`.

    In a long one it misses a line in the middle that was changed and kept its length: lines are never changed.
    """
    with open_regular(file) as data:
        first = data.read(min(end, FINGERPRINT) if end >= INDEX_FROM else end)
        data.seek(max(len(first), end - FINGERPRINT))
        return hashlib.sha256(first + data.read(end - data.tell())).hexdigest()


@cache
def _code_digest() -> str:
    """Return a digest of the code that turns lines into rows: an index written by other code is not used."""
    row_modules = (sys.modules[__name__], parse, columns, quality, same, record, speed, case, stats, archs, variants)
    type_modules = (typed, misfit, parts, facts, plan, reading, dependence)  # whether a line is a record
    files = [Path(str(module.__file__)) for module in row_modules + type_modules]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
