"""What comes back from a rented machine: one archive of all that changed under results/, and how it is put in place.

`Outbox` is where such a machine looks for files ($OUT): an archive, the log and the last lines, written anew after
every step. `restore` puts an archive into results/: lines are joined to lines, tables to tables; doing it twice changes
nothing.
"""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from bench.store import StoreError
from kernels.table import Table

ARCHIVE, LOG, SUMMARY = "results.tar.gz", "log.txt", "summary.txt"
LARGEST = 16 << 20  # bytes of one file that such a machine gives back


@dataclass
class Outbox:
    """Three files in a folder. What cannot be written there is told in `troubles`, and stays under results/."""

    folder: Path
    troubles: list[str] = field(default_factory=list)

    def put(self, files: list[Path], results: Path, log: Path, summary: str) -> None:
        """Write all three; `files` are packed by their names under `results`."""
        self.troubles = []
        self._write(ARCHIVE, self._packed(files, results))
        with suppress(FileNotFoundError):
            self._write(LOG, _ends(log, LARGEST))
        self._write(SUMMARY, summary.encode())

    def _packed(self, files: list[Path], results: Path) -> bytes:
        """The archive; of more than a machine gives back, without its largest files."""
        chosen = sorted(files, key=_size)
        while True:
            data = pack(chosen, results)
            if len(data) <= LARGEST or not chosen:
                return data
            large = chosen.pop()
            self.troubles.append(f"{large.relative_to(results)} does not fit into {ARCHIVE} and is left out")

    def _write(self, name: str, data: bytes) -> None:
        beside = self.folder / f".{name}.{os.getpid()}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            beside.write_bytes(data)
            beside.replace(self.folder / name)
        except OSError as error:
            self.troubles.append(f"{self.folder / name} cannot be written: {error.strerror}")
            with suppress(OSError):
                beside.unlink()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _ends(path: Path, limit: int) -> bytes:
    """A file's bytes; of more than `limit` the first half of that and the last."""
    data = path.read_bytes()
    half = limit // 2 - 100
    return data if len(data) <= limit else data[:half] + b"\n[... left out ...]\n" + data[-half:]


def pack(files: list[Path], results: Path) -> bytes:
    """A compressed archive of files by their names under `results`; one that is gone at this moment is passed over."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz", compresslevel=6) as archive:
        for path in sorted(files):
            with suppress(FileNotFoundError):
                archive.add(path, str(path.relative_to(results)), recursive=False)
    return made.getvalue()


def restore(archive: Path, results: Path) -> list[str]:
    """Put an archive in place; a line for each file that it holds: new, added to, replaced, as it was.

    Raises StoreError for what is no such archive, or holds a name that leads out of `results`; nothing is written then.
    """
    try:
        with tarfile.open(archive, "r:*") as opened:
            members = {PurePosixPath(item.name): _content(opened, item) for item in opened if not item.isdir()}
    except (OSError, tarfile.TarError, EOFError) as error:
        raise StoreError(f"{archive} is no archive of results: {error}") from None
    for name in members:
        if name.is_absolute() or ".." in name.parts:
            raise StoreError(f"{archive} holds {name}, which leads out of {results}: nothing was put in place")
    return [f"{_placed(results / name, data)}: {name}" for name, data in sorted(members.items())]


def _content(opened: tarfile.TarFile, item: tarfile.TarInfo) -> bytes:
    file = opened.extractfile(item) if item.isfile() else None
    if file is None:
        raise tarfile.TarError(f"{item.name} is not a plain file")
    return file.read()


def _placed(path: Path, data: bytes) -> str:
    """What became of one file."""
    try:
        old = path.read_bytes() if path.exists() else None
        if old is None:
            _replace(path, data)
            return "new"
        if path.suffix == ".jsonl":
            had = set(old.splitlines())
            more = [line for line in data.splitlines() if line not in had and line.strip()]
            merged = old + (b"" if old.endswith(b"\n") or not old else b"\n") + b"".join(line + b"\n" for line in more)
            kind = f"{len(more)} lines added"
        elif path.parent.name == "tuned":
            merged, kind = _joined(path, data), "joined"
        else:
            merged, kind = data, "replaced"
        if merged == old or (kind[0] == "0"):
            return "as it was"
        _replace(path, merged)
        return kind
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}; what came before it is in place") from None


def _joined(path: Path, data: bytes) -> bytes:
    """Two tables of configurations as one: a measurement outlasts a prediction, a later one an earlier."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(data)
        Table.load(path).merge(Table.load(beside)).save(beside)
        return beside.read_bytes()
    except ValueError as error:
        raise StoreError(f"{error}; nothing of it was put in place") from None
    finally:
        beside.unlink(missing_ok=True)


def _replace(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_bytes(data)
    shutil.move(beside, path)


def files_under(folders: list[Path]) -> Iterator[Path]:
    """What a campaign may leave; locks and what is being written are nobody's."""
    for folder in folders:
        yield from (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
