"""The checkpoint that a plan's models are built with: its path, and the digest that stands for its content."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from bench.errors import PlanError


def checkpoint_path(word: str, folder: Path) -> str:
    """Return the absolute path of a checkpoint that a word names, from `folder`. Raises PlanError where it is none."""
    path = (folder / Path(word).expanduser()).resolve()
    if not path.is_file():
        raise PlanError(f"weights {word}: {path} is {'a folder' if path.is_dir() else 'not there'}; name a checkpoint")
    return str(path)


def file_digest(path: str) -> str:
    """Return the sha256 of a file's content in hexadecimal; empty for an empty path. Raises PlanError without one."""
    if not path:
        return ""
    try:
        state = Path(path).stat()
        return _digest(path, state.st_mtime_ns, state.st_size)
    except OSError as error:
        raise PlanError(f"cannot read {path}: {error.strerror or error}") from None


@cache
def _digest(path: str, mtime_ns: int, size: int) -> str:
    """Return the digest of a file as it was when its time and size were these: a large one takes seconds."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
