"""Files of others: none makes a reader wait, none is read without end, and what is no text or JSON is said."""

import gzip
import io
import json
import os
from pathlib import Path

import pytest

from kernels.cards import reading
from kernels.cards.reading import decode, lines_of, open_lines, parse_json, read_bounded, read_text


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name, message in (
        (tmp_path / "pipe", "a pipe or a device"),
        (Path("/dev/zero"), "a pipe or a device"),
        (tmp_path, "Is a directory"),
        (tmp_path / "loop", "symbolic links"),
        (tmp_path / "none", "No such file"),
    ):
        with pytest.raises(OSError, match=message):
            read_bounded(name)


def test_a_descriptor_that_was_given_is_read(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.write(write, b"[1]")
    os.close(write)
    assert reading.read_json_file(f"/dev/fd/{read}") == [1]
    os.close(read)


def test_a_file_is_read_up_to_a_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST", 10)
    (tmp_path / "file").write_bytes(b"x" * 10)
    assert read_text(tmp_path / "file") == "x" * 10
    (tmp_path / "file").write_bytes(b"x" * 11)
    with pytest.raises(OSError, match="the most that is read"):
        read_bounded(tmp_path / "file")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_text_is_read_as_editors_save_it(encoding: str) -> None:
    assert decode("± é".encode(encoding)) == "± é"
    assert parse_json('{"é": 1}'.encode(encoding)) == {"é": 1}


def test_what_is_no_text_is_said() -> None:
    for content, message in (
        (gzip.compress(b"{}"), "unpack it"),
        (b"\xff\x00", "not UTF-8"),
        (b"\xff\xfea", "not UTF-8"),
    ):
        with pytest.raises(ValueError, match=message):
            decode(content)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("9" * 6000, "thousands of digits"),
        ("[" * 100_000, "nested deeper"),
        ("[" * 70 + "]" * 70, "nested deeper"),
        ('{"a":' * 70 + "1" + "}" * 70, "nested deeper"),
        ("[1", "Expecting"),
    ],
)
def test_json_that_would_raise_later_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_json(text)


def test_half_a_surrogate_pair_becomes_a_question_mark() -> None:
    assert parse_json(r'{"a\udc00": ["\ud83d\ude00", "\ud83d"]}') == {"a?": ["\U0001f600", "?"]}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_as_editors_end_them(end: str) -> None:
    for text in (f"a{end}{end}b", f"a{end}{end}b{end}"):
        assert list(lines_of(io.BytesIO(text.encode()), 0, len(text))) == [b"a", b"", b"b"]


def test_a_long_line_costs_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a sparse file's 10 GB no more than a line's bound is there at once."""
    monkeypatch.setattr(reading, "LINE", 100)
    monkeypatch.setattr(reading, "STEP", 7)
    (tmp_path / "file").write_bytes(b"a\n" + b"x" * 1000 + b"\nb\n" + b"y" * 100 + b"\n")
    with open_lines(tmp_path / "file") as file:
        assert list(map(len, lines_of(file))) == [1, 101, 1, 100]


def test_lines_that_are_appended_meanwhile_are_left(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"a\nb\n")
    with open_lines(path) as file:
        lines = lines_of(file)
        assert next(lines) == b"a"
        with path.open("ab") as more:
            more.write(b"c\n")
        assert list(lines) == [b"b"]


def test_a_file_of_no_lines_is_named(tmp_path: Path) -> None:
    for content, message in ((gzip.compress(b"{}"), "gunzip"), (json.dumps([1]).encode("utf-16"), "save it as UTF-8")):
        (tmp_path / "file").write_bytes(content)
        with pytest.raises(OSError, match=message):
            open_lines(tmp_path / "file")
