"""What a process holds stays, however many sweep; what one has left goes, and nothing of another user's."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from kernels.cards import owned
from kernels.cards.owned import PREFIX, owned_file, owned_folder, sweep, sweep_folders

ROOT = Path(owned.__file__).parents[2]


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return tmp_path


def holder() -> subprocess.Popen[str]:
    """Start a process that holds a folder with a file in it, and a file beside it, until it is killed."""
    code = f"""
import sys, time
from pathlib import Path
from kernels.cards.owned import owned_file, owned_folder
with owned_folder("test") as folder, owned_file(Path(sys.argv[1], "{PREFIX}file")) as file:
    (folder / "inside").write_text("x")
    file.write_text("x")
    print(folder, flush=True)
    time.sleep(60)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code, os.environ["TMPDIR"]], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline().startswith(os.environ["TMPDIR"])
    return process


def names(folder: Path) -> list[str]:
    return sorted(path.name.removeprefix(PREFIX)[:4] for path in folder.iterdir())


def test_a_folder_goes_with_its_context_and_stays_while_others_sweep(temporary: Path) -> None:
    with owned_folder("one") as one, owned_folder("two") as two:
        sweep_folders()
        assert one.is_dir()
        assert two.is_dir()
        assert one.stat().st_mode & 0o777 == 0o700
    assert names(temporary) == []


def test_the_leftovers_of_a_killed_process_go_and_a_living_ones_stay(temporary: Path) -> None:
    process = holder()
    try:
        sweep_folders()
        assert names(temporary) == ["file", "test"]
    finally:
        process.kill()
        process.communicate()
    (temporary / "another").mkdir()
    with owned_folder("next"):
        assert names(temporary) == ["anot", "next"]


def test_a_renamed_file_stays(tmp_path: Path) -> None:
    with owned_file(tmp_path / "making") as file:
        file.write_text("whole")
        file.rename(tmp_path / "whole")
        (tmp_path / "making").write_text("another process's")
    assert names(tmp_path) == ["maki", "whol"]


def test_a_link_in_place_of_the_file_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("precious")
    (tmp_path / "making").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="symbolic"), owned_file(tmp_path / "making"):
        pass
    assert (tmp_path / "target").read_text() == "precious"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
def test_what_another_user_left_stays(tmp_path: Path) -> None:
    (tmp_path / f"{PREFIX}theirs").mkdir()
    os.chown(tmp_path / f"{PREFIX}theirs", 65534, 65534)
    (tmp_path / f"{PREFIX}link").symlink_to(tmp_path)
    sweep_folders()
    assert names(tmp_path) == ["link", "thei"]


def test_makers_and_sweepers_at_once_lose_nothing(tmp_path: Path) -> None:
    """Owners make, fill and look at their files while others sweep as fast as they can."""
    over, lost = threading.Event(), list[str]()

    def make(number: int) -> None:
        for turn in range(50):
            with owned_file(tmp_path / f"{PREFIX}{number}") as file, owned_folder("made") as folder:
                file.write_text(str(turn))
                (folder / "inside").write_text(str(turn))
                if file.read_text() != str(turn) or (folder / "inside").read_text() != str(turn):
                    lost.append(f"{number} {turn}")

    def clear() -> None:
        while not over.is_set():
            sweep(tmp_path, f"{PREFIX}*")

    sweepers = [threading.Thread(target=clear) for _ in range(2)]
    makers = [threading.Thread(target=make, args=(number % 2,)) for number in range(3)]  # two of them want one file
    for thread in (*sweepers, *makers):
        thread.start()
    for thread in makers:
        thread.join()
    over.set()
    for thread in sweepers:
        thread.join()
    assert lost == []
    assert names(tmp_path) == []


def test_without_locks_two_that_write_the_same_file_do_not_meet(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with owned_file(temporary / "file") as one, owned_file(temporary / "file") as other:
        one.write_text("1")
        other.write_text("2")
        assert one.read_text() == "1"
    assert names(temporary) == []
