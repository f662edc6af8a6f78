"""JSON read as types: a value is checked against its annotation, and becomes a dataclass, tuple or case where need be.

A reader is a function compiled once from an annotation; it returns the value, or raises Misfit. Types are compared
by identity, so true is no whole number. NaN and infinities are no numbers, and a whole number has 64 bits.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import MISSING, fields, is_dataclass
from functools import lru_cache
from itertools import repeat
from math import nextafter
from operator import is_
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Union, get_args, get_origin, get_type_hints, is_typeddict

from bench.machine.facts import Least, Like, Unreadable
from bench.machine.provenance import unreadable
from bench.plans.case import Case
from bench.records.misfit import INT64_END, Misfit
from kernels.cards.reading import DEPTH, load_json

load_quickly: Callable[[str], Any] = load_json
with suppress(ImportError):
    import orjson

    load_quickly = orjson.loads  # where they differ, it fails or makes a float past 64 bits, as `_number_reader` does

Reader = Callable[[Any], Any]


def reader(annotation: Any) -> Reader:
    """Return the reader of JSON's types, TypedDicts, dataclasses, lists, tuples, unions, `Annotated`, Case or Any."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _annotated_reader(*arguments)
    if origin in (Union, UnionType):
        return _union_reader(arguments)
    if is_typeddict(annotation):
        return object_reader(hints_of(annotation), annotation.__required_keys__)
    if is_dataclass(annotation) and annotation is not Case:
        return _dataclass_reader(annotation)
    if origin is dict:
        return object_reader({}, others=reader(arguments[1]))
    if origin is list:
        return _list_reader(reader(arguments[0]), arguments[0])
    if origin is tuple:
        return _tuple_reader(arguments)
    return _SIMPLE[annotation]


def hints_of(annotation: Any) -> dict[str, Any]:
    """Return the annotations of a class's fields."""
    hints = get_type_hints(annotation, include_extras=True)
    return {name: hint for name, hint in hints.items() if get_origin(hint) is not ClassVar}


def _annotated_reader(annotation: Any, mark: Any) -> Reader:
    if not isinstance(mark, Like):
        return _number_reader(annotation is int, *mark)
    check = object_reader(hints_of(mark.annotation)) if is_dataclass(mark.annotation) else reader(mark.annotation)

    def read(value: Any) -> Any:
        check(value)
        return value

    return read


def _number_reader(whole: bool, least: int = 1 - INT64_END, most: int = INT64_END - 1) -> Reader:
    types = (int,) if whole else (float, int)
    expected = f"a {'whole ' * whole}number" + (f" of {least} or more" if least > 1 - INT64_END else "")

    def read(value: Any) -> Any:
        if type(value) not in types or not least <= value <= most:  # NaN is in no range
            raise Misfit(_expected_of(value, expected, most), value)
        return value if value < INT64_END else float(value)  # a field of larger numbers has floats, however written

    return read


def _expected_of(value: Any, expected: str, most: int) -> str:
    """Return what belongs in the place of a value: a number of at most `most`, where that is what it exceeds."""
    exceeds = type(value) in (float, int) and most < value < float("inf")
    return f"{expected.split(' of ')[0]} of at most {most:.0e}" if exceeds else expected


def _type_reader(wanted: type, expected: str) -> Reader:
    def read(value: Any) -> Any:
        if type(value) is not wanted:
            raise Misfit(expected, value)
        return value

    return read


def _read_unreadable(value: Any) -> Any:
    if not unreadable(value):
        raise Misfit('"unreadable:" and why', value)
    return value


_parse_case = lru_cache(4096)(Case.parse)  # 6 us a record, and most name a case of the line before


def _read_case(value: Any) -> Case:
    name = _SIMPLE[str](value)
    try:
        return _parse_case(name)
    except ValueError as error:
        raise Misfit(f"a case ({error})", value) from None


def _union_reader(alternatives: tuple[Any, ...]) -> Reader:
    """Return the reader of a union, whose alternatives have different types in JSON."""
    by_type: dict[type, Reader] = {}
    expected = []
    for alternative in alternatives:
        read_alternative = reader(alternative)
        expected.append(_expected_by(read_alternative))
        by_type |= dict.fromkeys(_json_types(alternative), read_alternative)

    def read(value: Any) -> Any:
        read_alternative = by_type.get(type(value))
        if read_alternative is None:
            raise Misfit(" or ".join(expected), value)
        return read_alternative(value)

    return read


def _json_types(annotation: Any) -> tuple[type, ...]:
    """Return the types that JSON of an annotation has."""
    if get_origin(annotation) is Annotated:
        return _json_types(get_args(annotation)[0])
    if is_typeddict(annotation):
        return (dict,)
    others = {Unreadable: (str,), float: (float, int), tuple: (list,)}
    plain = get_origin(annotation) or annotation
    return others.get(plain, (plain,))


def _expected_by(read: Reader) -> str:
    try:
        read(...)
    except Misfit as misfit:
        return misfit.expected
    return "anything"


