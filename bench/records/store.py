"""The store: a folder with `records.jsonl`, one record a line, appended as each case ends.

This is the only module that writes results. A record is on disk, whole, before the next case starts; a line that was
cut short costs that record alone.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from bench.errors import Lost as Lost
from bench.errors import StoreError
from bench.files import NO_ROOM, describe_room
from bench.plans.words import narrow
from bench.records.record import Record, read_each

FILE = "records.jsonl"
NAMED = 10  # lines left out of a file that are named, each with its reason
LEAST_ROOM = 16 << 10  # bytes, about a record's
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
            raise StoreError(
                f"cannot write to {self.folder}: {error.strerror}; choose another folder with -o"
            ) from None
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
            if self.file.exists():
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

    def read(self) -> list[Record]:
        """Return the records in the order they were written; of a round that was run again, the last.

        Describes the lines that cannot be read in `damage`. Raises StoreError if there is no records file.
        """
        records = []
        left_out = []
        try:
            for number, record in read_each(self.file):
                if isinstance(record, Record):
                    records.append(record)
                else:
                    left_out.append((number, *record))
        except OSError as error:
            raise not_read(self.file, error) from None
        latest = {(record.case, record.round): record for record in records}
        self.damage = describe_damage(
            self.file, left_out, {(case.name, number) for case, number in latest}, len(records)
        )
        return [record for record in records if latest[record.case, record.round] is record]


def describe_damage(
    file: Path, left_out: Sequence[tuple[int, str, str, int]], there: Set[tuple[str, int]], read: int
) -> list[str]:
    """Return a sentence for each of the first NAMED lines that are left out, and of several one that counts them.

    `left_out` has the number of each line, and the fields of its `LeftOut`; `there` the cases and rounds of the others.
    A sentence that is `Lost` is of a line that no other stands for, as one does where a sweep was cut and resumed.
    """
    told: list[str] = []
    lost_first = sorted(left_out, key=lambda row: (row[2], row[3]) in there)
    for number, reason, case, round_ in sorted(lost_first[:NAMED], key=lambda row: row[0]):
        text = f"{file}:{number}: left out: {reason}"
        told.append(f"{text}; another line has that round" if (case, round_) in there else Lost(text))
    more = [f"{file}: {len(left_out)} lines are left out, {read} are read"] if len(left_out) > 1 else []
    return told + more


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
    """Return the records whose case matches a glob of `only` and none of `exclude`, as `bench.plans.words.narrow` does.

    `folders` are named in its errors.
    """
    records = list(records)
    names = dict.fromkeys(record.case.name for record in records)
    kept = set(narrow(names, only, exclude, ", ".join(map(str, folders))))
    return [record for record in records if record.case.name in kept]


def read_folders(folders: Iterable[str | Path], *, apart: bool = False) -> tuple[list[Record], list[str]]:
    """Return the records of several folders, and a sentence for each line that could not be read.

    With `apart`, no round of one folder is a round of another: FOLDER_ROUNDS times a folder's place is added to its.
    Then a record that an earlier folder has, as a copy of it does, counts once.
    """
    records: dict[object, Record] = {}
    damage: list[str] = []
    stores = [Store(folder) for folder in folders]
    for place, store in enumerate(stores):
        for number, record in enumerate(store.read()):
            key = repr(vars(record)) if apart and len(stores) > 1 else (place, number)
            record.round += place * FOLDER_ROUNDS if apart else 0
            records.setdefault(key, record)
        damage += store.damage
    return list(records.values()), damage
