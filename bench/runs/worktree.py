"""Commits of a repository checked out side by side: a git worktree each, with an interpreter that has its packages."""

from __future__ import annotations

import filecmp
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bench.errors import RevisionError
from bench.machine.provenance import CODE, ROOT, GitError, run_git
from bench.runs.process import Home

PREFIX = "resnet-bench-ab-"
NEWEST_CONSTRAINTS = "constraints.txt"
BUILD_LIMIT_S = 300
GIT_LIMIT_S = 300.0  # a large checkout is written in one command


@dataclass(frozen=True)
class Checkout:
    """A commit as files. `home` runs its code."""

    rev: str  # as the user named it
    sha: str
    home: Home

    def __str__(self) -> str:
        """Return the user's name for it, and the commit's where the name does not show it."""
        short = self.sha[:10]
        return short if self.rev.startswith(short[:7]) else f"{self.rev} ({short})"


@contextmanager
def checkouts(
    revisions: Sequence[str], tell: Callable[[str], None] = lambda text: None, repository: Path = ROOT
) -> Iterator[list[Checkout]]:
    """Check out each revision in a worktree, ready to run; the worktrees are removed at the end.

    Two names of one commit get a worktree each, so that neither side reads the files that the other writes. Raises
    RevisionError where there is no git checkout, for an unknown revision, for uncommitted changes, and for a revision
    that cannot be set up or imported.
    """
    shas = [resolve_commit(name, repository) for name in revisions]
    _refuse_uncommitted_changes(repository, dict(zip(revisions, shas, strict=True)))
    _remove_leftovers(repository)
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
    try:
        ready = []
        for number, (name, sha) in enumerate(zip(revisions, shas, strict=True)):
            root = folder / f"{number}-{sha[:12]}"
            _git(repository, "worktree", "add", "--quiet", "--detach", str(root), sha)
            home = Home(
                root, _interpreter_for(root, name, repository, tell), {"RESNET_COMPILED": str(root / ".compiled")}
            )
            _check_imports(home, name)
            ready.append(Checkout(name, sha, home))
        yield ready
    finally:
        _remove(repository, folder)


def resolve_commit(name: str, repository: Path = ROOT) -> str:
    """Return the full SHA of a revision's commit. Raises RevisionError if there is none."""
    try:
        return run_git(repository, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}", limit_s=GIT_LIMIT_S)
    except GitError:
        try:
            shallow = run_git(repository, "rev-parse", "--is-shallow-repository") == "true"
        except GitError as error:
            raise RevisionError(f"{repository} has no revisions to compare: {error}") from None
        cure = "this clone is shallow: `git fetch --unshallow`" if shallow else "`git log --oneline` shows some"
        raise RevisionError(f"{name} is no revision of this checkout; {cure}") from None


def commit_order(repository: Path = ROOT) -> dict[str, int]:
    """Return the position of every commit, parents before their children; empty without a git checkout."""
    try:
        shas = _git(repository, "rev-list", "--reverse", "--topo-order", "--all").split()
    except RevisionError:
        return {}
    return {sha: place for place, sha in enumerate(shas)}


def changed_files(base: str, head: str, paths: Sequence[str], repository: Path = ROOT) -> list[str]:
    """Return the files under `paths` that differ between two commits."""
    return _git(repository, "diff", "--name-only", base, head, "--", *paths).split()


def _refuse_uncommitted_changes(repository: Path, shas: dict[str, str]) -> None:
    """Raise RevisionError for HEAD with uncommitted changes: its user may think that they are compared too."""
    head = resolve_commit("HEAD", repository)
    lines = _git(repository, "status", "--porcelain", "--", *CODE).splitlines()
    named = [name for name, sha in shas.items() if sha == head]
    if lines and named:
        raise RevisionError(
            f"{named[0]} is checked out, and {lines[0][2:].strip()} has changes that are in no commit"
            f"{f' (and {len(lines) - 1} more)' if len(lines) > 1 else ''}: commit them, or `git stash` them"
        )


def _interpreter_for(root: Path, name: str, repository: Path, tell: Callable[[str], None]) -> str:
    """Return this interpreter, if the revision requires the same packages as this checkout; else that of a new venv."""
    constraints = _constraints_file()
    if all(_same_contents(root / file, repository / file) for file in ("pyproject.toml", constraints)):
        return sys.executable
    script = root / "bench" / "bootstrap.py"
    if not script.exists():
        raise RevisionError(f"{name} has no bench/bootstrap.py: it is from before revisions could be set up")
    tell(f"{name} requires other packages than this checkout: setting up an environment for it")
    venv = root / ".venv"
    # older set-ups know no other constraints
    constraint_options = ["--constraints", constraints] if constraints != NEWEST_CONSTRAINTS else []
    setup = subprocess.run(
        [sys.executable, str(script), "--venv", str(venv), "--extras", "dev", *constraint_options],
        capture_output=True,
        text=True,
        check=False,
    )
    if setup.returncode:
        raise RevisionError(f"{name} cannot be set up: {_last_line(setup.stderr)}")
    return str(venv / "bin" / "python")


def _constraints_file() -> str:
    """Return the constraints file that this environment was set up with, as `make setup` recorded it."""
    try:
        return str(json.loads(Path(sys.prefix, "setup.json").read_text())["constraints"])
    except (OSError, ValueError, KeyError):
        return NEWEST_CONSTRAINTS


def _check_imports(home: Home, name: str) -> None:
    """Raise RevisionError if the modules that a child runs cannot be imported, before anything is timed."""
    code = "import bench.worker, resnet.variants"
    try:
        imported = subprocess.run(
            [home.python, "-c", code], cwd=home.root, env=os.environ | {"PYTHONPATH": str(home.root)},
            capture_output=True, text=True, check=False, timeout=BUILD_LIMIT_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise RevisionError(f"{name} does not build: importing it took more than {BUILD_LIMIT_S} s") from None
    if imported.returncode:
        raise RevisionError(f"{name} does not build: {_last_line(imported.stderr)}")


def _same_contents(one: Path, other: Path) -> bool:
    if not one.exists() or not other.exists():
        return one.exists() == other.exists()
    return filecmp.cmp(one, other, shallow=False)


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it gave no reason"])[-1]


def _git(repository: Path, *words: str) -> str:
    try:
        return run_git(repository, *words, limit_s=GIT_LIMIT_S)
    except GitError as error:
        raise RevisionError(str(error)) from None


def _remove(repository: Path, folder: Path) -> None:
    for root in folder.glob("*"):
        with suppress(RevisionError):
            _git(repository, "worktree", "remove", "--force", str(root))
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(RevisionError):
        _git(repository, "worktree", "prune")


def _remove_leftovers(repository: Path) -> None:
    """Remove the worktrees of processes that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        owner = folder.name.removeprefix(PREFIX).split("-")[0]
        if owner.isdecimal() and not Path(f"/proc/{owner}").exists():
            _remove(repository, folder)
