"""Checks of JSON made once from types: what a line holds is what its annotation says, or the line is no record.

A check is a function of a value that returns nothing, or raises Misfit. Values are told apart by `type`, so that true
is no whole number; a NaN or an infinity is no number, and a whole number has 64 bits.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterable, Mapping
from dataclasses import is_dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints, is_typeddict

from bench.machine.facts import Least, Like, Unreadable
from bench.machine.provenance import unreadable

INFINITY = float("inf")
TOP = 1 << 63  # whole numbers are smaller than this, either way
SHOWN = 40  # characters of a wrong value
Checker = Callable[[Any], None]


class Misfit(ValueError):
    """A value that is not what belongs in its place: `path` leads to it."""

    def __init__(self, expected: str, value: Any) -> None:
        self.expected, self.value = expected, value
        self.path: list[str | int] = []

    def at(self, *path: str | int) -> Misfit:
        """The same, further down: `path` leads to where its own begins."""
        self.path[:0] = path
        return self

    def __str__(self) -> str:
        return f"{_place(self.path)} is {_shown(self.value)}, where {self.expected} belongs"


def _place(path: list[str | int]) -> str:
    """A path as in `environment.cpu.cores` or `latency_ns[3]`."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{_key(part)}" for part in path]
    return "".join(parts).removeprefix(".")


