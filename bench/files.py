"""Files of the harness: written whole or not at all, read with their schema; what goes wrong is one sentence.

cannot write FILE: No space left on device; what was there is whole
cannot read FILE: No such file or directory; CURE
FILE is no whole WHAT (KeyError: 'schema'); CURE
FILE: schema 9 is newer than this checkout's 1: update it
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from bench.errors import USAGE, StoreError
from kernels.cards.files import open_atomic

ANOTHER = "name another file with -o"


@contextmanager
def writing(path: Path, cure: str = "", exit_code: int = USAGE) -> Iterator[IO[bytes]]:
    """`kernels.cards.files.open_atomic`, whose OSError is a StoreError that names the file and the cause."""
    try:
        with open_atomic(path) as file:
            yield file
    except IsADirectoryError:
        raise _unwritable(path, "it is a folder", cure or "name a file in it", exit_code) from None
    except OSError as error:
        raise _unwritable(path, error.strerror or str(error), cure, exit_code) from None


def write(path: Path, content: str | bytes, cure: str = "", exit_code: int = USAGE) -> None:
    """Write a file, its folder too where that is missing; text as UTF-8. Raises StoreError, and all is as it was."""
    with writing(path, cure, exit_code) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def write_json(path: Path, data: Any, cure: str = "", exit_code: int = USAGE) -> None:
    """`write`, of what JSON can hold, indented."""
    write(path, json.dumps(data, indent=1) + "\n", cure, exit_code)


def reserve(path: Path, cure: str = ANOTHER) -> None:
    """Make the folder of `path`, before minutes go into what it is to hold. Raises StoreError where that is no use."""
    if path.exists() and not path.is_file() and not path.is_dir():
        return  # a device or a pipe, written to as it stands
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(path, error.strerror or str(error), cure) from None
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise _unwritable(path, "it is a folder" if path.is_dir() else "its folder is read-only", cure)


def _unwritable(path: Path, why: str, cure: str, exit_code: int = USAGE) -> StoreError:
    cure = cure or ("what was there is whole" if os.path.isfile(path) else "")
    return StoreError(f"cannot write {path}: {why}" + (f"; {cure}" if cure else ""), exit_code)


@contextmanager
def reading(path: Path, what: str, cure: str) -> Iterator[None]:
    """Around all that makes something of a file: a StoreError where it is missing, or is no whole `what`."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}; {cure}") from None
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise StoreError(f"{path} is no whole {what} ({type(error).__name__}: {error}); {cure}") from None


def read_json(path: Path, schema: int) -> dict[str, Any]:
    """The object of a JSON file that says its schema, of this version's or an earlier one.

    Raises StoreError for a newer schema, and within `reading` for whatever else is wrong: OSError, ValueError,
    KeyError or TypeError.
    """
    data = json.loads(path.read_bytes())
    if not isinstance(data, dict):
        raise TypeError("not a JSON object")
    if not isinstance(data["schema"], int):
        raise TypeError(f"schema {data['schema']!r} is no number")
    if data["schema"] > schema:
        raise StoreError(f"{path}: schema {data['schema']} is newer than this checkout's {schema}: update it")
    return data
