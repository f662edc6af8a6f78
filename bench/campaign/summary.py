"""The last lines of a campaign: a line for every path that was tried, then the first speeds; forty lines at most.

A path is a piece, or a variant in a precision and launch. It says ok, wrong, error and the like, with the first cause.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.campaign.tasks import STAGES, TASKS, Task, stage_of
from bench.machine.provenance import code_of, short
from bench.records.baseline import speed
from bench.records.record import Record
from kernels.cards import places

if TYPE_CHECKING:
    from bench.campaign.campaign import Campaign

LINES, WIDTH = 40, 150
SPEEDS = ("first", "headline", "depths", "precisions")  # plans whose speeds are shown, the latest of a case


class Row(NamedTuple):
    """What became of a path: `group` is piece, gate, speed, experiment, tests or task."""

    status: str
    group: str
    name: str
    cause: str = ""

    def line(self) -> str:
        text = f"{self.status:7} {self.group:10} {self.name}" + (
            f": {' '.join(self.cause.split())}" if self.cause else ""
        )
        return text if len(text) <= WIDTH else text[: WIDTH - 3] + "..."


def summary(campaign: Campaign) -> list[str]:
    """The lines, of this card and this code; what is next on the last one."""
    tasks = list(_tasks(campaign))
    troubles = [Row("error", "output", text) for text in campaign.troubles()]
    rows = [*_pieces(campaign), *_gates(campaign), *_experiments(campaign), *_kept(campaign), *_tests(campaign)]
    rows = list(dict.fromkeys(rows))
    speeds = list(_speeds(campaign))
    states = {name: campaign.state(task).kind for name, task in TASKS.items()}
    done = [name for name, kind in states.items() if kind == "ok"]
    left = [name for name, kind in states.items() if kind not in ("ok", "failed")]
    head = f"{campaign.name}, commit {short(campaign.env['git'])}: {len(done)} of {len(states)} tasks ok"
    fixed = [head, *_fitting([*troubles, *tasks], LINES // 3)]
    paths = _fitting(rows, LINES - 1 - len(fixed) - min(len(speeds), 12))
    last = f"Missing: {', '.join(left)}. `make gpu` goes on there." if left else "Nothing is missing."
    return [*fixed, *paths, *speeds[: LINES - 1 - len(fixed) - len(paths)], last]


def _tasks(campaign: Campaign) -> Iterator[Row]:
    """The tasks of this run that did not end well, the latest word of each."""
    latest = {entry.task: entry for entry in campaign.ended}
    for entry in latest.values():
        if entry.status != "ok":
            yield Row(entry.status, "task", entry.task, entry.reason)


def _pieces(campaign: Campaign) -> Iterator[Row]:
    for piece in _rows(_of_this_code(campaign, _read(campaign.root / "pieces.json")), "pieces"):
        name = " ".join(str(piece.get(key, "")) for key in ("name", "precision")).strip()
        yield Row(str(piece.get("status")), "piece", name, str(piece.get("reason", "")))


def _gates(campaign: Campaign) -> Iterator[Row]:
    """A row for each case whose answers were checked."""
    for record in _latest(campaign, (task for task in TASKS.values() if "verify" in task.argv)):
        if record.status != "skipped":
            yield Row(record.status, "gate", _path(record), "" if record.status == "ok" else record.reason)


def _experiments(campaign: Campaign) -> Iterator[Row]:
    found = _read(places.constants_path(campaign.name, campaign.results))
    for one in _rows(_of_this_code(campaign, found), "experiments"):
        if one.get("reason") != "not begun":
            yield Row(str(one.get("status")), "experiment", str(one.get("name")), str(one.get("reason", "")))
    constants = found.get("constants")
    for name, constant in (constants if isinstance(constants, dict) else {}).items():
        value = constant.get("value") if isinstance(constant, dict) else None
        if isinstance(value, int | float):
            yield Row("ok", "constant", f"{name} = {value:.4g} {constant.get('unit', '')}".strip())


def _kept(campaign: Campaign) -> Iterator[Row]:
    """What tuning and the ceilings left of this card."""
    entries = _rows(_read(places.tuned_path(campaign.name, campaign.results)), "entries")
    measured = [entry for entry in entries if entry.get("chosen") == "measured"]
    if measured:
        yield Row("ok", "tuned", f"{len(measured)} layers have a configuration that was measured")
    found = _read(campaign.ceilings())
    flops, bandwidth = found.get("flops"), found.get("bandwidth")
    if isinstance(flops, dict) and isinstance(bandwidth, int | float):
        rates = ", ".join(f"{name} {rate / 1e12:.3g} TFLOP/s" for name, rate in flops.items())
        yield Row("ok", "ceilings", f"{rates}; copies {bandwidth / 1e12:.3g} TB/s")


def _tests(campaign: Campaign) -> Iterator[Row]:
    """Counts of JUnit's files that are of this code, and a row for each test that failed."""
    for name, task in TASKS.items():
        path = campaign.root / f"{name}.xml"
        if "pytest" in task.argv and path.exists() and campaign.state(task).kind != "missing":
            yield from _tests_in(path)


