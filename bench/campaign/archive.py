"""What comes back from a rented machine: one archive of all that results/ holds of the card, the log, the last lines.

`Outbox` is where such a machine looks for files ($OUT), written anew after every step. `bench.campaign.restore` puts
an archive in place elsewhere.
"""

from __future__ import annotations

import io
import tarfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench.errors import StoreError
from bench.files import write_file

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
        try:
            write_file(self.folder / name, data)
        except StoreError as error:
            self.troubles.append(str(error))


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
