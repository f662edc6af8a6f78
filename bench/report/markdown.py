"""Records as Markdown, also spliced into documents between markers, so that no table in a document is typed.

<!-- bench: results/some-folder -->
... everything here is rendered from that folder's records by `bench report --splice` ...
<!-- /bench -->

of MODELS as a table of models by variants, of CALIBRATION as one of networks by ways of calibrating, of a folder whose
name begins with ACCURACY as one of right answers; or, where a file that ends in .json is named, from what `bench
selftest -o` or `bench kernels` wrote there. A word before the folder asks for another kind of block: `short` for the
answer and at most ROWS rows, of `first_folder`; `gpu` for the whole tables of every folder with a GPU's results; and
those that a caller of `splice` adds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path

from bench.errors import StoreError
from bench.files import write_file
from bench.machine.environment import ROOT, hardware
from bench.machine.facts import Environment
from bench.plans.words import summarize_cases
from bench.records.baseline import BASELINE
from bench.records.record import Record, read_each
from bench.records.same import are_alike
from bench.records.speed import disturbed_turns, speed_ratio
from bench.records.store import Store
from bench.report.accuracy import render_accuracy
from bench.report.answer import (
    Contest,
    Settle,
    contests_of,
    describe_fastest,
    describe_settling,
    settled_in_documents,
    times,
)
from bench.report.cells import Column, View, disturbed, mib, ms
from bench.report.evidence import describe_reliability
from bench.report.models import render_models
from bench.report.rows import Row, group_rows, group_without_speed, model_at, rows_from_records
from bench.report.sensitivity import calibration_markdown
from bench.report.views import CASE, DISTURBED, VIEWS, notes, usual_view
from bench.static import markdown as kernel_tables
from bench.text import digits, markdown_cell, markdown_table, plus_minus
from bench.verdicts.selftest import tables as error_rates

BLOCK = re.compile(r"(<!-- bench: (?:(?P<kind>\w+) )?(?P<source>\S+) -->\n).*?(?P<end><!-- /bench -->)", re.S)
Files = dict[Path, bytes]  # that a block shows, by path
# returns the text of a block, of what its marker names in a checkout, and adds the files that it shows
Renderer = Callable[[Path, str, Files], str]
MODELS = Path("results/models")  # where `make models` writes
CALIBRATION = Path("results/calibration")  # files of `bench sensitivity --methods -o`
ACCURACY = "accuracy"  # as the folder that `make accuracy` writes
PICTURES = Path("results/pictures")  # of documents, drawn from records
ROWS = 8  # of a short table
USUAL_MODEL = "resnet50"  # which a short table is of where others were measured as thoroughly
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


def first_folder(root: Path, usual: str) -> str:
    """Return the results folder that a document shows first: a GPU's with the most variants and cases, else `usual`."""
    return max(folders_of_gpus(root), key=lambda folder: _thoroughness(root / folder), default=usual)


def folders_of_gpus(root: Path, under: str = "results") -> list[str]:
    """Return the folders that hold a record of a case that a GPU ran, but for those that git does not see."""
    files = sorted((root / under).rglob("records.jsonl"))
    folders = [file.parent for file in files if "local" not in file.relative_to(root).parts and _is_of_gpu(file)]
    return [folder.relative_to(root).as_posix() for folder in folders]


def _is_of_gpu(file: Path) -> bool:
    records = (one for _, one in read_each(file) if isinstance(one, Record))
    return any(record.device == "cuda" and record.status == "ok" for record in records)


def _thoroughness(folder: Path) -> tuple[int, int]:
    """Return how many variants were measured at one batch of one model, at most, and how many cases in all."""
    cases = {record.case for record in Store(folder).read(brief=True) if record.status == "ok"}
    variants: dict[tuple[str, int, int], set[str]] = {}
    for case in cases:
        variants.setdefault((case.model, case.image, case.batch), set()).add(case.variant)
    return max(map(len, variants.values())), len(cases)


def _short_tables(rows: list[Row]) -> list[tuple[Contest, list[Row]]]:
    """Return each contest but those in 8 bits, with all rows of its model and batch, by either launch."""
    wide = [row for row in rows if not row.is_eight_bits]
    groups, contests = group_rows(wide), contests_of(wide)
    return [
        (one, [row for row in groups[_point(one.leader)] if are_alike(one.leader.traits, row.traits)])
        for one in contests
    ]


def _best(rows: list[Row]) -> list[Row]:
    """Return the fastest row of each variant, the fastest first."""
    best: dict[str, Row] = {}
    for row in sorted(rows, key=lambda row: -row.images_per_s):
        best.setdefault(row.case.variant, row)
    return list(best.values())


def _point(row: Row) -> tuple[str, int, int]:
    return row.case.model, row.case.image, row.case.batch


