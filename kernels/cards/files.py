"""Atomic replacement of files: a reader sees the old file or the whole new one. Standard library only."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO


@contextmanager
def open_atomic(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for writing bytes that replaces `path` when the block ends; missing folders are created.

    If the block raises, the file that was at `path` is unchanged and no temporary file remains. A symbolic link is
    followed, and a replaced file's mode is kept. A device, a pipe or this process's output cannot be replaced, and is
    appended to. Raises OSError.
    """
    if not is_replaced(path):
        with path.open("ab") as file:
            yield file
        return
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not target.parent.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            yield file
        with suppress(FileNotFoundError):  # a new file's mode is the umask's
            temporary.chmod(stat.S_IMODE(target.stat().st_mode))
        temporary.replace(target)
    finally:
        with suppress(OSError):  # on success it was renamed
            temporary.unlink()


def write_atomic(path: Path, content: bytes) -> None:
    """Replace a file's content, or leave it unchanged. Raises OSError."""
    with open_atomic(path) as file:
        file.write(content)


def is_replaced(path: Path) -> bool:
    """Tell whether `open_atomic` replaces what is at `path`.

    It appends to a device or a pipe, and to this process's stdout or stderr by another name.
    """
    try:
        status = path.stat()
    except OSError:
        return True
    if not stat.S_ISREG(status.st_mode):
        return stat.S_ISDIR(status.st_mode)
    for descriptor in (1, 2):
        with suppress(OSError):
            if os.path.samestat(os.fstat(descriptor), status):
                return False
    return True
