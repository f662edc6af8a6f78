"""Records as tables on the terminal: the rows, what they mean, what was left out, and last the answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from bench import text
from bench.plans.words import label, summarize_cases, variant_cell
from bench.records import quality
from bench.records.record import Record
from bench.records.same import in_words
from bench.report import views
from bench.report.accuracy import KEEPS, WORDS, accuracy_cells, accuracy_groups, below, describe_scores, titles_of
from bench.report.answer import Contest, Settle, contests_of, describe_fastest, describe_settling
from bench.report.cells import MIB, View, marks_of
from bench.report.evidence import describe_choices, describe_gate, describe_reliability, describe_unseen
from bench.report.rows import Row, group_rows, group_without_speed, largest_batches, model_at, rows_from_records
from bench.text import VERDICT_MARKS, plural, visible

LEAST = 6  # columns of a table: the mark, variant, precision, batch and two numbers
ROWS = 60  # of a table that is printed whole on a terminal, unless all are wanted
SENTENCES = 6  # contests whose answers are sentences; those of more are a table
CONTESTS = 30  # rows of that table; for more it has one a model
SURE = (VERDICT_MARKS["winner"], VERDICT_MARKS["tie"])
NUMBERS = "of ways that are as fast, the first is named and has the numbers"
LONG = 1000  # characters of commands, which nobody reads
PRICE = [column.title for column in (views.AGREE, views.RIGHT, views.LOSS)]
MEANINGS = {
    VERDICT_MARKS["winner"]: "fastest of its model, batch and launch",
    VERDICT_MARKS["tie"]: "as fast as the fastest, by their intervals",
    VERDICT_MARKS["unknown"]: "may be the fastest, which cannot be told",
}


def print_report(
    out: Console, records: list[Record], folder: Path | None, settle: Settle, view: str = "", every: str = ""
) -> None:
    """Print the table of a view (none: the usual one), the largest batches, what was left out, and last the answer.

    `settle` makes the command that would settle what is open. `every` is the command that prints a table of all rows,
    where this one leaves out a table of more than ROWS.
    """
    rows = rows_from_records(records)
    if not rows and any(record.score for record in records):  # of `bench accuracy`, which times nothing
        print_accuracy(out, records, KEEPS, folder)
        return
    contests = contests_of(rows)
    if rows and every and len(rows) > ROWS:
        out.print(f"The table of all {len(rows)} cases: {every}", style="dim", markup=False, soft_wrap=True)
    elif rows:
        _print_rows(out, views.VIEWS[view or views.usual_view(rows)].of(rows), rows, marks_of(contests))
    if rows and (reliability := describe_reliability(records, rows)):
        out.print(reliability, style="dim", markup=False)
    _print_without_speed(out, records)
    _print_largest(out, records)
    if rows or not largest_batches(records):
        out.print()
        if len(contests) > SENTENCES:
            _print_contests(out, contests)
        else:
            out.print(describe_fastest(records, contests), style="bold", markup=False)
        if settling := _settling(contests, settle):
            out.print(settling, markup=False, soft_wrap=True)
    _print_folder(out, folder)


def _settling(contests: Sequence[Contest], settle: Settle) -> str:
    """Return the lines with the commands that would settle what is open; of a long one that of the first contest."""
    lines = describe_settling(contests, settle)
    if len(lines) <= LONG:
        return lines
    first, *others = [contest for contest in contests if contest.verdict == "unknown"]
    cases = [row.case for row in first.candidates]
    line = describe_settling([first], lambda few, rounds, like: settle(few or cases, rounds, like))
    count = len(others)
    return line + f"\nThat is for the first; {count} more {plural(count, 'contest')} are open, too." * bool(others)


def _print_folder(out: Console, folder: Path | None) -> None:
    if folder:
        out.print(f"Records: {folder}", markup=False, soft_wrap=True)


def _print_rows(out: Console, view: View, rows: Sequence[Row], marks: dict[Row, str]) -> None:
    """Print a table a model, all alike, with an empty line between batches; and below it what its titles mean."""
    titles = (*("",) * bool(marks), *view.titles)
    cells = {row: (*(marks.get(row, ""),) * bool(marks), *map(visible, view.cells(row))) for row in rows}
    widths = [max(text.width(line[place]) for line in (titles, *cells.values())) for place in range(len(titles))]
    least = [
        max(text.least_width(line[place]) for line in (titles, *cells.values())) if title in view.wrapped else width
        for place, (title, width) in enumerate(zip(titles, widths, strict=True))
    ]
    shown = _places_with_room(titles, least, out.options.max_width)
    words = {"", *(column.title for column in view.columns if column.text)}
    models: dict[str, list[list[Row]]] = {}
    for group in group_rows(rows).values():
        models.setdefault(model_at(group[0].case), []).append(group)
    for model, groups in models.items():
        if len(models) > 1:
            out.print(visible(model), style="bold", markup=False)
        grid = text.grid(*(titles[place] for place in shown), text=words, wrapped=view.wrapped)
        for column, place in zip(grid.columns, shown, strict=True):
            column.min_width = None if titles[place] in view.wrapped else widths[place]
        for number, group in enumerate(groups):
            if number:
                grid.add_row()
            for row in group:
                colour = "green" if marks.get(row) in SURE else None
                grid.add_row(*(Text(cells[row][place]) for place in shown), style=colour)
        out.print(grid)
        out.print()
    left = _print_left_out(out, titles, shown, least)
    kept = replace(view, columns=tuple(one for one in view.columns if one.title not in left), sparse=False)
    clauses = [f"{mark}: {MEANINGS[mark]}" for mark in dict.fromkeys(marks.values())]
    out.print("; ".join([*clauses, views.notes(kept, list(rows))]), style="dim", markup=False)


def _print_left_out(out: Console, titles: Sequence[str], places: Sequence[int], widths: Sequence[int]) -> list[str]:
    """Print which columns had no room, and where they are; return their titles."""
    if left := [title for place, title in enumerate(titles) if place not in places]:
        room = sum(widths) + len(widths) - 1
        are, them = plural(len(left), "is", "are"), plural(len(left), "it", "them")
        out.print(
            f"{', '.join(left)} {are} left out: a terminal of {room} columns has {them}, and --csv.", markup=False
        )
    return left


def _places_with_room(titles: Sequence[str], widths: Sequence[int], room: int) -> list[int]:
    """Return the places of the columns that have room: all but some of the last third, or all, for a block each row.

    What 8 bits cost stands wherever their speed does, and the columns that are left are LEAST at least.
    """
    places, spare = list(range(len(titles))), min(len(titles) // 3, len(titles) - LEAST)
    for place in reversed(range(len(titles))):
        if sum(widths[each] + 1 for each in places) - 1 <= room:
            return places
        if titles[place] not in PRICE and len(titles) - len(places) < spare:
            places.remove(place)
    return list(range(len(titles)))


def _print_contests(out: Console, contests: Sequence[Contest]) -> None:
    """Print a table of the fastest of each contest, or if these are many of each model, and a sentence on them all."""
    shown = list(contests)
    if len(contests) > CONTESTS:
        most = sorted(contests, key=lambda contest: contest.leader.images_per_s)
        shown = list({(one.leader.case.model, one.leader.case.image, one.bits): one for one in most}.values())
        shown.sort(key=contests.index)
    columns = [views.VS_EAGER, views.P50, *[views.AGREE] * any(contest.bits for contest in shown)]
    titles = ("", "model", "batch", "fastest", views.IMAGES_PER_S.title, *(one.title for one in columns))
    lines = []
    for contest in shown:
        leader, more = contest.leader, len(contest.candidates) - 1 if contest.verdict == "tie" else 0
        name = label(leader.case) + f" ({leader.choices})" * bool(leader.choices) + f", {more} more" * bool(more)
        mark = VERDICT_MARKS.get(contest.verdict, "")
        line = (mark, model_at(leader.case), str(leader.case.batch), name, _rate(leader))
        lines.append([visible(cell) for cell in (*line, *(one.cell(leader) for one in columns))])
    widths = [max(map(text.width, column)) for column in zip(titles, *lines, strict=True)]
    places = _places_with_room(titles, widths, out.options.max_width)
    grid = text.grid(*(titles[place] for place in places), text={"", "model", "fastest"}, wrapped=("fastest",))
    for contest, cells in zip(shown, lines, strict=True):
        style = "green" if contest.verdict in ("winner", "tie") else None
        grid.add_row(*(Text(cells[place]) for place in places), style=style)
    out.print(grid)
    out.print()
    left = _print_left_out(out, titles, places, widths)
    clauses = [] if len(shown) == len(contests) else ["Of each model the batch and launch with the most images/s"]
    clauses += [f"{mark}: {MEANINGS[mark]}" for mark in dict.fromkeys(cells[0] for cells in lines) if mark]
    usual, kept = views.VIEWS["speed"], tuple(one for one in (views.IMAGES_PER_S, *columns) if one.title not in left)
    view = replace(usual, columns=kept, meaning=f"{usual.meaning}; {views.AGREEMENT}", sparse=False)
    clauses += [NUMBERS, views.notes(view, [contest.leader for contest in shown])]
    out.print("; ".join(clauses), style="dim", markup=False)
    out.print()
    out.print(describe_contests(contests), style="bold", markup=False)


def _rate(row: Row) -> str:
    interval = row.images_per_s_interval
    return views.IMAGES_PER_S.cell(row) + text.plus_minus(
        (interval[1] - interval[0]) / 2 / row.images_per_s if interval else None
    )


def describe_contests(contests: Sequence[Contest]) -> str:
    """Return a sentence on many contests: in how many each way is fastest or tied, and how many are open."""
    decided = [contest for contest in contests if contest.verdict in ("winner", "tie")]
    ways = Counter(f"{row.case.variant}/{row.case.precision}" for contest in decided for row in contest.candidates)
    clauses = [f"{way} in {count}" for way, count in ways.most_common(4)]
    clauses += [f"{len(ways) - 4} more in fewer"] * (len(ways) > 4)
    models = len({contest.leader.case.model for contest in contests})
    sentence = f"Of {len(contests)} contests of {models} {plural(models, 'model')}, each at one batch and launch: "
    sentence += f"fastest or tied is {', '.join(clauses)}" if clauses else "none is decided"
    for verdict, what in (("unknown", "which is fastest cannot be told in"), ("alone", "only one way was measured in")):
        if count := sum(contest.verdict == verdict for contest in contests):
            sentence += f"; {what} {count}"
    return f"{sentence}."


def print_accuracy(out: Console, records: list[Record], share: float, folder: Path | None = None) -> None:
    """Print the right answers of each case beside float32's, a table a model, what has no score, and the answer."""
    groups = accuracy_groups(records)
    for heading, group in groups.items():
        grid = text.grid(*titles_of(group), text=WORDS)
        for record in group:
            grid.add_row(*map(Text, map(visible, accuracy_cells(record, share))))
        out.print(f"{heading}.", style="bold", markup=False)
        out.print(grid)
        out.print()
    if groups:
        out.print(below(groups.values(), share), style="dim", markup=False)
    _print_without_speed(out, records)
    if groups:
        out.print()
        out.print(describe_scores(chain.from_iterable(groups.values()), share), style="bold", markup=False)
    _print_folder(out, folder)