def render_short(records: list[Record]) -> str:
    """Return sentences on the fastest ways of one model, and a table of its best precision of each variant.

    It is the model, image size and batch with the most variants; of several, with an answer. Ways in 8 bits, whose
    answers are others, are not in it.
    """
    tables = _short_tables(rows_from_records(records))
    if not tables:
        return describe_fastest(records, []) + "\n"

    def rank(table: tuple[Contest, list[Row]]) -> tuple[int, bool, bool]:
        return len(_best(table[1])), table[0].leader.case.model == USUAL_MODEL, table[0].verdict != "unknown"

    shown, group = max(tables, key=rank)  # of equals the first: the smallest batch
    of_model = [contest for contest, _ in tables if _point(contest.leader)[:2] == _point(shown.leader)[:2]]
    few = [contest for contest in of_model if contest in (of_model[0], shown, of_model[-1])]
    best, case = _best(group), shown.leader.case
    baseline = next((row for row in best if row.case.variant == BASELINE), None)
    view, seen = _short_view(group, baseline), best[:ROWS]
    if baseline and baseline not in seen:
        seen[-1] = baseline
    lines = [markdown_cell(line) + "  " for line in describe_fastest(records, few).splitlines()]
    lines += ["", f"{model_at(case)}, batch {case.batch}, each variant in its best precision:", ""]
    lines += markdown_table(view.titles, map(view.cells, seen), 2)
    unseen = ", ".join(row.case.variant for row in best if row not in seen)
    lines += ["", f"Not among these {ROWS}: {unseen}."] * bool(unseen)
    return "\n".join([*lines, "", notes(view, seen)]) + "\n"


def _short_view(rows: list[Row], baseline: Row | None) -> View:
    """Return the view of some of these rows, all over the same baseline."""
    without = disturbed_turns(record for row in rows for record in row.records)

    def over_eager(row: Row) -> str | None:
        if baseline is None or row is baseline:
            return "1.00" if baseline else None
        ratio = speed_ratio(row.records, baseline.records, without)
        return times(ratio) if ratio else None

    def rate(row: Row) -> str:
        low, high = row.images_per_s_interval or (0.0, 0.0)
        return digits(row.images_per_s) + plus_minus((high - low) / 2 / row.images_per_s or None)

    columns = (
        *(CASE[0], replace(CASE[1], title="precision")),
        Column("p50 ms", "p50_ns", lambda row: row.p50_ns, ms),
        Column("images/s", "images_per_s", rate, mark=disturbed),
        Column("times eager", "times_eager", over_eager),
        Column("MiB", "memory_bytes", lambda row: row.memory, mib),
    )
    meaning = f"""p50 ms: half of the executions took less, one at a time; images/s: one execution right after the
    other, with half its 95 % interval; times eager: images/s over those of {BASELINE}, plain PyTorch, at its fastest;
    MiB: {{memory}}"""
    return View(columns, meaning, {"images/s": DISTURBED})


def splice(root: Path = ROOT, *, write: bool = True, kinds: Mapping[str, Renderer] | None = None) -> list[Path]:
    """Renew every block in the documents below `root`, and the files that they show.

    `kinds` are renderers of further kinds of blocks. Returns the documents and files that change (or would, without
    `write`).
    """
    renderers, files, changed = {**KINDS, **(kinds or {})}, Files(), []
    for document in chain.from_iterable(sorted(root.glob(pattern)) for pattern in DOCUMENTS):
        old = document.read_text(encoding="utf-8")
        new = BLOCK.sub(lambda match: _block(root, match, renderers, files), old)
        if new != old:
            changed.append(document)
            if write:
                write_file(document, new)
    for path, content in files.items():
        if not path.exists() or path.read_bytes() != content:
            changed.append(path)
            if write:
                write_file(path, content)
    return changed


def _block(root: Path, match: re.Match[str], renderers: Mapping[str, Renderer], files: Files) -> str:
    kind, source = match["kind"] or "", match["source"]
    if kind not in renderers:
        raise StoreError(f"no block is of the kind {kind!r}; there are {', '.join(filter(None, renderers))}")
    return f"{match[1]}\n{renderers[kind](root, source, files)}\n{match['end']}"


def _usual(root: Path, source: str, _: Files) -> str:
    """Return the block of a folder of records, or of a file."""
    if source.endswith(".json"):
        section = kernel_tables.section if "/kernels/" in source else error_rates.section
        return section(root, source)
    if Path(source) == CALIBRATION:
        return calibration_markdown(root / source)
    records = Store(root / source).read()
    render = render_accuracy if Path(source).name.startswith(ACCURACY) else render_markdown
    return render_models(records) if Path(source) == MODELS else render(records)


def _short(root: Path, source: str, _: Files) -> str:
    """Return the answer and a short table of the folder that a document shows first."""
    folder = first_folder(root, source)
    records = Store(root / folder).read()
    return f"{render_short(records)}\n{describe_machine(records)}\n"


def _of_gpus(root: Path, source: str, _: Files) -> str:
    """Return the whole tables of every folder below `source` that a GPU's results are in, a heading each."""
    folders = folders_of_gpus(root, source)
    sections = (f"### {folder}\n\n{render_markdown(Store(root / folder).read())}" for folder in folders)
    return "\n".join(sections) or "No record of a GPU is in this repository yet.\n"


KINDS: dict[str, Renderer] = {"": _usual, "short": _short, "gpu": _of_gpus}
