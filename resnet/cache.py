"""Files that are written once and reused: calibrated weights, exported graphs, reference logits.

A cached file is whole or absent: it is written under another name and renamed, and a second file beside it holds its
digest. A file whose digest does not match is written again, with a warning.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

VARIABLE = "RESNET_CACHE"
# Apart from the cache, so that a cold start can begin with an empty folder here and keep the model's weights.
COMPILED = "RESNET_COMPILED"


def cache_dir() -> Path:
    """The folder of cached files: $RESNET_CACHE, else $XDG_CACHE_HOME/resnet-bench, else ~/.cache/resnet-bench.

    Where that cannot be written (a container with a read-only home), a folder of this user's under the system's
    temporary folder.
    """
    if folder := _folder_of(VARIABLE):
        return folder
    folder = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "resnet-bench"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    folder = Path(tempfile.gettempdir()) / f"resnet-bench-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def compiled_dir() -> Path:
    """The folder of the files that variants derive from a model (exports, engines): $RESNET_COMPILED or `cache_dir`."""
    return _folder_of(COMPILED) or cache_dir()


def _folder_of(variable: str) -> Path | None:
    """Return the folder that an environment variable names, after making it; None if it is not set."""
    if not os.environ.get(variable):
        return None
    folder = Path(os.environ[variable]).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def cached_file(
    key: str, suffix: str, write: Callable[[Path], None], folder: Callable[[], Path] = cache_dir
) -> tuple[Path, bool]:
    """Return the path of the file of `key` in `folder()`, and whether it was cached; else `write(path)` writes it.

    `key` names everything that the content depends on; it is hashed. Two processes may write the same file at once:
    the later rename wins, and both contents are equal.
    """
    path = folder() / (hashlib.sha256(key.encode()).hexdigest()[:24] + suffix)
    seal = path.with_name(path.name + ".sha256")
    if path.exists():
        if seal.exists() and seal.read_text(errors="replace").strip() == file_digest(path):
            return path, True
        warnings.warn(f"the cached file {path} is damaged and is written again", RuntimeWarning, stacklevel=2)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".partial-", suffix=suffix)
    os.close(descriptor)
    partial = Path(name)
    try:
        write(partial)
        digest = file_digest(partial)
        # the seal goes last: a kill between the two leaves a file without a matching seal, which is written again
        os.replace(partial, path)
        partial_seal = seal.with_name(f".{seal.name}-{os.getpid()}")
        partial_seal.write_text(digest + "\n")
        os.replace(partial_seal, seal)
    finally:
        with suppress(FileNotFoundError):
            partial.unlink()
    return path, False


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
