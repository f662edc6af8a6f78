"""Repositories that tests make, and copies of this one."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def git(folder: Path, *words: str) -> str:
    """What git says in a folder, as somebody whose settings are not this machine's."""
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false")
    command = ["git", "-C", str(folder), *identity, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def files_of(folder: Path) -> list[str]:
    """The files of a checkout that git tracks or would add."""
    names = git(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    return [name for name in names if (folder / name).is_file()]


def copy_checkout(folder: Path, beginnings: tuple[str, ...] = ("",)) -> None:
    """Copy this checkout's files as they are now, those whose names begin so; skip the test where git has none."""
    try:
        names = files_of(ROOT)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is no git checkout")
    for name in names:
        if name.startswith(beginnings):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
