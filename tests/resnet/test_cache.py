"""A cached file is there whole or made again, whoever else uses the folder, and whatever became of its makers."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from resnet import cache
from resnet.cache import CacheError, CacheWarning, cache_dir, cached_file, check_compile_cache, private_dir

ROOT = Path(cache.__file__).parents[1]
NOBODY = 65534
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can be two users")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RESNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "notes", [])
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    return tmp_path / "cache"


def text(content: str = "text") -> Callable[[Path], None]:
    return lambda path: path.write_text(content) and None  # type: ignore[func-returns-value,return-value]


def test_written_by_the_first_call_and_cached_for_the_second() -> None:
    path, there = cached_file("key", ".txt", text())
    assert (path.read_text(), there) == ("text", False)
    again, there = cached_file("key", ".txt", lambda p: pytest.fail("written twice"))
    assert (again, there) == (path, True)
    other, _ = cached_file("other", ".txt", text("x"))
    assert other != path


@pytest.mark.parametrize("damage", ["cut", "changed", "no seal"])
def test_a_damaged_file_is_told_of_and_written_again(damage: str) -> None:
    path, _ = cached_file("key", ".bin", text("x" * 1000))
    if damage == "cut":
        os.truncate(path, 500)
    elif damage == "changed":
        path.write_bytes(b"x" * 999 + b"y")
    else:
        path.with_name(path.name + ".sha256").unlink()
    with pytest.warns(CacheWarning, match="damaged and is written again"):
        path, there = cached_file("key", ".bin", text("z" * 10))
    assert (path.read_text(), there) == ("z" * 10, False)
    assert cached_file("key", ".bin", text())[1]
    assert len(cache.notes) == 1


def test_a_writer_that_fails_leaves_nothing(folder: Path) -> None:
    def fail(path: Path) -> None:
        path.write_text("half")
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        cached_file("key", ".txt", fail)
    assert list(folder.iterdir()) == []


def test_a_full_folder_is_named_with_the_cure(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESNET_CACHE", str(tiny))
    with pytest.raises(
        CacheError, match=rf"No space left on device; free some space in {tiny}, or set RESNET_CACHE to another folder"
    ):
        cached_file("key", ".bin", text("x" * (1 << 20)))
    assert list(tiny.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RESNET_CACHE", str(tmp_path / "file" / "x"))
    with pytest.raises(CacheError, match=r"RESNET_CACHE=.* cannot be made: Not a directory; set it to another"):
        cache_dir()


@pytest.mark.parametrize("what", ["a file", "everybody's", "another's"])
def test_a_home_that_cannot_be_used_falls_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    monkeypatch.delenv("RESNET_CACHE")
    home = tmp_path / "home"
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    if what == "a file":
        home.write_text("")
    else:
        (home / "resnet-bench").mkdir(parents=True)
        spoil(home / "resnet-bench", what)
    with pytest.warns(CacheWarning, match="is not used: .*; RESNET_CACHE=DIR names another folder"):
        folder = cache_dir()
    assert folder == tmp_path / "tmp" / f"resnet-bench-{os.getuid()}"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_new_cache_in_a_home_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RESNET_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    assert cache_dir() == tmp_path / "home" / "resnet-bench"
    assert stat.S_IMODE(cache_dir().stat().st_mode) == 0o700


def spoil(folder: Path, what: str) -> None:
    if what == "everybody's":
        folder.chmod(0o777)
    elif os.getuid():
        pytest.skip("only root can give a folder away")
    else:
        os.chown(folder, NOBODY, NOBODY)


@pytest.mark.parametrize("what", ["everybody's", "another's", "a link"])
def test_a_temporary_folder_that_others_may_have_made_is_not_used(tmp_path: Path, what: str) -> None:
    usual = private_dir()
    if what == "a link":
        usual.rename(tmp_path / "elsewhere")
        usual.symlink_to(tmp_path / "elsewhere")
    else:
        spoil(usual, what)
    with pytest.warns(CacheWarning, match=f"^{usual} is not used: it.*|everybody.* takes its place$"):
        fresh = private_dir()
    assert fresh != usual
    assert stat.S_IMODE(fresh.stat().st_mode) == 0o700
    assert private_dir() == fresh  # the same for every process
    assert len(cache.notes) == 1


def test_inductor_gets_another_folder_where_its_usual_one_is_everybodys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "somebody")
    usual = tmp_path / "tmp" / "torchinductor_somebody"
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(usual))  # as torch sets it
    check_compile_cache()
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(usual)
    usual.chmod(0o777)
    with pytest.warns(CacheWarning, match="everybody may write to it"):
        check_compile_cache()
    assert Path(os.environ["TORCHINDUCTOR_CACHE_DIR"]).name == f"resnet-bench-inductor-{os.getuid()}"


@as_root
def test_a_group_shares_a_cache_that_it_names(folder: Path) -> None:
    folder.mkdir()
    os.chown(folder, 0, NOBODY)
    folder.chmod(0o770)
    before = os.umask(0o077)
    try:
        path, _ = cached_file("key", ".txt", text())
    finally:
        os.umask(before)
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o640}
    with nobody(folder):
        assert cached_file("key", ".txt", lambda path: pytest.fail("written twice")) == (path, True)
    path.chmod(0o600)  # as one of an earlier version
    with nobody(folder), pytest.warns(CacheWarning, match=f"{path} cannot be read and is written again"):
        assert cached_file("key", ".txt", text("new")) == (path, False)
    assert cached_file("key", ".txt", text())[1]
    folder.chmod(0o750)
    with nobody(folder), pytest.warns(CacheWarning, match=rf"{folder} cannot be written \(Permission denied\)"):
        other, there = cached_file("other", ".txt", text())
    assert (other.parent.name, there) == (f"resnet-bench-{NOBODY}", False)
    with nobody(folder):
        assert cached_file("other", ".txt", text()) == (other, True)


@contextmanager
def nobody(folder: Path) -> Iterator[None]:
    """Be another user, who may pass the folders above one, and has one for temporary files."""
    (folder.parent / "tmp").chmod(0o1777)
    for place in folder.parents:
        place.chmod(stat.S_IMODE(place.stat().st_mode) | 0o011)
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def writer(key: str, seconds: float) -> subprocess.Popen[str]:
    """Start a process that takes a while to write the file of `key`."""
    code = f"""
        import time
        from resnet.cache import cached_file
        def write(path):
            path.write_text("half" * 100)
            print("begun", flush=True)
            time.sleep({seconds})
            path.write_text("whole")
        path, there = cached_file({key!r}, ".txt", write)
        print(there, path.read_text())
    """
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_two_writers_at_once_write_it_once(folder: Path) -> None:
    told = [process.communicate()[0].split() for process in [writer("key", 0.3), writer("key", 0.3)]]
    assert sorted(words[-2:] for words in told) == [["False", "whole"], ["True", "whole"]]
    assert sum("begun" in words for words in told) == 1
    assert len(list(folder.iterdir())) == 2


def test_what_killed_writers_left_is_removed_by_the_next_and_a_living_ones_is_not(folder: Path) -> None:
    killed, living = writer("key", 60), writer("living", 60)
    for process in (killed, living):
        assert process.stdout
        assert process.stdout.readline() == "begun\n"
    killed.kill()
    killed.communicate()
    assert len(list(folder.glob(".making-*"))) == 2
    try:
        cached_file("other", ".txt", text())
        assert len(list(folder.glob(".making-*"))) == 1
        assert cached_file("key", ".txt", text())[0].read_text() == "text"
    finally:
        living.kill()
        living.communicate()
    cached_file("third", ".txt", text())
    assert not list(folder.glob(".making-*"))
    assert cached_file("living", ".txt", text())[1] is False
    assert cache.notes == []  # nothing of this is damage
