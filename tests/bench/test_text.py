"""Numbers, nouns and tables: as every sentence, terminal and document has them."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from bench.text import at_pixels, digits, grid, markdown_cell, markdown_table, plural


@given(st.floats(1e-3, 1e9))
def test_four_digits_tell_a_number_to_a_thousandth(value: float) -> None:
    text = digits(value)
    assert "e" not in text
    assert float(text.replace(",", "")) == pytest.approx(value, rel=1e-3, abs=5e-5)


@pytest.mark.parametrize(
    ("value", "text"), [(0.5, "0.5000"), (1.0, "1.000"), (12.345, "12.35"), (1234.5, "1,234"), (1e6, "1,000,000")]
)
def test_numbers(value: float, text: str) -> None:
    assert digits(value) == text


@pytest.mark.parametrize(
    ("count", "more", "text"), [(0, "", "cases"), (1, "", "case"), (2, "", "cases"), (1, "x", "case"), (2, "x", "x")]
)
def test_a_noun_is_as_its_count_wants_it(count: int, more: str, text: str) -> None:
    assert plural(count, "case", more) == text


def test_the_usual_size_is_not_said() -> None:
    assert (at_pixels(224), at_pixels(160)) == ("", " at 160 pixels")


def drawn(table: object, width: int = 80) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width).print(table)
    return [line.rstrip() for line in out.getvalue().splitlines()]


@pytest.mark.parametrize("text", [1, ("name",)])
def test_words_stand_left_and_numbers_right(text: int | tuple[str, ...]) -> None:
    table = grid("name", "us", text=text)
    table.add_row("a", "1")
    table.add_row("long", "1000")
    assert drawn(table) == ["name   us", "a       1", "long 1000"]


def test_the_gap_is_chosen() -> None:
    table = grid("a", "b", gap=2)
    table.add_row("x", "y")
    assert drawn(table) == ["a  b", "x  y"]


def test_only_what_may_be_wrapped_is() -> None:
    table = grid("name", "words", wrapped=("words",))
    table.add_row("whole-name", "one two three four")
    assert drawn(table, 20) == ["name       words", "whole-name one two", "           three", "           four"]


def test_a_markdown_table() -> None:
    assert markdown_table(("case", "", "us"), [("`a`", "x", "1")], ("case", "")) == [
        "| case | | us |",
        "|---|---|---:|",
        "| `a` | x | 1 |",
    ]
    assert markdown_table(("case", "us"), []) == ["| case | us |", "|---|---:|"]


@given(st.text())
def test_a_cell_ends_no_cell_and_no_line(text: str) -> None:
    cell = markdown_cell(text)
    assert "\n" not in cell
    assert "<" not in cell
    assert not re.search(r"(?<!\\)\|", cell)
