"""The made-up records of a GPU are records: every line is read whole, and sizes are as ordered."""

from pathlib import Path

from bench.records.store import Store
from tests.gpu_records import cases, write_store, write_sweep


def test_every_line_is_a_record_as_the_format_has_it(tmp_path: Path) -> None:
    assert write_sweep(tmp_path / "sweep", 355) == 355
    store = Store(tmp_path / "sweep")
    records = list(store.read())
    assert len({record.case for record in records}) == 355
    assert not store.damage
    assert {"ok", "skipped", "wrong", "memory", "crash"} <= {record.status for record in records}
    assert {record.device for record in records} == {"cuda"}


def test_a_store_has_a_folder_a_commit(tmp_path: Path) -> None:
    assert write_store(tmp_path / "store", 30, 3) == 90
    shas = {
        record.environment["git"]["sha"] for night in (tmp_path / "store").iterdir() for record in Store(night).read()
    }
    assert len(shas) == 3


def test_there_are_as_many_cases_as_real_users_have() -> None:
    assert len(set(cases(1700))) == 1700
