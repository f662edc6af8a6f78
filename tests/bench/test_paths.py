"""One spelling of every place under results/: what writes a file and what looks for it ask the same function."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import bench
from bench import paths
from bench.errors import StoreError
from kernels.cards import places

ROOT = Path(bench.__file__).resolve().parents[1]
NAMES = {"results", "local", places.TUNED, places.CEILINGS}


def test_the_places_are_in_the_checkout() -> None:
    assert places.RESULTS == ROOT / "results"
    assert ROOT / "results" / "local" == paths.LOCAL == paths.local()
    assert paths.local(Path("x")) == Path("x/local")
    assert paths.ACCEPTED.is_file()


def test_where_no_run_was_there_is_none_to_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "LOCAL", tmp_path)
    with pytest.raises(StoreError, match="no earlier results of quick to resume; name their folder with -o"):
        paths.latest_run_folder("quick")
    first = paths.new_run_folder("quick")
    first.mkdir()
    assert (first.parent, paths.latest_run_folder("quick")) == (tmp_path, first)
    assert paths.new_run_folder("quick").name.endswith("-2")


def test_no_other_module_spells_a_place() -> None:
    """`folder / "local"` anywhere else is a second definition of where things lie."""
    spelling = {
        path.relative_to(ROOT).as_posix()
        for package in ("bench", "kernels", "resnet")
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)
        if isinstance(node.right, ast.Constant) and node.right.value in NAMES
    }
    assert spelling == {"bench/paths.py", "kernels/cards/places.py"}
