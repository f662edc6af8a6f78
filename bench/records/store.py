"""The store: a folder with `records.jsonl`, one record a line, appended as each case ends.

This is the only module that writes results. A record is on disk, whole, before the next case starts; a line that was
cut short costs that record alone. A whole record takes 15 KB of memory, so that reports read each as a `Brief`.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from hashlib import sha256
from io import FileIO
from itertools import accumulate
from marshal import dumps, loads
from pathlib import Path
from struct import Struct
from typing import Any, cast

from bench.errors import StoreError
from bench.files import NO_ROOM, describe_room
from bench.kinds import RECORDS, in_the_way
from bench.plans.case import Case
from bench.plans.words import narrow
from bench.records.misfit import describe_damage
from bench.records.record import SAMPLES, LeftOut, Record, parse_each, read_each
from kernels.cards.reading import lines_of, open_lines, open_regular

FILE = "records.jsonl"
FIRST = 4 << 10  # bytes, which tell if a file is of records
LEAST_ROOM = 16 << 10  # bytes, about a record's
# fields of a Brief that others have alike, and those that are packed
SHARED = ("case", "status", "reason", "day", "alike", "device", "environment", "network", "settings", "plan", "input",
          "runtime")  # fmt: skip
PACKED = ("wall_s", "latency_stop", "throughput", "throttled", "energy", "largest", "warmup", "cold", "memory", "gate",
          "quantized", "score", "attempts", "weights", "seed")  # fmt: skip
WINDOW = ("turn", "images", "ns", "disturbed")
WATCHED = ("others", "sm_mhz", "spoilt_s")
CHECKED = ("rms_multiple", "max_multiple", "rms_relative", "top1", "top1_plain", "code_distance", "pictures", "blind")
FOLDER_ROUNDS = 1 << 40  # an offset between the rounds of folders that are read apart


class Store:
    """The records in a folder, which the first append creates."""

    def __init__(self, folder: str | Path) -> None:
        path = Path(folder)
        if path.suffix == ".parquet" and path.is_file():
            raise StoreError(f"{path} has columns and no whole records: `bench.load` reads it; name its results folder")
        is_file = path.suffix == ".jsonl" and path.is_file()  # records that were copied, as `load` reads them
        self.folder, self.file = (path.parent, path) if is_file else (path, path / FILE)
        self.damage: list[str] = []  # a sentence for each line that `read` left out

    @contextmanager
    def writing(self) -> Iterator[Store]:
        """Lock the folder for one sweep. Raises StoreError if it cannot be written, or another sweep has locked it."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise StoreError(f"cannot write to {self.folder}: {error.strerror}; choose another with -o") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:  # of another kind: a file system without locks
            if isinstance(error, BlockingIOError | PermissionError):
                os.close(descriptor)
                raise StoreError(
                    f"another sweep is writing to {self.folder}; wait for it, or choose another with -o"
                ) from None
        try:
            self._check_appending()
            yield self
        finally:
            os.close(descriptor)  # and with it the lock; the file stays, as unlinking it would race

    def _check_appending(self) -> None:
        """Raise StoreError where no record could be appended, before a case is measured."""
        try:
            if there := in_the_way(self.file, RECORDS, first=FIRST):
                raise StoreError(f"cannot append to {self.file}: {there} is there; choose another folder with -o")
            if self.file.exists():
                open_regular(self.file).close()
                self.file.open("ab").close()
            room = os.statvfs(self.folder)
        except OSError as error:
            raise StoreError(f"cannot append to {self.file}: {error.strerror}; choose another folder with -o") from None
        if room.f_blocks and room.f_bavail * room.f_frsize < LEAST_ROOM:
            raise StoreError(
                f"there is no room for records in {self.folder}: free some space there, or choose another with -o"
            )

    def append(self, record: Record) -> None:
        """Write one record to disk. Raises StoreError, and leaves the file as it was, if it cannot be written whole."""
        data = (record.line() + "\n").encode()
        try:
            # unbuffered: a buffer would write the rest of a failed write after the truncation
            with self.file.open("a+b", buffering=0) as file:
                size = file.seek(0, os.SEEK_END)
                if size and _last_byte(file) != b"\n":  # a sweep was killed in mid line: leave that line to itself
                    data = b"\n" + data
                try:
                    while data:
                        data = data[file.write(data) :]
                    os.fsync(file.fileno())
                except OSError:
                    file.truncate(size)
                    raise
        except OSError as error:
            whole = "what was there is whole" if self.file.exists() else "the file is no longer there"
            message = f"cannot append to {self.file}: {error.strerror}; {whole}"
            cure = f"; {describe_room(error, self.folder)}, then --resume" if error.errno in NO_ROOM else ""
            raise StoreError(message + cure) from None

    def read(self, brief: bool = False) -> list[Record]:
        """Return the records in the order they were written; of a round that was run again, the last.

        With `brief` each is a Brief. Describes the lines that cannot be read in `damage`. Raises StoreError if there is
        no records file.
        """
        records: list[Record] = []
        left_out, rounds = [], defaultdict[Case, set[int]](set)
        try:
            for number, record in (read_brief if brief else read_each)(self.file):
                if isinstance(record, LeftOut):
                    left_out.append((number, *record))
                    continue
                rounds[record.case].add(record.round)
                records.append(record)
        except OSError as error:
            raise not_read(self.file, error) from None
        there = {(case.name, number) for case, numbers in rounds.items() for number in numbers} if left_out else set()
        self.damage = describe_damage(self.file, left_out, there, len(records))
        if sum(map(len, rounds.values())) == len(records):  # no round was run again
            return records
        newest = {(record.case, record.round): place for place, record in enumerate(records)}
        return [record for place, record in enumerate(records) if newest[record.case, record.round] == place]


