"""Models by variants, from the records of a gate: each right, and how far from plain torch, or with its sentence."""

from __future__ import annotations

from collections.abc import Iterable

from bench.plans.words import label
from bench.records.record import Record
from bench.report.cells import percent_rms
from bench.text import markdown_cell, markdown_table

TITLES = ("model", "pixels", "weights")
LEGEND = (
    "A number is the RMS error over plain torch's in the same precision, the most over all checks (3 is refused); in 8 "
    "bits over the RMS of float64's logits, in percent; (1) points to a sentence. `weights`: `synthetic` are "
    "calibrated, `own` the model's as its builder made them."
)


def render_models(records: Iterable[Record]) -> str:
    """Return a Markdown table, a row a model and a column a variant and precision, with the sentences below it.

    A column in which every model has the same sentence is a line below instead.
    """
    results = list(records)
    columns: dict[str, list[Record]] = {}
    for record in results:
        columns.setdefault(label(record.case), []).append(record)
    alike = {name: group[0].reason for name, group in columns.items() if len({r.reason or r.case for r in group}) == 1}
    shown = [name for name in sorted(columns) if name not in alike or columns[name][0].status == "ok"]
    numbers: dict[str, int] = {}
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for record in sorted(results, key=lambda record: (record.case.model, record.case.image)):
        row = cells.setdefault((record.case.model, str(record.case.image)), {})
        if label(record.case) in shown:
            row[label(record.case)] = _cell(record, numbers)
        if "origin" in record.network:  # else it was not built
            row["weights"] = record.network.get("weights", "")
    rows = [[f"`{m}`", size, *(row.get(name, "") for name in ("weights", *shown))] for (m, size), row in cells.items()]
    lines = [*markdown_table((*TITLES, *shown), rows, ("model", "weights")), "", LEGEND, ""]
    lines += [f"- ({number}) {markdown_cell(sentence)}" for sentence, number in numbers.items()]
    lines += [f"- `{name}`, for all: {markdown_cell(text)}" for name, text in alike.items() if name not in shown]
    return "\n".join(lines) + "\n"


def _cell(record: Record, numbers: dict[str, int]) -> str:
    """Return the number of an answer that is right, or that of the sentence, which `numbers` gets if it is new."""
    if record.status == "ok":
        multiples = [check["rms_multiple"] for check in record.gate.values() if "rms_multiple" in check]
        relative = [check["rms_relative"] for check in record.gate.values() if "rms_relative" in check]
        return f"{max(multiples):.2f}" if multiples else f"{percent_rms(max(relative))} %" if relative else "-"
    sentence = f"{record.status}: {record.reason}"
    return f"({numbers.setdefault(sentence, len(numbers) + 1)})"
