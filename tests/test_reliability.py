"""docs/RELIABILITY.md names tests that there are, and has the counts of the soak as the soak names them."""

import ast
import re
from functools import cache
from pathlib import Path

from tests.soak.judge import COUNTS

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "RELIABILITY.md").read_text(encoding="utf-8")


@cache
def functions(path: str) -> set[str]:
    file = ROOT / path
    tree = ast.parse(file.read_text(encoding="utf-8") if file.exists() else "")
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_test_that_the_page_names_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)
    assert len(named) > 20
    assert [f"{path}::{name}" for path, name in named if name not in functions(path)] == []


def test_every_row_of_a_fault_names_a_test() -> None:
    table = PAGE.split("## By the tests")[1]
    rows = [line for line in table.splitlines() if line.startswith("| ") and "| the test |" not in line]
    assert rows
    assert [row for row in rows if "::" not in row] == []


def test_the_page_says_what_each_count_of_the_soak_is_of() -> None:
    words = {word for cell in re.findall(r"^\| ([a-z, ]+) \|", PAGE, re.M) for word in cell.split(", ")}
    assert set(COUNTS) <= words


def test_the_soak_has_left_only_zeros() -> None:
    """Whoever writes its counts into the page says by this test that all of them are 0."""
    counts = re.search(r"\*\*(\d+ lost, .*?)\*\*", PAGE.split("<!-- soak -->")[1].split("<!-- /soak -->")[0], re.S)
    if counts:
        assert [word for word in counts[1].split(", ") if not word.startswith("0 ")] == []
