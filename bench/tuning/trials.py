"""The files of a tuner: a table of configurations, and a line for every candidate that it tried."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.errors import StoreError
from bench.files import write_file
from bench.kinds import TABLE
from kernels.cards.reading import parse_json, read_bounded
from kernels.table import Table

STATUSES = {
    "won": "right, and faster than the best before by the margin, twice",
    "lost": "right, and not faster by the margin",
    "wrong": "its numbers are wrong, or differ from run to run: not timed, or its time is not kept",
    "refused": "what the compiler emits spills registers or does not fit the architecture: not run",
    "failed": "it did not compile or launch, or took its process down",
}


@dataclass(frozen=True)
class Trial:
    """The outcome of a candidate: a line of the file beside the table. `status` is one of STATUSES.

    `beside_us` is the best's time, measured in turns with `us`. The last field has the versions of torch, Triton and
    the kernels.
    """

    gpu: str
    layer: str
    config: str
    status: str
    us: float | None
    beside_us: float | None
    predicted_us: float
    reason: str
    when: str
    made_by: str


class TrialStore:
    """A table of configurations, and beside it a line for every trial, from which an interrupted run continues."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines = path.with_suffix(".trials.jsonl")
        self.table = Table()

    @contextmanager
    def writing(self) -> Iterator[list[Trial]]:
        """Lock both files for one tuner, and give it the trials so far. Raises StoreError where that is impossible."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.file = os.open(self.lines, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise StoreError(f"cannot write {self.lines}: {error.strerror}; choose another file with -o") from None
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self.file)
            cure = "wait for it, or choose another file with -o"
            raise StoreError(f"another tuner is writing {self.path}; {cure}") from None
        try:
            if self.lines.read_bytes()[-1:] not in (b"", b"\n"):  # cut short: leave that line to itself
                os.write(self.file, b"\n")
            self.table = read_table(self.path)
            yield list(_read_trials(self.lines))
        finally:
            if not os.fstat(self.file).st_size:
                self.lines.unlink(missing_ok=True)
            os.close(self.file)  # and with it the lock

    def append(self, trial: Trial) -> None:
        """Write a trial to disk at once; a line that a full disk cuts short is not read later."""
        data = f"{json.dumps(asdict(trial))}\n".encode()
        try:
            if os.write(self.file, data) < len(data):
                raise OSError(0, "the disk is full")
            os.fsync(self.file)
        except OSError as error:
            raise StoreError(f"cannot append to {self.lines}: {error.strerror}; what was there is whole") from None

    def save(self) -> None:
        """Write the table whole or not at all."""
        write_file(self.path, self.table.to_json(), "it is as it was", kind=TABLE)

    def remove(self, gpu: str, layer: str) -> None:
        self.table = Table(entry for entry in self.table if (entry.gpu, entry.layer) != (gpu, layer))


def read_table(path: Path) -> Table:
    """Read a table; an empty one where there is no file. Raises StoreError for one that cannot be read."""
    try:
        return Table.read(path) if path.exists() else Table()
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}; choose another file with -o") from None
    except ValueError as error:
        raise StoreError(f"{error}; move it away, or choose another file with -o") from None


def _read_trials(path: Path) -> Iterator[Trial]:
    for line in read_bounded(path).splitlines():
        try:
            yield Trial(**parse_json(line))
        except (ValueError, TypeError):
            continue
