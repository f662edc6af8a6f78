"""Facts of cases for a reader: the answer in sentences, the changes, a table, Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from bench.lines import Line, verbatim
from bench.static.cases import (
    ENVIRONMENT,
    FACTS,
    FAILED,
    FASTER,
    GONE,
    METHODS,
    NEW,
    NOT_COUNTED,
    SLOWER,
    Change,
    Counted,
    Facts,
    amount,
)
from bench.text import WORDS, grid, markdown_cell, markdown_table, plural

COLOURS = {FAILED: "red", SLOWER: "red", GONE: "red", ENVIRONMENT: "yellow", NOT_COUNTED: "yellow", FASTER: "green"}
# bytes, weights and activations in MB
COLUMNS = {"launches": "kernels", "breaks": "breaks", "bytes": "moved", "flops": "GFLOP", "weights": "weights"}
COLUMNS |= {"activations": "active"}
UNITS = {"bytes": "moved_bytes", "weights": "weights_bytes", "activations": "activations_bytes"}
SCALES = {"bytes": 1e6, "flops": 1e9, "weights": 1e6, "activations": 1e6}


def summary(now: Facts, changes: Sequence[Change], before: Facts | None) -> list[str]:
    """Return sentences on how many cases were counted and, against a record, what differs and what to do."""
    failed = sum(bool(counted.failed) for counted in now.cases.values())
    skipped = sum(bool(counted.skipped) for counted in now.cases.values())
    rest = [f"{number} {word}" for number, word in ((failed, "failed"), (skipped, "not counted here")) if number]
    number = len(now.cases) - failed - skipped
    sentences = [f"{number} {plural(number, 'case')} counted{''.join(f', {text}' for text in rest)}."]
    if before is None:
        return sentences
    words: dict[str, int] = {}
    for change in changes:
        words[change.word] = words.get(change.word, 0) + 1
    differences = ", ".join(f"{number} {word}" for word, number in words.items()) or "nothing differs"
    sentences.insert(0, f"Against {before.commit} of {before.when}: {differences}.")
    for word, text in (
        (ENVIRONMENT, "ENVIRONMENT: a version that the count depends on is another, so it says nothing of the code."),
        (FASTER, "What is better becomes the new record with -o FILE."),
        (NEW, "What is new enters the record with -o FILE."),
    ):
        sentences += [text] if word in words and (word != NEW or FASTER not in words) else []
    return sentences


def facts_lines(now: Facts, changes: Sequence[Change], before: Facts | None, seconds: float) -> Iterator[Line]:
    """Yield the summary and the changes; without a record to compare with, the table and the methods."""
    first, *others = summary(now, changes, before)
    yield Line(f"[bold]{first}[/] {' '.join([*others, f'It took {seconds:.0f} s.'])}")
    for change in changes:
        yield Line(Text.assemble((change.word, COLOURS.get(change.word, "dim")), " ", str(change)), whole=True)
    if before is not None:
        return
    yield Line()
    yield Line(_grid(now))
    yield from map(verbatim, _uncounted(now))
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


def _uncounted(now: Facts) -> list[str]:
    reasons: dict[str, list[str]] = {}
    for name, counted in now.cases.items():
        if counted.failed or counted.skipped:
            reasons.setdefault("failed: " + counted.failed if counted.failed else counted.skipped, []).append(name)
    return [f"{', '.join(names)}: {reason}" for reason, names in reasons.items()]


def _legend(now: Facts) -> list[str]:
    """Return sentences on how each fact was counted, and why one is absent."""
    notes = []
    if any(name.endswith("/i224/stream") for name in now.cases):
        notes.append("A name without image and launch means i224/stream.")
    notes.append(
        "kernels: launched; breaks: of the graph; moved, weights, active: MB. --json has exact numbers and the digests."
    )
    for fact, title in FACTS.items():
        variants: dict[str, set[str]] = {}  # by method, or by reason
        for name, counted in now.cases.items():
            if fact in counted.facts:
                variants.setdefault(METHODS[counted.facts[fact].method].words, set()).add(name.split("/")[1])
            elif fact in counted.absent:
                variants.setdefault(f"absent: {counted.absent[fact]}", set()).add(name.split("/")[1])
        if variants:
            one = len(variants) == 1
            listed = ((text, ", ".join(sorted(names))) for text, names in variants.items())
            words = "; ".join(text if one else f"{text} ({names})" for text, names in listed)
            notes.append(f"{title}: {words}.")
    return [*notes, WORDS]


def facts_rows(now: Facts) -> list[dict[str, Any]]:
    """Return a row for each case for `--csv`: every fact, exact, and why it has none."""
    return [
        {"case": name, "failed": counted.failed or None, "skipped": counted.skipped or None}
        | {UNITS.get(fact, fact): counted.facts[fact].value if fact in counted.facts else None for fact in FACTS}
        for name, counted in now.cases.items()
    ]


def facts_markdown(now: Facts, changes: Sequence[Change], before: Facts | None) -> list[str]:
    """Return the summary and the changes as Markdown; without a record to compare with, the table."""
    first, *others = summary(now, changes, before)
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
    return [*lines, "", *(f"- {markdown_cell(text)}" for text in (*_uncounted(now), *_legend(now)))]


def _change_cells(change: Change) -> tuple[str, ...]:
    values = (amount(change.before), amount(change.after)) if change.fact else ("", "")
    return change.word, f"`{change.case}`", FACTS.get(change.fact, "the case"), *values, markdown_cell(change.why)
