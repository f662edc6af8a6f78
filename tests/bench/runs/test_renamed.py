"""mypy sees a field of a message that one side renames."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SIDES = ("bench/runs/sweep.py", "bench/worker/reference.py")  # who asks for references, and who makes them


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
def test_a_renamed_field_is_an_error(file: str, old: str, new: str, complaint: tuple[str, ...], tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for name in ("bench", "kernels", "resnet", "pyproject.toml"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tree / name)
    cache = ROOT / ".mypy_cache"
    if cache.is_dir():
        shutil.copytree(cache, tree / ".mypy_cache")
    path = tree / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    done = subprocess.run([sys.executable, "-m", "mypy", *SIDES], cwd=tree, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout
    for side in complaint:
        assert f"{side}:" in done.stdout