def read_brief(file: Path) -> Iterator[tuple[int, Record | LeftOut]]:
    """Yield as `read_each` does, each record as a Brief. Raises OSError."""
    forms: dict[Any, Any] = {}  # of parts and of records so far, which others share
    place = end = 0  # of what was read at once: as a rule a line
    with open_lines(file) as data:
        for number, one in parse_each(lines_of(data)):
            if (after := data.tell()) != end:
                place, end = end, after
            yield number, cast(Record, Brief(one, file, place, forms)) if isinstance(one, Record) else one


class Brief:
    """A record for reports, in a twentieth of the memory: its numbers are packed, and what is not is read again.

    Of windows there is no `start_ns`, and of what was watched and checked only what reports take.
    """

    __slots__ = ("_form", "_packed", "round")

    def __init__(self, record: Record, file: Path, place: int, forms: dict[Any, Any]) -> None:
        self.round = record.round
        values = {name: getattr(record, name) for name in PACKED} | {"place": place}
        values["gate"] = {name: _some(check, CHECKED) for name, check in record.gate.items()}
        for name in ("watch", "flushed_watch"):
            values[name] = _some(getattr(record, name), WATCHED)
        values |= {"counts": [*record.counts], "p50s": {name: record.p50_ns(name) for name in SAMPLES}}
        parts, packed = [], []
        for value in values.values():
            shape = _shape(value, numbers := list[float]())
            if shape not in forms:
                codes = "".join("d" if type(one) is float else "q" for one in numbers)
                forms[shape] = Struct(f"={codes}"), _maker(shape)
            parts.append(forms[shape])
            packed.append(forms[shape][0].pack(*numbers))
        objects = record.plan, record.input, record.runtime, *parts
        key = (record.case, record.status, record.reason, record.day, record.alike, *map(id, objects))
        if key not in forms:
            *places, end = accumulate(map(len, packed), initial=0)
            makers = zip(places, parts, strict=True)
            packing = dict(zip(values, ((part[0].unpack_from, at, part[1]) for at, part in makers), strict=True))
            forms[key] = {name: getattr(record, name) for name in SHARED} | {"file": file, "end": end}, packing
        self._form = forms[key]
        self._packed = b"".join((*packed, dumps([tuple(map(window.get, WINDOW)) for window in record.windows])))

    def __getattr__(self, name: str) -> Any:
        shared, packing = self._form
        if name in shared:
            return shared[name]
        if name not in packing:
            return getattr(self.whole(), name)
        unpack, place, make = packing[name]
        return make(iter(unpack(self._packed, place)))

    def whole(self) -> Record:
        """Return the record as its line has it. Raises StoreError if that is no longer there."""
        try:
            with open_regular(self.file) as data:
                for _, one in parse_each(lines_of(data, self.place)):
                    if isinstance(one, Record) and (one.case, one.wall_s) == (self.case, self.wall_s):
                        return one
        except OSError as error:
            raise not_read(self.file, error) from None
        raise StoreError(f"{self.file} was changed while it was read: try again")

    def p50_ns(self, samples: str) -> float | None:
        return cast(float | None, self.p50s[samples])

    @property
    def windows(self) -> list[dict[str, Any]]:
        return _windows(self._packed[self.end :])


