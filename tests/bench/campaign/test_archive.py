"""What comes back from a rented machine."""

import os
import tarfile
from pathlib import Path

import pytest

from bench.campaign import archive as campaign_archive
from bench.campaign.archive import ARCHIVE, LOG, Outbox


def test_what_is_too_large_is_left_out_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign_archive, "MAX_FILE_BYTES", 10_000)
    results = tmp_path / "results"
    results.mkdir()
    (results / "large").write_bytes(os.urandom(20_000))
    (results / "small").write_bytes(os.urandom(2_000))
    log = tmp_path / "log"
    log.write_bytes(b"first" + bytes(20_000) + b"last")
    box = Outbox(tmp_path / "out")
    box.update(sorted(results.iterdir()), results, log, "")
    assert box.troubles == [f"large does not fit into {ARCHIVE} and is left out"]
    with tarfile.open(box.folder / ARCHIVE) as made:
        assert made.getnames() == ["small"]
    kept = (box.folder / LOG).read_bytes()
    assert len(kept) <= 10_000
    assert kept.startswith(b"first")
    assert kept.endswith(b"last")