def _tests_in(path: Path) -> Iterator[Row]:
    try:
        suites = list(ElementTree.parse(path).getroot().iter("testsuite"))
    except ElementTree.ParseError as error:
        yield Row("error", "tests", f"{path.name} cannot be read", str(error))
        return
    counts = {
        key: sum(int(suite.get(key, 0)) for suite in suites) for key in ("tests", "failures", "errors", "skipped")
    }
    if not counts["tests"]:  # collected, and none run
        return
    bad = counts["failures"] + counts["errors"]
    yield Row("error" if bad else "ok", path.stem, ", ".join(f"{count} {name}" for name, count in counts.items()))
    for suite in suites:
        for case in suite.iter("testcase"):
            for kind in ("failure", "error"):
                if (problem := case.find(kind)) is not None:
                    yield Row(
                        "error", "test", f"{case.get('classname')}::{case.get('name')}", problem.get("message") or ""
                    )


def _speeds(campaign: Campaign) -> Iterator[str]:
    """Images/s, latency and the ratio to eager of the same precision, batch and launch."""
    records = {}
    for record in _latest(campaign, (task for task in TASKS.values() if task.plan in SPEEDS and "run" in task.argv)):
        records[record.case] = record
    ok = [record for record in records.values() if record.status == "ok" and record.throughput]
    rates = {record.case: speed(record) for record in ok}
    eager = {_like(case): rate for case, rate in rates.items() if case.variant == "eager"}
    for record in sorted(ok, key=lambda record: (record.case.model, -record.case.batch, -rates[record.case])):
        case = record.case
        base = eager.get(_like(case))
        ratio = f", {rates[case] / base:.2f} times eager" if base else ""
        yield f"{rates[case]:9,.0f} images/s  {case.name}: p50 {median(record.kept('latency_ns')) / 1e6:.3f} ms{ratio}"
    for record in records.values():
        if record.status not in ("ok", "skipped"):
            yield Row(record.status, "speed", record.case.name, record.reason).line()


def _like(case: Any) -> tuple[Any, ...]:
    return case.model, case.precision, case.batch, case.image, case.launch


def _latest(campaign: Campaign, tasks: Iterable[Task]) -> list[Record]:
    """The records of some sweeps, of each folder once."""
    folders = {campaign.folder(task): task for task in tasks}
    return [record for task in folders.values() for record in campaign.records(task)]


def _path(record: Record) -> str:
    case = record.case
    model = "" if case.model == "resnet50" else f"{case.model} "
    return f"{model}{case.variant} {case.precision} {case.launch} b{case.batch}"


def _fitting(rows: list[Row], most: int) -> list[str]:
    """A line a row; of more than fit, those that are ok share a line by group, then the rest is counted."""
    if len(rows) <= most:
        return [row.line() for row in rows]
    good: dict[str, list[str]] = {}
    for row in rows:
        if row.status == "ok":
            good.setdefault(row.group, []).append(row.name)
    shared = [Row("ok", group, f"{len(names)}: {', '.join(names)}").line() for group, names in good.items()]
    bad = [row.line() for row in rows if row.status != "ok"]
    room = max(1, most - len(shared) - 1)
    more = [f"... and {len(bad) - room} more that are not ok: see the log"] if len(bad) > room else []
    return [*bad[:room], *more, *shared]


def _read(path: Path) -> dict[str, Any]:
    """A JSON object that another command wrote; an empty one where it did not."""
    try:
        data = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def _rows(found: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """The objects of a list in a file; of anything else none."""
    rows = found.get(key)
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _of_this_code(campaign: Campaign, found: dict[str, Any]) -> dict[str, Any]:
    """A file with provenance, if it is of the code and software that this campaign runs; else an empty one."""
    provenance = found.get("provenance")
    env = provenance.get("environment") if isinstance(provenance, dict) else None
    try:
        return found if env and code_of(env) == code_of(campaign.env) else {}
    except (KeyError, AttributeError, TypeError):
        return {}


def missing(campaign: Campaign) -> list[Task]:
    """What is not done for this card and this code, in order of value.

    A first stage's sweep that has begun, and lacks what is worth least of it, comes behind the second stage.
    """
    states = {name: campaign.state(task) for name, task in TASKS.items()}
    order = list(STAGES)

    def rank(task: Task) -> float:
        stage = order.index(stage_of(task).name)
        return 1.5 if stage == 0 and task.plan and campaign.records(task) else stage

    return sorted((task for name, task in TASKS.items() if not states[name].done), key=rank)
