"""Standard output and standard error for any reader: one who leaves, as `| head` does, and one who reads ASCII alone.

What nobody reads is not printed, and a character that the output's encoding lacks is printed as a question mark, or as
what is near it where rows are told apart by it. Output that cannot be written, as to a full disk, is an error in one
sentence.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
from typing import Any

NEAR = {"★": ">", "≈": "~"}  # the marks of rows


def _near(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return "".join(NEAR.get(char, "?") for char in error.object[error.start : error.end]), error.end


codecs.register_error("near", _near)


class _Stream(io.FileIO):
    """A descriptor that becomes /dev/null once nobody reads it: the command goes on, and ends with its own exit code.

    Without it each library ends the process in its way: rich and typer with exit code 1, Python at its end with 120.
    `lost` is the reason why some of the output could not be written, though somebody would read it.
    """

    lost = ""

    def write(self, data: Any) -> int:
        try:
            return super().write(data) or 0
        except OSError as error:
            if not isinstance(error, BrokenPipeError):
                self.lost = error.strerror or str(error)
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.fileno())
            os.close(null)
            return len(data)


def outlive_readers() -> None:
    """Put such streams in the places of stdout and stderr; one that is closed from the start is /dev/null."""
    sys.stdout, sys.stderr = _outliving(sys.stdout), _outliving(sys.stderr)


def check_output() -> None:
    """Exit with 1 and a sentence on stderr if some of stdout could not be written."""
    sys.stdout.flush()
    if lost := getattr(getattr(getattr(sys.stdout, "buffer", None), "raw", None), "lost", ""):
        print(f"bench: cannot write the output: {lost}", file=sys.stderr)
        sys.exit(1)


def _outliving(stream: Any) -> Any:
    if stream is None:  # as by `>&-`
        return open(os.devnull, "w", encoding="utf-8")
    try:
        buffered = io.BufferedWriter(_Stream(stream.fileno(), "w", closefd=False))
    except (AttributeError, OSError):  # no file
        return stream
    whole_lines = stream.isatty() or stream.line_buffering
    return io.TextIOWrapper(buffered, stream.encoding, "near", line_buffering=whole_lines)
