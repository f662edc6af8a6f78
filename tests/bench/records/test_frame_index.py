"""The rows kept of a file of records: a second load parses what was appended, and trusts nothing else."""

import os
import warnings
from pathlib import Path
from typing import Any

import pytest
from pandas.testing import assert_frame_equal

from bench.records import frame, parse
from bench.records.frame import Damage, load
from tests.bench.records.written import quick, write


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """What is parsed from now on, as offsets; every file is long enough for an index."""
    seen: list[tuple[int, int]] = []
    real = parse.parse_lines

    def watched(file: Path, start: int, stop: int, *others: Any) -> parse.ParsedLines:
        seen.append((start, stop))
        return real(file, start, stop, *others)

    monkeypatch.setattr(parse, "parse_lines", watched)
    monkeypatch.setattr(frame, "INDEX_FROM", 1)
    return seen


def index(folder: Path) -> Path:
    found = frame._index_path([folder / "records.jsonl"])
    assert found
    return found


def test_a_second_load_parses_what_was_appended(tmp_path: Path, parsed: list[tuple[int, int]]) -> None:
    folder = write(tmp_path / "r", quick(latency_ns=[1, 2, 3]), "{", quick(round=1, gpu_ns=[5], gpu_how="held"))
    with pytest.warns(Damage, match=":2: left out"):
        first = load(folder)
    size = (folder / "records.jsonl").stat().st_size
    with pytest.warns(Damage, match=":2: left out"):  # told each time, though not parsed again
        assert_frame_equal(load(folder), first)
    assert parsed == [(0, size)]
    write(folder, quick(round=2), "}", quick(round=1, gpu_ns=[7], gpu_how="held"))
    with pytest.warns(Damage, match=r":2: left out(.|\n)*:5: left out"):
        found = load(folder)
    assert parsed == [(0, size), (size, (folder / "records.jsonl").stat().st_size)]
    assert list(found["round"]) == [0, 2, 1]
    assert found["gpu_p50_ns"][2] == 7
    index(folder).unlink()
    with pytest.warns(Damage):
        assert_frame_equal(load(folder), found)


def test_a_file_that_was_replaced_or_cut_is_indexed_anew(tmp_path: Path, parsed: list[tuple[int, int]]) -> None:
    folder = write(tmp_path / "r", *(quick(round=k, reason="x" * 1000) for k in range(9)))
    file = folder / "records.jsonl"
    load(folder)
    whole = file.read_bytes()
    for change, rounds in (
        (whole[: len(whole) // 9 * 4], 4),
        (whole + whole.replace(b"eager", b"compile"), 18),
        (whole.replace(b'"seed":0', b'"seed":1') + whole.replace(b"eager", b"compile"), 18),
        (whole.replace(b'"round":7', b'"round":77') + whole.replace(b"eager", b"compile"), 18),
    ):
        file.write_bytes(change)
        found = load(folder)
        assert len(found) == rounds
        os.remove(index(folder))
        assert_frame_equal(found, load(folder))
    assert found["round"].tolist() == [0, 1, 2, 3, 4, 5, 6, 77, 8, *range(9)]


@pytest.mark.parametrize("harm", [b"", b"PAR1 and nothing", None])
def test_a_damaged_index_is_made_anew(tmp_path: Path, parsed: list[tuple[int, int]], harm: bytes | None) -> None:
    folder = write(tmp_path / "r", quick(latency_ns=[1, 2, 3]))
    first = load(folder)
    kept = index(folder).read_bytes()
    index(folder).write_bytes(kept[: len(kept) // 2] if harm is None else harm)
    assert_frame_equal(load(folder), first)
    assert len(parsed) == 2
    assert_frame_equal(load(folder), first)
    assert len(parsed) == 2


def test_an_index_of_other_code_is_made_anew(
    tmp_path: Path, parsed: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / "r", quick())
    load(folder)
    monkeypatch.setattr(frame, "_code_digest", lambda: "other")
    load(folder)
    assert len(parsed) == 2


def test_no_index_can_be_kept_and_nothing_is_lost(
    tmp_path: Path, parsed: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    folder = write(tmp_path / "r", quick())
    monkeypatch.setenv("RESNET_CACHE", str(tmp_path / "file"))
    assert len(load(folder)) == len(load(folder)) == 1
    assert len(parsed) == 2
    monkeypatch.setenv("RESNET_CACHE", str(tmp_path / "cache"))
    index(folder).mkdir()  # its name is taken
    assert len(load(folder)) == 1
    assert [path.name for path in (tmp_path / "cache" / "frames").iterdir()] == [index(folder).name]


def test_a_short_file_has_no_index(tmp_path: Path) -> None:
    folder = write(tmp_path / "r", quick())
    load(folder)
    assert not index(folder).exists()


def test_short_files_share_an_index_and_load_as_parsed_ones(
    tmp_path: Path, parsed: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Equal frames have equal categories too, of some of the files and in another order."""
    monkeypatch.setattr(frame, "INDEX_FROM", 80_000)
    filler = "x" * 30_000
    folders = [write(tmp_path / f"{k}", quick(round=k, reason=filler, plan={"name": f"plan{k}"})) for k in range(4)]
    write(folders[1], "{", quick(round=7, plan={"name": "plan0"}))

    def loaded(*places: Path) -> tuple[Any, int]:
        del parsed[:]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = load(*places)
        assert [":2: left out" in str(one.message) for one in caught] == [True] * (folders[1] in places)
        return found, len(parsed)

    def fresh(*places: Path) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(frame, "INDEX_FROM", 1 << 20)
            return loaded(*places)[0]

    assert loaded(*folders)[1] == 4
    for places in (folders, folders[::-1], folders[1:]):
        found, count = loaded(*places)
        assert not count
        assert_frame_equal(found, fresh(*places))
    file = folders[0] / "records.jsonl"
    data = file.read_bytes()
    file.write_bytes(data[:15_000] + b"y" + data[15_001:])  # within, and as long
    assert loaded(*folders)[1] == 1
    assert_frame_equal(loaded(*folders)[0], fresh(*folders))
    write(folders[0], quick(round=9, reason=filler))
    assert [loaded(*folders)[1] for _ in range(2)] == [1, 0]
    with file.open("a") as unfinished:
        unfinished.write('{"schema":5,')
    assert [loaded(*folders)[1] > 0 for _ in range(2)] == [True, True]
