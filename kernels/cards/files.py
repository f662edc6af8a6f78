"""A file that is there whole, or as it was: the one way in which this project replaces one. Standard library only."""

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
def whole(path: Path) -> Iterator[IO[bytes]]:
    """A file to write bytes to, which has this name once it is complete; its folder is made. Raises OSError.

    Whatever goes wrong inside, what was there is as it was, and nothing is left beside it. A symbolic link is followed
    to the file that it names, and a file that is replaced keeps its mode. What cannot be replaced (a device, a pipe,
    this process's own output) is written to as it stands.
    """
    if _as_it_stands(path):
        with path.open("ab") as file:
            yield file
        return
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not target.parent.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        with beside.open("xb") as file:
            yield file
        with suppress(FileNotFoundError):  # nothing was there: the mode is the umask's
            beside.chmod(stat.S_IMODE(target.stat().st_mode))
        beside.replace(target)
    finally:
        with suppress(OSError):  # it is not there where all went well
            beside.unlink()


def write(path: Path, content: bytes) -> None:
    """Write a file whole, or leave it as it was. Raises OSError."""
    with whole(path) as file:
        file.write(content)


def _as_it_stands(path: Path) -> bool:
    """Whether what is there is no regular file or folder, or is this process's stdout or stderr by another name."""
    try:
        there = path.stat()
    except OSError:
        return False
    if not stat.S_ISREG(there.st_mode):
        return not stat.S_ISDIR(there.st_mode)
    for descriptor in (1, 2):
        with suppress(OSError):
            if os.path.samestat(os.fstat(descriptor), there):
                return True
    return False
