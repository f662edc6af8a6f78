"""Files that are made once and reused: calibrated weights, exported graphs, reference logits.

A cached file is whole or absent: it is made under another name, closed with its digest in the name of a
twin file, and renamed. A file whose digest does not match is made again, with a warning.
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
# A cold start begins with an empty folder here, and keeps the weights it is to start with.
COMPILED = "RESNET_COMPILED"


def cache_dir() -> Path:
    """The folder of cached files: $RESNET_CACHE, else $XDG_CACHE_HOME/resnet-bench, else ~/.cache/resnet-bench.

    Where that cannot be written (a container with a read-only home), a folder of this user's under the system's
    temporary folder.
    """
    chosen = os.environ.get(VARIABLE)
    if chosen:
        folder = Path(chosen).expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = Path(base).expanduser() / "resnet-bench"
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
    """The folder of what a variant makes of a model (exports, engines): $RESNET_COMPILED, else `cache_dir`."""
    chosen = os.environ.get(COMPILED)
    if not chosen:
        return cache_dir()
    folder = Path(chosen)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def made_once(
    key: str, suffix: str, make: Callable[[Path], None], folder: Callable[[], Path] = cache_dir
) -> tuple[Path, bool]:
    """The cached file of `key` in `folder()`, made by `make(path)` if it is not there whole.

    Returns its path and whether it was there already. `key` says everything the content depends on; it is hashed.
    Two processes may make the same file at once: the later rename wins, and both contents are equal.
    """
    path = folder() / (hashlib.sha256(key.encode()).hexdigest()[:24] + suffix)
    seal = path.with_name(path.name + ".sha256")
    if path.exists():
        if seal.exists() and seal.read_text(errors="replace").strip() == file_digest(path):
            return path, True
        warnings.warn(f"the cached file {path} is damaged and is made again", RuntimeWarning, stacklevel=2)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".making-", suffix=suffix)
    os.close(descriptor)
    making = Path(name)
    try:
        make(making)
        digest = file_digest(making)
        # the seal goes last: a kill between the two leaves a file without a matching seal, which is made again
        os.replace(making, path)
        sealing = seal.with_name(f".{seal.name}-{os.getpid()}")
        sealing.write_text(digest + "\n")
        os.replace(sealing, seal)
    finally:
        with suppress(FileNotFoundError):
            making.unlink()
    return path, False


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
