"""An archive put in place: what is joined, what stays, what is refused."""

import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.campaign.archive import ARCHIVE, pack_archive
from bench.campaign.restore import unpack_into_results
from bench.errors import StoreError
from bench.records.record import Record
from bench.records.store import FILE, Store
from kernels.table import Entry, Table

CARD = "nvidia-test"


def entry(layer: str, us: float, when: str) -> Entry:
    return Entry("NVIDIA Test", layer, "ptr-128x64x64-w4-s3-k1-g8", "measured", us, when, "3.6.0")


def archive_of(path: Path, files: dict[str, bytes], card: str = CARD) -> Path:
    """An archive as a campaign leaves it, with these files too."""
    with tarfile.open(path, "w:gz") as made:
        for name, data in ({f"{card}/environment.json": b"{}"} | files).items():
            item = tarfile.TarInfo(name)
            item.size = len(data)
            made.addfile(item, io.BytesIO(data))
    return path


def dated(date: str, **more: Any) -> bytes:
    return json.dumps({"provenance": {"date": date}} | more).encode()


def test_put_in_place_and_again_changes_nothing(tmp_path: Path) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    for results in (there, here):
        (results / CARD / "first").mkdir(parents=True)
        (results / "tuned").mkdir()
    (there / CARD / "environment.json").write_text("{}")
    (there / CARD / "first" / FILE).write_bytes(b"one\ntwo\nthree\n")
    (here / CARD / "first" / FILE).write_bytes(b"zero\none")  # its last line was cut short of its end
    Table([entry("a", 1.0, "2026-02-01"), entry("b", 2.0, "2026-02-01")]).save(there / "tuned" / f"{CARD}.json")
    Table([entry("b", 3.0, "2026-01-01"), entry("c", 4.0, "2026-01-01")]).save(here / "tuned" / f"{CARD}.json")
    archive = tmp_path / ARCHIVE
    archive.write_bytes(pack_archive([path for path in there.rglob("*") if path.is_file()], there))
    assert unpack_into_results(archive, here) == [
        f"new: {CARD}/environment.json", f"2 lines added: {CARD}/first/{FILE}", f"joined: tuned/{CARD}.json",
    ]  # fmt: skip
    assert (here / CARD / "first" / FILE).read_bytes() == b"zero\none\ntwo\nthree\n"
    table = Table.read(here / "tuned" / f"{CARD}.json")
    assert [(one.layer, one.us) for one in table] == [("a", 1), ("b", 2), ("c", 4)]
    before = {path: path.stat().st_mtime_ns for path in here.rglob("*") if path.is_file()}
    assert {line.partition(":")[0] for line in unpack_into_results(archive, here)} == {"as it was"}
    assert before == {path: path.stat().st_mtime_ns for path in here.rglob("*") if path.is_file()}


def test_of_two_dates_the_later_stays_and_experiments_are_joined(tmp_path: Path) -> None:
    results = tmp_path / "results"
    (results / CARD).mkdir(parents=True)
    old, new = "2026-01-01T00:00:00+00:00", "2026-02-01T00:00:00+00:00"

    def outcome(name: str, status: str = "ok") -> dict[str, str]:
        return {"name": name, "status": status}

    (results / CARD / "pieces.json").write_bytes(dated(new))
    (results / CARD / "constants.json").write_bytes(dated(new, constants={"a": 1}, experiments=[outcome("x")]))
    earlier = dated(old, constants={"a": 0, "b": 2}, experiments=[outcome("x", "error"), outcome("y")])
    files = {f"{CARD}/pieces.json": dated(old), f"{CARD}/constants.json": earlier}
    archive = archive_of(tmp_path / ARCHIVE, files)
    told = unpack_into_results(archive, results)
    assert f"kept, as the archive's is of {old}: {CARD}/pieces.json" in told
    found = json.loads((results / CARD / "constants.json").read_text())
    assert found["constants"] == {"a": 1, "b": 2}
    assert found["experiments"] == [outcome("x"), outcome("y")]
    assert f"as it was: {CARD}/constants.json" in unpack_into_results(archive, results)


