"""Two commits of a repository side by side: a git worktree each, with an interpreter that has what it needs."""

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
NEWEST = "constraints.txt"
BUILD_LIMIT_S = 300
LIMIT_S = 300.0  # of git: a large checkout is written in one command


@dataclass(frozen=True)
class Checkout:
    """A commit as files. `home` runs its code."""

    rev: str  # as the user named it
    sha: str
    home: Home

    def __str__(self) -> str:
        """The name that the user gave, and the commit's where that does not tell it."""
        short = self.sha[:10]
        return short if self.rev.startswith(short[:7]) else f"{self.rev} ({short})"


@contextmanager
def checkouts(
    revisions: Sequence[str], tell: Callable[[str], None] = lambda text: None, repository: Path = ROOT
) -> Iterator[list[Checkout]]:
    """Each revision in a worktree of its own, ready to run; removed at the end, whatever the end.

    Two names of one commit get a worktree each, so that nothing that one side writes is the other's. Raises
    RevisionError: no git checkout, an unknown revision, changes that no commit has, a revision that does not build.
    """
    shas = [commit(name, repository) for name in revisions]
    _clean(repository, dict(zip(revisions, shas, strict=True)))
    _sweep_up(repository)
    base = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
    try:
        found = []
        for number, (name, sha) in enumerate(zip(revisions, shas, strict=True)):
            root = base / f"{number}-{sha[:12]}"
            _git(repository, "worktree", "add", "--quiet", "--detach", str(root), sha)
            home = Home(root, _interpreter(root, name, repository, tell), {"RESNET_COMPILED": str(root / ".compiled")})
            _builds(home, name)
            found.append(Checkout(name, sha, home))
        yield found
    finally:
        _remove(repository, base)


def commit(name: str, repository: Path = ROOT) -> str:
    """The full name of a revision's commit."""
    try:
        return run_git(repository, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}", limit_s=LIMIT_S)
    except GitError:
        try:
            shallow = run_git(repository, "rev-parse", "--is-shallow-repository") == "true"
        except GitError as error:
            raise RevisionError(f"{repository} has no revisions to compare: {error}") from None
        cure = "this clone is shallow: `git fetch --unshallow`" if shallow else "`git log --oneline` shows some"
        raise RevisionError(f"{name} is no revision of this checkout; {cure}") from None


def order(repository: Path = ROOT) -> dict[str, int]:
    """The place of every commit, parents before their children; empty where there is no git checkout."""
    try:
        found = _git(repository, "rev-list", "--reverse", "--topo-order", "--all").split()
    except RevisionError:
        return {}
    return {sha: place for place, sha in enumerate(found)}


def changed(base: str, head: str, paths: Sequence[str], repository: Path = ROOT) -> list[str]:
    """The files under `paths` that differ between two commits."""
    return _git(repository, "diff", "--name-only", base, head, "--", *paths).split()


def _clean(repository: Path, shas: dict[str, str]) -> None:
    """Refuses HEAD with changes beside it: a commit is compared, and its user may think that they are in it."""
    head = commit("HEAD", repository)
    lines = _git(repository, "status", "--porcelain", "--", *CODE).splitlines()
    named = [name for name, sha in shas.items() if sha == head]
    if lines and named:
        raise RevisionError(
            f"{named[0]} is what is checked out, and {lines[0][2:].strip()} has changes that are in no commit"
            f"{f' (and {len(lines) - 1} more)' if len(lines) > 1 else ''}: commit them, or `git stash` them"
        )


def _interpreter(root: Path, name: str, repository: Path, tell: Callable[[str], None]) -> str:
    """This one, if the revision asks for the same packages as this checkout; else one of an environment of its own."""
    constraints = _constraints()
    if all(_same(root / need, repository / need) for need in ("pyproject.toml", constraints)):
        return sys.executable
    script = root / "bench" / "bootstrap.py"
    if not script.exists():
        raise RevisionError(f"{name} has no bench/bootstrap.py: it is from before revisions could be set up")
    tell(f"{name} asks for other packages than this checkout: setting up an environment for it")
    venv = root / ".venv"
    stack = ["--constraints", constraints] if constraints != NEWEST else []  # older set-ups know no other
    made = subprocess.run(
        [sys.executable, str(script), "--venv", str(venv), "--extras", "dev", *stack],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise RevisionError(f"{name} cannot be set up: {_last(made.stderr)}")
    return str(venv / "bin" / "python")


def _constraints() -> str:
    """The file whose versions this interpreter's environment holds: `make setup` wrote it down."""
    try:
        return str(json.loads(Path(sys.prefix, "setup.json").read_text())["constraints"])
    except (OSError, ValueError, KeyError):
        return NEWEST


def _builds(home: Home, name: str) -> None:
    """Imports what a child runs: a revision that cannot is told before anything is timed."""
    code = "import bench.worker, resnet.variants"
    try:
        told = subprocess.run(
            [home.python, "-c", code], cwd=home.root, env=os.environ | {"PYTHONPATH": str(home.root)},
            capture_output=True, text=True, check=False, timeout=BUILD_LIMIT_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise RevisionError(f"{name} does not build: importing it took more than {BUILD_LIMIT_S} s") from None
    if told.returncode:
        raise RevisionError(f"{name} does not build: {_last(told.stderr)}")


def _same(one: Path, other: Path) -> bool:
    if not one.exists() or not other.exists():
        return one.exists() == other.exists()
    return filecmp.cmp(one, other, shallow=False)


def _last(text: str) -> str:
    return (text.strip().splitlines() or ["it gave no reason"])[-1]


def _git(repository: Path, *words: str) -> str:
    try:
        return run_git(repository, *words, limit_s=LIMIT_S)
    except GitError as error:
        raise RevisionError(str(error)) from None


def _remove(repository: Path, base: Path) -> None:
    for root in base.glob("*"):
        with suppress(RevisionError):
            _git(repository, "worktree", "remove", "--force", str(root))
    shutil.rmtree(base, ignore_errors=True)
    with suppress(RevisionError):
        _git(repository, "worktree", "prune")


def _sweep_up(repository: Path) -> None:
    """Removes what processes that were killed left behind."""
    for base in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        owner = base.name.removeprefix(PREFIX).split("-")[0]
        if owner.isdecimal() and not Path(f"/proc/{owner}").exists():
            _remove(repository, base)
