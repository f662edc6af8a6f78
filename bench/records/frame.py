"""Records as a pandas DataFrame: a row per case and round, of folders of any schema version or of a Parquet file.

A record is 3 to 30 KB of JSON, and one core reads about 50 MB of it a second: a million records are minutes. As lines
never change, the rows made of them are kept as Parquet in the cache folder (an index), and a later load parses only
what was appended since. A long file is parsed by several processes.
"""

from __future__ import annotations

import hashlib
import json
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import stats
from bench.errors import StoreError
from bench.files import writing
from bench.machine import facts
from bench.plans import case, plan
from bench.records import check, columns, parse, record
from bench.records import fields as parts
from bench.records.columns import schema
from bench.records.parse import Part
from bench.records.store import FILE
from resnet import archs, variants
from resnet.cache import cache_dir

if TYPE_CHECKING:
    from pandas import DataFrame

INDEXED = 1 << 20  # bytes: what is shorter is parsed as fast as an index is read
SHARE = 64  # an index is written again when what it lacks is this part of what it has
SEAL = 4096  # bytes, first and last of what an index covers, that must be as they were


class Damage(RuntimeWarning):
    """Lines that could not be read and are left out; the message has them."""


def load(*folders: str | Path, samples: bool = False) -> DataFrame:
    """The records of results folders, `.jsonl` files or `.parquet` files of `export`: a row per case and round.

    The columns are `bench.records.columns.COLUMNS`, which says what each means: times in nanoseconds (`p50_ns`),
    memory in bytes, what a record does not have as NA or NaN. With `samples` those of `SAMPLES` are there too, a numpy
    array of integers in each cell; that parses every line. Of a case and round that a folder holds several times, the
    last counts.

        load("results/a", "results/b").groupby(["model", "variant", "precision", "batch"])["p50_ns"].median()

    Lines that cannot be read are left out, with a warning `Damage`; a last line without its end is being written, and
    is left for the next time. Raises StoreError for what is not there, and for what holds no records.
    """
    import pandas as pd
    import pyarrow as pa

    tables, damage = [schema(samples).empty_table()], list[str]()
    for given in _once(folders):
        tables += _rows(given, samples, damage)
    _warn(damage)
    types = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    return pa.concat_tables(tables).to_pandas(types_mapper=types.get, split_blocks=True)


def export(folders: Iterable[str | Path], path: str | Path) -> None:
    """Write what `load(*folders, samples=True)` gives to one Parquet file, which `load` reads back.

    The file is written whole, or is as it was. Raises StoreError if it cannot be written, and as `load` does.
    """
    import pyarrow.parquet as pq

    path, damage = Path(path), list[str]()
    with (
        writing(path) as file,
        pq.ParquetWriter(file, schema(True), compression="zstd") as writer,
    ):
        for given in _once(folders):
            for table in _rows(given, True, damage):
                writer.write_table(table)
    _warn(damage)


def _once(folders: Iterable[str | Path]) -> list[Path]:
    """Each place once, under the first name it is given."""
    places: dict[Path, Path] = {}
    for given in map(Path, folders):
        places.setdefault(given.resolve(), given)
    return list(places.values())


def _warn(damage: list[str]) -> None:
    if damage:
        more = [f"and {len(damage) - 5} more"] if len(damage) > 5 else []
        warnings.warn("\n".join(damage[:5] + more), Damage, stacklevel=3)


def _rows(given: Path, samples: bool, damage: list[str]) -> Iterator[Any]:
    """Arrow tables of one place, in the order of its lines; what could not be read is added to `damage`."""
    import pyarrow as pa

    named = given.suffix in (".jsonl", ".parquet") and not given.is_dir()
    try:
        if named and given.suffix == ".parquet":
            yield from _exported(given, samples)
            return
        file = given if named else given / FILE
        if file.exists() and not file.is_file():
            raise StoreError(f"{file} is no regular file: records are lines of one")
        found = _read(file)
        damage += [f"{file}:{number}: left out: {what}" for number, what in found.damage]
        keys = found.rows.select(["case", "round"]).to_pandas()
        last = ~keys.duplicated(keep="last").to_numpy()
        # a second time for samples: which rows count is known at the end, and all samples may not fit into memory
        tables = (part.rows for part in parse.parts(file, 0, found.end, True)) if samples else [found.rows]
        at = 0
        for rows in tables:
            counts = last[at : at + len(rows)]
            at += len(rows)
            kept = rows if counts.all() else rows.filter(pa.array(counts))
            folder = pa.array([str(given)], pa.string()).take(pa.nulls(len(kept), pa.int8()).fill_null(0))
            yield _complete(pa.table([folder, *kept.columns], ["folder", *kept.schema.names]), samples)
    except FileNotFoundError:
        missing = f"there is no file {given}" if named else f"{given} holds no {FILE}: is it a results folder?"
        raise StoreError(missing) from None
    except OSError as error:
        raise StoreError(f"cannot read {given}: {error.strerror or error}") from None


