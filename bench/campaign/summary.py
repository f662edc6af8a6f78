"""The summary of a campaign: a line for every path that was tried, then the first speeds; forty lines at most.

A path is a piece, or a variant in a precision and launch. Its line has a status (ok, wrong, error, ...) and the cause.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.campaign.tasks import STAGES, TASKS, Task, stage_of
from bench.machine.provenance import code_of, short
from bench.records.record import Record
from bench.records.speed import images_per_second
from kernels.cards import places
from kernels.cards.reading import read_json_file

if TYPE_CHECKING:
    from bench.campaign.campaign import Campaign

MAX_LINES, MAX_WIDTH = 40, 150
SPEEDS = ("first", "headline", "depths", "precisions")  # plans whose speeds are shown, the latest of a case


class SummaryRow(NamedTuple):
    """The outcome of a path; `group` is its kind: piece, gate, speed, experiment, tests, task or the like."""

    status: str
    group: str
    name: str
    cause: str = ""

    def line(self) -> str:
        cause = " ".join(self.cause.split())
        text = f"{self.status:7} {self.group:10} {self.name}{cause and f': {cause}'}"
        return text if len(text) <= MAX_WIDTH else text[: MAX_WIDTH - 3] + "..."


def summarize(campaign: Campaign) -> list[str]:
    """Return the lines for this card and this code; the last one names the missing tasks."""
    tasks = list(_tasks(campaign))
    troubles = [SummaryRow("error", "output", text) for text in campaign.troubles()]
    sections = (_pieces, _gates, _experiments, _results, _tests)
    rows = list(dict.fromkeys(row for section in sections for row in _rows_of(section, campaign)))
    speeds = [row if isinstance(row, str) else row.line() for row in _rows_of(_speeds, campaign)]
    states = {name: campaign.state(task).kind for name, task in TASKS.items()}
    done = [name for name, kind in states.items() if kind == "ok"]
    undone = [name for name, kind in states.items() if kind not in ("ok", "failed")]
    head = f"{campaign.name}, commit {short(campaign.env['git'])}: {len(done)} of {len(states)} tasks ok"
    fixed = [head, *_fit_lines([*troubles, *tasks], MAX_LINES // 3)]
    paths = _fit_lines(rows, MAX_LINES - 1 - len(fixed) - min(len(speeds), 12))
    last = f"Missing: {', '.join(undone)}. `make gpu` goes on there." if undone else "Nothing is missing."
    return [*fixed, *paths, *speeds[: MAX_LINES - 1 - len(fixed) - len(paths)], last]


def _rows_of(section: Callable[[Campaign], Iterator[Any]], campaign: Campaign) -> Iterator[Any]:
    """Yield the rows of a section; a damaged file costs the rest of them, and has a row itself."""
    try:
        yield from section(campaign)
    except Exception as error:
        yield SummaryRow("error", "summary", section.__name__.removeprefix("_"), f"{type(error).__name__}: {error}")


def _tasks(campaign: Campaign) -> Iterator[SummaryRow]:
    """Yield the tasks of this run whose last try failed."""
    latest = {entry.task: entry for entry in campaign.ended}
    for entry in latest.values():
        if entry.status != "ok":
            yield SummaryRow(entry.status, "task", entry.task, entry.reason)


def _pieces(campaign: Campaign) -> Iterator[SummaryRow]:
    for piece in _if_of_this_code(campaign, _read_json(campaign.root / "pieces.json")).get("pieces", ()):
        name = f"{piece['name']} {piece.get('precision', '')}".strip()
        yield SummaryRow(str(piece.get("status")), "piece", name, str(piece.get("reason", "")))


def _gates(campaign: Campaign) -> Iterator[SummaryRow]:
    """Yield a row for each case whose answers were checked."""
    for record in _records_of(campaign, (task for task in TASKS.values() if "verify" in task.argv)):
        if record.status != "skipped":
            yield SummaryRow(record.status, "gate", _path(record), "" if record.status == "ok" else record.reason)


def _experiments(campaign: Campaign) -> Iterator[SummaryRow]:
    content = _read_json(places.constants_path(campaign.name, campaign.results))
    for row in _if_of_this_code(campaign, content).get("experiments", ()):
        if row.get("reason") != "not begun":
            yield SummaryRow(str(row.get("status")), "experiment", str(row.get("name")), str(row.get("reason", "")))
    for name, constant in content.get("constants", {}).items():
        yield SummaryRow("ok", "constant", f"{name} = {constant['value']:.4g} {constant.get('unit', '')}".strip())


def _results(campaign: Campaign) -> Iterator[SummaryRow]:
    """Yield the results of tuning and of the ceilings."""
    entries = _read_json(places.tuned_path(campaign.name, campaign.results)).get("entries", ())
    measured = [entry for entry in entries if entry.get("chosen") == "measured"]
    if measured:
        yield SummaryRow("ok", "tuned", f"{len(measured)} layers have a configuration that was measured")
    if ceilings := _read_json(campaign.ceilings()):
        rates = ", ".join(f"{name} {rate / 1e12:.3g} TFLOP/s" for name, rate in ceilings["flops"].items())
        yield SummaryRow("ok", "ceilings", f"{rates}; copies {ceilings['bandwidth'] / 1e12:.3g} TB/s")


def _tests(campaign: Campaign) -> Iterator[SummaryRow]:
    """Yield the counts in JUnit's files of this code, and a row for each test that failed."""
    for name, task in TASKS.items():
        path = campaign.root / f"{name}.xml"
        if "pytest" in task.argv and path.exists() and campaign.state(task).kind != "missing":
            try:
                yield from _tests_in(path)
            except ElementTree.ParseError as error:  # which costs this file alone
                yield SummaryRow("error", "tests", f"{path.name} cannot be read", str(error))


