"""Tables on a screen that has no room for them: words broken at their joints, else a block of lines for each row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bench.text import joints, least_width

LINES = 4  # of a cell, at most; with more a block reads better
INDENT = 2  # of a block's lines, under its first


def fitted(table: Table, console: Console, room: int) -> RenderableType:
    """Return a table as it fits `room` columns: as it is, with words on several lines, or as a block for each row."""
    columns = [[_text(cell, console) for cell in (column.header, *column.cells)] for column in table.columns]
    widths = [
        max(column.min_width or 0, *map(_width, texts)) for column, texts in zip(table.columns, columns, strict=True)
    ]
    cells = _narrowed(table, columns, widths, room - table.padding[1] * (len(widths) - 1))
    return _blocks(table, columns, room) if cells is None else _drawn(table, cells)


def _drawn(table: Table, columns: Sequence[list[Text]]) -> RenderableType:
    """Return the lines of a table: what rich draws, without spaces at their ends, in a third of its time."""
    widths = [
        max(column.min_width or 0, *map(_width, texts)) for column, texts in zip(table.columns, columns, strict=True)
    ]
    left, gap = [column.justify == "left" for column in table.columns], " " * table.padding[1]
    lines = []
    for number, style in enumerate([table.header_style, *(row.style for row in table.rows)]):
        parts = [texts[number].split("\n", allow_blank=True) for texts in columns]
        for height in range(max(map(len, parts))):
            line = Text(style=style or "", no_wrap=True, overflow="ignore")
            for place, part in enumerate(parts):
                text = part[height] if height < len(part) else Text()
                pad = " " * (widths[place] - cell_len(text.plain))
                line.append(gap * bool(place) + pad * (not left[place])).append_text(text).append(pad * left[place])
            line.rstrip()
            lines.append(line)
    return Group(*lines)


def _text(cell: RenderableType, console: Console) -> Text:
    return cell if isinstance(cell, Text) else console.render_str(str(cell))


def _width(text: Text) -> int:
    return max(map(cell_len, text.plain.split("\n")))


def _narrowed(
    table: Table, columns: Sequence[list[Text]], widths: Sequence[int], room: int
) -> Sequence[list[Text]] | None:
    """Return the columns with words on as many lines as `room` asks for; None if those are too many."""
    if sum(widths) <= room:
        return columns
    widths = list(widths)
    least = [
        width if column.no_wrap else max(least_width(text.plain) for text in texts)
        for column, texts, width in zip(table.columns, columns, widths, strict=True)
    ]
    while sum(widths) > room:
        wider = [place for place in range(len(widths)) if widths[place] > least[place]]
        if not wider:
            return None
        widths[max(wider, key=widths.__getitem__)] -= 1
    cells = [[_broken(text, width) for text in texts] for texts, width in zip(columns, widths, strict=True)]
    return None if any(text.plain.count("\n") >= LINES for texts in cells for text in texts) else cells


def _broken(text: Text, width: int) -> Text:
    """Return text on lines of at most `width`, each begun behind a joint; a longer word is left whole."""
    if _width(text) <= width:
        return text
    lines: list[Text] = []
    for whole in text.split("\n", allow_blank=True):
        line = Text()
        for piece in _pieces(whole):
            if line.plain and cell_len(line.plain + piece.plain.rstrip()) > width:
                lines.append(line)
                line = Text()
            line.append_text(piece)
        lines.append(line)
    for line in lines:
        line.rstrip()
    return Text("\n").join(lines)


def _pieces(line: Text) -> Iterable[Text]:
    ends = [0]
    for piece in joints(line.plain):
        ends.append(ends[-1] + len(piece))
    return line.divide(ends[1:-1])


def _blocks(table: Table, columns: Sequence[list[Text]], room: int) -> RenderableType:
    """Return the rows as blocks: the first words of a row, and below them the title and the value of each other cell.

    A pair stands at the same place in each block.
    """
    words = [column.justify == "left" for column in table.columns]
    widths = [max(map(_width, texts[1:]), default=0) for texts in columns]
    first = max(1, words.index(False) if False in words else 1)
    lines: list[RenderableType] = []
    for number, row in enumerate(table.rows, 1):
        name = Text(" ").join(texts[number] for texts in columns[:first] if texts[number].plain)
        name.stylize(row.style or "bold")
        lines.append(_broken(name, room))
        if not any(texts[number].plain for texts in columns[first:]):
            continue
        line = Text()
        for texts, width, left in zip(columns[first:], widths[first:], words[first:], strict=True):
            pair = _pair(texts[0], texts[number], 0 if left else width)
            if line.plain and cell_len(line.plain) + 2 + _width(pair) > room - INDENT:
                lines.append(_indented(line, room))
                line = Text()
            line.append("  " * bool(line.plain)).append_text(pair)
        lines.append(_indented(line, room))
    return Group(*lines)


def _pair(title: Text, value: Text, width: int) -> Text:
    """Return a title and a value of the usual width, as they stand in a block."""
    shown = Text.assemble((title.plain, "dim"), " " * bool(title.plain), " " * max(0, width - _width(value)))
    return shown.append_text(value)


def _indented(line: Text, room: int) -> RenderableType:
    return Padding(_broken(line, room - INDENT), (0, 0, 0, INDENT), expand=False)
