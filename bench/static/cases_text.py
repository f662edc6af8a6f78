"""Facts of cases as a person reads them: the answer in sentences, what differs, a table, Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.table import Table
from rich.text import Text

from bench.lines import Line, verbatim
from bench.static.cases import (
    ELSEWHERE,
    FACTS,
    FAILED,
    FASTER,
    GONE,
    HOW,
    NEW,
    SLOWER,
    UNCOUNTED,
    Change,
    Counted,
    Facts,
    amount,
)
from bench.text import WORDS, grid, markdown_cell, markdown_table, plural

COLOURS = {FAILED: "red", SLOWER: "red", GONE: "red", ELSEWHERE: "yellow", UNCOUNTED: "yellow", FASTER: "green"}
# in MB but for the first two and GFLOP
COLUMNS = {"launches": "kernels", "breaks": "breaks", "bytes": "moved", "flops": "GFLOP", "weights": "weights"}
COLUMNS |= {"activations": "active"}
SCALES = {"bytes": 1e6, "flops": 1e9, "weights": 1e6, "activations": 1e6}


def sentences(now: Facts, changes: Sequence[Change], before: Facts | None) -> list[str]:
    """The answer first: how many were counted; against a record, what differs from it and what to do."""
    failed = sum(bool(counted.failed) for counted in now.cases.values())
    skipped = sum(bool(counted.skipped) for counted in now.cases.values())
    rest = [f"{number} {word}" for number, word in ((failed, "failed"), (skipped, "not counted here")) if number]
    number = len(now.cases) - failed - skipped
    said = [f"{number} {plural(number, 'case')} counted{''.join(f', {text}' for text in rest)}."]
    if before is None:
        return said
    words: dict[str, int] = {}
    for change in changes:
        words[change.word] = words.get(change.word, 0) + 1
    what = ", ".join(f"{number} {word}" for word, number in words.items()) or "nothing differs"
    said.insert(0, f"Against {before.commit} of {before.when}: {what}.")
    for word, text in (
        (ELSEWHERE, "ENVIRONMENT: a version that the count depends on is another, so it says nothing of the code."),
        (FASTER, "What is better becomes the new record with -o FILE."),
        (NEW, "What is new enters the record with -o FILE."),
    ):
        said += [text] if word in words and (word != NEW or FASTER not in words) else []
    return said


def lines(now: Facts, changes: Sequence[Change], before: Facts | None, seconds: float) -> Iterator[Line]:
    """The answer, then what differs; without a record to hold it against, the table and how all was counted."""
    first, *others = sentences(now, changes, before)
    yield Line(f"[bold]{first}[/] {' '.join([*others, f'It took {seconds:.0f} s.'])}")
    for change in changes:
        yield Line(Text.assemble((change.word, COLOURS.get(change.word, "dim")), " ", str(change)), whole=True)
    if before is not None:
        return
    yield Line()
    yield Line(_grid(now))
    yield from map(verbatim, _without(now))
    for text in _legend(now):
        yield verbatim(text, "dim")


def _grid(now: Facts) -> Table:
    table = grid("case", *COLUMNS.values(), text=1, wrapped=COLUMNS.values())
    for name, counted in now.cases.items():
        if counted.facts:
            table.add_row(_brief(name), *(_cell(counted, fact) for fact in COLUMNS))
    return table


def _brief(name: str) -> str:
    return name.removesuffix("/i224/stream")


def _cell(counted: Counted, fact: str) -> str:
    if fact not in counted.facts:
        return "-"
    value = counted.facts[fact].value
    assert isinstance(value, int)
    return f"{value / SCALES[fact]:.1f}" if fact in SCALES else str(value)


def _without(now: Facts) -> list[str]:
    """Cases without a fact, with the reason, those of one reason together."""
    reasons: dict[str, list[str]] = {}
    for name, counted in now.cases.items():
        if counted.failed or counted.skipped:
            reasons.setdefault("failed: " + counted.failed if counted.failed else counted.skipped, []).append(name)
    return [f"{', '.join(names)}: {reason}" for reason, names in reasons.items()]


def _legend(now: Facts) -> list[str]:
    """How each fact was counted, and why one is absent."""
    said = []
    if any(name.endswith("/i224/stream") for name in now.cases):
        said.append("A name without image and launch means i224/stream.")
    said.append(
        "kernels: launched; breaks: of the graph; moved, weights, active: MB. --json has exact numbers and the digests."
    )
    for fact, title in FACTS.items():
        ways: dict[str, set[str]] = {}
        for name, counted in now.cases.items():
            if fact in counted.facts:
                ways.setdefault(HOW[counted.facts[fact].how].words, set()).add(name.split("/")[1])
            elif fact in counted.absent:
                ways.setdefault(f"absent: {counted.absent[fact]}", set()).add(name.split("/")[1])
        if ways:
            every = len(ways) == 1
            words = "; ".join(f"{way}{'' if every else f' ({_list(names)})'}" for way, names in ways.items())
            said.append(f"{title}: {words}.")
    return [*said, WORDS]


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def markdown(now: Facts, changes: Sequence[Change], before: Facts | None) -> list[str]:
    """The answer, then what differs; without a record to hold it against, the table."""
    first, *others = sentences(now, changes, before)
    lines = [f"**{first}** {' '.join(others)}", ""]
    if before is not None:
        titles = ("verdict", "case", "count", "before", "now", "why")
        words = ("verdict", "case", "count", "why")
        return lines + (markdown_table(titles, map(_change_cells, changes), words) if changes else [])
    rows = (
        (f"`{name}`", *(_cell(counted, fact) for fact in COLUMNS))
        for name, counted in now.cases.items()
        if counted.facts
    )
    lines += markdown_table(("case", *COLUMNS.values()), rows)
    return [*lines, "", *(f"- {markdown_cell(text)}" for text in (*_without(now), *_legend(now)))]


def _change_cells(change: Change) -> tuple[str, ...]:
    values = (amount(change.before), amount(change.after)) if change.fact else ("", "")
    return change.word, f"`{change.case}`", FACTS.get(change.fact, "the case"), *values, markdown_cell(change.why)
