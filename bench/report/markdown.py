"""Records as Markdown, also spliced into documents between markers, so that no table in a document is typed.

<!-- bench: results/some-folder -->
... everything here is rendered from that folder's records by `bench report --splice` ...
<!-- /bench -->

of MODELS as a table of models by variants, of CALIBRATION as one of networks by ways of calibrating, of a folder whose
name begins with ACCURACY as one of right answers; or, where a file that ends in .json is named, from what `bench
selftest -o` or `bench kernels` wrote there.
"""

from __future__ import annotations

import re
from itertools import chain
from pathlib import Path

from bench.files import write_file
from bench.machine.environment import ROOT, hardware
from bench.machine.facts import Environment
from bench.plans.words import summarize_cases
from bench.records.record import Record
from bench.records.store import Store
from bench.report.accuracy import render_accuracy
from bench.report.answer import Settle, contests_of, describe_fastest, describe_settling, settled_in_documents
from bench.report.evidence import describe_reliability
from bench.report.models import render_models
from bench.report.rows import group_without_speed, model_at, rows_from_records
from bench.report.sensitivity import calibration_markdown
from bench.report.views import VIEWS, notes, usual_view
from bench.static import markdown as kernel_tables
from bench.text import markdown_cell, markdown_table
from bench.verdicts.selftest import tables as error_rates

BLOCK = re.compile(r"(<!-- bench: (?P<folder>\S+) -->\n).*?(<!-- /bench -->)", re.S)
MODELS = Path("results/models")  # where `make models` writes
CALIBRATION = Path("results/calibration")  # files of `bench sensitivity --methods -o`
ACCURACY = "accuracy"  # as the folder that `make accuracy` writes
# documents that may hold blocks
DOCUMENTS = ("README.md", "results/README.md", "docs/*.md")


def render_markdown(records: list[Record], view: str = "", settle: Settle | None = None) -> str:
    """Return the answer, the table and what was left out as Markdown; equal records give equal text.

    Without a `view` the table is the usual one.
    `settle` makes the command that would settle what is open; without it, it is the same on every machine.
    """
    rows = rows_from_records(records)
    shown = VIEWS[view or usual_view(rows)].of(rows)
    contests = contests_of(rows)
    settling = describe_settling(contests, settle or settled_in_documents(records))
    answers = [*describe_fastest(records, contests).splitlines(), *settling.splitlines()]
    lines = [markdown_cell(line) + "  " for line in answers]
    titles, cells = list(shown.titles), [list(shown.cells(row)) for row in rows]
    if len({(row.case.model, row.case.image) for row in rows}) > 1:
        titles.insert(0, "model")
        for row, line in zip(rows, cells, strict=True):
            line.insert(0, model_at(row.case))
    words = ["model", *(column.title for column in shown.columns if column.text)]
    lines += ["", *markdown_table(titles, cells, words)]
    below = (describe_machine(records), markdown_cell(describe_reliability(records, rows)), notes(shown, rows))
    lines += [line for text in filter(None, below) for line in ("", text)]
    missing = group_without_speed(records)
    if missing:
        lines += ["", "Left out:", ""]
        lines += [markdown_cell(f"- {status}: {summarize_cases(cases)}: {reason}") for status, reason, cases in missing]
    return "\n".join(lines) + "\n"


def describe_machine(records: list[Record]) -> str:
    """Return the machine, the software and the day of records, a line for each that differs but in its pictures."""
    inputs: dict[tuple[str, str], set[str]] = {}
    for record in records:
        if record.status == "ok":
            inputs.setdefault(_describe_machine(record), set()).add(record.input.get("source", "none"))
    lines = (f"{sweep}, input {' and '.join(sorted(sources))}; {day}." for (sweep, day), sources in inputs.items())
    return "\n".join(map(markdown_cell, lines))


def _describe_machine(record: Record) -> tuple[str, str]:
    """Return the machine, its software and the sweep, and the day."""
    env: Environment = record.environment
    cpu, packages = env.get("cpu", {}), env.get("packages", {})
    computer = hardware(record.device, env.get("gpu", {}).get("name"), cpu.get("name"), cpu.get("cores"))
    virtual = ", virtual" if env.get("virtual") is True and record.device == "cpu" else ""
    runtimes = ("torch", "triton", "onnxruntime-gpu", "onnxruntime", "openvino", "torchao")
    software = [f"Python {_word(env.get('python'), -1)}"]
    software += [f"{name} {packages[name]}" for name in runtimes if name in packages]
    sweep = f"plan `{record.plan.get('name')}`, seed {record.seed}"
    parts = (f"{computer}{virtual}", _word(env.get("system"), 0), ", ".join(software), sweep)
    return f"Machine: {'; '.join(parts)}", record.day


def _word(text: str | None, place: int) -> str:
    return (text or "unknown").split()[place]


def splice(root: Path = ROOT, *, write: bool = True) -> list[Path]:
    """Renew every block in the documents below `root`; return the documents that change (or would, without `write`)."""
    changed = []
    for document in chain.from_iterable(sorted(root.glob(pattern)) for pattern in DOCUMENTS):
        old = document.read_text(encoding="utf-8")
        new = BLOCK.sub(lambda match: _block(root, match), old)
        if new != old:
            changed.append(document)
            if write:
                write_file(document, new)
    return changed


def _block(root: Path, match: re.Match[str]) -> str:
    source = match["folder"]
    if source.endswith(".json"):
        section = kernel_tables.section if "/kernels/" in source else error_rates.section
        text = section(root, source)
    elif Path(source) == CALIBRATION:
        text = calibration_markdown(root / source)
    else:
        records = list(Store(root / source).read())
        render = render_accuracy if Path(source).name.startswith(ACCURACY) else render_markdown
        text = render_models(records) if Path(source) == MODELS else render(records)
    return f"{match[1]}\n{text}\n{match[3]}"
