"""Messages between the parent and a child: what a job and an answer are made of, checked as they are read.

A job is a frozen dataclass; on the pipe it is a JSON object with the job's name under `job`. Its answer is a TypedDict,
as the record or the file that it becomes is a JSON object too. Both sides import the same definitions, so mypy sees a
field that one side renames. Another commit's other side may know more fields or fewer: what is unknown is passed over,
what is missing of a job has its default.
"""

from __future__ import annotations

import types
from collections.abc import Hashable, Mapping
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from functools import cache
from typing import (
    Any,
    ClassVar,
    Generic,
    Literal,
    NotRequired,
    Required,
    Self,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from bench.plans.case import Case

Json = dict[str, Any]  # a JSON object whose content this side only carries
A = TypeVar("A")


class MessageError(ValueError):
    """A message with a field that is missing or of another type than was agreed; which."""


@dataclass(frozen=True)
class Job(Generic[A]):
    """What a child is told; `A` is what it answers. A subclass sets the job's `name` and the `answer`'s TypedDict.

    Jobs of one name differ by `what`.
    """

    name: ClassVar[str]
    what: ClassVar[str] = ""
    answer: ClassVar[type]

    def plain(self) -> Json:
        """The JSON object of this job."""
        head = {"job": self.name} | ({"what": self.what} if self.what else {})
        return head | {item.name: _plain(getattr(self, item.name)) for item in fields(self)}

    @classmethod
    def read(cls, data: Mapping[str, object]) -> Self:
        """The job of a JSON object. Raises MessageError."""
        return cast(Self, checked(dict(data), cls, cls.name))


def answer_of(data: Json, job: Job[A], whole: bool) -> A:
    """What a child answered, as the type that the job asks for. Raises MessageError.

    What is not `whole` is of a job that ended early: any field may be missing.
    """
    hints = _hints(cast(Hashable, job.answer))
    where = f"the answer to {job.name}"
    if whole:
        return cast(A, _typed_dict(data, job.answer, where))
    return cast(A, {key: checked(item, hints.get(key, Any), f"{where}.{key}") for key, item in data.items()})


def _plain(value: object) -> object:
    if isinstance(value, Case):
        return value.name
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value


def checked(value: object, kind: Any, where: str) -> Any:
    """A JSON value as the type `kind`: dataclasses and cases made, everything else as it came, and of that type.

    `where` names the value in the message of MessageError. An int is a float, too; a bool is no number.
    """
    if kind is Any or kind is object:
        return value
    origin = get_origin(kind)
    if origin in (Required, NotRequired):
        return checked(value, get_args(kind)[0], where)
    if kind is Case:
        return _case(value, where)
    if is_typeddict(kind):
        return _typed_dict(value, kind, where)
    if is_dataclass(kind):
        return _dataclass(value, cast("type[Any]", kind), where)
    if origin in (Union, types.UnionType):
        return _union(value, get_args(kind), where)
    if origin is Literal:
        return _must(value, value in get_args(kind), kind, where)
    if origin in (list, tuple, dict):
        return _container(value, origin, get_args(kind), where)
    if kind is float:
        return _must(value, isinstance(value, int | float) and not isinstance(value, bool), kind, where)
    if kind is int:
        return _must(value, isinstance(value, int) and not isinstance(value, bool), kind, where)
    return _must(value, value is None if kind is type(None) else isinstance(value, kind), kind, where)


def _must(value: object, good: bool, kind: Any, where: str) -> object:
    if not good:
        raise MessageError(f"{where} is {_brief(value)}, and should be {getattr(kind, '__name__', kind)}")
    return value


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _case(value: object, where: str) -> Case:
    try:
        return (
            value
            if isinstance(value, Case)
            else Case.parse(cast(str, _must(value, isinstance(value, str), str, where)))
        )
    except MessageError:
        raise
    except ValueError as error:
        raise MessageError(f"{where}: {error}") from None


def _union(value: object, kinds: tuple[Any, ...], where: str) -> object:
    problem = MessageError(where)
    for kind in kinds:
        try:
            return checked(value, kind, where)
        except MessageError as error:
            problem = error if kind is not type(None) else problem
    raise problem


def _container(value: object, origin: Any, kinds: tuple[Any, ...], where: str) -> object:
    if origin is dict:
        _must(value, isinstance(value, dict), dict, where)
        each = cast(Json, value)
        return {checked(key, kinds[0], f"a key of {where}"): checked(item, kinds[1], f"{where}.{key}")
                for key, item in each.items()}  # fmt: skip
    _must(value, isinstance(value, list | tuple), origin, where)
    items = cast("list[object]", value)
    if origin is list or kinds[-1:] == (Ellipsis,):
        return origin(_items(items, kinds[0], where))
    _must(value, len(items) == len(kinds), f"{len(kinds)} values", where)
    return tuple(
        checked(item, kind, f"{where}[{place}]") for place, (item, kind) in enumerate(zip(items, kinds, strict=True))
    )


def _items(items: list[object], kind: Any, where: str) -> list[object]:
    if kind in (int, str):  # the samples of a record: thousands, looked through in one pass
        wrong = next((place for place, item in enumerate(items) if type(item) is not kind), None)
        if wrong is None:
            return items
    return [checked(item, kind, f"{where}[{place}]") for place, item in enumerate(items)]


@cache
def _hints(kind: Hashable) -> dict[str, Any]:
    return {name: hint for name, hint in get_type_hints(cast("type[Any]", kind), include_extras=True).items()
            if get_origin(hint) is not ClassVar}  # fmt: skip


def _typed_dict(value: object, kind: Any, where: str) -> Json:
    _must(value, isinstance(value, dict), dict, where)
    data = cast(Json, value)
    missing = sorted(kind.__required_keys__ - data.keys())
    if missing:
        raise MessageError(f"{where} has no {', '.join(missing)}")
    hints = _hints(kind)
    return {name: checked(item, hints[name], f"{where}.{name}") if name in hints else item
            for name, item in data.items()}  # fmt: skip


def _dataclass(value: object, kind: type[Any], where: str) -> object:
    if isinstance(value, kind):
        return value
    _must(value, isinstance(value, dict), dict, where)
    data, hints, arguments = cast(Json, value), _hints(cast(Hashable, kind)), {}
    for item in fields(kind):
        if item.name in data:
            arguments[item.name] = checked(data[item.name], hints[item.name], f"{where}.{item.name}")
        elif item.default is MISSING and item.default_factory is MISSING:
            raise MessageError(f"{where} has no {item.name}")
    try:
        return kind(**arguments)
    except ValueError as error:  # of its own checks
        raise MessageError(f"{where}: {error}") from None
