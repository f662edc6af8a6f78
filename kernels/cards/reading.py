"""Files that others wrote: opened without waiting, bounded in size and depth, as text or JSON. Standard library only.

Every error is an OSError or a ValueError, whose text says what is there and, where one is known, the cure.
"""

from __future__ import annotations

import errno
import json
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

MOST = 256 << 20  # bytes of a file that is read as a whole
LINE = 64 << 20  # bytes of a line: a record of a million samples has a fifth of it
STEP = 1 << 20  # bytes of a longer line that are passed over at a time
DEPTH = 64  # levels of JSON: ours has ten at most
OURS = re.compile(r"/dev/(stdin|fd/\d+)|/proc/self/fd/\d+")  # open already, as `/dev/stdin` or `<(command)` is
GZIP, COMPRESSED = b"\x1f\x8b", "it is compressed: unpack it with gunzip"
UTF16 = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
LONE = re.compile(r"\\u[dD][89a-fA-F]")  # an escaped half of a surrogate pair, or a pair


def open_regular(path: str | Path) -> IO[bytes]:
    """Open a regular file for reading. Raises OSError for another one: a pipe would wait for a writer forever.

    A descriptor that this process was given, `/dev/stdin` or `/dev/fd/63`, is read whatever it is: that was asked for.
    """
    if OURS.fullmatch(str(path)):
        return open(path, "rb")
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return open(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.EINVAL, "it is a pipe or a device, where a regular file is needed", str(path))


def open_lines(path: str | Path) -> IO[bytes]:
    """Open a regular file of lines of UTF-8. Raises OSError, also for one that is compressed or UTF-16 throughout."""
    file = open_regular(path)
    head = file.read(4)
    file.seek(0)
    wide = UTF16.get(head[:2]) and b"\0" in head
    if head.startswith(GZIP) or wide:
        file.close()
        raise OSError(errno.EILSEQ, "it is UTF-16: save it as UTF-8" if wide else COMPRESSED, str(path))
    return file


def read_bounded(path: str | Path) -> bytes:
    """Return a file's bytes. Raises OSError, also for more than MOST."""
    with open_regular(path) as file:
        content = file.read(MOST + 1)
    if len(content) > MOST:
        raise OSError(errno.EFBIG, f"it has more than {MOST >> 20} MiB, the most that is read", str(path))
    return content


def decode(content: bytes) -> str:
    """Return UTF-8, with or without a byte order mark, or UTF-16 with one, as text. Raises ValueError for the rest."""
    if content.startswith(GZIP):
        raise ValueError(COMPRESSED)
    try:
        return content.decode(UTF16.get(content[:2], "utf-8-sig"))
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8 text") from None


def read_text(path: str | Path) -> str:
    """Return a file as text. Raises OSError, and ValueError as `decode` does."""
    return decode(read_bounded(path))


def parse_json(text: str | bytes) -> Any:
    """Return parsed JSON. Raises ValueError as `load_json` does, and for JSON that is nested deeper than DEPTH."""
    data = load_json(decode(text) if isinstance(text, bytes) else text)
    if isinstance(data, dict | list):
        _check_depth([data])
    return data


def load_json(text: str) -> Any:
    """Return parsed JSON of any depth, in which half a surrogate pair, that no file takes, is a question mark.

    Raises ValueError for what is no JSON, has a number of thousands of digits, or is nested too deep to be parsed.
    """
    try:
        data = json.loads(text)
        if LONE.search(text):
            data = json.loads(json.dumps(data, ensure_ascii=False).encode(errors="replace"))
    except json.JSONDecodeError:
        raise
    except ValueError:
        raise ValueError("it has a number of thousands of digits") from None
    except RecursionError:
        raise ValueError(f"it is nested deeper than {DEPTH} levels") from None
    return data


def read_json_file(path: str | Path) -> Any:
    """Return a file's JSON. Raises OSError, and ValueError as `parse_json` does."""
    return parse_json(read_bounded(path))


def _check_depth(level: list[Any]) -> None:
    """Raise ValueError for containers, given as a list of the outermost, that are nested deeper than DEPTH."""
    for _ in range(DEPTH):
        inner = (value for one in level for value in (one.values() if isinstance(one, dict) else one))
        level = [value for value in inner if isinstance(value, dict | list)]
        if not level:
            return
    raise ValueError(f"it is nested deeper than {DEPTH} levels")


def lines_of(file: IO[bytes], start: int = 0, stop: int | None = None) -> Iterator[bytes]:
    """Yield the lines of a file between two offsets, without their ends, which are LF, CR LF or CR.

    Lines appended after the start are not read. Of a line longer than LINE only that much and a byte is there.
    """
    stop = os.fstat(file.fileno()).st_size if stop is None else stop
    file.seek(start)
    left = stop - start
    while left > 0:
        line = file.readline(min(left, LINE + 1))
        if not line:  # the file was cut meanwhile
            return
        left -= len(line)
        if len(line) > LINE and not line.endswith(b"\n"):
            left -= pass_line(file, left)
            yield line
        elif b"\r" in line:
            yield from line.splitlines()
        else:  # sooner, as nearly all are
            yield line.removesuffix(b"\n")


def pass_line(file: IO[bytes], most: int) -> int:
    """Read on to the end of the line, and no further than `most` bytes; returns how many were read."""
    passed = 0
    while passed < most and (step := file.readline(min(STEP, most - passed))):
        passed += len(step)
        if step.endswith(b"\n"):
            break
    return passed
