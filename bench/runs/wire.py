"""Messages between the parent and a child: the form of jobs and answers, which are checked as they are read.

A job is a frozen dataclass; on the pipe it is a JSON object with the job's name under `job`. Its answer is a TypedDict,
as the record or the file that it becomes is a JSON object too. Both sides import the same definitions, so mypy sees a
field that one side renames. Another commit's side may have more fields or fewer: unknown ones are ignored, and a
missing one of a job has its default.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from functools import cache
from typing import Any, ClassVar, Generic, Self, TypedDict, TypeVar, cast, get_args

from bench.plans.case import Case
from bench.records.fields import Window
from bench.records.misfit import Misfit
from bench.records.typed import Reader, hints_of, object_reader, reader

Json = dict[str, Any]  # a JSON object whose content this side only carries
A = TypeVar("A")
M = TypeVar("M")


class MessageError(ValueError):
    """A message with a missing field, or a value of the wrong type, which the text names."""


@dataclass(frozen=True)
class Job(Generic[A]):
    """A message to a child; `A` is the type of its answer, a TypedDict.

    A subclass names its job: `class NullJob(Job[NullAnswer], name="null")`. Jobs of one name differ by `what`.
    """

    name: ClassVar[str]
    what: ClassVar[str]
    answer: ClassVar[type]

    def __init_subclass__(cls, name: str = "", what: str = "") -> None:
        cls.name, cls.what = name, what
        (cls.answer,) = get_args(cls.__orig_bases__[0])  # type: ignore[attr-defined]

    def to_json(self) -> Json:
        """Return this job as a JSON object."""
        head = {"job": self.name} | ({"what": self.what} if self.what else {})
        return head | {field.name: _to_json(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> Self:
        """Return the job of a JSON object. Raises MessageError."""
        return cast(Self, _read(_reader(cast(Hashable, cls)), data, cls.name))


@dataclass(frozen=True)
class Command:
    """The command to a case that has paused: to take a throughput window as this turn's, or with None to finish."""

    turn: int | None = None


class Paused(TypedDict):
    """The words of a case that pauses: its p50 in nanoseconds, its bytes of memory, and the windows of its turn.

    `so_far` has the fields of its record, of what it has measured by then.
    """

    p50_ns: float
    resident_bytes: int
    windows: list[Window]
    so_far: Json


Pause = Callable[[Paused], Command]  # tells the parent, and returns its next command


def parse_answer(data: Json, job: Job[A], whole: bool) -> A:
    """Return a child's answer as the type that `job` has for it. Raises MessageError.

    An answer that is not `whole` is of a job that ended early: any field may be missing.
    """
    return cast(A, _read(_reader(cast(Hashable, job.answer), whole), data, f"the answer to {job.name}"))


def parse_message(kind: type[M], data: object) -> M:
    """Return a message in the middle of a job as its type, a dataclass or a TypedDict. Raises MessageError."""
    return cast(M, _read(_reader(cast(Hashable, kind)), data, kind.__name__))


def _to_json(value: object) -> object:
    if isinstance(value, Case):
        return value.name
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, dict):
        return {key: _to_json(item) for key, item in value.items()}
    return [_to_json(item) for item in value] if isinstance(value, tuple | list) else value


def _read(read: Reader, data: object, message: str) -> object:
    try:
        return read(data)
    except Misfit as misfit:
        raise MessageError(f"{message}: {misfit}") from None


@cache
def _reader(annotation: Hashable, whole: bool = True) -> Reader:
    return reader(annotation) if whole else object_reader(hints_of(annotation))
