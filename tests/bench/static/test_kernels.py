"""The record of accepted kernels: what is read, what is refused, how it is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.errors import StoreError
from bench.machine.environment import ROOT
from bench.static.kernel_changes import compare_kernels
from bench.static.kernels import Accepted

RECORD = ROOT / "results/kernels/accepted.json"


def test_a_record_of_the_older_schema_is_read(tmp_path: Path) -> None:
    """It says nothing of wgmma, which is no difference to what says something."""
    entry = Accepted.read(RECORD).entries[0]
    path = tmp_path / "accepted.json"
    Accepted([entry], "3.7.1", "0123456789", "2026-11-01").save(path)
    data = json.loads(path.read_text()) | {"schema": 1}
    for name in ("wait_depth", "operand_a", "overwrites", "barrier"):
        del data["entries"][0]["facts"][name]
    path.write_text(json.dumps(data))
    (old,) = Accepted.read(path).entries
    assert not compare_kernels([old], [entry])
    path.write_text(json.dumps(data | {"schema": 2}))
    with pytest.raises(StoreError, match="an object with barrier and operand_a and overwrites and wait_depth"):
        Accepted.read(path)


def test_the_record_of_this_checkout_is_whole() -> None:
    found = Accepted.read(RECORD)
    assert {entry.arch for entry in found.entries} == {80, 89, 90, 100, 120}
    assert not [entry for entry in found.entries if entry.failed]
    assert compare_kernels(found.entries, found.entries) == []


def test_it_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot write"):
        Accepted([], "3.7.1", "0123456789", "2026-11-01").save(tmp_path / "file" / "accepted.json")


@pytest.mark.parametrize("value", ['"8"', "NaN", "null", "[8]", "1.5"])
@pytest.mark.parametrize("name", ["stack", "occupancy", "tensor", "operand_a"])
def test_a_fact_that_is_not_of_its_kind_is_refused_by_name(name: str, value: str, tmp_path: Path) -> None:
    if name == "operand_a":
        value = value.replace('"8"', "8")
    path = tmp_path / "accepted.json"
    Accepted(Accepted.read(RECORD).entries[:1], "3.7.1", "0123456789", "2026-11-01").save(path)
    data = json.loads(path.read_text())
    data["entries"][0]["facts"][name] = json.loads(value)
    path.write_text(json.dumps(data))
    with pytest.raises(StoreError, match=f"{name} is "):
        Accepted.read(path)


@pytest.mark.parametrize(("name", "value"), [("arch", "90"), ("kernel", None), ("uses", [1]), ("uses", 3)])
def test_an_entry_that_is_none_is_refused(name: str, value: object, tmp_path: Path) -> None:
    path = tmp_path / "accepted.json"
    Accepted(Accepted.read(RECORD).entries[:1], "3.7.1", "0123456789", "2026-11-01").save(path)
    data = json.loads(path.read_text())
    data["entries"][0][name] = value
    path.write_text(json.dumps(data))
    with pytest.raises(StoreError, match="is no whole record of accepted kernels"):
        Accepted.read(path)
