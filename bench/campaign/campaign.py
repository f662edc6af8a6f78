"""A quarter of an hour on a rented card: the tasks that are missing for this card and code, in order of value.

Tasks (`bench.campaign.tasks`) are child processes with a time limit each, so that one that hangs or dies loses only its
results. Their files are under results/, where the next task and the next rental use them; the journal
results/<card>/campaign.jsonl says how each ended. With $OUT set, as on a machine that gives back one folder, an archive
of the card's results, the log and the summary are written there after every task, and while a long one runs.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from bench.campaign import standins
from bench.campaign.archive import Outbox
from bench.campaign.child import GRACE_S, Log, run_logged
from bench.campaign.summary import summarize
from bench.campaign.tasks import Task
from bench.errors import StoreError
from bench.files import write_file
from bench.machine.environment import child_variables
from bench.machine.facts import Environment
from bench.machine.provenance import code_of, short
from bench.paths import local
from bench.plans import plan as plans
from bench.plans.case import Case
from bench.plans.eligible import why_not
from bench.plans.plan import Plan
from bench.records.record import Record
from bench.records.same import RESUME, SweepConditions, differences
from bench.records.store import FILE, Store
from bench.roofline import ceilings
from bench.runs.standing import GOOD, standing
from kernels.cards import places
from kernels.cards.reading import parse_json, read_bounded
from kernels.compiled.bundle import BUNDLE_VARIABLE

RESERVE_S = 4.0  # of a budget, reserved for the archive and the summary
UPDATE_S = 20.0  # the outbox is updated this often while a task runs
TRIES = 2  # of a task that fails on the same card and code
DRY_S = 600.0  # the limit of a task in a dry run
JOBS = 8  # processes at once that check answers; they share the card's memory


@dataclass(frozen=True)
class JournalEntry:
    """The end of one try of a task: a line of the journal. `status` is ok, failed, or late (at its time limit)."""

    task: str
    status: str
    reason: str
    seconds: float
    when: str
    code: str  # `code_of` of its environment
    commit: str
    records: int = 0  # in a sweep's folder when it ended


@dataclass(frozen=True)
class State:
    """The state of a task for this card and this code: ok, failed (TRIES times), partial, missing."""

    kind: str
    text: str = ""

    @property
    def done(self) -> bool:
        return self.kind in ("ok", "failed")


@dataclass
class Campaign:
    """Tasks on the card of `env`, with its results under `results`; in a dry run the CPU stands in for the GPU."""

    env: Environment
    results: Path = places.RESULTS
    out: Path | None = None
    dry: bool = False
    variables: dict[str, str] = field(default_factory=dict)  # further environment variables of every child
    ended: list[JournalEntry] = field(default_factory=list)  # by this run

    def __post_init__(self) -> None:
        arch = "".join(map(str, self.env["gpu"].get("capability", ())))
        if (bundle := local(self.results) / f"kernels-sm_{arch}.bundle").exists() and BUNDLE_VARIABLE not in os.environ:
            self.variables = {BUNDLE_VARIABLE: str(bundle)} | self.variables
        self.name = "dry" if self.dry else str(self.env["gpu"]["name"])
        self.root = places.card_folder(self.name, self.results)
        self.outbox = Outbox(self.out or local(self.results) / "campaign" / places.slug(self.name))
        self.log = Log(local(self.results) / f"campaign-{places.slug(self.name)}.log")
        self.journal = self.root / "campaign.jsonl"
        self._updated = time.monotonic()
        self._parsed: dict[Path, tuple[tuple[int, int], list[Record]]] = {}  # by file, with its time and size

    # Which tasks are done.

    def entries(self) -> list[JournalEntry]:
        """Return the entries of the journal, without lines that cannot be read."""
        entries = []
        with suppress(FileNotFoundError):
            for line in read_bounded(self.journal).splitlines():
                with suppress(ValueError, TypeError):
                    entries.append(JournalEntry(**parse_json(line)))
        return entries

    def state(self, task: Task) -> State:
        """Return the state of a task for this card and this code."""
        entries = [entry for entry in self.entries() if entry.task == task.name and entry.code == code_of(self.env)]
        if task.plan:
            return self._sweep_state(task, entries)
        if any(entry.status == "ok" for entry in entries):
            return State("ok", next(entry.when[:10] for entry in entries if entry.status == "ok"))
        if entries:
            kind = "failed" if len(entries) >= TRIES else "partial"
            return State(kind, f"{len(entries)} of {TRIES} tries: {entries[-1].reason}")
        return State("missing")

    def _sweep_state(self, task: Task, entries: list[JournalEntry]) -> State:
        """Return the state of a sweep, by its records; it has failed if TRIES tries in this state added none."""
        due = self._due_executions(task)
        records = {(record.case, record.round): record for record in self.records(task)}
        done = [records[key] for key in due if key in standing(records.values(), retry=False)]
        failures = [record for record in done if record.status not in GOOD]
        counts = f"{len(done)} of {len(due)} executions" + (f", {len(failures)} not ok" if failures else "")
        if len(done) < len(due):
            idle_tries = [entry for entry in entries if entry.status != "ok" and entry.records >= len(records)]
            if len(idle_tries) >= TRIES:
                return State("failed", f"{counts}, and {len(idle_tries)} tries left no more: {idle_tries[-1].reason}")
            text = f"{counts}, tried {len(entries)} times: {entries[-1].reason or 'out of time'}" if entries else counts
            return State("partial" if done or entries else "missing", text if done or entries else "")
        if failures and len(entries) < TRIES:
            return State("partial", counts)
        return State("failed" if failures else "ok", counts)

    def _due_executions(self, task: Task) -> list[tuple[Case, int]]:
        plan = self._plan_of(task)
        able = [case for case in plan.cases if not why_not(case, self.env, plan.reserved)]
        return [(case, number) for number in range(plan.rounds) for case in able]

    def _plan_of(self, task: Task) -> Plan:
        plan = plans.load_plan(task.plan)
        if self.dry:
            chosen = plans.parse_plan(standins.small_plan(plan, self.env), plan.name, plan.name)
        else:
            chosen = plan.only(*task.only)
        return plans.gate_only(chosen) if "verify" in task.argv else chosen

    def records(self, task: Task) -> list[Record]:
        return self._records_in(self.folder(task)) or []

    def _records_in(self, folder: Path) -> list[Record] | None:
        """Return the records in a folder, parsed only after a change, as this runs beside timed work; or None."""
        file = folder / FILE
        with suppress(OSError, StoreError):
            version = file.stat().st_mtime_ns, file.stat().st_size
            if file not in self._parsed or self._parsed[file][0] != version:
                self._parsed[file] = version, Store(folder).read()
            return self._parsed[file][1]
        return None

    def folder(self, task: Task) -> Path:
        """Return the first of results/<card>/<plan>, plan-2, ... that is free, or that this machine may continue."""
        now = SweepConditions.of(self._plan_of(task), self.env, 0, "photos")
        number = 1
        while True:
            folder = self.root / (task.plan if number == 1 else f"{task.plan}-{number}")
            if not (folder / FILE).exists():
                return folder
            records = self._records_in(folder)
            if records is not None:
                same = {code_of(record.environment) for record in records} <= {code_of(self.env)}
                if same and not differences(records, now, RESUME):
                    return folder
            number += 1

    # Running.

    def run_tasks(
        self, tasks: Iterable[Task], seconds: float, on_start: Callable[[Task, float], None]
    ) -> Iterator[JournalEntry]:
        """Run tasks for `seconds`; yields the entry of each at its end. `on_start` is given each task's limit."""
        end = time.monotonic() + seconds
        chosen = list(tasks)
        self._write("environment.json", json.dumps(self.env, indent=1) + "\n")
        for index, task in enumerate(chosen):
            remaining = end - time.monotonic() - RESERVE_S - GRACE_S
            limit = remaining if index == len(chosen) - 1 else min(remaining, task.seconds)
            limit = min(DRY_S, remaining) if self.dry else min(limit, 2 * task.seconds)
            if remaining < (1.0 if self.dry else task.least_s):
                continue
            on_start(task, limit)
            yield self._run_task(task, limit)
            self.update_outbox()

    def _run_task(self, task: Task, limit: float) -> JournalEntry:
        """Run a task. An exception here is a failure of this task alone."""
        try:
            # the command's budget is a little less, so that it ends by itself and writes what it has
            argv = self.command(task, max(1.0, limit - GRACE_S))
            on_poll = partial(self.update_outbox, UPDATE_S)
            result = run_logged(argv, self.log, limit, child_variables() | self.variables, on_poll)
            status = "late" if result.late else "failed" if result.code else "ok"
            reason = "" if status == "ok" else f"{result.how}: {result.cause}"
            seconds = result.seconds
        except Exception as error:
            status, reason, seconds = "failed", f"{type(error).__name__}: {error}", 0.0
        when = datetime.now(UTC).isoformat(timespec="seconds")
        count = len(self.records(task)) if task.plan else 0
        commit = short(self.env["git"])
        entry = JournalEntry(task.name, status, reason, round(seconds, 1), when, code_of(self.env), commit, count)
        self.ended.append(entry)
        self._write("campaign.jsonl", json.dumps(asdict(entry)) + "\n", "a")
        return entry

    def _write(self, name: str, text: str, mode: str = "w") -> None:
        """Write a file in the card's folder; an error, as of a full disk, is logged and costs no task."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            path = self.root / name
            if mode == "a" and path.exists() and path.read_bytes()[-1:] not in (b"", b"\n"):
                text = f"\n{text}"  # the last line was cut short
            if mode == "w":
                write_file(path, text)
            else:
                with path.open(mode) as file:
                    file.write(text)
        except (OSError, StoreError) as error:
            self.log.trouble = str(error)

    def command(self, task: Task, seconds: float) -> list[str]:
        """Return the task's command with its values filled in; creates the folders that it writes to."""
        case = standins.small_case(Case.parse(task.case)).name if self.dry and task.case else task.case
        values = {
            "seconds": f"{seconds:.0f}",
            "root": str(self.root),
            "model": "resnet18" if self.dry else "resnet50",
            "batches": "1" if self.dry else "1,128",
            "jobs": str(min(JOBS, os.cpu_count() or 1)),
            "tuned": str(places.tuned_path(self.name, self.results)),
            "ceilings": str(self.ceilings()),
            "constants": str(places.constants_path(self.name, self.results)),
            "case": case,
        }
        if task.plan:
            values |= {"plan": str(self._plan_file(task)), "folder": str(self.folder(task))}
        argv = [word.format(**values) for word in task.argv]
        for option in ("-o", "--junitxml"):
            if option in argv:
                Path(argv[argv.index(option) + 1]).parent.mkdir(parents=True, exist_ok=True)
        if self.dry:
            argv = standins.small_argv(argv)
        if "-n" in argv and "pytest" in argv and not find_spec("xdist"):  # tests then run one after the other
            del argv[argv.index("-n") : argv.index("-n") + 2]
        return [sys.executable, *argv, *(task.dry if self.dry else ())]

    def _plan_file(self, task: Task) -> str | Path:
        """Return the plan's name; in a dry run, the path of a plan that this machine can run in its place."""
        if not self.dry:
            return task.plan
        path = self.root / "plans" / f"{task.plan}.toml"
        write_file(path, standins.small_plan(plans.load_plan(task.plan), self.env))
        return path

    # The files and lines that come back.

    def card_files(self) -> list[Path]:
        """Return all files of the card in this checkout, without locks and files that are being written."""
        tuned = places.tuned_path(self.name, self.results)
        paths = [*self.root.rglob("*"), *tuned.parent.glob(f"{tuned.stem}.*"), self.ceilings()]
        return sorted(path for path in paths if path.is_file() and not path.name.startswith("."))

    def ceilings(self) -> Path:
        return ceilings.path_of(self.env, places.ceilings_folder(self.results))

    def update_outbox(self, every_s: float = 0.0) -> None:
        """Write the archive, the log and the summary to the outbox, unless that was done within `every_s` seconds."""
        if time.monotonic() - self._updated >= every_s:
            try:
                lines = summarize(self)
            except Exception as error:  # a damaged file keeps nothing from coming back
                lines = [f"error   summary    {type(error).__name__}: {error}"]
            self.outbox.update(self.card_files(), self.results, self.log.path, "\n".join(lines) + "\n")
            self._updated = time.monotonic()

    def troubles(self) -> list[str]:
        """Return a sentence for each file that could not be written."""
        return [*([self.log.trouble] if self.log.trouble else []), *self.outbox.troubles]
