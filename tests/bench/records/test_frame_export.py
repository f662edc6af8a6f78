"""Frames as Parquet files: written whole, read back equal."""

import random
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from bench.errors import StoreError
from bench.records.columns import COLUMNS, SAMPLES
from bench.records.frame import Damage, export_parquet, load
from tests.bench.records.written import NAME, Make, quick, write

# as a Parquet file of ours begins, and one of its columns: a file of another kind would not be written over
THERE = b"PAR1 latency_fallen what was there"


def test_an_export_comes_back_equal(tmp_path: Path, record: Make) -> None:
    write(tmp_path / "a", record(NAME), record(NAME, round=1, status="error"), record(NAME, ms=3.0))
    write(tmp_path / "b", record("resnet50/compile/bf16/b8/i224/stream", throttled={"latency": [[0, 2]]}))
    folders, path = [tmp_path / "a", tmp_path / "b"], tmp_path / "all.parquet"
    export_parquet(folders, path)
    assert_frame_equal(load(path), load(*folders))
    assert_frame_equal(load(path, samples=True), load(*folders, samples=True))
    export_parquet([path], path)  # onto itself
    assert_frame_equal(load(path, samples=True), load(*folders, samples=True))
    assert len(load(path, tmp_path / "b")) == 4


def test_other_tools_read_an_export(tmp_path: Path, record: Make) -> None:
    write(tmp_path / "a", record(NAME))
    export_parquet([tmp_path / "a"], tmp_path / "a.parquet")
    plain = pd.read_parquet(tmp_path / "a.parquet")
    assert plain["p50_ns"].tolist() == [10e6]
    assert plain["latency_ns"][0].dtype == np.int64


def test_an_export_of_an_older_version_lacks_columns(tmp_path: Path, record: Make) -> None:
    write(tmp_path / "a", record(NAME))
    export_parquet([tmp_path / "a"], tmp_path / "new.parquet")
    pd.read_parquet(tmp_path / "new.parquet").drop(columns=["flushed_p50_ns", "environment", "flushed_ns"]).to_parquet(
        tmp_path / "old.parquet"
    )
    found = load(tmp_path / "old.parquet", samples=True)
    assert list(found) == [*COLUMNS, *SAMPLES]
    assert found[["flushed_p50_ns", "environment", "flushed_ns"]].isna().all(axis=None)
    assert found["p50_ns"].tolist() == [10e6]


def test_what_is_no_export_says_so(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    path.write_text("nonsense")
    with pytest.raises(StoreError, match="damaged, or no Parquet file"):
        load(path)
    pd.DataFrame({"a": [1]}).to_parquet(path)
    with pytest.raises(StoreError, match="no file that bench exported"):
        load(path)


def test_an_export_that_cannot_be_written_says_so(tmp_path: Path, record: Make) -> None:
    folder = write(tmp_path / "a", record(NAME))
    for path, message in (
        (folder / "records.jsonl" / "x.parquet", "cannot write .*Not a directory"),
        (folder, "it is a folder"),
    ):
        with pytest.raises(StoreError, match=message):
            export_parquet([folder], path)
    (tmp_path / "x.parquet").write_bytes(THERE)
    with pytest.raises(StoreError, match="is it a results folder"):
        export_parquet([folder, tmp_path / "none"], tmp_path / "x.parquet")
    assert (tmp_path / "x.parquet").read_bytes() == THERE
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "x.parquet"]


def test_a_full_disk_leaves_the_export_that_was_there(tmp_path: Path) -> None:
    tiny = tmp_path / "tiny"
    tiny.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", tiny], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"cannot mount a small file system: {made.stderr.strip()}")
    try:
        (tiny / "x.parquet").write_bytes(THERE)
        draw = random.Random(0)
        folder = write(tmp_path / "a", quick(latency_ns=[draw.randrange(10**15) for _ in range(50_000)]))
        with pytest.raises(StoreError, match=r"No space left.*what was there is whole"):
            export_parquet([folder], tiny / "x.parquet")
        assert [path.name for path in tiny.iterdir()] == ["x.parquet"]
        assert (tiny / "x.parquet").read_bytes() == THERE
    finally:
        subprocess.run(["umount", tiny], check=True)


def test_damage_is_told_when_exporting(tmp_path: Path) -> None:
    with pytest.warns(Damage, match=":1: left out"):
        export_parquet([write(tmp_path / "a", "{", quick())], tmp_path / "x.parquet")
