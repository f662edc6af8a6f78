"""Commits of a repository, and its working tree, side by side: each in a git worktree, with an interpreter for it."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import RevisionError
from bench.files import owned_folder
from bench.machine.environment import child_variables
from bench.machine.facts import Commit
from bench.machine.provenance import CODE, ROOT, GitError, digest, run_git
from bench.machine.snapshot import GIT_LIMIT_S, WORKING_TREE, take_snapshot
from bench.runs.pipes import WHERE_ELSE
from bench.runs.process import Home

NEWEST_CONSTRAINTS = "constraints.txt"
BUILD_LIMIT_S = 300
IMPORTS = """
import sys, pathlib, bench.worker, resnet.variants
for module in (bench.worker, resnet.variants):
    if not pathlib.Path(module.__file__).resolve().is_relative_to(pathlib.Path(sys.argv[1]).resolve()):
        sys.exit(f"its process imports {module.__file__} in place of its own code; see {sys.argv[2]}")
"""


@dataclass(frozen=True)
class Checkout:
    """A commit as files, or the working tree as it was. `home` runs its code."""

    rev: str  # as the user named it
    sha: str  # of the working tree: of the commit that is checked out
    home: Home
    snapshot: str = ""  # of the working tree: the commit that has its files
    dirty: bool = False  # of the working tree: whether its code differs from the commit

    @property
    def commit(self) -> str:
        """The commit that has these files."""
        return self.snapshot or self.sha

    @property
    def provenance(self) -> Commit:
        """The same as the records of its runs have it."""
        return {"sha": self.sha, "dirty": self.dirty, "code": digest(self.home.root), "source": "git"}

    def __str__(self) -> str:
        """Return the user's name for it, and the commit's where the name does not show it."""
        short = self.sha[:10]
        if self.rev == WORKING_TREE:
            return f"the working tree ({short}{'+' if self.dirty else ''})"
        return short if self.rev.startswith(short[:7]) else f"{self.rev} ({short})"


@contextmanager
def checkouts(
    revisions: Sequence[str], tell: Callable[[str], None] = lambda text: None, repository: Path = ROOT
) -> Iterator[list[Checkout]]:
    """Check out each revision in a worktree, ready to run; the worktrees are removed at the end.

    WORKING_TREE is the files as they are now, so that later edits change nothing. Two names of one commit get a
    worktree each, so that neither side reads the files that the other writes. Raises RevisionError where there is no
    git checkout, for an unknown revision, for uncommitted changes where WORKING_TREE is not named, and for a revision
    that cannot be set up or imported.
    """
    shas = [resolve_commit("HEAD" if name == WORKING_TREE else name, repository) for name in revisions]
    snapshot = ""
    if WORKING_TREE in revisions:
        snapshot = take_snapshot(repository, resolve_commit("HEAD", repository))
    else:
        _refuse_uncommitted_changes(repository, dict(zip(revisions, shas, strict=True)))
    with _folder(repository) as folder:
        ready = []
        for number, (name, sha) in enumerate(zip(revisions, shas, strict=True)):
            root = folder / f"{number}-{sha[:12]}"
            taken = snapshot if name == WORKING_TREE else ""
            _git(repository, "worktree", "add", "--quiet", "--detach", str(root), taken or sha)
            variables = {"RESNET_COMPILED": str(root / ".compiled")}
            home = Home(root, _interpreter_for(root, name, repository, tell), variables)
            _check_imports(home, name)
            ready.append(Checkout(name, sha, home, taken, bool(taken and changed_files(sha, taken, CODE, repository))))
        yield ready


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


def commit_order() -> dict[str, int]:
    """Return the position of every commit, parents before their children; empty without a git checkout."""
    try:
        shas = _git(ROOT, "rev-list", "--reverse", "--topo-order", "--all").split()
    except RevisionError:
        return {}
    return {sha: place for place, sha in enumerate(shas)}


def is_shallow() -> bool:
    """Return whether a git checkout lacks the commits before some, as one with a depth does."""
    try:
        return _git(ROOT, "rev-parse", "--is-shallow-repository") == "true"
    except RevisionError:
        return False


def changed_files(base: str, head: str, paths: Sequence[str] = (), repository: Path = ROOT) -> list[str]:
    """Return the files under `paths`, of all without any, that differ between two commits."""
    words = ("-c", "core.quotePath=false", "diff", "--name-only", base, head, "--", *paths)
    return _git(repository, *words).splitlines()


def unchanged(base: Checkout, head: Checkout, repository: Path = ROOT) -> str:
    """Return a sentence where the working tree is a side, and has the code of the other; else an empty text."""
    if (base.rev == WORKING_TREE) == (head.rev == WORKING_TREE):
        return ""  # without it, or both sides: equal code is meant
    other = head if base.rev == WORKING_TREE else base
    files = changed_files(base.commit, head.commit, repository=repository)
    if changed_files(base.commit, head.commit, CODE, repository):
        return ""
    if files:
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        return f"Of the code nothing differs between {other} and the working tree: {files[0]}{more} alone."
    return f"Nothing differs between {other} and the working tree: both sides run the same code."


def _refuse_uncommitted_changes(repository: Path, shas: dict[str, str]) -> None:
    """Raise RevisionError for HEAD with uncommitted changes: its user may think that they are compared too."""
    head = resolve_commit("HEAD", repository)
    lines = _git(repository, "status", "--porcelain", "--", *CODE).splitlines()
    named = [name for name, sha in shas.items() if sha == head]
    if lines and named:
        raise RevisionError(
            f"{named[0]} is checked out, and {lines[0][2:].strip()} has changes that are in no commit"
            f"{f' (and {len(lines) - 1} more)' if len(lines) > 1 else ''}: commit them, `git stash` them, "
            f"or name {WORKING_TREE} as a side of `bench ab`: it is the working tree with them"
        )


def _interpreter_for(root: Path, name: str, repository: Path, tell: Callable[[str], None]) -> str:
    """Return this interpreter, if the revision requires the same packages as this checkout; else that of a new venv."""
    constraints = _constraints_file()
    pinned = [file.read_bytes() if (file := at / constraints).exists() else None for at in (root, repository)]
    if _required(root) == _required(repository) and pinned[0] == pinned[1]:
        return sys.executable
    script = root / "bench" / "bootstrap.py"
    if not script.exists():
        raise RevisionError(f"{name} has no bench/bootstrap.py: it is from before revisions could be set up")
    tell(f"{name} requires other packages than this checkout: setting up an environment for it")
    venv = root / ".venv"
    # older set-ups know no other constraints
    constraint_options = ["--constraints", constraints] if constraints != NEWEST_CONSTRAINTS else []
    command = [sys.executable, str(script), "--venv", str(venv), "--extras", "dev", *constraint_options]
    setup = subprocess.run(command, capture_output=True, text=True, check=False)
    if setup.returncode:
        raise RevisionError(f"{name} cannot be set up: {_last_line(setup.stderr)}")
    return str(venv / "bin" / "python")


def _required(root: Path) -> dict[str, Any] | None:
    """Return the packages that the project at `root` requires; None without a pyproject.toml that can be read."""
    try:
        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8")).get("project", {})
    except (OSError, ValueError):
        return None
    return {key: project.get(key) for key in ("requires-python", "dependencies", "optional-dependencies")}


def _constraints_file() -> str:
    """Return the constraints file that this environment was set up with, as `make setup` recorded it."""
    try:
        return str(json.loads(Path(sys.prefix, "setup.json").read_text())["constraints"])
    except (OSError, ValueError, KeyError):
        return NEWEST_CONSTRAINTS


def _check_imports(home: Home, name: str) -> None:
    """Raise RevisionError unless a child imports the modules that it runs, and from this checkout."""
    try:
        imported = subprocess.run(
            [home.python, "-P", "-c", IMPORTS, str(home.root), WHERE_ELSE], cwd=home.root,
            env=child_variables(home.root), capture_output=True, encoding="utf-8", check=False, timeout=BUILD_LIMIT_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise RevisionError(f"{name} does not build: importing it took more than {BUILD_LIMIT_S} s") from None
    if imported.returncode:
        raise RevisionError(f"{name} does not build: {_last_line(imported.stderr)}")


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it gave no reason"])[-1]


def _git(repository: Path, *words: str) -> str:
    try:
        return run_git(repository, *words, limit_s=GIT_LIMIT_S)
    except GitError as error:
        raise RevisionError(str(error)) from None


@contextmanager
def _folder(repository: Path) -> Iterator[Path]:
    """Make a folder for worktrees, and remove them at the end; git forgets those of processes that were killed."""
    with owned_folder("ab") as folder:
        try:
            yield folder
        finally:
            for root in folder.glob("*"):
                with suppress(RevisionError):
                    _git(repository, "worktree", "remove", "--force", str(root))
    with suppress(RevisionError):
        _git(repository, "worktree", "prune")
