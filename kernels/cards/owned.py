"""Temporary files and folders whose owner is the process that holds their lock.

The kernel drops the lock when the process ends, however it ends. So what nobody holds is a leftover, and whoever comes
next removes it. A process's id would not tell: another process may have it by now, or another container. Standard
library only.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import gettempdir, mkdtemp

PREFIX = "resnet-bench-tmp-"


@contextmanager
def owned_file(path: Path) -> Iterator[Path]:
    """Hold an empty file at `path`, and remove it at the end unless it was renamed.

    A process that holds it is waited for; what one that ended has left is emptied. On a file system without locks it
    has a further name, as two would write to the same file. Raises OSError.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        locked = _lock(descriptor)
        if locked and _is_at(path, descriptor):
            break
        os.close(descriptor)  # while this waited, it was renamed or removed
        if not locked:
            path.unlink(missing_ok=True)
            path = path.with_name(f"{path.name}-{os.urandom(4).hex()}")
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            break
    try:
        os.ftruncate(descriptor, 0)
        yield path
    finally:
        if _is_at(path, descriptor):
            with suppress(OSError):
                path.unlink()
        os.close(descriptor)


@contextmanager
def owned_folder(purpose: str, parent: Path | None = None) -> Iterator[Path]:
    """Hold an empty folder of this user alone, among the temporary files or in `parent`, and remove it at the end.

    Such folders that processes of this user left there are removed first. Raises OSError.
    """
    parent = parent or Path(gettempdir())
    sweep(parent, f"{PREFIX}*")
    while True:
        folder = Path(mkdtemp(prefix=f"{PREFIX}{purpose}-", dir=parent))
        with suppress(FileNotFoundError):  # or another process took it for a leftover before it had its lock
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            _lock(descriptor)
            if _is_at(folder, descriptor):
                break
            os.close(descriptor)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def sweep_folders() -> None:
    """Remove the folders of `owned_folder` that ended processes of this user have left. Raises OSError without any."""
    sweep(Path(gettempdir()), f"{PREFIX}*")


def sweep(folder: Path, pattern: str) -> None:
    """Remove the files and folders in `folder` that match a glob, are this user's, and are locked by no process."""
    for path in folder.glob(pattern):
        with suppress(OSError):  # it has gone by now, another process holds it, or locks do not work here
            if path.lstat().st_uid == os.geteuid():
                _remove_leftover(path)


def _remove_leftover(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not _is_at(path, descriptor):
            return
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Wait for a lock; False on a file system without, where nothing is swept."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError:
        return False
    return True


def _is_at(path: Path, descriptor: int) -> bool:
    """Return whether an open file or folder is still what stands at `path`."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except OSError:
        return False
