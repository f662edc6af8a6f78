"""Atomic replacement of files: a reader sees the old file or the whole new one. Standard library only."""

from __future__ import annotations

import errno
import glob
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from kernels.cards.owned import owned_file, sweep

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NAME = 48  # characters of a name that its temporary name has, of four bytes at most: a name has 255 bytes at most


@contextmanager
def open_atomic(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for writing bytes that replaces `path` when the block ends; missing folders are created.

    If the block raises, the file that was at `path` is unchanged, and no temporary file remains, nor a folder that was
    created; what a killed process has left is removed by the next that writes the same file. A symbolic link is
    followed, and a replaced file's mode and owner are kept; further names of it (hard links) keep the old content. A
    device, a pipe or this process's output cannot be replaced, and is appended to. Raises OSError.
    """
    if not is_replaced(path):
        with path.open("ab") as file:
            yield file
        return
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if target.is_symlink():  # which leads to itself
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    created = _make_folders(target.parent)
    beginning = f".{target.name[:NAME]}.partial-"
    try:
        sweep(target.parent, f"{glob.escape(beginning)}*")
        with owned_file(target.with_name(beginning + os.urandom(4).hex())) as temporary:
            with temporary.open("wb") as file:
                yield file
            with suppress(FileNotFoundError):  # a new file's mode is the umask's
                _keep_owner(temporary, target.stat())
            temporary.replace(target)
    except BaseException:
        for folder in created:
            with suppress(OSError):  # another file is in it by now
                folder.rmdir()
        raise


def _make_folders(folder: Path) -> list[Path]:
    """Make a folder and those above it that are missing; return those, the deepest first. Raises OSError."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    if missing:
        folder.mkdir(parents=True, exist_ok=True)
    return missing


def _keep_owner(path: Path, status: os.stat_result) -> None:
    with suppress(OSError):  # root alone may give a file away
        os.chown(path, status.st_uid, status.st_gid)
    path.chmod(stat.S_IMODE(status.st_mode))


def describe_room(error: OSError, folder: Path) -> str:
    """Return why nothing more can be written to `folder`, after an error of NO_ROOM, and the cure."""
    if error.errno == errno.EFBIG:
        return f"{folder} takes no file of this size: raise `ulimit -f`"
    with suppress(OSError):
        room = os.statvfs(folder)
        if room.f_files and not room.f_favail and room.f_bavail:
            return f"{folder} takes no further file: remove some there"
    return f"free some space in {folder}"


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
