"""The working tree as a side of `bench ab`, in repositories made for the test."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.cli.measure import ab as cli_ab
from bench.errors import RevisionError, StoreError
from bench.machine import snapshot
from bench.machine.snapshot import take_snapshot
from bench.plans.plan import parse_plan
from bench.records.store import Store
from bench.runs import worktree
from bench.runs.ab import SIDES, Duel, harness_changes
from bench.runs.process import ask
from bench.runs.worktree import checkouts, unchanged
from tests.bench.runs.test_ab import PLAN, WORKER
from tests.bench.runs.test_worktree import left, repository
from tests.repositories import git

__all__ = ["repository"]


@pytest.fixture
def word(repository: Path) -> Callable[[str], None]:
    """Changes what the code in the working tree says, which HEAD says `second` to."""

    def change(word: str) -> None:
        (repository / "resnet" / "variants.py").write_text(f"from resnet.new import WORD\nWORD += '{word}'\n")
        (repository / "resnet" / "new.py").write_text("WORD = 'new '\n")

    return change


def test_a_child_runs_the_files_as_they_were_when_it_began(repository: Path, word: Callable[[str], None]) -> None:
    (repository / "old.txt").touch()
    git(repository, "add", "old.txt")
    git(repository, "commit", "--quiet", "--message", "old")
    git(repository, "rm", "--quiet", "old.txt")
    word("third")
    (repository / ".git" / "info" / "exclude").write_text("ignored.py\n")
    (repository / "resnet" / "ignored.py").touch()
    before = git(repository, "status", "--porcelain"), (repository / ".git" / "index").read_bytes()
    with checkouts(["HEAD", "."], repository=repository) as (base, head):
        word("fourth")
        answers = [ask({}, 60, home=side.home).data.get("word") for side in (base, head)]
        assert answers == ["second", "new third"]
        assert not (head.home.root / "resnet" / "ignored.py").exists()
        assert not (head.home.root / "old.txt").exists()
    assert left(repository) == (0, [])
    word("third")
    assert (git(repository, "status", "--porcelain"), (repository / ".git" / "index").read_bytes()) == before


def test_its_records_have_the_commit_below_and_tell_one_change_from_another(
    repository: Path, word: Callable[[str], None]
) -> None:
    sha = git(repository, "rev-parse", "HEAD").strip()
    found = []
    for text in ("third", "fourth", "third"):
        word(text)
        with checkouts([".", "."], repository=repository) as (one, other):
            assert one.provenance == other.provenance
            assert one.home.root != other.home.root
            assert str(one) == f"the working tree ({sha[:10]}+)"
            found.append((one.provenance, one.commit))
    assert all(commit["sha"] == sha and commit["dirty"] is True for commit, _ in found)
    assert found[0] == found[2] != found[1]


def test_a_clean_working_tree_is_its_commit(repository: Path) -> None:
    with checkouts(["v1", "."], repository=repository) as (_, head):
        assert head.commit == head.sha == git(repository, "rev-parse", "HEAD").strip()
        assert head.provenance["dirty"] is False
    (repository / "notes.txt").write_text("no code")
    with checkouts(["v1", "."], repository=repository) as (_, head):
        assert head.commit != head.sha
        assert head.provenance["dirty"] is False


def test_nothing_to_compare_is_said(repository: Path, word: Callable[[str], None]) -> None:
    def said(*revisions: str) -> str:
        with checkouts(revisions, repository=repository) as (base, head):
            return unchanged(base, head, repository)

    assert said("HEAD", ".").startswith("Nothing differs between HEAD (")
    assert said("v1", ".") == said(".", ".") == said("HEAD", "v2") == ""
    (repository / "notes.txt").write_text("no code")
    assert said(".", "HEAD").endswith("and the working tree: notes.txt alone.")
    word("third")
    assert said("HEAD", ".") == ""


def test_the_measuring_code_is_compared_in_it_too(repository: Path) -> None:
    (repository / "bench" / "worker.py").write_text((repository / "bench" / "worker.py").read_text() + "# slower\n")
    with checkouts(["HEAD", "."], repository=repository) as (base, head):
        assert "bench/worker.py" in harness_changes(base, head, repository)[0]


def test_data_that_git_would_copy_is_refused(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "MOST_BYTES", 1 << 20)
    (repository / "photos").mkdir()
    (repository / "photos" / "one.bin").write_bytes(bytes(2 << 20))
    with pytest.raises(RevisionError, match=r"2 MiB .* \(photos/one\.bin is the largest.*\.git/info/exclude"):
        take_snapshot(repository, "HEAD")
    (repository / ".git" / "info" / "exclude").write_text("photos/\n")
    assert take_snapshot(repository, "HEAD") == "HEAD"


def test_a_project_file_that_requires_the_same_packages_needs_no_other_environment(repository: Path) -> None:
    needs = "[project]\ndependencies = ['torch']\n"
    (repository / "pyproject.toml").write_text(needs)
    git(repository, "commit", "--quiet", "--all", "--message", "needs")
    (repository / "pyproject.toml").write_text(f"{needs}[tool.ruff]\nline-length = 120\n")
    with checkouts(["HEAD", "."], repository=repository) as (base, head):
        assert base.home.python == head.home.python == worktree.sys.executable
    (repository / "pyproject.toml").write_text(needs.replace("torch", "jax"))
    with (
        pytest.raises(RevisionError, match=r"HEAD has no bench/bootstrap\.py"),
        checkouts(["HEAD", "."], repository=repository),
    ):
        pass


@pytest.fixture
def edited(tmp_path: Path) -> Path:
    """A repository whose worker makes its speeds up, and takes a tenth longer since the last commit."""
    folder = tmp_path / "edited"
    for name in ("pyproject.toml", "constraints.txt", "bench/__init__.py", "resnet/__init__.py", "resnet/variants.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    git(folder, "init", "--quiet")
    (folder / "bench" / "worker.py").write_text(WORKER.format(speed=1.0))
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "fast")
    (folder / "bench" / "worker.py").write_text(WORKER.format(speed=1.1))
    return folder


@pytest.fixture
def duel(edited: Path, tmp_path: Path, here: dict[str, Any]) -> Iterator[Callable[[], Duel]]:
    plan = parse_plan(PLAN, "test", "test.toml")
    open_checkouts = []

    def start() -> Duel:
        entered = checkouts(["HEAD", "."], repository=edited)
        open_checkouts.append(entered)
        base, head = entered.__enter__()
        return Duel(plan, (base, head), tmp_path / "out", here | {"gpu": {"none": "hidden"}}, rounds=2)

    yield start
    for entered in open_checkouts:
        entered.__exit__(None, None, None)


def test_it_goes_on_with_the_same_changes_alone(duel: Callable[[], Duel], edited: Path) -> None:
    first = duel()
    running = first.run()
    taken = [next(running) for _ in range(3)]
    running.close()
    again = duel()
    again.resume = True
    assert len(taken) + len(list(again.run())) == 8
    commits = [record.environment["git"] for side in SIDES for record in Store(first.folder / side).read()]
    assert [commit["dirty"] for commit in commits] == [False] * 4 + [True] * 4
    assert len({commit["sha"] for commit in commits}) == 1
    (edited / "bench" / "worker.py").write_text(WORKER.format(speed=1.2))
    other = duel()
    other.resume = True
    with pytest.raises(StoreError, match="the code has changed since"):
        list(other.run())


def test_the_command_judges_uncommitted_changes(edited: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = tmp_path / "test.toml"
    plan.write_text(PLAN)
    monkeypatch.setattr(cli_ab, "ROOT", edited)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    result = CliRunner().invoke(app, ["ab", "HEAD", ".", str(plan), "-o", str(tmp_path / "out"), "--json"])
    assert result.exit_code == 1, result.output
    words = {(one["case"].split("/")[0], one["metric"]): one["word"] for one in json.loads(result.stdout)["verdicts"]}
    assert words["resnet18", "latency"] == "SLOWER"
    assert words["resnet34", "latency"] == "SAME"