@lru_cache(4096)  # the records of a contest, whose ratios take them many times
def _windows(packed: bytes) -> list[dict[str, Any]]:
    return [{key: one for key, one in zip(WINDOW, row, strict=True) if one is not None} for row in loads(packed)]


def _some(value: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    return {key: one for key, one in value.items() if key in keys}


def _shape(value: Any, numbers: list[float]) -> Any:
    """Return JSON with types in place of its numbers, as a key, and append these to `numbers`."""
    kind = type(value)
    if kind is float or kind is int:
        numbers.append(value)
        return kind
    if kind is dict:
        return (dict, *value, *[_shape(inner, numbers) for inner in value.values()])
    return (list, *[_shape(inner, numbers) for inner in value]) if kind is list else value


def _maker(shape: Any) -> Callable[[Iterator[Any]], Any]:
    """Return a function that makes JSON of a shape, with the numbers that it gets."""
    if type(shape) is not tuple:
        return next if shape in (float, int) else lambda numbers: shape
    kind, *inner = shape
    if kind is list:
        makers = [*map(_maker, inner)]
        return lambda numbers: [make(numbers) for make in makers]
    half = len(inner) // 2
    by_key = dict(zip(inner[:half], map(_maker, inner[half:]), strict=True))
    return lambda numbers: {key: make(numbers) for key, make in by_key.items()}


def not_read(file: Path, error: OSError) -> StoreError:
    """Return the error for a file of records that cannot be read, in a sentence."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        where = f"{file.parent} holds no {FILE}: is it a results folder?"
        return StoreError(where if file.name == FILE else f"there is no file {file}")
    if error.errno in (errno.EISDIR, errno.EINVAL):
        return StoreError(f"{file} is no regular file: records are lines of one")
    return StoreError(f"cannot read {file}: {error.strerror or error}")


def _last_byte(file: FileIO) -> bytes:
    file.seek(-1, os.SEEK_END)
    return file.read(1)


def narrow_records(
    records: Iterable[Record], only: Iterable[str], exclude: Iterable[str], folders: Iterable[object]
) -> list[Record]:
    """Return the records of cases that `narrow` keeps by these globs; `folders` are named in its errors."""
    records = list(records)
    names = dict.fromkeys(record.case.name for record in records)
    kept = set(narrow(names, only, exclude, ", ".join(map(str, folders))))
    return [record for record in records if record.case.name in kept]


def read_folders(
    folders: Iterable[str | Path], *, apart: bool = False, brief: bool = False
) -> tuple[list[Record], list[str]]:
    """Return the records of several folders, and a sentence for each line that could not be read.

    With `apart`, no round of one folder is a round of another: FOLDER_ROUNDS times a folder's place is added to its.
    Then a record that an earlier folder has, as a copy of it does, counts once. `brief` is as in `Store.read`.
    """
    records, damage, there = list[Record](), list[str](), set[bytes]()
    stores = [Store(folder) for folder in folders]
    for place, store in enumerate(stores):
        for record in cast(Any, store.read(brief)):
            if apart and len(stores) > 1:
                text = repr(vars(record.whole() if brief else record))
                if (digest := sha256(text.encode(errors="replace")).digest()) in there:
                    continue
                there.add(digest)
                record.round += place * FOLDER_ROUNDS
            records.append(record)
        damage += store.damage
    return records, damage
