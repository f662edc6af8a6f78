"""Where a checkpoint is on disk, and the digest of its content. The standard library alone: the parent uses it too."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

INDEX = ".index.json"  # how the name of an index of shards ends: model.safetensors.index.json


def locate(word: str | Path) -> tuple[Path, str]:
    """Return the path of a checkpoint, with `~` expanded, and the entry that the word asks for, or "".

    `FILE#ENTRY` asks for the weights that a file has under `ENTRY`; dots lead deeper. A file whose own name has such
    an end is meant as it is.
    """
    path = Path(os.path.expanduser(word))  # unlike Path.expanduser for a user without a home, too
    if "#" not in path.name or path.exists():
        return path, ""
    name, _, entry = path.name.rpartition("#")
    return path.with_name(name), entry


def absolute(word: str | Path) -> str:
    """Return the word for the same checkpoint from any folder: what a job carries, whose process may be elsewhere."""
    path, entry = locate(word)
    return f"{path.absolute()}#{entry}" if entry else str(path.absolute())


def shards(index: Path) -> dict[str, Path]:
    """Return the file of each key that an index of shards names. Raises ValueError for what is no such index."""
    try:
        names = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        files = {key: index.parent / name for key, name in names.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{index.name} is no index of shards, with a `weight_map` ({type(error).__name__})") from None
    outside = [path for path in files.values() if path.parent != index.parent]
    if outside:
        raise ValueError(f"{index.name} names {outside[0]}, which is in another folder")
    return files


def digest_of(word: str | Path) -> str:
    """Return a short digest of a checkpoint's bytes, and of its shards': the start of the SHA-256 of a single file.

    Raises OSError for a file that cannot be read, and ValueError for an index that is none.
    """
    path, _ = locate(word)
    parts = sorted(set(shards(path).values())) if path.name.endswith(INDEX) else []
    total = hashlib.sha256()
    for part in [path, *parts]:
        with part.open("rb") as file:
            while block := file.read(1 << 20):
                total.update(block)
    return total.hexdigest()[:16]
