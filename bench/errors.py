"""The errors that end a command: one with an exit code, and below it one for each kind of cause.

A message is a sentence for the user: what is wrong, with the file or the word, and what to do. `bench.cli` prints it
and exits with the code, in one place; a program that imports `bench` catches BenchError or one of its subclasses.
"""

from __future__ import annotations

# Exit codes of every command; 0 is success.
FAILED = 1  # a case failed, something got slower, a result is missing, the answer is no
USAGE = 2  # an argument or a file cannot be used
UNABLE = 3  # this machine cannot do it
UNDECIDED = 4  # the records cannot tell
STOPPED = 130  # interrupted
EXIT_CODES = (
    f"Exit codes: 0 ok; {FAILED} a case failed or got slower, or the answer is no; {USAGE} bad usage; {UNABLE} this "
    f"machine cannot do it; {UNDECIDED} the records cannot tell; {STOPPED} interrupted."
)


class BenchError(Exception):
    """A command cannot go on; the message says why and what to do. The command ends with `exit_code`."""

    exit_code: int = USAGE

    def __init__(self, message: str, exit_code: int | None = None) -> None:
        super().__init__(message)
        if exit_code is not None:
            self.exit_code = exit_code


class CaseError(BenchError, ValueError):
    """A case's name is invalid; the message says which part, and the allowed words."""


class PlanError(BenchError, ValueError):
    """A plan cannot be read; the message names the file, the line and the allowed words."""


class RecordError(BenchError, ValueError):
    """A line is not a record that this version can read."""


class StoreError(BenchError):
    """A file or folder cannot be written or read; the message names it and says what to do."""


class ArgumentError(BenchError, ValueError):
    """An argument is invalid; the message has the allowed values."""


class InteropError(BenchError, ValueError):
    """Records cannot be exported or imported; the message says why."""


class RevisionError(BenchError):
    """A revision cannot be compared; the message says why and what to do."""


class TuningError(BenchError):
    """The tuner cannot go on; the message says why."""

    exit_code = FAILED


class WorkError(BenchError):
    """A child failed at its job, such as compiling or counting; the message has its status and reason."""

    exit_code = FAILED


class UnableError(WorkError):
    """This machine cannot do it, for example because a package is missing; the message has the cure."""

    exit_code = UNABLE


class Lost(str):
    """A sentence on a line that is left out and whose round no other line has: an answer may be another with it."""

    __slots__ = ()