def object_reader(
    hints: Mapping[str, Any], required: frozenset[str] = frozenset(), others: Reader | None = None
) -> Reader:
    """Return the reader of an object; `required` keys must be there, and `others` reads the keys without a hint."""
    readers = {key: (*_plain(hint), reader(hint)) for key, hint in hints.items()}
    get, other = readers.get, (None, None, None, others or _read_any)

    def read(value: Any) -> Any:
        if type(value) is not dict:
            raise Misfit("an object", value)
        converted = {}
        try:
            for key, inner in value.items():
                kind, least, most, read_inner = get(key, other)
                if type(inner) is kind and (least is None or least <= inner <= most):
                    continue  # without a call, in half the time
                if (result := read_inner(inner)) is not inner:
                    converted[key] = result
        except Misfit as misfit:
            misfit.at(key)
            raise
        if required and (missing := required - value.keys()):
            raise Misfit(f"an object with {' and '.join(sorted(missing))}", value)
        return value | converted if converted else value

    return read


def _dataclass_reader(dataclass: Any) -> Reader:
    """Return the reader that makes a dataclass; a missing field has its default, and unknown ones are ignored."""
    names = {field.name for field in fields(dataclass)}
    optional = {f.name for f in fields(dataclass) if f.default is not MISSING or f.default_factory is not MISSING}
    read_fields = object_reader(hints_of(dataclass), frozenset(names - optional))

    def read(value: Any) -> Any:
        data = read_fields(value)
        try:
            return dataclass(**{name: data[name] for name in names & data.keys()})
        except ValueError as error:  # from `__post_init__`
            raise Misfit(f"{dataclass.__name__} ({error})", value) from None

    return read


def _list_reader(read_item: Reader, annotation: Any) -> Reader:
    kind, *bounds = _plain(annotation)

    def read(value: Any) -> Any:
        if type(value) is not list:
            raise Misfit("a list", value)
        # a short list is read sooner than numpy has looked at it
        if kind is int and len(value) > 16 and _all_whole(value, *bounds):
            return value
        items = _read_items(repeat(read_item), value)
        return value if all(map(is_, items, value)) else items

    return read


def _read_items(readers: Iterable[Reader], values: list[Any]) -> list[Any]:
    items: list[Any] = []
    try:
        for read, value in zip(readers, values, strict=False):
            items.append(read(value))
    except Misfit as misfit:
        misfit.at(len(items))
        raise
    return items


def _plain(annotation: Any) -> tuple[type | None, Any, Any]:
    """Return the type of an annotation of text, truth or numbers, and of these the range; three None of any other."""
    base, mark = (*get_args(annotation), None)[:2] if get_origin(annotation) is Annotated else (annotation, None)
    if base not in (int, float):
        return (base if base in (str, bool) else None), None, None
    least, most = (mark.value, mark.most) if isinstance(mark, Least) else (1 - INT64_END, INT64_END - 1)
    # the least that a float may be by itself is 1024 - INT64_END: 1 - INT64_END would be rounded to -INT64_END
    return (int, least, most) if base is int else (float, float(max(least, 1024 - INT64_END)), nextafter(most, 0))


def _all_whole(values: list[Any], least: int, most: int) -> bool:
    """Return whether `values` are surely whole numbers in a range; in C, as there are thousands of samples."""
    import numpy as np

    try:
        packed = array("q", values)  # of 64 bits each; true and false pass, as 1 and 0
    except (TypeError, OverflowError):
        return False
    numbers = np.frombuffer(packed, np.int64)
    smallest = numbers.min()
    return bool(smallest >= least and numbers.max() <= most and (smallest > 1 or bool not in map(type, values)))


def _tuple_reader(annotations: tuple[Any, ...]) -> Reader:
    """Return the reader that makes a tuple of a list: of any length for `tuple[X, ...]`, else of the length given."""
    if annotations[-1] is Ellipsis:
        read_list = _list_reader(reader(annotations[0]), annotations[0])
        return lambda value: tuple(read_list(value))
    readers = [reader(annotation) for annotation in annotations]

    def read(value: Any) -> Any:
        if type(value) is not list or len(value) != len(readers):
            raise Misfit(f"a list of {len(readers)}", value)
        return tuple(_read_items(readers, value))

    return read


def _read_any(value: Any, depth: int = DEPTH) -> Any:
    """Read JSON of any shape to a depth, whose numbers are finite and have 64 bits."""
    if type(value) in (float, int):
        return _read_number(value)
    if type(value) not in (dict, list):
        return value
    if not depth:
        raise Misfit(f"JSON of at most {DEPTH} levels", value)
    for key, inner in value.items() if type(value) is dict else enumerate(value):
        try:
            _read_any(inner, depth - 1)
        except Misfit as misfit:
            misfit.at(key)
            raise
    return value


_read_number = _number_reader(False)
_SIMPLE: dict[Any, Reader] = {
    int: _number_reader(True),
    float: _read_number,
    str: _type_reader(str, "text"),
    bool: _type_reader(bool, "true or false"),
    NoneType: _type_reader(NoneType, "null"),
    dict: object_reader({}),
    list: _list_reader(_read_any, Any),
    Unreadable: _read_unreadable,
    Case: _read_case,
    Any: _read_any,
}