def test_records_of_other_code_stand_beside(
    tmp_path: Path, record: Callable[..., Record], here: dict[str, Any]
) -> None:
    name = "resnet18/eager/fp32/b1/i32/stream"
    one, two = (here | {"git": {"sha": digit * 40, "dirty": False, "code": digit * 16}} for digit in "12")
    results, there = tmp_path / "results", tmp_path / "there"
    for folder, env in ((results, one), (there, two)):
        store = Store(folder / CARD / "first")
        with store.writing():
            store.append(record(name, environment=env))
    (there / CARD / "environment.json").write_text("{}")
    archive = tmp_path / ARCHIVE
    archive.write_bytes(
        pack_archive([path for path in there.rglob("*") if path.name in (FILE, "environment.json")], there)
    )
    assert f"new: {CARD}/first-2/{FILE}, as {CARD}/first holds records of other code" in unpack_into_results(
        archive, results
    )
    (kept,) = Store(results / CARD / "first").read()
    assert kept.environment["git"]["code"] == "1" * 16
    assert any(line.startswith(f"as it was: {CARD}/first-2/{FILE}") for line in unpack_into_results(archive, results))


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("../out", b"2", "leads out of"),
        ("/abs", b"2", "leads out of"),
        (f"{CARD}/../../out", b"2", "leads out of"),
        ("README.md", b"2", "no name of a campaign's"),
        (f"{CARD}/.hidden", b"2", "no name of a campaign's"),
        (f"{CARD}/a\x1bb", b"2", "no name of a campaign's"),
        ("kernels/accepted.json", b"{}", "of no card"),
        ("local/kernels-sm_90.bundle", b"2", "of no card"),
        ("tuned/nvidia-h200.json", b"garbage", "cannot be read"),
        ("tuned/nvidia-h200.json", b"[]", "cannot be read"),
        (f"{CARD}/pieces.json", b"[1]", "no JSON object"),
        ("dry/pieces.json", b"{}", "of a dry run"),
    ],
)
def test_what_no_campaign_leaves_is_refused_and_nothing_is_written(
    tmp_path: Path, name: str, data: bytes, why: str
) -> None:
    archive = archive_of(tmp_path / "bad.tar.gz", {f"{CARD}/good.json": b"{}", name: data})
    with pytest.raises(StoreError, match=why):
        unpack_into_results(archive, tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    whole = archive_of(tmp_path / "whole.tar.gz", {f"{CARD}/good": os.urandom(5000)}).read_bytes()
    (tmp_path / "torn.tar.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text").write_text("hello")
    for name in ("torn.tar.gz", "text"):
        with pytest.raises(StoreError, match="is no archive of results"):
            unpack_into_results(tmp_path / name, tmp_path / "results")
    with pytest.raises(StoreError, match="does not exist"):
        unpack_into_results(tmp_path / "missing", tmp_path / "results")
    with tarfile.open(tmp_path / "empty.tar", "w"):
        pass
    with pytest.raises(StoreError, match="is empty"):
        unpack_into_results(tmp_path / "empty.tar", tmp_path / "results")
    with tarfile.open(tmp_path / "link.tar", "w") as made:
        item = tarfile.TarInfo(f"{CARD}/link")
        item.type, item.linkname = tarfile.SYMTYPE, "/etc/passwd"
        made.addfile(item)
    with pytest.raises(StoreError, match="not a plain file"):
        unpack_into_results(tmp_path / "link.tar", tmp_path / "results")


def test_a_damaged_table_here_is_told_with_its_cure(tmp_path: Path) -> None:
    results = tmp_path / "results"
    (results / "tuned").mkdir(parents=True)
    (results / "tuned" / f"{CARD}.json").write_text("garbage")
    whole = Table([entry("a", 1.0, "2026-02-01")]).to_json().encode()
    archive = archive_of(tmp_path / ARCHIVE, {f"tuned/{CARD}.json": whole})
    with pytest.raises(StoreError, match=r"not a table of configurations.*move it away"):
        unpack_into_results(archive, results)
