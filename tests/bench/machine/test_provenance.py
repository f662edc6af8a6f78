"""Which commit a checkout is of: by git, by the file that travels, and never another project's."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.machine import provenance
from bench.machine.provenance import FILE, ROOT, commit_of, digest, sha_of, short, write_commit
from tests.repositories import files_of

SOURCES = {"bench/x.py": "1", "bench/plans/y.toml": "1", "kernels/z.py": "1", "resnet/r.py": "1", "pyproject.toml": ""}


def run(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    command = ["git", "-C", str(folder), *identity, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def files(folder: Path) -> Path:
    for name, text in (SOURCES | {"README.md": "1"}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = files(tmp_path / "checkout")
    run(folder, "init", "-q")
    run(folder, "add", ".")
    run(folder, "commit", "-qm", "x")
    return folder


@pytest.fixture
def sent(checkout: Path, tmp_path: Path) -> Path:
    """A machine that was sent every file that git does not ignore, the commit's among them."""
    assert write_commit(checkout)["source"] == "git"
    copy = tmp_path / "sent"
    names = files_of(checkout)
    assert FILE in names
    for name in names:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(checkout / name, copy / name)
    return copy


def test_git_is_asked_first(checkout: Path) -> None:
    sha = run(checkout, "rev-parse", "HEAD")
    assert commit_of(checkout) == {"sha": sha, "dirty": False, "code": digest(checkout), "source": "git"}
    kept = {"schema": 1, "sha": "f" * 40, "dirty": True, "code": digest(checkout)}
    (checkout / FILE).write_text(json.dumps(kept))
    assert commit_of(checkout) == {"sha": sha, "dirty": False, "code": digest(checkout), "source": "git"}


def test_a_changed_source_file_makes_a_checkout_dirty(checkout: Path) -> None:
    (checkout / "README.md").write_text("2")
    assert commit_of(checkout)["dirty"] is False
    (checkout / "bench" / "x.py").write_text("2")
    assert commit_of(checkout)["dirty"] is True


def test_the_commit_travels(checkout: Path, sent: Path) -> None:
    sha = run(checkout, "rev-parse", "HEAD")
    assert commit_of(sent) == {"sha": sha, "dirty": False, "code": digest(sent), "source": "file"}
    (sent / "kernels" / "__pycache__").mkdir()
    (sent / "kernels" / "__pycache__" / "z.cpython-311.pyc").write_bytes(b"0")
    (sent / "README.md").write_text("another")
    assert commit_of(sent)["dirty"] is False
    assert write_commit(sent)["source"] == "file"  # nobody there knows better


@pytest.mark.parametrize("name", [*SOURCES, "resnet/new.py"])
def test_code_that_is_not_the_files_is_told_as_changed(sent: Path, name: str) -> None:
    (sent / name).write_text("edited there")
    assert commit_of(sent)["dirty"] is True


def test_changes_that_were_sent_are_told(checkout: Path, tmp_path: Path) -> None:
    (checkout / "bench" / "x.py").write_text("2")
    write_commit(checkout)
    shutil.copytree(checkout, tmp_path / "sent", ignore=shutil.ignore_patterns(".git"))
    assert commit_of(tmp_path / "sent")["dirty"] is True


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"schema": 9, "sha": "a"}', '{"schema": 1, "sha": "none"}'])
def test_a_damaged_file_is_no_commit(tmp_path: Path, text: str) -> None:
    files(tmp_path)
    (tmp_path / FILE).write_text(text)
    found = commit_of(tmp_path)
    assert found["sha"] is None
    assert "damaged" in found["reason"]


def test_where_neither_answers_the_reason_is_told(tmp_path: Path) -> None:
    found = commit_of(tmp_path)
    assert (found["sha"], found["dirty"]) == (None, None)
    assert "no git checkout of its own" in found["reason"]
    assert FILE in found["reason"]


def test_a_repository_around_the_files_is_another_projects(checkout: Path) -> None:
    inside = files(checkout / "vendored")
    assert commit_of(inside)["sha"] is None
    (checkout / "link").symlink_to(inside)
    assert commit_of(checkout / "link")["sha"] is None


def test_a_hooks_variables_are_another_repositorys(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha = run(checkout, "rev-parse", "HEAD")
    other = files(tmp_path / "other")
    run(other, "init", "-q")
    run(other, "commit", "-q", "--allow-empty", "-m", "another")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    assert commit_of(checkout) == {"sha": sha, "dirty": False, "code": digest(checkout), "source": "git"}


def test_a_checkout_that_another_user_owns_names_no_path(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    found = commit_of(checkout)
    assert found["sha"] is None
    assert "another user owns it" in found["reason"]
    assert "safe.directory" in found["reason"]
    assert str(checkout) not in str(found)


@pytest.mark.parametrize("git_says", ["fatal: unable to read '/home/a/x'", "fatal: bad object /a/b", ""])
def test_no_reason_names_a_path(git_says: str) -> None:
    assert "/" not in provenance._reason(git_says)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"sha": "a" * 40, "dirty": False}, "a" * 10),
        ({"sha": "a" * 40, "dirty": True}, "a" * 10 + "+"),
        ({"sha": None, "dirty": None, "reason": "no"}, "unknown"),
        ({"sha": "unreadable: RuntimeError: fatal", "dirty": "unreadable: x"}, "unknown"),
        ("unreadable: no git", "unknown"),
        (None, "unknown"),
    ],
)
def test_what_could_not_be_read_is_no_commit(found: object, said: str) -> None:
    assert short(found) == said
    assert (sha_of({"git": found}) is None) == (said == "unknown")


def pack(folder: Path) -> "subprocess.CompletedProcess[str]":
    code = "from bench.machine.provenance import main; raise SystemExit(main())"
    command = [sys.executable, "-S", "-c", code]  # any Python: no package is asked for
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_command(checkout: Path, tmp_path: Path) -> None:
    """As `make gpu-pack` runs it, in a checkout with this very code."""
    for package in ("bench", "kernels", "resnet"):
        shutil.copytree(ROOT / package, checkout / package, dirs_exist_ok=True)
    done = pack(checkout)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads((checkout / FILE).read_text())["dirty"] is True
    assert [path.name for path in checkout.glob(f"{FILE}*")] == [FILE]
    shutil.copytree(checkout, tmp_path / "bare", ignore=shutil.ignore_patterns(".git", FILE))
    done = pack(tmp_path / "bare")
    assert done.returncode == 1
    assert "no git checkout of its own" in done.stderr


def test_the_file_is_in_no_commit_of_ours() -> None:
    try:
        provenance.run_git(ROOT, "rev-parse", "HEAD")
    except provenance.GitError as error:
        pytest.skip(str(error))
    assert provenance.run_git(ROOT, "ls-files", FILE) == ""
