"""Records as Markdown, and spliced into prose between markers, so that no table in a document is typed.

<!-- bench: results/some-folder -->
... everything here is made from that folder's records by `bench report --splice` ...
<!-- /bench -->

or, where a file that ends in .json is named, from what `bench selftest -o` or `bench kernels` wrote there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from bench.files import write_file
from bench.machine.environment import ROOT, hardware
from bench.machine.facts import Environment
from bench.plans.words import summarize_cases
from bench.records.record import Record
from bench.records.store import Store
from bench.report.rows import answer, left_out, rows, trust
from bench.report.views import VIEWS, notes
from bench.static import markdown as kernel_tables
from bench.text import markdown_table
from bench.verdicts.selftest import tables as error_rates

BLOCK = re.compile(r"(<!-- bench: (?P<folder>\S+) -->\n).*?(<!-- /bench -->)", re.S)
# documents that may hold blocks
DOCUMENTS = ("README.md", "results/README.md", "docs/*.md")


def markdown(records: list[Record], view: str = "speed") -> str:
    """The answer, the table, and what was left out, as Markdown; equal records give equal text."""
    found, shown = rows(records), VIEWS[view]
    lines = [line + "  " for line in answer(found).splitlines()]
    words = [column.title for column in shown.columns if column.text]
    lines += ["", *markdown_table(shown.titles, map(shown.cells, found), words)]
    lines += ["", machine(records), "", trust(records, found), "", notes(shown, found)]
    missing = left_out(records)
    if missing:
        lines += ["", "Left out:", ""]
        lines += [f"- {status}: {summarize_cases(cases)}: {_one_line(reason)}" for status, reason, cases in missing]
    return "\n".join(lines) + "\n"


def _one_line(text: str) -> str:
    # what a library printed may hold Markdown or HTML
    return " ".join(text.split()).replace("<", "&lt;").replace("|", "\\|")


def machine(records: list[Record]) -> str:
    """The machine, the software and the day of some records, a sentence for each that differs."""
    told = dict.fromkeys(_machine(record) for record in records if record.status == "ok")
    return "\n".join(told)


def _machine(record: Record) -> str:
    env: Environment = record.environment
    cpu, packages = env.get("cpu", {}), env.get("packages", {})
    computer = hardware(record.device, env.get("gpu", {}).get("name"), cpu.get("name"), cpu.get("cores"))
    virtual = ", virtual" if env.get("virtual") is True and record.device == "cpu" else ""
    runtimes = ("torch", "triton", "onnxruntime-gpu", "onnxruntime")
    software = [
        f"Python {_word(env.get('python'), -1)}",
        *(f"{name} {packages[name]}" for name in runtimes if name in packages),
    ]
    sweep = f"plan `{record.plan.get('name')}`, seed {record.seed}, input {record.input.get('source', 'none')}"
    parts = (f"{computer}{virtual}", _word(env.get("system"), 0), ", ".join(software), sweep, record.started[:10])
    return f"Machine: {'; '.join(parts)}."


def _word(text: str | None, place: int) -> str:
    return (text or "unknown").split()[place]


def splice(root: Path = ROOT, *, write: bool = True) -> list[Path]:
    """Make every block anew in the documents below `root`; the documents that change (or would, without `write`)."""
    changed = []
    for document in _documents(root):
        old = document.read_text(encoding="utf-8")
        new = BLOCK.sub(lambda found: _block(root, found), old)
        if new != old:
            changed.append(document)
            if write:
                write_file(document, new)
    return changed


def _documents(root: Path) -> Iterator[Path]:
    for pattern in DOCUMENTS:
        yield from sorted(root.glob(pattern))


def _block(root: Path, found: re.Match[str]) -> str:
    if found["folder"].endswith(".json"):
        section = kernel_tables.section if "/kernels/" in found["folder"] else error_rates.section
        return f"{found[1]}\n{section(root, found['folder'])}\n{found[3]}"
    records: Iterable[Record] = Store(root / found["folder"]).read()
    return f"{found[1]}\n{markdown(list(records))}\n{found[3]}"
