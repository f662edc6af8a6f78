"""Files that are written once and reused: calibrated weights, exported graphs, reference logits.

A cached file is whole or absent: it is written under another name and renamed, and a second file beside it holds its
digest. One whose digest does not match, or that cannot be read, is written again. Whoever may read the folder may read
its files, so that a group can share one that RESNET_CACHE names.

Programs are loaded from these folders. One that nobody named is used if it is this user's and not everybody's to write
to; else a private one takes its place. `notes` has what a user is to know of that.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import stat
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from kernels.cards.files import NO_ROOM, describe_room
from kernels.cards.owned import owned_file, sweep

VARIABLE = "RESNET_CACHE"
# Apart from the cache, so that a cold start can begin with an empty folder here and keep the model's weights.
COMPILED = "RESNET_COMPILED"
INDUCTOR = "TORCHINDUCTOR_CACHE_DIR"
PARTIAL = ".making-"
FILE_MODE = 0o644  # at most: a file is replaced, and never written to

notes: list[str] = []  # sentences about the cache that this process had a reason for


class CacheError(OSError):
    """No file can be kept in the cache; the message is a sentence with the folder and the cure."""


class CacheWarning(RuntimeWarning):
    """A folder or a file of the cache was not used as it was."""


class _NotOurs(Exception):
    """The folder, or the file in the way, is not this user's to write."""


def cache_dir() -> Path:
    """The folder of cached files: $RESNET_CACHE, else $XDG_CACHE_HOME/resnet-bench, else ~/.cache/resnet-bench.

    Where that cannot be used (a container with a read-only home, another user's), it is `private_dir`. Raises
    CacheError.
    """
    if folder := _folder_of(VARIABLE):
        return folder
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "resnet-bench"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        problem = _distrust(folder.stat()) or ("" if os.access(folder, os.W_OK) else "it cannot be written")
        if not problem:
            return folder
        problem = f"{folder} is not used: {problem}"
    except RuntimeError:  # of `expanduser`
        problem = "this user has no home"
    except OSError as error:
        problem = f"{folder} is not used: {error.strerror}"
    place = private_dir()
    _tell(f"the cache is in {place}, as {problem}; {VARIABLE}=DIR names another folder")
    return place


def compiled_dir() -> Path:
    """The folder of the files that variants derive from a model (exports, engines): $RESNET_COMPILED or `cache_dir`."""
    return _folder_of(COMPILED) or cache_dir()


def private_dir(name: str = "resnet-bench") -> Path:
    """Return a folder of this user's among the temporary files, the same every time. Raises CacheError.

    Anybody could have made one with the usual name: one that another user owns, or that everybody may write to, is
    passed over.
    """
    usual = Path(tempfile.gettempdir()) / f"{name}-{os.geteuid()}"
    try:
        with suppress(FileExistsError):
            usual.mkdir(mode=0o700)
        problem = _distrust(usual.lstat())
        if not problem:
            return usual
        others = sorted(usual.parent.glob(f"{usual.name}-*"))
        folder = next((other for other in others if not _distrust(other.lstat())), None)
        folder = folder or Path(tempfile.mkdtemp(prefix=f"{usual.name}-"))
    except OSError as error:
        raise CacheError(
            f"no cache folder can be made in {usual.parent}: {error.strerror}; "
            f"set {VARIABLE} to a folder that can be written"
        ) from None
    _tell(f"{usual} is not used: {problem}; {folder} takes its place")
    return folder


def check_compile_cache() -> Path | None:
    """Give Inductor a private folder where its usual one, among the temporary files, is not this user's alone.

    Returns the folder, or None for a user without a name. To be called before anything is compiled: torch makes that
    folder, or takes the one that is there.
    """
    with suppress(KeyError, OSError):  # a user without a name: torch finds none either
        usual = Path(tempfile.gettempdir()) / f"torchinductor_{getpass.getuser()}"
        if os.environ.get(INDUCTOR, str(usual)) != str(usual):
            return Path(os.environ[INDUCTOR])  # the user's choice
        with suppress(FileExistsError):
            usual.mkdir(mode=0o700)
        if problem := _distrust(usual.lstat()):
            os.environ[INDUCTOR] = str(private_dir("resnet-bench-inductor"))
            _tell(f"{usual} is not used: {problem}; {os.environ[INDUCTOR]} takes its place")
        return Path(os.environ.get(INDUCTOR, usual))
    return None


def subfolder(parent: Path, name: str) -> Path:
    """Return a folder in `parent`, made if missing, open to the same users. Raises OSError."""
    folder = parent / name
    if not folder.is_dir():
        folder.mkdir(exist_ok=True)
        _share(folder, parent, 0o2777)
    return folder


