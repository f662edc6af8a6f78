"""Files spoilt by hypothesis: JSON and TOML changed by their structure, and then, or instead, by their bytes."""

import copy
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

LEVELS = 8  # of JSON that are changed
DEEP: Any = []
for _ in range(200):
    DEEP = [DEEP, {"a": 1}]
# what stands in a value's place
OTHERS: list[Any] = [
    *(None, True, False, -1, 0, 1, 2.5, -0.0, 1e300, -1e300, 5e-324, float("nan"), float("inf"), float("-inf")),
    *(2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 10**300, 10**4000),
    *("", "x", "0", "unreadable: why", "\0", "\ud800", "\U0001f600", "\x1b]0;title\x07\x1b[2J"),
    *("\u202eabc\u200b", "a\nb|<b>"),
    *("../../etc/passwd", "=1+1", "x" * 5000, "é" * 300, "2026-01-01T00:00:00+00:00"),
    *("resnet18/eager/fp32/b1/i64/stream", "resnet18/eager/fp32/b9999999999/i64/stream"),
    *([], [1], [-1], ["x"], [[]], [None], {}, {"a": 1}, {"": {}}, [[0, 10**12]], [[5, 1]], [[0, 3]] * 50),
    *([0] * 300, [1e300] * 3, list(range(1, 400)), {"images": 1, "ns": 1}, {"turn": 2**62, "images": 1, "ns": 1}, DEEP),
]  # fmt: skip
# what is put between two bytes
PIECES = [
    b"\n",
    b"\r",
    b"\0",
    b'"',
    b"{",
    b"}",
    b"[" * 2000,
    b",",
    b"\\",
    b"\\ud800",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
]
PIECES += [
    b"9" * 6000,
    b"1e999",
    b"NaN",
    b"-",
    b"\x1b[31m",
    "é".encode()[:1],
    b"\x1f\x8b",
    b" " * 3000,
    b"=",
    b"#",
    b"''",
]


def paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield where something stands in parsed JSON; of a list the first two places and the last."""
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = [(place, value[place]) for place in sorted({0, 1, len(value) - 1}) if 0 <= place < len(value)]
    for key, inner in items:
        yield (*at, key)
        if len(at) < LEVELS:
            yield from paths(inner, (*at, key))


@st.composite
def spoilt(draw: st.DrawFn, data: Any) -> Any:
    """Draw a copy of parsed JSON with one to three changes of its structure."""
    data = copy.deepcopy(data)
    for _ in range(draw(st.integers(1, 3))):
        places = list(paths(data))
        if not places:
            return data
        *path, last = draw(st.sampled_from(places))
        inner = data
        for key in path:
            inner = inner[key]
        change = draw(st.sampled_from(("swap", "swap", "swap", "drop", "rename", "nest", "repeat", "move")))
        if change == "drop":
            del inner[last]
        elif change == "rename" and isinstance(inner, dict):
            inner[draw(st.sampled_from(("", "a\nb", "x" * 300, "\x1b[0m", "schema", "round", "ns")))] = inner.pop(last)
        elif change == "nest":
            for _ in range(draw(st.sampled_from((1, 2, 40, 90)))):
                inner[last] = [inner[last]] if draw(st.booleans()) else {"in": inner[last]}
        elif change == "repeat" and isinstance(inner[last], list):
            inner[last] = inner[last] * draw(st.sampled_from((2, 30)))
        elif change == "move":
            source: Any = data
            for key in draw(st.sampled_from(places)):
                source = source[key] if isinstance(source, dict | list) and _has(source, key) else source
            inner[last] = copy.deepcopy(source)
        else:
            inner[last] = copy.deepcopy(draw(st.sampled_from(OTHERS)))
    return data


def _has(value: Any, key: Any) -> bool:
    return key in value if isinstance(value, dict) else isinstance(key, int) and key < len(value)


@st.composite
def spoilt_bytes(draw: st.DrawFn, content: bytes, other: bytes = b"") -> bytes:
    """Draw bytes with one to three changes: a bit flipped, a part cut or repeated, another's end."""
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(content)))
        change = draw(st.sampled_from(("flip", "flip", "cut", "truncate", "insert", "insert", "join", "repeat")))
        end = min(len(content), place + draw(st.sampled_from((1, 2, 10, 500))))
        if change == "flip" and place < len(content):
            flipped = content[place] ^ (1 << draw(st.integers(0, 7)))
            content = content[:place] + bytes((flipped,)) + content[place + 1 :]
        elif change == "cut":
            content = content[:place] + content[end:]
        elif change == "truncate":
            content = content[:place]
        elif change == "join":
            content = content[:place] + other[-draw(st.integers(0, len(other))) :]
        elif change == "repeat":
            content = content[:end] + content[place:]
        else:
            content = content[:place] + draw(st.sampled_from(PIECES)) + content[place:]
    return content


@st.composite
def spoilt_json(draw: st.DrawFn, data: Any) -> bytes:
    """Draw the text of JSON that is spoilt in its structure, in its bytes, or in both."""
    how = draw(st.sampled_from(("structure", "structure", "structure", "bytes", "both", "twice")))
    whole = to_bytes(data)
    content = whole if how == "bytes" else to_bytes(draw(spoilt(data)))
    if how == "twice":  # the same keys once more, which JSON allows
        return content.rstrip(b"}") + b"," + whole.lstrip(b"{") if isinstance(data, dict) else content
    return content if how == "structure" else draw(spoilt_bytes(content, whole))


def to_bytes(data: Any) -> bytes:
    return json.dumps(data, separators=(",", ":")).encode()


def to_toml(data: dict[str, Any]) -> str:
    """Return a plan's data as TOML, whatever its types; what TOML cannot say is left to be refused."""
    lines = [f"{_key(key)} = {_toml(value)}" for key, value in data.items() if not _is_tables(key, value)]
    for key, value in data.items():
        for table in value if isinstance(value, list) else [value]:
            if _is_tables(key, value):
                lines += [f"[[{_key(key)}]]" if isinstance(value, list) else f"[{_key(key)}]"]
                lines += [f"{_key(name)} = {_toml(inner)}" for name, inner in table.items()]
    return "\n".join(lines) + "\n"


def _is_tables(key: str, value: Any) -> bool:
    whole = isinstance(value, list) and bool(value) and all(isinstance(table, dict) for table in value)
    return whole or (isinstance(value, dict) and key == "measure")


def _key(key: str) -> str:
    return json.dumps(key)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key)} = {_toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, float) and (value != value or abs(value) == float("inf")):
        return "nan" if value != value else "inf" if value > 0 else "-inf"
    return '""' if value is None else json.dumps(value)