def _print_largest(out: Console, records: list[Record]) -> None:
    searches = largest_batches(records)
    if not searches:
        return
    titles = ("model", "variant", "prec", "largest batch", "next tried", "MiB", "what stopped it")
    grid = text.grid(*titles, text=(*titles[:3], titles[-1]), wrapped=titles)
    for (case, traits), search in searches:
        peak = next((size for batch, _, size, _ in search["tried"] if batch == search["fits"] and size), None)
        variant = ", ".join(filter(None, (variant_cell(case), in_words(traits))))
        cells = (case.model, variant, case.precision, str(search["fits"]), str(search["fails"] or "-"))
        reason = (search["reason"] or "the search's own limit").splitlines()[0]
        line = (*cells, "-" if peak is None else f"{peak / MIB:.0f}", reason)
        grid.add_row(*map(Text, map(visible, line)))
    out.print()
    out.print(grid)


def _print_without_speed(out: Console, records: list[Record]) -> None:
    for status, reason, cases in group_without_speed(records):
        line = f"{status}: {summarize_cases(cases)}: {reason}"
        out.print(line, style="dim" if status == "skipped" else "red", markup=False)


def gate_rows(records: list[Record]) -> list[dict[str, Any]]:
    """Return the result of the numerical check of each case for `--csv`: errors as multiples of plain torch's."""
    rows = []
    for record in sorted(records, key=lambda record: record.case):
        row = Row(record.case, (record,), None)
        values = {column.key: column.value(row) for column in (*views.GATE.columns, views.TORCH_TOP1)}
        values |= quality.score_values(record.score)
        rows.append({"case": record.case.name, "status": record.status, "reason": record.reason or None} | values)
    return rows


def print_gate(out: Console, records: list[Record], folder: Path | None = None) -> None:
    """Print the result of the numerical check of each case, and last how many passed."""
    ran = sorted((record for record in records if record.status != "skipped"), key=lambda record: record.case)
    rows = [Row(record.case, (record,), None, scored=record) for record in ran]
    shown = views.GATE.of(rows)
    titles = ("case", "status", *shown.titles)
    grid = text.grid(*titles, wrapped=titles)
    for row in rows:
        status = row.records[0].status
        name, *cells = (Text(visible(cell)) for cell in (row.case.name, *shown.cells(row)))
        grid.add_row(name, Text(status, "green" if status == "ok" else "red"), *cells)
    if rows:
        out.print(grid)
        out.print(views.notes(shown, rows), style="dim", markup=False)
    if choices := describe_choices(ran):
        out.print(choices, markup=False)
    if unseen := describe_unseen(record for record in records if record.status == "ok"):
        out.print(f"{unseen[0].upper()}{unseen[1:]}.", markup=False)
    _print_without_speed(out, records)
    out.print()
    out.print(describe_gate(ran), style="bold", markup=False)
    _print_folder(out, folder)
