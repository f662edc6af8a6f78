"""A comparison as a comment on a pull request: the finding, the roll-up, each case that changed once; the rest folded.

It fits GitHub's column of 838 pixels and its 65,536 characters, whatever the number of cases: what is cut is counted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import groupby
from urllib.parse import quote

from bench.text import markdown_table, plural, visible
from bench.verdicts.compare import AMBIGUOUS, FASTER, SAME, SLOWER, Comparison, Verdict
from bench.verdicts.metrics import METRICS
from bench.verdicts.rollup import RollUp
from bench.verdicts.shown import text as texts
from bench.verdicts.shown.finding import finding, word_of
from bench.verdicts.summary import change, interval, summary

Verdicts = Mapping[tuple[str, str], Verdict]  # by case and metric

CHANGES = (SLOWER, FASTER)
COLUMNS = 4  # metrics side by side in a table
SHOWN_FAILED = 5  # failures that are not folded
SHOWN_CASES = 12  # of the table that is not folded
LINE = 26  # characters of a name's line in a cell
SENTENCE, CELL = 1200, 300  # characters of a sentence, and of one name or line of a list
# characters of a table that is not folded, and of each that is: in all well under what GitHub takes
OPEN_ROOM, FOLDED_ROOM, LIST_ROOM = 5_000, 9_000, 4_000
MARKUP = re.compile(r"([\\`*_\[\]#~|$>])")
# what is code: a command, and what GitHub would make a mention or a link of
CODE = re.compile(r"`[^`]+`|[^\s`]*(?:@|://|www\.|#\d|\bGH-\d)[^\s`]*")


def comment(comparison: Comparison, every: bool = False, about: str = "", picture: str = "") -> str:
    """Return the comment; equal comparisons give equal text. `about` is a line of Markdown, `picture` a path to link.

    With `every`, the cases that stayed the same have rows, too.
    """
    of_case = {(one.case, one.metric): one for one in comparison.verdicts}
    changed, others = texts.ordered_cases(comparison, every)
    unproven, same = ([one for one in others if (one.word == SAME) == is_same] for is_same in (False, True))
    blocks = [f"**{plain(_cut(finding(comparison).text, SENTENCE))}**", about]
    if picture:
        blocks.append(f"[The intervals as a picture]({quote(picture, safe='/:~+,=@')})")
    failed = texts.without(comparison)[: min(SHOWN_FAILED, len(comparison.failed))]
    blocks.append("\n".join(f"- {plain(_cut(line, CELL))}" for line in failed))
    blocks += _rollup(comparison)
    if changed:
        blocks += _changed(comparison, changed, of_case)
    if unproven:
        title = f"{len(unproven)} AMBIGUOUS {plural(len(unproven), 'verdict')} on cases without a shown change"
        blocks.append(_folded(title, _tables(texts.by_case(unproven), of_case, (AMBIGUOUS,), _change, FOLDED_ROOM)))
    if same:
        cases = texts.by_case(same)
        title = f"{len(same)} SAME {plural(len(same), 'verdict')} on cases without a shown change"
        blocks.append(_folded(title, _tables(cases, of_case, (SAME,), _change, FOLDED_ROOM)))
    blocks.append(_folded("How sure this is, what it would have found, and what has no verdict", _notes(comparison)))
    return "\n\n".join(filter(None, blocks)) + "\n"


def plain(text: str) -> str:
    """Return text on one line that no Markdown is in, and in which nothing is a mention or a link."""
    parts, end = [], 0
    for match in CODE.finditer(text := visible(" ".join(text.split()))):
        parts += [_escaped(text[end : match.start()]), code(match[0].strip("`"))]
        end = match.end()
    return "".join([*parts, _escaped(text[end:])])


def _escaped(text: str) -> str:
    return MARKUP.sub(r"\\\1", text.replace("&", "&amp;").replace("<", "&lt;"))


def code(name: str) -> str:
    """Return a name as code, which nothing in it ends."""
    return f"`{visible(' '.join(name.split())).replace('`', chr(39)) or ' '}`"


def _named(name: str) -> str:
    """Return a name as code, in lines that are short enough for a cell, broken behind a slash where there is one."""
    lines = [""]
    for segment in re.findall(rf"[^/]{{0,{LINE - 1}}}(?:/|[^/]|$)", _cut(visible(name), CELL)):
        if lines[-1] and len(lines[-1]) + len(segment) > LINE:
            lines.append("")
        lines[-1] += segment
    return "<br>".join(map(code, filter(None, lines)))


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]], text: Sequence[str], room: int) -> tuple[str, int]:
    """Return a table as far as its rows fit so many characters, and the number of rows that it has."""
    head = markdown_table(titles, (), text)
    lines, left = [], room
    for cells in rows:
        line = f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
        if len(line) >= left:
            break
        lines.append(line)
        left -= len(line) + 1
    return "\n".join([*head, *lines]), len(lines)


def _folded(title: str, blocks: Iterable[str]) -> str:
    content = "\n\n".join(filter(None, blocks))
    return f"<details><summary>{title}</summary>\n\n{content}\n\n</details>" if content else ""


def _rollup(comparison: Comparison) -> list[str]:
    """Return the roll-ups in which something changed, as a table, their basis, and the others folded."""
    shown, every = (texts.listed_rollup(comparison, every) for every in (False, True))
    leading = texts.leading_rollup(shown, texts.SHOWN_ROWS)
    open_table, count = _rollup_table(leading, OPEN_ROOM)
    first = leading[:count]
    rest = [one for one in shown if one not in first] + [one for one in every if one not in shown]
    blocks = [open_table if count else ""]
    blocks += [plain(texts.rollup_basis(comparison.rollup))] if every else []
    if rest:
        table, fitting = _rollup_table(rest, FOLDED_ROOM)
        unchanged = "" if len(shown) > count else " in which no case changed"
        title = f"By variant: {len(rest)} more {plural(len(rest), 'row')}{unchanged}"
        blocks.append(_folded(title, [table, _left_out(len(rest) - fitting, "row")]))
    return blocks


def _rollup_table(rows: Sequence[RollUp], room: int) -> tuple[str, int]:
    cells = []
    for _, group in groupby(rows, key=lambda one: one.name):
        for place, one in enumerate(group):
            numbers = (one.slower, one.faster, one.same, one.open)
            name = "" if place else _named(one.name)
            amounts = texts.rollup_change(one), texts.rollup_interval(one)
            cells.append((name, one.metric, *amounts, *(str(number or "") for number in numbers)))
    titles = ("variant", "metric", "change", "95 %", "slower", "faster", "same", "open")
    return _table(titles, cells, ("variant", "metric"), room)


def _changed(comparison: Comparison, changed: list[list[Verdict]], of_case: Verdicts) -> list[str]:
    """Return the cases that changed, a row each, as far as they are few; the others, and base and head, folded."""
    of = len({verdict.case for verdict in comparison.verdicts})
    verb = "changed: **bold**; without a word the same; ?: cannot be told"
    blocks = [f"{len(changed)} of {of} {plural(of, 'case')} {verb}. The worst first:"]
    blocks += _tables(changed[:SHOWN_CASES], of_case, CHANGES, _change, OPEN_ROOM)
    if rest := changed[SHOWN_CASES:]:
        title = f"{len(rest)} more {plural(len(rest), 'case')} that changed"
        blocks.append(_folded(title, _tables(rest, of_case, CHANGES, _change, FOLDED_ROOM)))
    tables = _tables(changed, of_case, CHANGES, _values, FOLDED_ROOM)
    return [*blocks, _folded("Base and head of the cases that changed", tables)]


def _tables(
    cases: list[list[Verdict]], of_case: Verdicts, words: Collection[str], cell: Callable[[Verdict], str], room: int
) -> list[str]:
    """Return tables of a row a case, with the metrics that have one of these words side by side, as far as they fit."""
    having = {one.metric for ones in cases for one in ones if one.word in words}
    metrics = [name for name in METRICS if name in having]
    blocks = []
    for start in range(0, len(metrics), COLUMNS):
        names = metrics[start : start + COLUMNS]
        rows = [
            (_named(ones[0].case), *(cell(one) if (one := of_case.get((ones[0].case, name))) else "" for name in names))
            for ones in cases
            if any(one.metric in names and one.word in words for one in ones)
        ]
        table, count = _table(("case", *names), rows, ("case",), room * len(names) // len(metrics))
        blocks += [table, _left_out(len(rows) - count, "case")]
    return blocks


def _change(verdict: Verdict) -> str:
    """Return a change with its word, and below it its interval."""
    word = word_of(verdict)
    text = change(verdict) if word == "same" else f"{word} {change(verdict)}"
    bold = f"**{text}**" if verdict.word in CHANGES else text
    return f"{bold}<br><sub>{interval(verdict)}</sub>"


def _values(verdict: Verdict) -> str:
    """Return base and head, and below them the unit and the rounds."""
    base, head = texts.amounts(verdict)
    number, _, unit = head.partition(" ")
    return f"{base}, {number}<br><sub>{unit}; {texts.rounds(verdict)} rounds</sub>"


def _notes(comparison: Comparison) -> list[str]:
    """Return the sentences of the summary, and a list of what has no verdict, as long as there is room."""
    lines = texts.without_zero(comparison) + texts.by_reason(comparison.of(AMBIGUOUS))
    lines += [texts.same_line(comparison)] if comparison.counts[SAME] else []
    lines += texts.without(comparison)[min(SHOWN_FAILED, len(comparison.failed)) :]
    items, left = [], LIST_ROOM
    for place, line in enumerate(lines):
        item = f"- {plain(_cut(line, SENTENCE))}"
        if len(item) > left:
            items.append(f"- {_left_out(len(lines) - place, 'line')}")
            break
        items.append(item)
        left -= len(item)
    sentences = [plain(_cut(text, SENTENCE)) for text in summary(comparison)]
    return [" ".join(sentences), "\n".join(items), plain(texts.MEANING)]


def _left_out(number: int, noun: str) -> str:
    return f"and {number} more {plural(number, noun)}, which `--json` has" if number else ""
