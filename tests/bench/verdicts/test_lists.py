"""The two ways of reading columns, with and without pandas: the same rows, the same words on what is left out."""

import json
import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.errors import StoreError
from bench.records.frame import export_parquet, load
from bench.verdicts.lists import Lists, read_lists

GOLDEN = [
    line for file in Path("tests/bench/records/golden").glob("*.jsonl") for line in file.read_bytes().splitlines()
]


def of_frame(folder: Path) -> Lists:
    frame = load(folder).drop(columns="folder").astype("object")
    return {str(name): values.where(values.notna(), None).tolist() for name, values in frame.items()}


def outcome(read: Callable[[Path], Lists], place: Path) -> tuple[Any, Any]:
    """What a way gives, or its error, and its warnings; a time is a time, whose class is pandas' or not."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            lists: Any = read(place)
            lists = {name: [(name != "started" and type(one), one) for one in some] for name, some in lists.items()}
        except StoreError as error:
            lists = str(error)
    return lists, [(str(one.message), vars(one.message)) for one in caught]


def mangled(line: bytes, draw: random.Random) -> list[bytes]:
    """A line twice, cut, with another round and order of its fields, or with a value of another type; or as it is."""
    data = json.loads(line)
    place = draw.choice([data, *(part for part in data.values() if part and isinstance(part, dict))])
    value = draw.choice([None, -1, 1.5, "x", [], {}, True, 10**30])
    other = draw.choice([{"round": draw.randrange(3)}, {draw.choice([*data]): value}])
    place |= {draw.choice([*place]): value} if place is not data else other
    written = json.dumps(dict(draw.sample([*data.items()], len(data)))).encode()
    return draw.choice([[line], [line, line], [line[: draw.randrange(len(line))]], [written], [written, line]])


@pytest.mark.parametrize("seed", range(4))
def test_lists_are_those_of_the_frame_on_mixed_and_damaged_lines(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    lines = [one for line in draw.sample(GOLDEN * 2, 2 * len(GOLDEN)) for one in mangled(line, draw)]
    (tmp_path / "records.jsonl").write_bytes(b"\n".join(lines) + b"\n" * (seed % 2))
    (lists, told), expected = outcome(read_lists, tmp_path), outcome(of_frame, tmp_path)
    assert (lists, told) == expected
    assert lists["case"]
    assert told


ONE, TWO = GOLDEN[0], GOLDEN[1]
ENDS = {
    "CR LF": ONE + b"\r\n" + TWO + b"\r\n", "CR": ONE + b"\r{bad\r" + TWO + b"\r", "CR, and none": ONE + b"\r" + TWO,
    "cut": ONE + b"\n" + TWO[:40], "cut, with an end": ONE + b"\n" + TWO[:40] + b"\n", "CR of a cut": ONE + b"\n{\r{",
    "nothing": b"", "no line": b"\n \n", "BOM": b"\xef\xbb\xbf" + ONE, "UTF-16": ONE.decode().encode("utf-16"),
    "gzip": b"\x1f\x8bx", "Latin-1": ONE + b"\n\xff\n" + TWO, "VT": ONE + b"\x0b" + TWO, "copy": ONE + b"\n" + ONE,
}  # fmt: skip


@pytest.mark.parametrize("content", ENDS.values(), ids=ENDS)
def test_lists_are_those_of_the_frame_whatever_ends_the_lines(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "records.jsonl").write_bytes(content)
    assert outcome(read_lists, tmp_path) == outcome(of_frame, tmp_path)


def test_lists_of_what_is_no_folder_of_records(tmp_path: Path) -> None:
    (tmp_path / "some.jsonl").write_bytes(b"\n".join(GOLDEN))
    export_parquet([tmp_path / "some.jsonl"], tmp_path / "some.parquet")
    (tmp_path / "folder" / "records.jsonl").mkdir(parents=True)
    for name in ("some.jsonl", "some.parquet", "folder", "nothing"):
        assert outcome(read_lists, tmp_path / name) == outcome(of_frame, tmp_path / name), name
