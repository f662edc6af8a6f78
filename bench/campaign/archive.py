"""The files that come back from a rented machine: an archive of the card's part of results/, the log, the summary.

`Outbox` is the folder that such a machine copies back ($OUT); it is written again after every step.
`bench.campaign.restore` unpacks an archive elsewhere.
"""

from __future__ import annotations

import io
import os
import tarfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench.errors import StoreError
from bench.files import write_file

ARCHIVE, LOG, SUMMARY = "results.tar.gz", "log.txt", "summary.txt"
MAX_FILE_BYTES = 16 << 20  # bytes of one file that such a machine gives back


@dataclass
class Outbox:
    """Three files in a folder. `troubles` describes what could not be written there; it stays under results/."""

    folder: Path
    troubles: list[str] = field(default_factory=list)

    def update(self, files: list[Path], results: Path, log: Path, summary: str) -> None:
        """Write all three; `files` are packed with their names relative to `results`."""
        self.troubles = []
        self._write(ARCHIVE, self._pack_what_fits(files, results))
        with suppress(FileNotFoundError):
            self._write(LOG, _first_and_last(log, MAX_FILE_BYTES))
        self._write(SUMMARY, summary.encode())

    def _pack_what_fits(self, files: list[Path], results: Path) -> bytes:
        """Return the archive, without the largest files if it exceeds what a machine gives back."""
        chosen = sorted(files, key=_size)
        while True:
            data = pack_archive(chosen, results)
            if len(data) <= MAX_FILE_BYTES or not chosen:
                return data
            largest = chosen.pop()
            self.troubles.append(f"{largest.relative_to(results)} does not fit into {ARCHIVE} and is left out")

    def _write(self, name: str, data: bytes) -> None:
        try:
            write_file(self.folder / name, data)
        except StoreError as error:
            self.troubles.append(str(error))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _first_and_last(path: Path, limit: int) -> bytes:
    """Return a file's bytes; of more than `limit` the first and the last half of that."""
    data = path.read_bytes()
    half = limit // 2 - 100
    return data if len(data) <= limit else data[:half] + b"\n[... left out ...]\n" + data[-half:]


def pack_archive(files: list[Path], results: Path) -> bytes:
    """Return a compressed archive of files, with names relative to `results`; skips one that no longer exists."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=6) as archive:
        for path in sorted(files):
            with suppress(FileNotFoundError):
                archive.add(path, str(path.relative_to(results)), recursive=False)
    return buffer.getvalue()


def outbox_folder() -> Path | None:
    """Return the folder that a rented machine copies back, if $OUT names one."""
    return Path(os.environ["OUT"]) if os.environ.get("OUT") else None
