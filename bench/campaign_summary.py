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

from bench.campaign_tasks import STAGES, TASKS, Task
from bench.provenance import short
from bench.record import Record
from kernels import places

if TYPE_CHECKING:
    from bench.campaign import Campaign

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
    """The lines, of this card and this code."""
    tasks = list(_tasks(campaign))
    troubles = [Row("error", "output", text) for text in campaign.troubles()]
    rows = [*_pieces(campaign), *_gates(campaign), *_experiments(campaign), *_tests(campaign)]
    speeds = list(_speeds(campaign))
    head = f"{campaign.name}, commit {short(campaign.env['git'])}: {_counts(campaign)}"
    fixed = [head, *_fitting([*troubles, *tasks], LINES // 3)]
    paths = _fitting(rows, LINES - len(fixed) - min(len(speeds), 12))
    return [*fixed, *paths, *speeds[: LINES - len(fixed) - len(paths)]]


def _counts(campaign: Campaign) -> str:
    states = {name: campaign.state(task).kind for name, task in TASKS.items()}
    done = [name for name, kind in states.items() if kind == "ok"]
    return f"{len(done)} of {len(states)} tasks done ({', '.join(done) or 'none'})"


def _tasks(campaign: Campaign) -> Iterator[Row]:
    """The tasks of this run that did not end well, the latest word of each."""
    latest = {entry.task: entry for entry in campaign.ended}
    for entry in latest.values():
        if entry.status != "ok":
            yield Row(entry.status, "task", entry.task, entry.reason)


def _pieces(campaign: Campaign) -> Iterator[Row]:
    for piece in _read(campaign.root / "pieces.json").get("pieces", ()):
        name = " ".join(str(piece.get(key, "")) for key in ("name", "precision")).strip()
        yield Row(str(piece.get("status")), "piece", name, str(piece.get("reason", "")))


def _gates(campaign: Campaign) -> Iterator[Row]:
    """A row for each variant, precision and launch, the worst of its cases."""
    for record in _latest(campaign, (task for task in TASKS.values() if "verify" in task.argv)):
        if record.status != "skipped":
            yield Row(record.status, "gate", _path(record), "" if record.status == "ok" else record.reason)


def _experiments(campaign: Campaign) -> Iterator[Row]:
    found = _read(places.constants(campaign.name, campaign.results))
    for one in found.get("experiments", ()):
        yield Row(str(one.get("status")), "experiment", str(one.get("name")), str(one.get("reason", "")))
    for name, constant in found.get("constants", {}).items():
        yield Row("ok", "constant", f"{name} = {constant.get('value'):.4g} {constant.get('unit', '')}".strip())


def _tests(campaign: Campaign) -> Iterator[Row]:
    """Counts of each of JUnit's files, and a row for each test that failed."""
    for path in sorted(campaign.root.glob("*tests.xml")):
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
    rates = {record.case: 1e9 * record.throughput["images"] / record.throughput["ns"] for record in ok}
    eager = {_like(case): rate for case, rate in rates.items() if case.variant == "eager"}
    for record in sorted(ok, key=lambda record: (record.case.model, -record.case.batch, -rates[record.case])):
        case = record.case
        base = eager.get(_like(case))
        ratio = f", {rates[case] / base:.2f} times eager" if base else ""
        yield f"{rates[case]:9,.0f} images/s  {case.name}: p50 {median(record.latency_ns) / 1e6:.3f} ms{ratio}"
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


def missing(campaign: Campaign) -> list[Task]:
    """What is not done for this card and this code, in order of value."""
    return [task for stage in STAGES.values() for task in stage.tasks if not campaign.state(task).done]
