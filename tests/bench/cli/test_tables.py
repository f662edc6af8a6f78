"""One table for three readers: the terminal, CSV, Markdown."""

import csv
import io
import json

import pytest
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


@pytest.mark.parametrize("wrapped", [(), ("variant",)])
def test_no_value_is_cut_where_the_terminal_is_narrow(wrapped: tuple[str, ...]) -> None:
    file = io.StringIO()
    table = grid("variant", "images/s", "vs eager", wrapped=wrapped)
    table.add_row("channels-last-amp", "1888.37", "1.78±9%")
    Screen(file=file, width=20).print(table)
    assert [line.rstrip() for line in file.getvalue().splitlines()] == [
        "variant           images/s vs eager",
        "channels-last-amp 1888.37   1.78±9%",
    ]


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
