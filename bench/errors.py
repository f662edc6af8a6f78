"""What ends a command: one error with an exit code, and below it one for each kind of cause.

A message is a sentence for the user: what is wrong, with the file or the word, and what to do. `bench.cli` prints it
and exits with the code, in one place; a program that imports `bench` catches BenchError, or the class it can mend.
"""

from __future__ import annotations

# Exit codes of every command; 0 is for what went well.
FAILED = 1  # a case failed, something got slower, a result is not there
USAGE = 2  # what was typed, or a file that was named, cannot be used
UNABLE = 3  # this machine cannot do it
STOPPED = 130  # interrupted


class BenchError(Exception):
    """What was asked cannot be done; the message says why, and what to do. `exit_code`: what its command ends with."""

    exit_code: int = USAGE

    def __init__(self, message: str, exit_code: int | None = None) -> None:
        super().__init__(message)
        if exit_code is not None:
            self.exit_code = exit_code


class CaseError(BenchError, ValueError):
    """A case's name that means nothing; the message says which part, and the allowed words."""


class PlanError(BenchError, ValueError):
    """A plan that cannot be read; the message names the file, the line and the allowed words."""


class RecordError(BenchError, ValueError):
    """A line that is not a record this version can read."""


class StoreError(BenchError):
    """A file or a folder that cannot be written or read; the message names it and says what to do."""


class ArgumentError(BenchError, ValueError):
    """An argument that means nothing; the message has the allowed values."""


class InteropError(BenchError, ValueError):
    """What cannot be exported or imported; the message says why."""


class RevisionError(BenchError):
    """A revision that cannot be compared; the message says why and what to do."""


class NotMeasured(BenchError):
    """The child that measures this machine's ceilings did not answer; why."""

    exit_code = FAILED


class NotTimed(BenchError):
    """The child that times layers gave no times; why."""

    exit_code = FAILED


class TuningError(BenchError):
    """The tuner cannot go on; the message says why."""

    exit_code = FAILED


class WorkError(BenchError):
    """A child did not do what it was asked for, as compiling or counting; its status and reason."""

    exit_code = FAILED


class UnableError(WorkError):
    """This machine cannot do such work, as a package is missing."""

    exit_code = UNABLE


class MissingLibrary(BenchError):
    """A library that only some commands use is not installed; the message has the cure."""

    exit_code = UNABLE
