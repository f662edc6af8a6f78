"""docs/GLOSSARY.md against the code's own tables: a column, a verdict or a status without an entry fails."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.experiments.parts import STATUSES as PART_STATUSES
from bench.machine.environment import ROOT
from bench.records.record import STATUSES
from bench.report.page.words import WORDS
from bench.report.recommend import OBJECTIVES
from bench.report.views import VIEWS
from bench.static import cases, cases_text, kernel_changes
from bench.text import WORDS as LEGEND_END
from bench.tuning import trials
from bench.verdicts import rule
from bench.verdicts.metrics import METRICS
from bench.verdicts.rounds import CACHES, PROCESSES
from bench.verdicts.selftest.simulated import SHAPES
from resnet.cost import BYTES
from resnet.floors import FUSIONS

# the functions that are given a table's titles
TABLES = {"grid", "_grid", "markdown_table", "_lines", "_print_rows", "_table"}
TEXT = (ROOT / "docs" / "GLOSSARY.md").read_text()
ROWS = [line.split(" | ", 1) for line in TEXT.splitlines() if line.startswith("| ")]
ENTRIES = {word for cell, _ in ROWS for word in re.findall(r"`([^`]+)`", cell)}
# Words of the meanings count where a row explains the values of a column: a verdict's, a status's, a cache's.
EXPLAINED = ENTRIES | set(re.findall(r"`([^`]+)`", TEXT))


def titles_of(path: Path) -> set[str]:
    """The titles of the tables that a module prints, as far as they stand in it as text."""
    titles: set[str] = set()
    for function in ast.walk(ast.parse(path.read_text())):
        if isinstance(function, ast.FunctionDef):
            titles |= set(_titles_in(function))
    return titles


def _titles_in(function: ast.FunctionDef) -> Iterator[str]:
    given: list[ast.expr] = []
    for node in ast.walk(function):
        name = getattr(node.func, "id", getattr(node.func, "attr", "")) if isinstance(node, ast.Call) else ""
        if isinstance(node, ast.Call) and name in TABLES:
            given += node.args
        elif isinstance(node, ast.Call) and name == "Block":
            given += node.args[1:2]
    names = {node.id for argument in given for node in ast.walk(argument) if isinstance(node, ast.Name)}
    for node in ast.walk(function):  # `titles = (...)`, and what that was made of
        if isinstance(node, ast.Assign) and any(getattr(target, "id", "") in names for target in node.targets):
            given.append(node.value)
            names |= {inner.id for inner in ast.walk(node.value) if isinstance(inner, ast.Name)}
    for argument in given:
        yield from _literals(argument)


def _literals(node: ast.AST) -> Iterator[str]:
    """The text of a constant, and of those of a tuple, a list or a starred one."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.Tuple | ast.List | ast.Starred):
        for inner in ast.iter_child_nodes(node):
            yield from _literals(inner)


PRINTING = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "bench").rglob("*.py")
    if path != ROOT / "bench" / "text.py" and titles_of(path)
)


def test_the_tables_of_the_code_are_seen() -> None:
    assert {"bench/verdicts/shown/text.py", "bench/serving/text.py", "bench/tuning/summary.py"} < set(PRINTING)
    assert {"change", "interval", "needed"} < titles_of(ROOT / "bench" / "verdicts" / "shown" / "text.py")


@pytest.mark.parametrize("name", PRINTING)
def test_every_title_of_a_table_has_an_entry(name: str) -> None:
    titles = {title.strip() for title in titles_of(ROOT / name)} - {"", *rule.WORDS}
    assert titles <= ENTRIES, titles - ENTRIES


@pytest.mark.parametrize("name", VIEWS)
def test_every_column_of_a_view_has_an_entry(name: str) -> None:
    titles = set(VIEWS[name].titles)
    assert titles <= ENTRIES, titles - ENTRIES


@pytest.mark.parametrize(
    "words",
    [
        FUSIONS, BYTES, METRICS, STATUSES, cases_text.COLUMNS.values(), kernel_changes.ORDER, trials.STATUSES,
        cases.ORDER, PART_STATUSES, rule.WORDS, CACHES, PROCESSES, SHAPES, OBJECTIVES,
        ("ok", "failed", "partial", "missing"),
    ],
)  # fmt: skip
def test_every_word_of_the_code_s_own_tables_is_explained(words: object) -> None:
    assert isinstance(words, dict | tuple | list | type({}.values()))
    assert set(words) <= EXPLAINED, set(words) - EXPLAINED


def test_the_words_that_the_page_explains_are_in_it() -> None:
    for word in WORDS:
        assert re.search(rf"(?i)(?<![a-z]){re.escape(word)}", TEXT), word


def test_no_word_has_two_rows_in_one_group_and_each_row_a_meaning() -> None:
    for group in TEXT.split("\n## ")[1:]:
        cells = [line.split(" | ", 1) for line in group.splitlines() if line.startswith("| ")][1:]
        words = [word for cell, _ in cells for word in re.findall(r"`([^`]+)`", cell)]
        assert len(words) == len(set(words)), sorted(word for word in words if words.count(word) > 1)
        assert all(len(meaning) > 10 for _, meaning in cells[1:])


def test_it_is_where_a_reader_is_sent() -> None:
    assert "docs/GLOSSARY.md" in LEGEND_END
    assert "(docs/GLOSSARY.md)" in (ROOT / "README.md").read_text().split("## Five recipes")[1]
    assert "(GLOSSARY.md)" in (ROOT / "docs" / "ARCHITECTURE.md").read_text()
    assert "docs/GLOSSARY.md" in (ROOT / "bench" / "report" / "page" / "page.html").read_text()
