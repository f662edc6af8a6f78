import os
from pathlib import Path

import pytest

from resnet.cache import cache_dir, made_once


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RESNET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_made_at_the_first_call_and_found_at_the_second() -> None:
    path, there = made_once("key", ".txt", lambda p: p.write_text("made"))  # type: ignore[arg-type,func-returns-value]
    assert (path.read_text(), there) == ("made", False)
    again, there = made_once("key", ".txt", lambda p: pytest.fail("made twice"))
    assert (again, there) == (path, True)
    other, _ = made_once("other", ".txt", lambda p: p.write_text("x"))  # type: ignore[arg-type,func-returns-value]
    assert other != path


@pytest.mark.parametrize("damage", ["cut", "changed", "no seal"])
def test_a_damaged_file_is_told_and_made_again(damage: str) -> None:
    path, _ = made_once("key", ".bin", lambda p: p.write_bytes(b"x" * 1000))  # type: ignore[arg-type,func-returns-value]
    if damage == "cut":
        os.truncate(path, 500)
    elif damage == "changed":
        path.write_bytes(b"x" * 999 + b"y")
    else:
        path.with_name(path.name + ".sha256").unlink()
    with pytest.warns(RuntimeWarning, match="damaged and is made again"):
        path, there = made_once("key", ".bin", lambda p: p.write_bytes(b"z" * 10))  # type: ignore[arg-type,func-returns-value]
    assert (path.read_bytes(), there) == (b"z" * 10, False)


def test_a_maker_that_fails_leaves_nothing(folder: Path) -> None:
    def fail(path: Path) -> None:
        path.write_text("half")
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        made_once("key", ".txt", fail)
    assert list(folder.iterdir()) == []


def test_a_home_that_cannot_be_written_falls_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RESNET_CACHE")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert os.access(cache_dir(), os.W_OK)
