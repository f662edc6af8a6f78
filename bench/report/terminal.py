"""Records as tables on the terminal, within 80 columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from bench import text
from bench.plans.words import summarize_cases, variant_cell
from bench.records import quality
from bench.records.record import Record
from bench.records.same import in_words
from bench.report.accuracy import KEEPS, WORDS, accuracy_cells, accuracy_groups, below, titles_of
from bench.report.answer import Settle, contests_of, describe_fastest, describe_settling
from bench.report.cells import MIB
from bench.report.evidence import describe_choices, describe_reliability, describe_unseen
from bench.report.rows import Row, group_rows, group_without_speed, largest_batches, model_at, rows_from_records
from bench.report.views import GATE, TORCH_TOP1, VIEWS, notes, usual_view


def print_report(out: Console, records: list[Record], folder: Path | None, settle: Settle, view: str = "") -> None:
    """Print the answer, the table of a view (none: the usual one), the largest batches, and what was left out.

    `settle` makes the command that would settle what is open.
    """
    rows = rows_from_records(records)
    if not rows and any(record.score for record in records):  # of `bench accuracy`, which times nothing
        print_accuracy(out, records, KEEPS)
        return
    contests = contests_of(rows)
    winners = [contest.winner for contest in contests]
    shown = VIEWS[view or usual_view(rows)].of(rows)
    words = [column.title for column in shown.columns if column.text]
    grid = text.grid(*shown.titles, text=words, wrapped=shown.wrapped)
    groups = group_rows(rows)
    several, model = len({key[:2] for key in groups}) > 1, ""
    for group in groups.values():
        grid.add_section()
        before, model = model, model_at(group[0].case)
        if several and model != before:
            grid.add_row(f"[bold]{model}[/]")
        for row in group:
            grid.add_row(*shown.cells(row), style="green" if any(row is winner for winner in winners) else None)
    if rows or not largest_batches(records):
        out.print(f"[bold]{escape(describe_fastest(records, contests))}[/]")
        if settling := describe_settling(contests, settle):
            out.print(settling, markup=False, soft_wrap=True)
        out.print()
        if rows:
            out.print(grid)
            out.print()
        if reliability := describe_reliability(records, rows):
            out.print(reliability, markup=False)
        if rows:
            out.print(f"[dim]{escape(notes(shown, rows))}[/]")
    _print_largest(out, records)
    _print_without_speed(out, records)
    if folder:
        out.print(f"Records: {folder}", markup=False, soft_wrap=True)


def print_accuracy(out: Console, records: list[Record], share: float) -> None:
    """Print the right answers of each case beside float32's, a table a model, and what has no score."""
    groups = accuracy_groups(records)
    for heading, group in groups.items():
        grid = text.grid(*titles_of(group), text=WORDS)
        for record in group:
            grid.add_row(*accuracy_cells(record, share))
        out.print(f"{heading}.", style="bold", markup=False)
        out.print(grid)
        out.print()
    if groups:
        out.print(below(groups.values(), share), style="dim", markup=False)
    _print_without_speed(out, records)


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
        grid.add_row(*cells, "-" if peak is None else f"{peak / MIB:.0f}", escape(reason[:60]))
    out.print(grid)
    out.print()


def _print_without_speed(out: Console, records: list[Record]) -> None:
    for status, reason, cases in group_without_speed(records):
        colour = "dim" if status == "skipped" else "red"
        out.print(f"[{colour}]{status}: {escape(summarize_cases(cases))}: {escape(reason)}[/]")


def gate_rows(records: list[Record]) -> list[dict[str, Any]]:
    """Return the result of the numerical check of each case for `--csv`: errors as multiples of plain torch's."""
    rows = []
    for record in sorted(records, key=lambda record: record.case):
        row = Row(record.case, (record,), None)
        values = {column.key: column.value(row) for column in (*GATE.columns, TORCH_TOP1)}
        values |= quality.score_values(record.score)
        rows.append({"case": record.case.name, "status": record.status, "reason": record.reason or None} | values)
    return rows


def print_gate(out: Console, records: list[Record]) -> None:
    """Print the result of the numerical check of each case."""
    ran = sorted((record for record in records if record.status != "skipped"), key=lambda record: record.case)
    rows = [Row(record.case, (record,), None, scored=record) for record in ran]
    shown = GATE.of(rows)
    titles = ("case", "status", *shown.titles)
    grid = text.grid(*titles, wrapped=titles)
    for row in rows:
        status = row.records[0].status
        colour = "green" if status == "ok" else "red"
        grid.add_row(row.case.name, f"[{colour}]{status}[/]", *shown.cells(row))
    if rows:
        out.print(grid)
        out.print(notes(shown, rows), style="dim", markup=False)
    if choices := describe_choices(ran):
        out.print(choices, markup=False)
    if unseen := describe_unseen(record for record in records if record.status == "ok"):
        out.print(f"{unseen[0].upper()}{unseen[1:]}.", markup=False)
    _print_without_speed(out, records)
