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
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from bench.errors import StoreError
from bench.files import write_file
from bench.machine.environment import ROOT, hardware
from bench.machine.facts import Environment
from bench.plans.case import Case
from bench.plans.words import summarize_cases
from bench.records.baseline import BASELINE
from bench.records.record import Record, read_each
from bench.records.same import are_alike
from bench.records.speed import SpeedRatio, disturbed_turns, speed_ratio
from bench.records.store import Store
from bench.report.accuracy import render_accuracy
from bench.report.answer import (
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
USUAL_MODEL = "resnet50"  # of which a short table is, where others were measured as thoroughly
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
    """Return the machine, the software and the days of records: a line for each machine, software and sweep."""
    sweeps: dict[str, tuple[set[str], set[str]]] = {}
    for record in records:
        if record.status == "ok":
            sources, days = sweeps.setdefault(_describe_machine(record), (set(), set()))
            sources.add(record.input.get("source", "none"))
            days.add(record.day)
    lines = (
        f"{sweep}, input {' and '.join(sorted(sources))}; {' to '.join(dict.fromkeys((min(days), max(days))))}."
        for sweep, (sources, days) in sweeps.items()
    )
    return "\n".join(map(markdown_cell, lines))


def _describe_machine(record: Record) -> str:
    """Return the machine, its software and the sweep."""
    env: Environment = record.environment
    packages = env.get("packages", {})
    runtimes = ("torch", "triton", "onnxruntime-gpu", "onnxruntime", "openvino", "torchao")
    software = [f"Python {_word(env.get('python'), -1)}"]
    software += [f"{name} {packages[name]}" for name in runtimes if name in packages]
    sweep = f"plan `{record.plan.get('name')}`, seed {record.seed}"
    parts = (_computer(record), _word(env.get("system"), 0), ", ".join(software), sweep)
    return f"Machine: {'; '.join(parts)}"


def _computer(record: Record) -> str:
    env: Environment = record.environment
    cpu = env.get("cpu", {})
    computer = hardware(record.device, env.get("gpu", {}).get("name"), cpu.get("name"), cpu.get("cores"))
    return computer + (", virtual" if env.get("virtual") is True and record.device == "cpu" else "")


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


@dataclass(frozen=True)
class BestWays:
    """The fastest row of each variant at one batch, the fastest first, and how far each is over the fastest eager."""

    rows: list[Row]  # at most ROWS, eager among them
    eager: Row | None
    over_eager: dict[Case, SpeedRatio | None]  # none of eager itself
    left_out: list[str]  # the variants that had no room


def best_ways(rows: Sequence[Row]) -> BestWays | None:
    """Return the best precision of each variant, of the model with the most rows at the batch with the most variants.

    Ways in 8 bits, whose answers are others, are not among them; None where there are no others.
    """
    wide = [row for row in rows if not row.is_eight_bits]
    if not wide:
        return None
    counts = Counter((row.case.model, row.case.image) for row in wide)
    model = max(counts, key=lambda model: (counts[model], model[0] == USUAL_MODEL))
    groups = {key[2]: group for key, group in group_rows(wide).items() if key[:2] == model}
    group = groups[max(groups, key=lambda batch: (len({row.case.variant for row in groups[batch]}), -batch))]
    best: dict[str, Row] = {}
    for row in group:
        if are_alike(group[0].traits, row.traits):
            best.setdefault(row.case.variant, row)
    eager = best.get(BASELINE)
    shown = list(best.values())[:ROWS]
    if eager and eager not in shown:
        shown[-1] = eager
    without = disturbed_turns(record for row in group for record in row.records)
    others = [row for row in shown if row is not eager]
    over = {row.case: speed_ratio(row.records, eager.records, without) for row in others} if eager else {}
    return BestWays(shown, eager, over, [name for name, row in best.items() if row not in shown])


def render_short(records: list[Record]) -> str:
    """Return sentences on the fastest ways of one model, and a table of the `best_ways` at one of its batches."""
    rows = rows_from_records(records)
    ways = best_ways(rows)
    if ways is None:
        return describe_fastest(records, []) + "\n"
    case = ways.rows[0].case
    wide = [row for row in rows if not row.is_eight_bits and row.case.model == case.model]
    of_model = [one for one in contests_of(wide) if one.leader.case.image == case.image]
    few = [one for one in of_model if one in (of_model[0], of_model[-1]) or ways.rows[0] in one.rows]
    view = _short_view(ways)
    lines = [markdown_cell(line) + "  " for line in describe_fastest(records, few).splitlines()]
    days = sorted({record.day for record in ways.rows[0].records})
    where = ", ".join((_computer(ways.rows[0].records[0]), *dict.fromkeys((days[0], days[-1]))))
    of = f"{model_at(case)}, batch {case.batch}, each variant in its best precision ({where}):"
    lines += ["", markdown_cell(of), ""]
    lines += markdown_table(view.titles, map(view.cells, ways.rows), 2)
    lines += ["", markdown_cell(f"Not among these {ROWS}: {', '.join(ways.left_out)}.")] * bool(ways.left_out)
    return "\n".join([*lines, "", notes(view, ways.rows)]) + "\n"


def _short_view(ways: BestWays) -> View:
    def over_eager(row: Row) -> str | None:
        ratio = ways.over_eager.get(row.case)
        return "1.00" if row is ways.eager else times(ratio) if ratio else None

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
    meaning = f"""p50 ms: half of the executions, one at a time, took less; images/s: one right after the other, ± half
    its 95 % interval; times eager: images/s over those of {BASELINE}, plain PyTorch, at its fastest; MiB: {{memory}}"""
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
    return render_short(Store(root / first_folder(root, source)).read())


def _of_gpus(root: Path, source: str, _: Files) -> str:
    """Return the whole tables of every folder below `source` that a GPU's results are in, a heading each."""
    folders = folders_of_gpus(root, source)
    sections = (f"### {folder}\n\n{render_markdown(Store(root / folder).read())}" for folder in folders)
    return "\n".join(sections) or "No record of a GPU is in this repository yet.\n"


KINDS: dict[str, Renderer] = {"": _usual, "short": _short, "gpu": _of_gpus}
