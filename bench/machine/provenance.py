"""The commit of this checkout, and of a record.

Where git does not answer, as on a machine that was sent the files alone, the commit is that of `.commit.json`, which
`make gpu-pack` writes at the root. That file travels with all files that git does not ignore and is never committed.
It has a digest of the code: where the code differs, the checkout has changes (`dirty`).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.machine.facts import Commit, Environment, Unreadable

if TYPE_CHECKING:
    from typing_extensions import TypeIs

from bench.files import write_file
from kernels.cards.reading import read_json_file

ROOT = Path(__file__).resolve().parents[2]
FILE = ".commit.json"
SCHEMA = 1
# files of a checkout that can change a result
CODE = ("bench", "kernels", "resnet", "pyproject.toml")
# Variables, set by git hooks or a shell, that point git to another repository (git(1), "the git repository").
GIT_VARIABLES = (
    "GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE",
    "GIT_PREFIX", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_IMPLICIT_WORK_TREE", "GIT_SHALLOW_FILE", "GIT_GRAFT_FILE",
    "LD_PRELOAD", "LD_AUDIT",  # what these load may print among git's answers
)  # fmt: skip


class GitError(Exception):
    """git does not answer for this checkout; the message says why and what to do, and names no path."""


def unreadable(value: object) -> TypeIs[Unreadable]:
    """Return whether a value of a record is the reason why it could not be read."""
    return isinstance(value, str) and value.startswith("unreadable:")


def run_git(folder: Path, *words: str, limit_s: float = 20.0, variables: Mapping[str, str] | None = None) -> str:
    """Run git in the checkout whose top is `folder`, and return its output. Raises GitError.

    A repository around the folder does not count. `variables` are set in its environment, beside the usual ones.
    """
    folder = folder.resolve()
    inherited = {name: value for name, value in os.environ.items() if name not in GIT_VARIABLES}
    inherited |= {"GIT_CEILING_DIRECTORIES": str(folder.parent), "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    command = ["git", "-C", str(folder), *words]
    try:
        process = subprocess.run(
            command, capture_output=True, text=True, timeout=limit_s, check=False, errors="replace",
            env=inherited | dict(variables or {}),
        )  # fmt: skip
    except FileNotFoundError:
        raise GitError("git is not installed") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GitError(f"git does not answer ({type(error).__name__})") from None
    if process.returncode:
        raise GitError(_reason(process.stderr))
    return process.stdout.strip("\n")


def _reason(stderr: str) -> str:
    """Return the error of git as a sentence, without the path that it names."""
    if "dubious ownership" in stderr:
        cure = 'git config --global --add safe.directory "$PWD"'
        return f"git refuses this checkout, as another user owns it (run in it: {cure})"
    if "not a git repository" in stderr:
        return "no git checkout of its own"
    last = (stderr.strip().splitlines() or [""])[-1]
    return re.sub(r"'?/[^\s']+'?", "a path", last)


def commit_of(folder: Path = ROOT) -> Commit:
    """Return the commit of a checkout, and whether files that can change a result differ from it (`dirty`).

    {"sha", "dirty", "code", "source": "git" or "file"}, or {"sha": None, "dirty": None, "code", "reason"}; `code` is
    the digest of the code on disk, which is equal for equal checkouts whatever their commits.
    """
    code = digest(folder)
    try:
        sha = run_git(folder, "rev-parse", "--verify", "HEAD")
        dirty = bool(run_git(folder, "status", "--porcelain", "--", *CODE))
        return {"sha": sha, "dirty": dirty, "code": code, "source": "git"}
    except GitError as error:
        reason = str(error)
    try:
        return _from_file(folder, code)
    except FileNotFoundError:
        reason += f", and no {FILE} that says which commit this is"
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason += f", and {FILE} is damaged ({type(error).__name__}): make gpu-pack, where git answers"
    return {"sha": None, "dirty": None, "code": code, "reason": reason}


def describe_version(folder: Path = ROOT) -> str:
    """Return the project's name and version, and the commit of a checkout where that is known."""
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    commit = commit_of(folder)
    sha, changes = commit["sha"], ", with changes" if commit["dirty"] else ""
    where = f"commit {sha[:12]}{changes}" if sha else f"commit unknown: {commit['reason']}"
    return f"{project['name']} {project['version']} ({where})"


def _from_file(folder: Path, code: str) -> Commit:
    data = read_json_file(folder / FILE)
    if data["schema"] > SCHEMA or not re.fullmatch(r"[0-9a-f]{40}([0-9a-f]{24})?", data["sha"]):
        raise ValueError("of another version, or no commit")
    return {"sha": data["sha"], "dirty": bool(data["dirty"]) or data["code"] != code, "code": code, "source": "file"}


def digest(folder: Path = ROOT) -> str:
    """Return 16 digits of SHA-256 over names and contents of the code, without hidden files and bytecode."""
    total = hashlib.sha256()
    for name, path in sorted(_code(folder)):
        total.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()[:16]


def _code(folder: Path) -> Iterator[tuple[str, Path]]:
    for part in CODE:
        top = folder / part
        for path in [top] if top.is_file() else top.rglob("*"):
            name = path.relative_to(folder)
            skipped = path.suffix == ".pyc" or any(p.startswith((".", "__pycache__")) for p in name.parts)
            if path.is_file() and not skipped:
                yield name.as_posix(), path


def write_commit(folder: Path = ROOT) -> Commit:
    """Write the commit for machines without git, if git answers here, and return it. Raises StoreError."""
    commit = commit_of(folder)
    if commit.get("source") == "git":
        when = datetime.now(UTC).isoformat(timespec="seconds")
        data = {"schema": SCHEMA, "sha": commit["sha"], "dirty": commit["dirty"], "code": commit["code"], "when": when}
        write_file(folder / FILE, json.dumps(data, indent=1) + "\n")
    return commit


def short(commit: Any, digits: int = 10) -> str:
    """Shorten a commit, the `git` of any record's environment: with a plus if it is dirty, "unknown" without one."""
    sha = sha_of({"git": commit})
    return "unknown" if sha is None else sha[:digits] + ("+" if commit.get("dirty") is True else "")


def this_commit(digits: int = 10) -> str:
    """Return the short commit of this checkout."""
    return short(commit_of(), digits)


def code_of(env: Environment) -> str:
    """Identify the code behind a result: this project's, and the versions that compile and launch it."""
    packages = env.get("packages", {})
    versions = "/".join(str(packages.get(name)) for name in ("torch", "triton"))
    commit = env.get("git")
    code = commit.get("code") if isinstance(commit, dict) else None
    return f"{code or short(commit)} {versions} {env.get('gpu', {}).get('driver', '')}".strip()


def sha_of(env: Environment) -> str | None:
    """Return the commit in a record's environment; None for one that could not be read."""
    commit = env.get("git")
    sha = commit.get("sha") if isinstance(commit, dict) else None
    return sha if isinstance(sha, str) and sha and not unreadable(sha) else None


def main() -> int:
    commit = write_commit()
    if commit["sha"] is None:
        print(f"bench: no commit to write: {commit['reason']}", file=sys.stderr)
        return 1
    if commit["source"] == "file":
        stale = "; the code has changed since it was written" if commit["dirty"] else ""
        print(f"{FILE} exists already, and git does not answer here: {short(commit, 12)}{stale}")
        return 0
    print(f"{FILE}: {short(commit, 12)}, for a machine that is sent these files without .git")
    return 0
