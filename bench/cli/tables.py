"""A table for three readers: the terminal, CSV with raw values, and Markdown."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.padding import Padding
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from bench.text import grid, markdown_cell, markdown_table, visible

UNLIMITED = 1 << 16  # columns of what is no terminal


class Screen(Console):
    """A console on which no text acts: what a field of a record or a file's name holds is shown (`visible`).

    On a terminal a table that has no room is narrowed (`fitted`), as digits that are cut look like a number. What is no
    terminal is as wide as its lines are, but for tables where COLUMNS says how much room there is.
    """

    def __init__(self, *, width: int | None = None, **options: Any) -> None:
        super().__init__(width=width, **options)
        self._width = width  # COLUMNS is read when something is printed, not now

    @property
    def options(self) -> ConsoleOptions:
        options = super().options
        wide = self._width is None and not self.is_terminal and "COLUMNS" not in self._environ
        return options.update(max_width=UNLIMITED) if wide else options

    def print(self, *objects: Any, crop: bool = False, **options: Any) -> None:
        if not self.is_terminal and all(isinstance(each, str | Text | Padding) for each in objects):
            options["soft_wrap"] = True
        super().print(*objects, crop=crop, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Make text of a string before it is laid out, so that a table is as wide as what is shown."""
        return super().render_str(visible(text), **options)

    def render(self, renderable: RenderableType, options: Any = None) -> Iterator[Segment]:
        """Yield what is printed; the one way out for whatever is."""
        if isinstance(renderable, Table) and renderable.show_header:
            from bench.cli.narrow import fitted

            renderable = fitted(renderable, self, (options or self.options).max_width)
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else visible(text), style, control)


out = Screen(highlight=False, soft_wrap=False)


@dataclass(frozen=True)
class Column:
    """A column: its title for a reader, and its key in the rows, which is its name in CSV and JSON, with the unit.

    `show` formats a value that is not None for a reader; `text` columns are words, aligned to the left.
    """

    title: str
    key: str
    show: Callable[[Any], str] = str
    text: bool = False
    wrapped: bool = False

    def cell(self, row: Mapping[str, Any]) -> str:
        value = row.get(self.key)
        return "-" if value is None else self.show(value)


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=1).replace("\x7f", "\\u007f"))  # the one control that JSON has as it is


def print_text(text: str) -> None:
    """Print a finished text, as Markdown or CSV, in which no character acts on a terminal."""
    print(visible(text), end="")


def print_table(
    columns: Sequence[Column], rows: Sequence[Mapping[str, Any]], *, as_csv: bool = False, as_markdown: bool = False
) -> None:
    """Print rows of raw values by key: the columns for a reader, or in CSV every key of the rows."""
    if as_csv:
        print_csv(rows, [column.key for column in columns])
        return
    words = [column.title for column in columns if column.text]
    wrapped = [column.title for column in columns if column.wrapped]
    table = grid(*(column.title for column in columns), text=words, wrapped=wrapped, gap=2)
    for row in rows:
        table.add_row(*(Text(visible(column.cell(row))) for column in columns))
    console_for(as_markdown).print(table)


def print_csv(rows: Iterable[Mapping[str, Any]], keys: Iterable[str] = ()) -> None:
    """Print rows as CSV under a line of names: `keys`, and then those that only the rows have, in their order.

    Numbers are whole, in full precision; what a row lacks is empty; an object's values are columns `outer_inner`.
    """
    flat = [_flatten(row) for row in rows]
    names = list(dict.fromkeys([*keys, *(name for row in flat for name in row)]))
    if not names:
        return  # a line of no names would be no CSV
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_csv_cell(row.get(name)) for name in names] for row in flat)


def _flatten(row: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, Mapping):
            flat |= {f"{key}_{name}": inner for name, inner in _flatten(value).items()}
        else:
            flat[key] = value
    return flat


def _csv_cell(value: Any) -> Any:
    """Return a value as it stands in CSV: lists with semicolons, true and false as in JSON, a line break as its escape.

    A cell that begins with = is a formula to a spreadsheet, which asks before it runs one: it stays as it is.
    """
    if isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, list | tuple):
        return ";".join(str(_csv_cell(entry)) for entry in value)
    if isinstance(value, str):
        return visible(value).replace("\n", "\\n")
    return "" if value is None or value != value else value


def console_for(as_markdown: bool) -> Console:
    """Return the console of stdout, or with `as_markdown` one that prints the same as Markdown."""
    return MarkdownConsole(highlight=False) if as_markdown else out


class MarkdownConsole(Console):
    """Prints what a terminal shows as Markdown: a table as one, lines that begin with a space as a block of text."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.verbatim = False  # whether the last line was of a block of text

    def print(self, *objects: Any, style: Any = None, markup: bool | None = None, **_: Any) -> None:
        for content in objects or ("",):
            if isinstance(content, Table):
                self._write(["", *table_as_markdown(content), ""])
            else:
                self._print_lines(_plain(content, markup is not False), bold=style == "bold")

    def print_json(self, *objects: Any, **_: Any) -> None:
        self._write(["", "```json", *json.dumps(json.loads(objects[0]), indent=1).splitlines(), "```", ""])

    def _print_lines(self, content: str, bold: bool) -> None:
        for line in content.split("\n"):
            if line.startswith(" ") and line.strip():
                self._write([line], verbatim=True)
            else:
                text = markdown_cell(line).replace("\\|", "|")
                self._write([f"**{text}**  " if bold and text else f"{text}  " if text else ""])

    def _write(self, lines: Iterable[str], verbatim: bool = False) -> None:
        if verbatim != self.verbatim:
            self.verbatim = verbatim
            print(file=self.file)
        for line in lines:
            print(visible(f"    {line}" if verbatim else line), file=self.file)


def table_as_markdown(table: Table) -> list[str]:
    """Return the lines of a rich table as Markdown."""
    titles = [_cell(column.header) for column in table.columns]
    left = [title for title, column in zip(titles, table.columns, strict=True) if column.justify != "right"]
    rows = zip(*([_cell(cell) for cell in column.cells] for column in table.columns), strict=True)
    return markdown_table(titles, rows, left)


def _cell(content: RenderableType) -> str:
    bold = isinstance(content, str) and content.startswith("[bold]")
    text = markdown_cell(_plain(content, True))
    return f"**{text}**" if bold and text else text


def _plain(content: Any, markup: bool) -> str:
    """Return what is printed without its styles."""
    if isinstance(content, Text):
        return content.plain
    return Text.from_markup(str(content)).plain if markup else str(content)