def cached_file(
    key: str, suffix: str, write: Callable[[Path], None], folder: Callable[[], Path] = cache_dir
) -> tuple[Path, bool]:
    """Return the path of the file of `key` in `folder()`, and whether it was cached; else `write(path)` writes it.

    `key` names everything that the content depends on; it is hashed. A process that writes the same file is waited
    for. Where this user may not write it, it is in `private_dir`. Raises CacheError, and whatever `write` raises.
    """
    path = folder() / (hashlib.sha256(key.encode()).hexdigest()[:24] + suffix)
    if _is_whole(path):
        return path, True
    try:
        return path, _make(path, write)
    except _NotOurs as reason:
        elsewhere = private_dir() / path.name
        _tell(f"{path.parent} cannot be written ({reason}): what it lacks is in {elsewhere.parent}")
    try:
        return elsewhere, _is_whole(elsewhere) or _make(elsewhere, write)
    except _NotOurs as reason:
        raise CacheError(f"{elsewhere} cannot be written: {reason}; set {VARIABLE} to another folder") from None


@contextmanager
def loading(kind: str, *paths: Path) -> Iterator[dict[str, Any]]:
    """Time what a server does to have a file ready, inside; yield the facts of the file, which are whole at the end.

    They are its `kind`, `bytes`, of a folder those of all files, and `load_s`, the seconds.
    """
    facts: dict[str, Any] = {"kind": kind}
    start = time.perf_counter()
    yield facts
    facts["load_s"] = time.perf_counter() - start
    files = [file for path in paths for file in (path.rglob("*") if path.is_dir() else [path])]
    facts["bytes"] = sum(file.stat().st_size for file in files)


def tell_notes(sentences: Iterable[str]) -> None:
    """Warn of what another process had in `notes`."""
    for text in sentences:
        _tell(text)


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _folder_of(variable: str) -> Path | None:
    """Return the folder that an environment variable names, after making it; None if it is not set."""
    if not os.environ.get(variable):
        return None
    try:
        folder = Path(os.environ[variable]).expanduser()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        name = os.environ[variable]
        raise CacheError(f"{variable}={name} cannot be made: {reason}; set it to another folder") from None
    return folder


def _make(path: Path, write: Callable[[Path], None]) -> bool:
    """Write a file and its seal, unless another process has meanwhile; return whether one has."""
    seal = _seal(path)
    try:
        with ExitStack() as stack:
            partial = _claim(stack, path)
            if _is_whole(path):
                return True
            _clear(path, seal)
            sweep(path.parent, f"{PARTIAL}*")
            write(partial)
            digest = file_digest(partial)
            _share(partial, path.parent, FILE_MODE)
            # the seal goes last: a kill between the two leaves a file without a seal, which is written again
            os.replace(partial, path)
            seal.write_text(digest + "\n")
            _share(seal, path.parent, FILE_MODE)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        cure = f"{describe_room(error, path.parent)}, or set {VARIABLE} to another folder"
        raise CacheError(f"cannot write to the cache folder: {error.strerror}; {cure}") from error
    return False


def _claim(stack: ExitStack, path: Path) -> Path:
    """Return the path under which to write a file before it is whole, held by this process alone."""
    partial = path.with_name(f"{PARTIAL}{os.geteuid()}-{path.name}")
    try:
        return stack.enter_context(owned_file(partial))
    except OSError as error:
        if error.errno in NO_ROOM:
            raise
        raise _NotOurs(error.strerror) from None


def _clear(path: Path, seal: Path) -> None:
    """Remove a file that is not whole, and its seal."""
    problem = ""
    try:
        path.open("rb").close()
        problem = "is damaged"
    except FileNotFoundError:
        pass
    except OSError:
        problem = "cannot be read"
    try:
        for file in (seal, path):
            file.unlink(missing_ok=True)
    except OSError as error:
        raise _NotOurs(error.strerror) from None
    if problem:
        _tell(f"the cached file {path} {problem} and is written again")


def _is_whole(path: Path) -> bool:
    try:
        return _seal(path).read_text(errors="replace").strip() == file_digest(path)
    except OSError:
        return False


def _seal(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _share(path: Path, folder: Path, most: int) -> None:
    """Let those use a new file or folder in `folder` who may use that; `most` bounds its mode."""
    status = folder.stat()
    with suppress(OSError):  # not of that group
        os.chown(path, -1, status.st_gid)
    path.chmod(0o600 | stat.S_IMODE(status.st_mode) & most)


def _distrust(status: os.stat_result) -> str:
    """Say why a folder that nobody named is not to hold programs; empty if it may."""
    if not stat.S_ISDIR(status.st_mode):
        return "it is no folder"
    if status.st_uid != os.geteuid():
        return "it belongs to another user"
    return "everybody may write to it" if status.st_mode & stat.S_IWOTH else ""


def _tell(text: str) -> None:
    if text not in notes:
        notes.append(text)
        warnings.warn(text, CacheWarning, stacklevel=3)
