"""Files of the harness: written whole or not at all, read with their schema. Every error is one sentence:

cannot write FILE: No space left on device; what was there is whole
cannot write FILE: text is there, which a WHAT does not replace; CURE
cannot read FILE: No such file or directory; CURE
FILE is no whole WHAT (KeyError: 'schema'); CURE
FILE is no WHAT: it is text; name one
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
from bench.kinds import KINDS, in_the_way, kind_of
from kernels.cards.files import is_replaced, open_atomic
from kernels.cards.reading import read_json_file

OTHER = "name another file"
ANOTHER = f"{OTHER} with -o"


@contextmanager
def writing(path: Path, cure: str = "", exit_code: int = USAGE, kind: str = "") -> Iterator[IO[bytes]]:
    """Open a file as `kernels.cards.files.open_atomic` does; StoreError names the file and the cause of an OSError.

    With a `kind`, one of `bench.kinds`, a file of another kind is not replaced: StoreError says what it is.
    """
    _refuse_other_kind(path, kind, exit_code)
    try:
        with open_atomic(path) as file:
            yield file
    except IsADirectoryError:
        raise _not_writable(path, "it is a folder", cure or "name a file in it", exit_code) from None
    except OSError as error:
        raise _not_writable(path, error.strerror or str(error), cure, exit_code) from None


def write_file(path: Path, content: str | bytes, cure: str = "", exit_code: int = USAGE, kind: str = "") -> None:
    """Write a file, and its folder if missing; text as UTF-8. Raises StoreError, and then changes nothing.

    A user's own choice of path comes with the `kind` of the content, as `writing` has it.
    """
    with writing(path, cure, exit_code, kind) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def write_json(path: Path, data: Any, cure: str = "", exit_code: int = USAGE) -> None:
    """Write `data` as indented JSON, as `write_file` does, over nothing but JSON of the same kind."""
    text = json.dumps(data, indent=1) + "\n"
    write_file(path, text, cure, exit_code, kind_of(text.encode()))


def check_writable(path: Path, kind: str = "", cure: str = ANOTHER) -> None:
    """Make the folder of `path`, before minutes of work. Raises StoreError where the file could not be written.

    `kind` is that of what will be written.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        return  # a device or a pipe, written to as it stands
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_writable(path, error.strerror or str(error), cure) from None
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise _not_writable(path, "it is a folder" if path.is_dir() else "its folder is read-only", cure)
    _refuse_other_kind(path, kind)


def _refuse_other_kind(path: Path, kind: str, exit_code: int = USAGE) -> None:
    if kind and is_replaced(path) and (there := in_the_way(path, kind)):
        raise _not_writable(path, f"{there} is there, which a {kind} does not replace", OTHER, exit_code)


def _not_writable(path: Path, reason: str, cure: str, exit_code: int = USAGE) -> StoreError:
    cure = cure or ("what was there is whole" if os.path.isfile(path) else "")
    return StoreError(f"cannot write {path}: {reason}" + (f"; {cure}" if cure else ""), exit_code)


@contextmanager
def reading(path: Path, content: str, cure: str) -> Iterator[None]:
    """Raise StoreError for a file that is missing, or whose data, named `content`, is damaged.

    Where `content` is a kind of `bench.kinds` and the file of another, `cure` is not given: it may write over the file.
    """
    try:
        yield
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}; {cure}") from None
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        if content in KINDS and (there := in_the_way(path, content)):
            raise StoreError(f"{path} is no {content}: it is {there}; name one") from None
        raise StoreError(f"{path} is no whole {content} ({type(error).__name__}: {error}); {cure}") from None


def read_json(path: Path, schema: int) -> dict[str, Any]:
    """Return the object of a JSON file of this schema or an earlier one.

    Raises StoreError for a newer schema, and OSError, ValueError, KeyError or TypeError, which `reading` turns into
    StoreError, for whatever else is wrong.
    """
    data = read_json_file(path)
    if not isinstance(data, dict):
        raise TypeError("not a JSON object")
    if not isinstance(data["schema"], int):
        raise TypeError(f"schema {data['schema']!r} is no number")
    if data["schema"] > schema:
        raise StoreError(f"{path}: schema {data['schema']} is newer than this checkout's {schema}: update it")
    return data