def _key(part: str) -> str:
    return part if part.replace("_", "a").replace("-", "a").isalnum() and part.isascii() else json.dumps(part[:SHOWN])


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list) and not 1 <= len(value) <= 4:
        return f"a list of {len(value)}" if value else "an empty list"
    if type(value) is int and abs(value) >= TOP:
        return "a number past 64 bits"
    text = json.dumps(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def checker(annotation: Any) -> Checker:
    """The check of an annotation: JSON's types, TypedDicts, lists, unions, `Annotated`, `Unreadable`, or Any."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _annotated(arguments[0], arguments[1])
    if origin in (Union, UnionType):
        return _union(arguments)
    if is_typeddict(annotation):
        return check_object(get_type_hints(annotation, include_extras=True), annotation.__required_keys__)
    if is_dataclass(annotation):
        return check_object(get_type_hints(annotation, include_extras=True))
    if origin is dict:
        return _mapping(checker(arguments[1]))
    if origin is list:
        return _list(checker(arguments[0]), _least_whole(arguments[0]))
    if origin is tuple:
        return _row([checker(argument) for argument in arguments])
    return _SIMPLE[annotation]


def _least_whole(annotation: Any) -> int | None:
    """The least of a kind of whole numbers; None of any other annotation."""
    base, mark = (*get_args(annotation), None)[:2] if get_origin(annotation) is Annotated else (annotation, None)
    if base is not int:
        return None
    return mark.value if isinstance(mark, Least) else 1 - TOP


def _annotated(annotation: Any, mark: Any) -> Checker:
    if isinstance(mark, Like):
        return checker(mark.annotation)
    return _whole(mark.value) if annotation is int else _number(mark.value)


def _whole(least: int = 1 - TOP) -> Checker:
    expected = "a whole number" + (f" of {least} or more" if least > 1 - TOP else "")

    def check(value: Any) -> None:
        if type(value) is not int or not least <= value < TOP:
            raise Misfit(expected, value)

    return check


def _number(least: float = -INFINITY) -> Checker:
    expected = "a number" + (f" of {least} or more" if least > -INFINITY else "")

    def check(value: Any) -> None:
        kind = type(value)
        if kind is float:
            fits = least <= value and -INFINITY < value < INFINITY  # which no NaN is
        else:
            fits = kind is int and least <= value and -TOP < value < TOP
        if not fits:
            raise Misfit(expected, value)

    return check


def _of_type(kind: type, expected: str) -> Checker:
    def check(value: Any) -> None:
        if type(value) is not kind:
            raise Misfit(expected, value)

    return check


def _reason(value: Any) -> None:
    if not unreadable(value):
        raise Misfit('"unreadable:" and why', value)


def _union(arguments: tuple[Any, ...]) -> Checker:
    """By the value's type: of the alternatives, one at most has it."""
    ways: dict[type, Checker] = {}
    expected = []
    for argument in arguments:
        check = checker(argument)
        expected.append(_expected(check))
        ways |= dict.fromkeys(_types(argument), check)

    def check_one(value: Any) -> None:
        check = ways.get(type(value))
        if check is None:
            raise Misfit(" or ".join(expected), value)
        check(value)

    return check_one


def _types(annotation: Any) -> tuple[type, ...]:
    """The types that JSON of an annotation has."""
    if get_origin(annotation) is Annotated:
        return _types(get_args(annotation)[0])
    if annotation is Unreadable:
        return (str,)
    if annotation is float:
        return (float, int)
    return (dict,) if is_typeddict(annotation) else (get_origin(annotation) or annotation,)


def _expected(check: Checker) -> str:
    """The words of a check for what it lets pass."""
    try:
        check(...)
    except Misfit as misfit:
        return misfit.expected
    return "anything"


def check_object(hints: Mapping[str, Any], required: frozenset[str] = frozenset()) -> Checker:
    """The check of an object with these keys and maybe others, which is empty or has all that are required."""
    checks = {key: checker(hint) for key, hint in hints.items()}

    def check(value: Any) -> None:
        if type(value) is not dict:
            raise Misfit("an object", value)
        for key, inner in value.items():
            try:
                checks.get(key, _anything)(inner)
            except Misfit as misfit:
                misfit.at(key)
                raise
        if required and value and (lacking := required - value.keys()):
            raise Misfit(f"an object with {' and '.join(sorted(lacking))}", value)

    return check


def _mapping(check_value: Checker) -> Checker:
    def check(value: Any) -> None:
        if type(value) is not dict:
            raise Misfit("an object", value)
        _check_each(value.items(), check_value)

    return check


def _list(check_item: Checker, whole: int | None = None) -> Checker:
    """A list; `whole` is the least that its items may be, where they are whole numbers."""

    def check(value: Any) -> None:
        if type(value) is not list:
            raise Misfit("a list", value)
        if whole is not None and _all_whole(value, whole):
            return
        _check_each(enumerate(value), check_item)

    return check


def _all_whole(values: list[Any], least: int) -> bool:
    """Whether all of some values are surely whole numbers from `least` on: thousands of samples, so in C."""
    import numpy as np

    try:
        packed = array("q", values)  # of 64 bits each; true and false pass, as 1 and 0
    except (TypeError, OverflowError):
        return False
    smallest = np.frombuffer(packed, np.int64).min() if packed else least
    return bool(smallest >= least and (smallest > 1 or bool not in map(type, values)))


def _row(checks: list[Checker]) -> Checker:
    """A list that is as long as `checks`, each for the item in its place."""

    def check(value: Any) -> None:
        if type(value) is not list or len(value) != len(checks):
            raise Misfit(f"a list of {len(checks)}", value)
        for place, inner in enumerate(value):
            _check_each(((place, inner),), checks[place])

    return check


def _check_each(items: Iterable[tuple[str | int, Any]], check: Checker) -> None:
    """Check values, each of which is under a key; the key is told of one that does not fit."""
    for key, value in items:
        try:
            check(value)
        except Misfit as misfit:
            misfit.at(key)
            raise


def _anything(value: Any) -> None:
    """JSON of any shape; its numbers are finite."""
    kind = type(value)
    if kind is float:
        check_number(value)
    elif kind is dict:
        _check_values(value)
    elif kind is list:
        _check_items(value)


check_number = _number()
_SIMPLE: dict[Any, Checker] = {
    int: _whole(),
    float: check_number,
    str: _of_type(str, "text"),
    bool: _of_type(bool, "true or false"),
    NoneType: _of_type(NoneType, "null"),
    dict: _mapping(_anything),
    list: _list(_anything),
    Unreadable: _reason,
    Any: _anything,
}
_check_values, _check_items = _SIMPLE[dict], _SIMPLE[list]
