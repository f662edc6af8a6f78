"""Files of the harness: written whole or not at all, read with their schema. Every error is one sentence:

cannot write FILE: No space left on device; free some space in FOLDER; what was there is whole
cannot write FILE: text is there, which a WHAT does not replace; name another file, or replace it by --force
cannot read FILE: No such file or directory; CURE
FILE is no whole WHAT (KeyError: 'schema'); CURE
FILE is no WHAT: it is text; name one
FILE: schema 9 is newer than this checkout's 1: update it
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from bench.errors import USAGE, StoreError
from bench.kinds import KINDS, in_the_way, kind_of
from kernels.cards.files import NO_ROOM as NO_ROOM
from kernels.cards.files import describe_room as describe_room
from kernels.cards.files import is_replaced, open_atomic
from kernels.cards.owned import owned_folder as owned_folder
from kernels.cards.owned import sweep_folders as sweep_folders
from kernels.cards.reading import read_json_file

NAME_BYTES = 255  # of a file's or a folder's name, on every usual file system
OTHER = "name another file"
ANOTHER = f"{OTHER} with -o"


class Replacing:
    """`force` is on while a command runs that was given --force: a file of any kind is replaced; None without one."""

    force: bool | None = None


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
        raise _failed(path, error, cure, exit_code) from None


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
    """Raise StoreError where a file could not be written, before minutes of work; nothing is created.

    `kind` is that of what will be written.
    """
    if not is_replaced(path):
        return  # a device or a pipe, written to as it stands
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise _not_writable(path, "it is a folder", cure)
    folder = next(place for place in target.parents if os.path.lexists(place))
    if not folder.is_dir():
        raise _not_writable(path, f"{folder} is no folder", cure)
    if not os.access(folder, os.W_OK | os.X_OK):
        its = "its folder" if folder == target.parent else folder
        raise _not_writable(path, f"{its} is read-only", cure)
    if max(len(os.fsencode(part)) for part in target.parts) > NAME_BYTES:
        raise _not_writable(path, os.strerror(errno.ENAMETOOLONG), cure)
    _refuse_other_kind(path, kind)


def check_rewritable(path: Path, kind: str, cure: str = ANOTHER) -> None:
    """Raise StoreError as `check_writable` does, and for a pipe or a device, of a file that grows as work goes on."""
    check_writable(path, kind, cure)
    if not is_replaced(path) and not os.path.samefile(path, os.devnull):
        raise _not_writable(path, "it is written again after each part, which a pipe or a device does not keep", cure)


def _refuse_other_kind(path: Path, kind: str, exit_code: int = USAGE) -> None:
    if kind and not Replacing.force and is_replaced(path) and (there := in_the_way(path, kind)):
        cure = OTHER if Replacing.force is None else f"{OTHER}, or replace it by --force"
        raise _not_writable(path, f"{there} is there, which a {kind} does not replace", cure, exit_code)


def _failed(path: Path, error: OSError, cure: str, exit_code: int) -> StoreError:
    reason = error.strerror or str(error)
    if error.errno in NO_ROOM and is_replaced(path):
        folder = Path(os.path.realpath(path)).parent
        reason += f"; {describe_room(error, next(place for place in (folder, *folder.parents) if place.exists()))}"
    return _not_writable(path, reason, cure, exit_code)


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
