"""Which commit this checkout is of, and which one a record was made at.

git is asked first. Where it does not answer, as on a machine that was sent the files alone, the commit is that of
`.commit.json`, which `make gpu-pack` leaves at the root. It travels with all files that git does not ignore, is never
committed, and holds a digest of the code, so that a file older than the code beside it is seen: such a checkout has
changes.

Standard library only.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.machine.facts import Commit, Environment, Unreadable

if TYPE_CHECKING:
    from typing_extensions import TypeIs

from bench.files import write_json

ROOT = Path(__file__).resolve().parents[2]
FILE = ".commit.json"
SCHEMA = 1
# what of a checkout can change a result
CODE = ("bench", "kernels", "resnet", "pyproject.toml")
# Where a git that a hook started, or a shell, would look in place of this checkout (git(1), "the git repository").
ELSEWHERE = (
    "GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE",
    "GIT_PREFIX", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_IMPLICIT_WORK_TREE", "GIT_SHALLOW_FILE", "GIT_GRAFT_FILE",
)  # fmt: skip
NO_CHECKOUT = "no git checkout of its own"


class GitError(Exception):
    """git has no answer about this checkout; the message says why and what to do, and names no path."""


def unreadable(value: object) -> TypeIs[Unreadable]:
    """Whether a value of a record is the reason why there is none."""
    return isinstance(value, str) and value.startswith("unreadable:")


def ask_git(folder: Path, *words: str, limit_s: float = 20.0) -> str:
    """What git says of the checkout whose top `folder` is. Raises GitError; another repository around it is none."""
    folder = folder.resolve()
    variables = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
    variables |= {"GIT_CEILING_DIRECTORIES": str(folder.parent), "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    command = ["git", "-C", str(folder), *words]
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=limit_s, check=False, env=variables, errors="replace"
        )
    except FileNotFoundError:
        raise GitError("git is not installed") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GitError(f"git does not answer ({type(error).__name__})") from None
    if answer.returncode:
        raise GitError(_reason(answer.stderr))
    return answer.stdout.strip("\n")


def _reason(stderr: str) -> str:
    """git's complaint in a sentence, without the path that it names."""
    if "dubious ownership" in stderr:
        cure = 'git config --global --add safe.directory "$PWD"'
        return f"git refuses this checkout, as another user owns it (run in it: {cure})"
    if "not a git repository" in stderr:
        return NO_CHECKOUT
    last = (stderr.strip().splitlines() or [""])[-1]
    return re.sub(r"'?/[^\s']+'?", "a path", last)


def git(folder: Path = ROOT) -> Commit:
    """The commit of a checkout, and whether a file that could change a result differs from it.

    {"sha", "dirty", "code", "source": "git" or "file"}, or {"sha": None, "dirty": None, "code", "reason"}; `code` is
    the digest of the code as it is, by which two checkouts are seen to be alike whatever their commits.
    """
    code = digest(folder)
    try:
        sha = ask_git(folder, "rev-parse", "--verify", "HEAD")
        dirty = bool(ask_git(folder, "status", "--porcelain", "--", *CODE))
        return {"sha": sha, "dirty": dirty, "code": code, "source": "git"}
    except GitError as error:
        reason = str(error)
    try:
        return _from_file(folder, code)
    except FileNotFoundError:
        told = f"{reason}, and no {FILE} that says which commit this is"
    except (OSError, ValueError, KeyError, TypeError) as error:
        told = f"{reason}, and {FILE} is damaged ({type(error).__name__}): make gpu-pack, where git answers"
    return {"sha": None, "dirty": None, "code": code, "reason": told}


def _from_file(folder: Path, code: str) -> Commit:
    kept = json.loads((folder / FILE).read_text(encoding="utf-8"))
    if kept["schema"] > SCHEMA or not re.fullmatch(r"[0-9a-f]{40}([0-9a-f]{24})?", kept["sha"]):
        raise ValueError("of another version, or no commit")
    return {"sha": kept["sha"], "dirty": bool(kept["dirty"]) or kept["code"] != code, "code": code, "source": "file"}


def digest(folder: Path = ROOT) -> str:
    """Of SHA-256 over the names and contents of the code, 16 digits; what is hidden or was made from it is left out."""
    found = hashlib.sha256()
    for name, path in sorted(_code(folder)):
        found.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return found.hexdigest()[:16]


def _code(folder: Path) -> Iterator[tuple[str, Path]]:
    for part in CODE:
        top = folder / part
        for path in [top] if top.is_file() else top.rglob("*"):
            name = path.relative_to(folder)
            made = path.suffix == ".pyc" or any(p.startswith((".", "__pycache__")) for p in name.parts)
            if path.is_file() and not made:
                yield name.as_posix(), path


def write(folder: Path = ROOT) -> Commit:
    """Leave the commit for where git does not answer. Returns what `git` says; writes only where git itself says it.

    Raises StoreError where the file cannot be written.
    """
    found = git(folder)
    if found.get("source") == "git":
        when = datetime.now(UTC).isoformat(timespec="seconds")
        kept = {"schema": SCHEMA, "sha": found["sha"], "dirty": found["dirty"], "code": found["code"], "when": when}
        write_json(folder / FILE, kept)
    return found


def short(found: Any, digits: int = 10) -> str:
    """A commit in short, with a plus where there were changes beside it; "unknown" where there is none.

    `found` is what `git` returns, or the `git` of any record's environment.
    """
    sha = sha_of({"git": found})
    return "unknown" if sha is None else sha[:digits] + ("+" if found.get("dirty") is True else "")


def this_commit(digits: int = 10) -> str:
    """`short` of this checkout."""
    return short(git(), digits)


def code_of(env: Environment) -> str:
    """What a result is a result of: this project's code and the versions that compile and launch it."""
    packages = env.get("packages", {})
    versions = "/".join(str(packages.get(name)) for name in ("torch", "triton"))
    commit = env.get("git")
    code = commit.get("code") if isinstance(commit, dict) else None
    return f"{code or short(commit)} {versions} {env.get('gpu', {}).get('driver', '')}".strip()


def sha_of(env: Environment) -> str | None:
    """The commit that a record's environment names; None for one that could not be read, however that was noted."""
    found = env.get("git")
    sha = found.get("sha") if isinstance(found, dict) else None
    return sha if isinstance(sha, str) and sha and not unreadable(sha) else None


def main() -> int:
    found = write()
    if found["sha"] is None:
        print(f"bench: no commit to leave: {found['reason']}", file=sys.stderr)
        return 1
    if found["source"] == "file":
        stale = "; the code beside it is other than when it was written" if found["dirty"] else ""
        print(f"{FILE} is there already, and git does not answer here: {short(found, 12)}{stale}")
        return 0
    print(f"{FILE}: {short(found, 12)}, for a machine that is sent these files without .git")
    return 0
