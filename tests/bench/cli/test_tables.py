"""One table for three readers: the terminal, CSV, Markdown."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table
from rich.text import Text
from typer.testing import CliRunner

from bench.cli import app
from bench.cli.tables import Column, Screen, console_for, print_csv, print_table
from bench.text import grid

COLUMNS = (
    Column("name", "name", text=True),
    Column("p50 ms", "p50_ns", lambda ns: f"{ns / 1e6:.2f}"),
)
ROWS = [{"name": "a|b, c", "p50_ns": 1234567.8912345}, {"name": "[bold]x", "p50_ns": None}]
Captured = pytest.CaptureFixture[str]


def test_csv_has_whole_numbers_and_quotes_what_needs_it(capsys: Captured) -> None:
    print_table(COLUMNS, ROWS, as_csv=True)
    text = capsys.readouterr().out
    assert "\r" not in text
    assert list(csv.DictReader(io.StringIO(text))) == [
        {"name": "a|b, c", "p50_ns": "1234567.8912345"},
        {"name": "[bold]x", "p50_ns": ""},
    ]


def test_csv_has_a_column_for_whatever_a_row_has(capsys: Captured) -> None:
    print_csv([{"a": 1}, {"b": {"low": 0.1, "deep": {"x": [1, 2]}}, "c": True, "d": float("nan")}], ["z"])
    names, first, second = csv.reader(io.StringIO(capsys.readouterr().out))
    assert names == ["z", "a", "b_low", "b_deep_x", "c", "d"]
    assert first == ["", "1", "", "", "", ""]
    assert second == ["", "", "0.1", "1;2", "true", ""]


def test_markdown_is_the_table_that_the_terminal_shows(capsys: Captured) -> None:
    print_table(COLUMNS, ROWS, as_markdown=True)
    assert capsys.readouterr().out.strip().splitlines() == [
        "| name | p50 ms |",
        "|---|---:|",
        "| a\\|b, c | 1.23 |",
        "| [bold]x | - |",
    ]
    print_table(COLUMNS, ROWS)
    assert capsys.readouterr().out.splitlines() == ["name     p50 ms", "a|b, c     1.23", "[bold]x       -"]


def drawn(table: Table, width: int | None = None, terminal: bool = True) -> list[str]:
    file = io.StringIO()
    Screen(file=file, width=width, force_terminal=terminal, no_color=True, color_system=None).print(table)
    return [line.rstrip() for line in file.getvalue().splitlines()]


def test_where_a_terminal_has_no_room_for_columns_each_row_is_a_block() -> None:
    table = grid("", "variant", "images/s", "vs eager", text={"", "variant"})
    table.add_row(">", "channels-last-amp", "1888.37", "1.78±9%")
    table.add_row("", "eager", "9.1", "1.00")
    assert drawn(table, 30) == [
        "> channels-last-amp",
        "  images/s 1888.37",
        "  vs eager 1.78±9%",
        "eager",
        "  images/s     9.1",
        "  vs eager    1.00",
    ]
    assert drawn(table, 36)[1] == "  images/s 1888.37  vs eager 1.78±9%"
    assert drawn(table, 80)[0].split() == ["variant", "images/s", "vs", "eager"]


def test_words_are_broken_at_joints_and_numbers_and_names_of_whole_columns_never() -> None:
    table = grid("variant", "images/s", "loss", wrapped=("variant", "loss"), text=1)
    table.add_row("channels-last-amp+graph", "1,888.37", "-0.4±1.0")
    assert drawn(table, 32) == [
        "variant        images/s     loss",
        "channels-last- 1,888.37 -0.4±1.0",
        "amp+graph",
    ]


@given(st.lists(st.tuples(*[st.text("ab-/_ ±.1", max_size=12)] * 4), max_size=5), st.integers(8, 60), st.booleans())
def test_nothing_of_a_table_is_lost_at_any_width(rows: list[tuple[str, ...]], width: int, terminal: bool) -> None:
    table = grid("a", "bb", "c c", "d", wrapped=("a", "d"))
    for row in rows:
        table.add_row(*map(Text, row))
    text = "".join("".join(drawn(table, width, terminal)).split())
    assert "…" not in text
    for sign in "1±_/":
        assert text.count(sign) == sum("".join(row).count(sign) for row in rows)


@given(st.lists(st.tuples(*[st.text("ab ±\u6f22\n", max_size=9)] * 3), max_size=4), st.integers(1, 3))
def test_a_table_with_room_is_drawn_as_rich_draws_it(rows: list[tuple[str, ...]], gap: int) -> None:
    table, file = grid("a", "b b", "c", text=1, gap=gap), io.StringIO()
    for row in rows:
        table.add_row(*(Text(cell.strip("\n").replace(" ", "_")) for cell in row))
    Console(file=file, width=200).print(table)
    assert drawn(table, 200) == [line.rstrip() for line in file.getvalue().splitlines()]


def test_what_is_no_terminal_is_as_wide_as_its_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    table = grid("case", "reason", text=2, wrapped=("reason",))
    table.add_row("x" * 60, "why " * 30)
    assert len(drawn(table, terminal=False)) == 2
    monkeypatch.setenv("COLUMNS", "40")
    assert len(drawn(table, terminal=False)) > 2
    file = io.StringIO()
    Screen(file=file).print("a sentence " * 20)
    assert file.getvalue().count("\n") == 1  # whatever COLUMNS says


def test_markdown_keeps_sentences_headings_and_blocks(capsys: Captured) -> None:
    console, table = console_for(True), grid("model", "n")
    table.add_row("[bold]resnet50[/]", "[red]3[/]")
    console.print("[bold]The answer[/] is <3", style="bold")
    console.print("[x] stays", markup=False)
    console.print("  bench run 'a*'", markup=False)
    console.print("why")
    console.print(table)
    text = capsys.readouterr().out
    assert "**The answer is &lt;3**  \n[x] stays  \n\n      bench run 'a*'\n\nwhy  \n" in text
    assert "| **resnet50** | 3 |" in text


def test_two_forms_at_once_are_refused() -> None:
    done = CliRunner().invoke(app, ["report", "results/cpu-quick", "--csv", "--json"], env={"COLUMNS": "200"})
    assert done.exit_code == 2
    assert "--csv and --json are two forms of the same" in done.output


def test_the_report_as_csv_is_a_row_a_case_with_the_numbers_of_json() -> None:
    words = ["report", "results/cpu-quick"]
    rows = list(csv.DictReader(io.StringIO(CliRunner().invoke(app, [*words, "--csv"]).stdout)))
    data = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)["rows"]
    assert [row["case"] for row in rows] == [row["case"] for row in data]
    assert [float(row["p50_ns"]) for row in rows] == [row["p50_ns"] for row in data]
    assert [float(row["host_resident_peak_bytes"]) for row in rows] == [row["host_resident_peak"] for row in data]