def _tests_in(path: Path) -> Iterator[SummaryRow]:
    suites = list(ElementTree.parse(path).getroot().iter("testsuite"))
    words = ("tests", "failures", "errors", "skipped")
    counts = {word: sum(int(suite.get(word, 0)) for suite in suites) for word in words}
    if not counts["tests"]:  # collected, and none run
        return
    failed = counts["failures"] + counts["errors"]
    text = ", ".join(f"{count} {name}" for name, count in counts.items())
    yield SummaryRow("error" if failed else "ok", path.stem, text)
    for suite in suites:
        for case in suite.iter("testcase"):
            for kind in ("failure", "error"):
                if (problem := case.find(kind)) is not None:
                    name = f"{case.get('classname')}::{case.get('name')}"
                    yield SummaryRow("error", "test", name, problem.get("message") or "")


def _speeds(campaign: Campaign) -> Iterator[SummaryRow | str]:
    """Yield images/s, latency and the ratio to eager of the same precision, batch and launch."""
    tasks = [task for task in TASKS.values() if task.plan in SPEEDS and "run" in task.argv]
    records = {record.case: record for record in _records_of(campaign, tasks)}
    measured = [record for record in records.values() if record.status == "ok" and record.throughput]
    rates = {record.case: images_per_second(record) for record in measured}
    eager_rates = {_ratio_key(case): rate for case, rate in rates.items() if case.variant == "eager"}
    for record in sorted(measured, key=lambda record: (record.case.model, -record.case.batch, -rates[record.case])):
        case = record.case
        baseline = eager_rates.get(_ratio_key(case))
        ratio = f", {rates[case] / baseline:.2f} times eager" if baseline else ""
        yield f"{rates[case]:9,.0f} images/s  {case.name}: p50 {median(record.kept('latency_ns')) / 1e6:.3f} ms{ratio}"
    for record in records.values():
        if record.status not in ("ok", "skipped"):
            yield SummaryRow(record.status, "speed", record.case.name, record.reason)


def _ratio_key(case: Any) -> tuple[Any, ...]:
    return case.model, case.precision, case.batch, case.image, case.launch


def _records_of(campaign: Campaign, tasks: Iterable[Task]) -> list[Record]:
    """Return the records of some sweeps, each folder once."""
    folders = {campaign.folder(task): task for task in tasks}
    return [record for task in folders.values() for record in campaign.records(task)]


def _path(record: Record) -> str:
    case = record.case
    model = "" if case.model == "resnet50" else f"{case.model} "
    return f"{model}{case.variant} {case.precision} {case.launch} b{case.batch}"


def _fit_lines(rows: list[SummaryRow], limit: int) -> list[str]:
    """Return a line a row; if they exceed `limit`, ok rows share a line a group, and further failures are counted."""
    if len(rows) <= limit:
        return [row.line() for row in rows]
    ok: dict[str, list[str]] = {}
    for row in rows:
        if row.status == "ok":
            ok.setdefault(row.group, []).append(row.name)
    shared = [SummaryRow("ok", group, f"{len(names)}: {', '.join(names)}").line() for group, names in ok.items()]
    not_ok = [row.line() for row in rows if row.status != "ok"]
    space = max(1, limit - len(shared) - 1)
    more = [f"... and {len(not_ok) - space} more that are not ok: see the log"] if len(not_ok) > space else []
    return [*not_ok[:space], *more, *shared]


def _read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file; an empty one if there is no file."""
    return dict(read_json_file(path)) if path.exists() else {}


def _if_of_this_code(campaign: Campaign, content: dict[str, Any]) -> dict[str, Any]:
    """Return a file's content if its provenance has this campaign's code and software; else an empty object."""
    return content if content and code_of(content["provenance"]["environment"]) == code_of(campaign.env) else {}


def missing_tasks(campaign: Campaign) -> list[Task]:
    """Return the tasks that are not done for this card and this code, in order of value.

    A sweep of the first stage that has begun comes behind the second stage, as its remaining cases are worth least.
    """
    states = {name: campaign.state(task) for name, task in TASKS.items()}
    order = list(STAGES)

    def rank(task: Task) -> float:
        stage = order.index(stage_of(task).name)
        return 1.5 if stage == 0 and task.plan and campaign.records(task) else stage

    return sorted((task for name, task in TASKS.items() if not states[name].done), key=rank)
