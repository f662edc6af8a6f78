"""Two commits side by side, in repositories made for the test."""

from pathlib import Path

import pytest

from bench.errors import RevisionError
from bench.runs import worktree
from bench.runs.process import ask
from bench.runs.worktree import changed_files, checkouts, resolve_commit
from kernels.cards.owned import PREFIX
from tests.repositories import git

FILES = {
    "pyproject.toml": "",
    "constraints.txt": "",
    "bench/__init__.py": "",
    "bench/worker.py": """
import json, os, sys
from resnet.variants import WORD

if __name__ == "__main__":
    sys.stdin.read()
    answer = {"status": "ok", "word": WORD, "made": os.environ["RESNET_COMPILED"]}
    os.write(int(sys.argv[1]), (json.dumps(answer) + "\\n").encode())
""",
    "resnet/__init__.py": "",
    "resnet/variants.py": "WORD = 'first'\n",
}


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two commits: v1 says `first`, v2 `second`."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    folder = tmp_path / "repository"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git(folder, "init", "--quiet")
    for tag, word in (("v1", "first"), ("v2", "second")):
        (folder / "resnet" / "variants.py").write_text(f"WORD = '{word}'\n")
        git(folder, "add", ".")
        git(folder, "commit", "--quiet", "--message", tag)
        git(folder, "tag", tag)
    return folder


def left(folder: Path) -> tuple[int, list[Path]]:
    """Worktrees that git knows, and folders that are there."""
    return git(folder, "worktree", "list").count("\n") - 1, list(folder.parent.glob(f"{PREFIX}*"))


def test_a_child_runs_the_code_of_its_commit(repository: Path) -> None:
    with checkouts(["v1", "v2"], repository=repository) as sides:
        answers = [ask({}, 60, home=side.home) for side in sides]
        assert [answer.data.get("word") for answer in answers] == ["first", "second"], answers
        assert answers[0].data["made"] != answers[1].data["made"]
        assert left(repository)[0] == 2
    assert left(repository) == (0, [])


def test_a_commit_against_itself_has_two_worktrees(repository: Path) -> None:
    with checkouts(["HEAD", "v2"], repository=repository) as (base, head):
        assert base.sha == head.sha
        assert base.home.root != head.home.root
    assert left(repository) == (0, [])


def test_an_unknown_revision_is_told_and_nothing_is_left(repository: Path) -> None:
    with (
        pytest.raises(RevisionError, match="v3 is no revision of this checkout; `git log --oneline` shows some"),
        checkouts(["v1", "v3"], repository=repository),
    ):
        pass
    assert left(repository) == (0, [])


def test_changes_that_no_commit_has_are_refused_where_they_may_be_meant(repository: Path) -> None:
    (repository / "resnet" / "variants.py").write_text("WORD = 'third'\n")
    with (
        pytest.raises(RevisionError, match=r"HEAD is checked out, and resnet/variants.py has changes"),
        checkouts(["v1", "HEAD"], repository=repository),
    ):
        pass
    git(repository, "commit", "--quiet", "--all", "--message", "third")
    (repository / "notes.txt").write_text("of no consequence")
    with checkouts(["v1", "HEAD"], repository=repository):
        pass


def test_a_revision_that_does_not_build_is_told_before_anything_runs(repository: Path) -> None:
    (repository / "resnet" / "variants.py").write_text("WORD = \n")
    git(repository, "commit", "--quiet", "--all", "--message", "broken")
    with (
        pytest.raises(RevisionError, match="HEAD does not build: SyntaxError: invalid syntax"),
        checkouts(["v1", "HEAD"], repository=repository),
    ):
        pass
    assert left(repository) == (0, [])


def test_other_packages_are_set_up_by_the_revisions_own_means(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worktree.sys, "prefix", str(tmp_path))  # an environment of the newest stack
    (repository / "constraints.txt").write_text("torch==2.12.0\n")
    git(repository, "commit", "--quiet", "--all", "--message", "another torch")
    with (
        pytest.raises(RevisionError, match=r"v1 has no bench/bootstrap\.py"),
        checkouts(["v1", "HEAD"], repository=repository),
    ):
        pass
    told = list[str]()
    (repository / "bench" / "bootstrap.py").write_text("import sys; sys.exit('setup: the disk is full')")
    (repository / "constraints.txt").write_text("")
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "--message", "bootstrap")
    (repository / "constraints.txt").write_text("torch==2.11.0\n")
    git(repository, "commit", "--quiet", "--all", "--message", "a third torch")
    with (
        pytest.raises(RevisionError, match="HEAD~1 cannot be set up: setup: the disk is full"),
        checkouts(["HEAD~1", "HEAD"], told.append, repository),
    ):
        pass
    assert "requires other packages" in told[0]
    assert left(repository) == (0, [])


def test_the_oldest_stack_is_set_up_from_its_own_constraints(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "setup.json").write_text('{"home": [], "constraints": "constraints-2.11.txt", "inputs": ""}')
    monkeypatch.setattr(worktree.sys, "prefix", str(tmp_path))
    (repository / "bench" / "bootstrap.py").write_text("import sys; sys.exit(' '.join(sys.argv[-2:]))")
    (repository / "constraints-2.11.txt").write_text("torch==2.11.0\n")
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "--message", "two stacks")
    (repository / "constraints.txt").write_text("torch==2.14.0\n")
    git(repository, "commit", "--quiet", "--all", "--message", "the newest is another")
    with checkouts(["HEAD~1", "HEAD"], repository=repository) as sides:
        assert sides[0].home.python == sides[1].home.python
    (repository / "constraints-2.11.txt").write_text("torch==2.11.1\n")
    git(repository, "commit", "--quiet", "--all", "--message", "the oldest is another")
    with (
        pytest.raises(RevisionError, match=r"HEAD~1 cannot be set up: --constraints constraints-2\.11\.txt"),
        checkouts(["HEAD~1", "HEAD"], repository=repository),
    ):
        pass


def test_what_a_killed_process_left_is_removed_by_the_next(repository: Path) -> None:
    root = repository.parent / f"{PREFIX}ab-abc" / "0-v1"
    git(repository, "worktree", "add", "--quiet", "--detach", str(root), "v1")
    assert left(repository)[0] == 1
    with checkouts(["v1", "v2"], repository=repository):
        assert not root.exists()
    assert left(repository) == (0, [])


def test_no_checkout_has_no_revisions(tmp_path: Path) -> None:
    with pytest.raises(RevisionError, match="no git checkout of its own"):
        resolve_commit("HEAD", tmp_path)


def test_what_changed_between_two_commits(repository: Path) -> None:
    assert changed_files("v1", "v2", ["resnet"], repository) == ["resnet/variants.py"]
    assert changed_files("v1", "v2", ["bench"], repository) == []
