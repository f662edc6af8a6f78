"""What comes back from a rented machine, and how it is put in place."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from bench import campaign_archive
from bench.campaign_archive import ARCHIVE, LOG, Outbox, pack, restore
from bench.store import StoreError
from kernels.table import Entry, Table


def entry(layer: str, us: float, when: str) -> Entry:
    return Entry("NVIDIA Test", layer, "ptr-128x64x64-w4-s3-k1-g8", "measured", us, when, "3.6.0")


def archive_of(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as made:
        for name, data in files.items():
            item = tarfile.TarInfo(name)
            item.size = len(data)
            made.addfile(item, io.BytesIO(data))
    return path


def test_put_in_place_and_again_changes_nothing(tmp_path: Path) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    for results in (there, here):
        (results / "card" / "first").mkdir(parents=True)
        (results / "tuned").mkdir()
    (there / "card" / "first" / "records.jsonl").write_bytes(b"one\ntwo\nthree\n")
    (here / "card" / "first" / "records.jsonl").write_bytes(b"zero\none")  # its last line was cut short of its end
    (there / "card" / "constants.json").write_text("{}")
    Table([entry("a", 1.0, "2026-02-01"), entry("b", 2.0, "2026-02-01")]).save(there / "tuned" / "card.json")
    Table([entry("b", 3.0, "2026-01-01"), entry("c", 4.0, "2026-01-01")]).save(here / "tuned" / "card.json")
    archive = tmp_path / ARCHIVE
    archive.write_bytes(pack([path for path in there.rglob("*") if path.is_file()], there))
    assert restore(archive, here) == [
        "new: card/constants.json", "2 lines added: card/first/records.jsonl", "joined: tuned/card.json",
    ]  # fmt: skip
    assert (here / "card" / "first" / "records.jsonl").read_bytes() == b"zero\none\ntwo\nthree\n"
    assert [(one.layer, one.us) for one in Table.load(here / "tuned" / "card.json")] == [("a", 1), ("b", 2), ("c", 4)]
    before = {path: path.stat().st_mtime_ns for path in here.rglob("*") if path.is_file()}
    assert {line.partition(":")[0] for line in restore(archive, here)} == {"as it was"}
    assert before == {path: path.stat().st_mtime_ns for path in here.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["../out", "/abs", "card/../../out"])
def test_a_name_that_leads_out_is_refused_and_nothing_is_written(tmp_path: Path, name: str) -> None:
    archive = archive_of(tmp_path / "bad.tar.gz", {"card/good": b"1", name: b"2"})
    with pytest.raises(StoreError, match="leads out of"):
        restore(archive, tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    whole = archive_of(tmp_path / "whole.tar.gz", {"card/good": os.urandom(5000)}).read_bytes()
    (tmp_path / "torn.tar.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text").write_text("hello")
    for name in ("torn.tar.gz", "text", "missing"):
        with pytest.raises(StoreError, match="is no archive of results"):
            restore(tmp_path / name, tmp_path / "results")
    with tarfile.open(tmp_path / "link.tar", "w") as made:
        item = tarfile.TarInfo("card/link")
        item.type, item.linkname = tarfile.SYMTYPE, "/etc/passwd"
        made.addfile(item)
    with pytest.raises(StoreError, match="not a plain file"):
        restore(tmp_path / "link.tar", tmp_path / "results")


def test_what_is_too_large_is_left_out_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign_archive, "LARGEST", 10_000)
    results = tmp_path / "results"
    results.mkdir()
    (results / "large").write_bytes(os.urandom(20_000))
    (results / "small").write_bytes(os.urandom(2_000))
    log = tmp_path / "log"
    log.write_bytes(b"first" + bytes(20_000) + b"last")
    box = Outbox(tmp_path / "out")
    box.put(sorted(results.iterdir()), results, log, "")
    assert box.troubles == [f"large does not fit into {ARCHIVE} and is left out"]
    with tarfile.open(box.folder / ARCHIVE) as made:
        assert made.getnames() == ["small"]
    kept = (box.folder / LOG).read_bytes()
    assert len(kept) <= 10_000
    assert kept.startswith(b"first")
    assert kept.endswith(b"last")
