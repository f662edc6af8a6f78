import errno
import multiprocessing
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from bench.errors import RecordError, StoreError
from bench.records.record import SCHEMA, Record
from bench.records.store import FOLDER_ROUNDS, Store, read_folders

NAME = "resnet18/eager/fp32/b1/i64/stream"
Make = Callable[..., Record]


def test_a_record_comes_back_as_it_went(tmp_path: Path, record: Make) -> None:
    store = Store(tmp_path / "new" / "folder")
    with store.writing():
        store.append(record(NAME))
        store.append(record(NAME, round=1, status="error", reason="it broke: ünïcode \n two lines"))
    found = store.read()
    assert [asdict(r) for r in found] == [
        asdict(record(NAME)),
        asdict(record(NAME, round=1, status="error", reason=found[1].reason)),
    ]
    assert store.damage == []


def test_a_record_cut_in_the_middle_costs_itself_alone(tmp_path: Path, record: Make) -> None:
    store = Store(tmp_path)
    with store.writing():
        store.append(record(NAME, round=0))
        store.append(record(NAME, round=1))
        os.truncate(store.file, store.file.stat().st_size - 40)
        store.append(record(NAME, round=2))
    assert [r.round for r in store.read()] == [0, 2]
    assert len(store.damage) == 1
    assert ":2: left out: not a whole record" in store.damage[0]


def test_bytes_that_are_no_text_cost_their_line_alone(tmp_path: Path, record: Make) -> None:
    store = Store(tmp_path)
    with store.writing():
        store.append(record(NAME))
        with store.file.open("ab") as file:
            file.write(b"\xff\xfe\x00\n")
        store.append(record(NAME, round=1))
    assert len(store.read()) == 2
    assert "not UTF-8" in store.damage[0]


def test_a_newer_schema_is_told_and_left_out(tmp_path: Path, record: Make) -> None:
    line = record(NAME).line().replace(f'"schema":{SCHEMA}', f'"schema":{SCHEMA + 1}', 1)
    with pytest.raises(RecordError, match="newer than this version's"):
        Record.parse(line)
    (tmp_path / "records.jsonl").write_text(line + "\n" + record(NAME).line() + "\n")
    records, damage = read_folders([tmp_path])
    assert len(records) == 1
    assert "newer" in damage[0]


def test_nan_is_never_written(record: Make) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        record(NAME, wall_s=float("nan")).line()


def test_a_folder_without_records_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is it a results folder"):
        Store(tmp_path).read()


def _hold(folder: Path, ready: object, done: object) -> None:
    with Store(folder).writing():
        ready.set()  # type: ignore[attr-defined]
        done.wait(30)  # type: ignore[attr-defined]


def test_two_sweeps_cannot_write_one_folder(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path, ready, done))
    other.start()
    try:
        assert ready.wait(30)
        with pytest.raises(StoreError, match="another sweep"), Store(tmp_path).writing():
            pass
    finally:
        done.set()
        other.join()
    with Store(tmp_path).writing():  # and the lock went with its holder
        pass


def test_a_folder_that_is_a_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    with pytest.raises(StoreError, match="cannot write"), Store(tmp_path / "x").writing():
        pass


def test_a_full_disk_loses_nothing_that_was_whole(tiny: Path, record: Make) -> None:
    store = Store(tiny)

    def fill() -> Iterator[None]:
        with store.writing():
            for number in range(1000):
                yield store.append(record(NAME, round=number))

    filling = fill()
    for _ in range(4):  # so many fit
        next(filling)
    with pytest.raises(StoreError, match=r"No space left.*what was there is whole.*--resume"):
        list(filling)
    kept = len(store.read())
    assert kept > 3
    assert [r.round for r in store.read()] == list(range(kept))
    assert store.damage == []


def test_a_read_only_folder_says_so(tiny: Path, record: Make) -> None:
    subprocess.run(["mount", "-o", "remount,ro", tiny], check=True)
    with pytest.raises(StoreError, match=r"Read-only.*choose another with -o"), Store(tiny).writing():
        pass


def test_records_that_could_not_be_appended_are_noticed_before_a_case(tmp_path: Path, tiny: Path) -> None:
    (tmp_path / "a" / "records.jsonl").mkdir(parents=True)
    with pytest.raises(StoreError, match=r"cannot append to .*Is a directory; choose another folder with -o"):
        Store(tmp_path / "a").writing().__enter__()
    (tiny / "ballast").write_bytes(bytes(56 << 10))
    with pytest.raises(StoreError, match=rf"no room for records in {tiny}: free some space there"):
        Store(tiny).writing().__enter__()
    (tiny / "ballast").unlink()
    with Store(tiny).writing():  # the lock was given back
        pass


def test_records_whose_folder_has_gone_are_not_said_to_be_whole(tmp_path: Path, record: Make) -> None:
    store = Store(tmp_path / "a")
    with store.writing():
        store.append(record(NAME))
        shutil.rmtree(tmp_path / "a")
        with pytest.raises(StoreError, match=r"No such file or directory; the file is no longer there$"):
            store.append(record(NAME, round=1))


def test_a_folder_without_locks_takes_records(tmp_path: Path, record: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr("bench.records.store.fcntl.flock", refuse)
    with Store(tmp_path).writing() as store:
        store.append(record(NAME))
    assert len(store.read()) == 1


def test_a_copy_of_a_folder_counts_once(tmp_path: Path, record: Make) -> None:
    with Store(tmp_path / "first").writing() as store:
        store.append(record(NAME))
    shutil.copytree(tmp_path / "first", tmp_path / "copy")
    with Store(tmp_path / "second").writing() as store:
        store.append(record(NAME, ms=11.0))
    folders = [tmp_path / name for name in ("first", "copy", "second", "first")]
    records, _ = read_folders(folders, apart=True)
    assert [one.round // FOLDER_ROUNDS for one in records] == [0, 2]