def _exported(path: Path, samples: bool) -> Iterator[Any]:
    """The rows of a file that `export` wrote, whatever its version."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = set(file.schema_arrow.names)
            if not {"folder", "case", "round", "status"} <= names:
                raise StoreError(f"{path} is no file that bench exported")
            wanted = [name for name in schema(samples).names if name in names]
            for group in range(file.num_row_groups):
                yield _complete(file.read_row_group(group, wanted), samples)
    except pa.ArrowException as error:
        raise StoreError(f"{path} is damaged, or no Parquet file: {str(error).splitlines()[0]}") from None


def _complete(table: Any, samples: bool) -> Any:
    """A table with every column, in order: those it lacks hold nothing."""
    import pyarrow as pa

    wanted, has = schema(samples), set(table.column_names)
    made = [table[f.name].cast(f.type) if f.name in has else pa.nulls(len(table), f.type) for f in wanted]
    return pa.table(made, schema=wanted)


# ---- the index


def _read(file: Path) -> Part:
    """All lines of a file as rows without samples: those its index has, and those that came after."""
    import pyarrow as pa

    size = file.stat().st_size
    place = _index_of(file) if size >= INDEXED else None
    known = _indexed(file, place) if place else None
    found = known or Part(schema(False, inner=True).empty_table(), 0, [], 0)
    start, tables = found.end, [found.rows]
    for part in parse.parts(file, start, _whole_lines(file, start, size), False):
        tables.append(pa.table(part.rows))
        found.damage += [(found.lines + number, what) for number, what in part.damage]
        found.lines += part.lines
        found.end = part.end
    found.rows = pa.concat_tables(tables).unify_dictionaries()
    if place and found.end - start > (max(INDEXED, start // SHARE) if known else 0):
        _keep(file, found, place)
    # a line without its end: a whole record lacks but that, and anything else is being written at this moment
    if found.end < size:
        rest = parse.parse(file, found.end, size, False)
        if len(rest.rows):
            found.rows = pa.concat_tables([found.rows, pa.table(rest.rows)]).unify_dictionaries()
            found.end = size
    return found


def _whole_lines(file: Path, start: int, size: int) -> int:
    """The offset after the last newline between two offsets; `start` if there is none."""
    with file.open("rb") as data:
        while size > start:
            first = max(start, size - (1 << 16))
            data.seek(first)
            last = data.read(size - first).rfind(b"\n")
            if last >= 0:
                return first + last + 1
            size = first
    return start


def _index_of(file: Path) -> Path | None:
    """Where the index of a file is, or would be; None where nothing can be kept."""
    try:
        folder = cache_dir() / "frames"
        folder.mkdir(exist_ok=True)
    except OSError:
        return None
    return folder / f"{hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:24]}.parquet"


def _indexed(file: Path, place: Path) -> Part | None:
    """What an index has, if this code made it and the file only grew since."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(place) as index:
            told = json.loads(index.schema_arrow.metadata[b"bench"])
            if told.pop("code") != _code() or told.pop("seal") != _seal(file, told["end"]):
                return None
            return Part(index.read(), **told)
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError):
        return None


def _keep(file: Path, found: Part, place: Path) -> None:
    import pyarrow.parquet as pq

    told = {"lines": found.lines, "damage": found.damage, "end": found.end}
    told |= {"code": _code(), "seal": _seal(file, found.end)}
    with suppress(StoreError), writing(place) as index:
        pq.write_table(found.rows.replace_schema_metadata({"bench": json.dumps(told)}), index, compression="lz4")


def _seal(file: Path, end: int) -> str:
    """A digest that changes when a file is replaced, cut or rewritten, and not when it grows past `end`.

    It does not see a line in the middle that was changed and kept its length: lines are never changed.
    """
    with file.open("rb") as data:
        first = data.read(min(SEAL, end))
        data.seek(max(0, end - SEAL))
        return hashlib.sha256(first + data.read(min(SEAL, end))).hexdigest()


@cache
def _code() -> str:
    """A digest of the code that makes rows of lines: an index of other code is made anew."""
    rows = (sys.modules[__name__], parse, columns, record, case, stats, archs, variants)
    held_against = (check, parts, facts, plan)  # what a line must be, to be a row
    files = [Path(str(module.__file__)) for module in rows + held_against]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
