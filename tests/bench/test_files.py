"""Files are there whole or as they were, whatever is in their place; what goes wrong is a sentence with the file."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import FAILED, StoreError
from bench.files import check_writable, read_json, reading, write_file, write_json, writing
from kernels.cards import files


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_a_file_is_replaced_with_what_it_is_to_hold(tmp_path_factory: Any, old: bytes, new: bytes) -> None:
    path = tmp_path_factory.mktemp("files") / "deep" / "down" / "file"
    write_file(path, old)
    write_file(path, new)
    assert path.read_bytes() == new
    assert names(path.parent) == {"file"}


def test_text_is_utf8(tmp_path: Path) -> None:
    write_file(tmp_path / "file", "µs")
    assert (tmp_path / "file").read_bytes() == "µs".encode()


@pytest.mark.parametrize("links", [1, 3])
def test_a_link_is_followed_and_stays(tmp_path: Path, links: int) -> None:
    (tmp_path / "real").mkdir()
    target = tmp_path / "real" / "file"
    target.write_text("old")
    for number in range(links):
        (tmp_path / f"link{number + 1}").symlink_to(f"link{number}" if number else Path("real") / "file")
    link = tmp_path / f"link{links}"
    write_file(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert not target.is_symlink()
    assert names(tmp_path / "real") == {"file"}


def test_a_link_to_nothing_makes_what_it_names(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real" / "file")
    write_file(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "file").read_text() == "new"


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755])
def test_the_mode_is_kept(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(mode)
    write_file(path, "new")
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_new_file_has_the_mode_of_the_umask(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    write_file(tmp_path / "file", "new")
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_device_survives(tmp_path: Path) -> None:
    before = os.stat(os.devnull)
    (tmp_path / "link").symlink_to(os.devnull)
    for path in (Path(os.devnull), tmp_path / "link"):
        write_file(path, "lost")
        check_writable(path)
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
    assert os.path.samestat(before, os.stat(os.devnull))
    assert names(tmp_path) == {"link"}


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(path.read_bytes()))
    reader.start()
    write_file(path, "through")
    reader.join(10)
    assert read == [b"through"]
    assert stat.S_ISFIFO(path.stat().st_mode)


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1"])
@pytest.mark.parametrize("to_a_file", [False, True])
def test_this_process_s_own_output_is_written_to(tmp_path: Path, name: str, to_a_file: bool) -> None:
    code = f"from bench.files import write_file; from pathlib import Path; write_file(Path({name!r}), 'told\\n')"
    with (tmp_path / "out").open("wb") as out:
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=Path(files.__file__).parents[2],
            stdout=out if to_a_file else subprocess.PIPE,
            check=True,
        )
        same = os.path.samestat(os.fstat(out.fileno()), (tmp_path / "out").stat())
    assert same
    assert ((tmp_path / "out").read_bytes() if to_a_file else done.stdout) == b"told\n"


def test_a_full_disk_leaves_what_was_there(tiny: Path) -> None:
    path = tiny / "file"
    write_file(path, "old")
    message = rf"cannot write {path}: No space left on device; free some space in {tiny}; what was there is whole"
    with pytest.raises(StoreError, match=message):
        write_file(path, bytes(1 << 20))
    assert path.read_text() == "old"
    assert names(tiny) == {"file"}


def test_a_failure_while_it_is_made_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_file(path, "old")

    def begin_and_fail(error: BaseException) -> None:
        with writing(path) as file:
            file.write(b"half")
            raise error

    for error in (RuntimeError("no"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            begin_and_fail(error)
    assert path.read_text() == "old"
    assert names(tmp_path) == {"file"}


@pytest.mark.parametrize("place", ["folder", "file/x", "/proc/x"])
def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path: Path, place: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    path = tmp_path / place
    with pytest.raises(StoreError, match=f"^cannot write {path}: .*; name another") as caught:
        write_file(path, "new", "name another", FAILED)
    assert caught.value.exit_code == FAILED
    if place != "/proc/x":  # root may write to every folder, as far as the mode tells
        with pytest.raises(StoreError, match=f"^cannot write {path}: "):
            check_writable(path)
    assert names(tmp_path) == {"folder", "file"}


def test_a_read_only_folder_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As root, whom no mode stops, by a file system that is read-only."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "file").write_text("old")
    folder.chmod(0o555)
    if os.getuid() == 0 and subprocess.run(["mount", "--bind", "-o", "ro", folder, folder], check=False).returncode:
        pytest.skip("root may write here")
    try:
        with pytest.raises(StoreError, match=r"cannot write .*(denied|Read-only)"):
            write_file(folder / "file", "new")
        with pytest.raises(StoreError, match="its folder is read-only"):
            check_writable(folder / "file")
        assert (folder / "file").read_text() == "old"
    finally:
        if os.getuid() == 0:
            subprocess.run(["umount", folder], check=False)
        folder.chmod(0o755)


def test_json_comes_back(tmp_path: Path) -> None:
    data = {"schema": 1, "name": "µ", "list": [1, None, 0.5]}
    write_json(tmp_path / "file", data)
    assert read_json(tmp_path / "file", 1) == data
    assert (tmp_path / "file").read_text().endswith("}\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"cannot read .*: No such file or directory; make it"),
        ("", r"is no whole table \(JSONDecodeError: .*\); make it"),
        ("[1]", r"is no whole table \(TypeError: not a JSON object\); make it"),
        ("{}", r"is no whole table \(KeyError: 'schema'\); make it"),
        ('{"schema": "1"}', r"is no whole table \(TypeError: schema '1' is no number\); make it"),
        ('{"schema": null}', r"is no whole table \(TypeError"),
        ('{"schema": 2}', r"schema 2 is newer than this checkout's 1: update it"),
        ('{"schema": 1}', r"is no whole table \(KeyError: 'rows'\); make it"),
        ("[" * 100_000, r"is no whole table \(ValueError: it is nested deeper"),
        ("\udcff", r"is no whole table \(ValueError: it is not UTF-8 text"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_sentence(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "file"
    if text is not None:
        path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(StoreError, match=message) as caught, reading(path, "table", "make it"):
        read_json(path, 1)["rows"]
    assert str(path) in str(caught.value)


def test_what_was_written_by_hand_elsewhere_is_written_here() -> None:
    """One module replaces files, and resnet/cache.py, whose files are made by others under their own names."""
    root = Path(files.__file__).parents[2]
    replacing = {
        path.relative_to(root).as_posix()
        for package in ("bench", "kernels", "resnet")
        for path in (root / package).rglob("*.py")
        if any(word in path.read_text() for word in ("os.replace(", ".replace(path)", ".replace(self.path)"))
        or "temporary.replace(" in path.read_text()
    }
    assert replacing == {"kernels/cards/files.py", "resnet/cache.py"}


def test_missing_folders_are_made_as_the_file_is_written_and_not_before(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    check_writable(path)
    assert names(tmp_path) == set()
    with pytest.raises(StoreError, match="File name too long"):
        write_file(tmp_path / "a" / "b" / ("x" * 300), "new")
    with pytest.raises(StoreError, match="File name too long"):
        check_writable(tmp_path / "a" / ("x" * 300))
    assert names(tmp_path) == set()
    write_file(path, "new")
    assert path.read_text() == "new"


def test_the_longest_name_is_written(tmp_path: Path) -> None:
    write_file(tmp_path / ("µ" * 127), "new")
    assert names(tmp_path) == {"µ" * 127}


def test_a_link_into_a_folder_that_is_none_is_found_early(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/proc/x/y")
    with pytest.raises(StoreError, match=r"cannot write .*link: "):
        write_file(tmp_path / "link", "new")
    (tmp_path / "file").write_text("")
    (tmp_path / "other").symlink_to(tmp_path / "file" / "x")
    with pytest.raises(StoreError, match=r"cannot write .*other: .*file is no folder"):
        check_writable(tmp_path / "other")


def test_other_names_of_a_file_keep_what_it_held(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    os.link(tmp_path / "file", tmp_path / "backup")
    write_file(tmp_path / "file", "new")
    assert ((tmp_path / "file").read_text(), (tmp_path / "backup").read_text()) == ("new", "old")


@pytest.mark.parametrize(("umask", "mode"), [(0o077, 0o600), (0o002, 0o664)])
def test_the_umask_is_honoured_and_the_group_is_the_folders(tmp_path: Path, umask: int, mode: int) -> None:
    tmp_path.chmod(0o2777)
    if os.getuid() == 0:
        os.chown(tmp_path, -1, 65534)
    before = os.umask(umask)
    try:
        write_file(tmp_path / "file", "new")
    finally:
        os.umask(before)
    status = (tmp_path / "file").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_gid) == (mode, tmp_path.stat().st_gid)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
def test_the_owner_is_kept(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    os.chown(tmp_path / "file", 65534, 65534)
    write_file(tmp_path / "file", "new")
    assert (tmp_path / "file").stat().st_uid == 65534


def test_a_device_without_room_is_a_sentence() -> None:
    with pytest.raises(StoreError, match="cannot write /dev/full: No space left on device"):
        write_file(Path("/dev/full"), "new")


def test_a_file_system_without_inodes_says_so(tiny: Path) -> None:
    subprocess.run(["mount", "-o", "remount,nr_inodes=3", tiny], check=True)
    (tiny / "one").touch()
    (tiny / "two").touch()
    with pytest.raises(StoreError, match=rf"No space left on device; {tiny} takes no further file: remove some there"):
        write_file(tiny / "file", "new")


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path: Path) -> None:
    code = """
import sys, time
from pathlib import Path
from bench.files import writing
with writing(Path(sys.argv[1])) as file:
    file.write(b"half")
    file.flush()
    print(flush=True)
    time.sleep(60)
"""
    path = tmp_path / "[file]"
    path.write_text("old")
    command = [sys.executable, "-c", code, str(path)]
    process = subprocess.Popen(command, cwd=Path(files.__file__).parents[2], stdout=subprocess.PIPE)
    assert process.stdout
    process.stdout.readline()
    write_file(path, "between")
    assert len(names(tmp_path)) == 2  # a living one's stays
    process.kill()
    process.communicate()
    assert path.read_text() == "between"
    write_file(path, "new")
    assert names(tmp_path) == {"[file]"}
