import os
from pathlib import Path

import pytest

from resnet.cache import cache_dir, cached_file


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RESNET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_written_by_the_first_call_and_cached_for_the_second() -> None:
    path, there = cached_file("key", ".txt", lambda p: p.write_text("text"))  # type: ignore[arg-type,func-returns-value]
    assert (path.read_text(), there) == ("text", False)
    again, there = cached_file("key", ".txt", lambda p: pytest.fail("written twice"))
    assert (again, there) == (path, True)
    other, _ = cached_file("other", ".txt", lambda p: p.write_text("x"))  # type: ignore[arg-type,func-returns-value]
    assert other != path


@pytest.mark.parametrize("damage", ["cut", "changed", "no seal"])
def test_a_damaged_file_is_warned_of_and_written_again(damage: str) -> None:
    path, _ = cached_file("key", ".bin", lambda p: p.write_bytes(b"x" * 1000))  # type: ignore[arg-type,func-returns-value]
    if damage == "cut":
        os.truncate(path, 500)
    elif damage == "changed":
        path.write_bytes(b"x" * 999 + b"y")
    else:
        path.with_name(path.name + ".sha256").unlink()
    with pytest.warns(RuntimeWarning, match="damaged and is written again"):
        path, there = cached_file("key", ".bin", lambda p: p.write_bytes(b"z" * 10))  # type: ignore[arg-type,func-returns-value]
    assert (path.read_bytes(), there) == (b"z" * 10, False)


def test_a_writer_that_fails_leaves_nothing(folder: Path) -> None:
    def fail(path: Path) -> None:
        path.write_text("half")
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        cached_file("key", ".txt", fail)
    assert list(folder.iterdir()) == []


def test_a_home_that_cannot_be_written_falls_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RESNET_CACHE")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert os.access(cache_dir(), os.W_OK)
