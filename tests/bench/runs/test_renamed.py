"""mypy sees a field of a message that one side renames."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SIDES = ("bench/runs/sweep.py", "bench/worker/reference.py")  # who asks for references, and who makes them


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources, whose cache of mypy the tests share: after the first they check what was edited alone."""
    folder = tmp_path_factory.mktemp("tree")
    for name in ("bench", "kernels", "resnet"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    if (ROOT / ".mypy_cache").is_dir():
        shutil.copytree(ROOT / ".mypy_cache", folder / ".mypy_cache")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "old", "new", "complaint"),
    [
        ("bench/runs/job.py", "    paths: dict[str, str]", "    files: dict[str, str]", SIDES),
        ("bench/runs/job.py", "    model_name: str", "    network: str", SIDES[1:]),
        ("bench/worker/reference.py", '"paths": paths', '"files": paths', SIDES[1:]),
        ("bench/runs/sweep.py", 'reference.data["paths"]', 'reference.data["files"]', SIDES[:1]),
    ],
)
def test_a_renamed_field_is_an_error(file: str, old: str, new: str, complaint: tuple[str, ...], tree: Path) -> None:
    path = tree / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    try:
        done = subprocess.run([sys.executable, "-m", "mypy", *SIDES], cwd=tree, capture_output=True, text=True)
    finally:
        path.write_text(text)
    assert done.returncode == 1, done.stdout
    for side in complaint:
        assert f"{side}:" in done.stdout
