"""Files that are there whole, or as they were."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from bench.errors import StoreError


def put(path: Path, content: bytes) -> None:
    """Write a file, its folder too where that is missing. Raises StoreError."""
    making = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        if path.is_dir():
            raise StoreError(f"cannot write {path}: it is a folder; name a file in it")
        path.parent.mkdir(parents=True, exist_ok=True)
        making.write_bytes(content)
        os.replace(making, path)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}; what was there is whole") from None
    finally:
        with suppress(OSError):
            making.unlink()
