"""Records on the terminal: tables without rules, within 80 columns."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.markup import escape

from bench import text
from bench.plans.words import summarize_cases
from bench.records.record import Record
from bench.report import rows as table
from bench.report.views import MIB, VIEWS, notes


def show(out: Console, records: list[Record], folder: Path | None, view: str = "speed") -> None:
    """The answer, the table of a view, the largest batches, and what was left out."""
    found = table.rows(records)
    shown = VIEWS[view].within(found, out.width)
    grid = text.grid(*shown.titles, text=[column.title for column in shown.columns if column.text])
    group = None
    for row in found:
        key = (row.case.model, row.case.image, row.case.batch)
        if group != key:
            grid.add_section()
            several = len({(r.case.model, r.case.image) for r in found}) > 1
            if several and (group is None or group[:2] != key[:2]):
                grid.add_row(f"[bold]{row.case.model}[/]" + ("" if row.case.image == 224 else f" {row.case.image}"))
        grid.add_row(*shown.cells(row), style="green" if group != key else None)
        group = key
    if found or not table.largest(records):
        out.print(f"[bold]{escape(table.answer(found))}[/]")
        out.print()
        out.print(grid)
        out.print()
        out.print(table.trust(records, found), markup=False)
        out.print(f"[dim]{escape(notes(shown, found))}[/]")
    _largest(out, records)
    _left_out(out, records)
    if folder:
        out.print(f"Records: {folder}", markup=False, soft_wrap=True)


def _largest(out: Console, records: list[Record]) -> None:
    found = table.largest(records)
    if not found:
        return
    numbers = ("largest batch", "next tried", "MiB")
    words = ("model", "variant", "prec", "what stopped it")
    titles = (*words[:3], *numbers, words[3])
    grid = text.grid(*titles, text=words, wrapped=titles)
    for case, told in found:
        graph = "+graph" if case.launch == "graph" else ""
        peak = next((size for batch, _, size, _ in told["tried"] if batch == told["fits"] and size), None)
        cells = (case.model, case.variant + graph, case.precision, str(told["fits"]), str(told["fails"] or "-"))
        reason = (told["reason"] or "the search's own limit").splitlines()[0]
        grid.add_row(*cells, "-" if peak is None else f"{peak / MIB:.0f}", escape(reason[:60]))
    out.print(grid)
    out.print()


def _left_out(out: Console, records: list[Record]) -> None:
    for status, reason, cases in table.left_out(records):
        colour = "dim" if status == "skipped" else "red"
        out.print(f"[{colour}]{status}: {escape(summarize_cases(cases))}: {escape(reason)}[/]")


def show_gate(out: Console, records: list[Record]) -> None:
    """What the gate saw of each case."""
    titles = ("case", "status", "rms error", "max error", "top-1")
    grid = text.grid(*titles, wrapped=titles)
    for record in sorted(records, key=lambda r: r.case):
        if record.status == "ok":
            worst = {key: max(check[key] for check in record.gate.values()) for key in ("rms_multiple", "max_multiple")}
            top1 = min(check["top1"] for check in record.gate.values())
            grid.add_row(
                record.case.name,
                "[green]ok[/]",
                f"{worst['rms_multiple']:.2f}",
                f"{worst['max_multiple']:.2f}",
                f"{top1:.2f}",
            )
        elif record.status != "skipped":
            grid.add_row(record.case.name, f"[red]{record.status}[/]", "", "", "")
    out.print(grid)
    out.print(
        "rms error, max error: as multiples of plain torch's in that precision (above 3 or 4 a case is refused); "
        f"top-1: share of pictures whose top class is that of a float64 reference. {text.WORDS}",
        style="dim",
    )
    _left_out(out, records)
