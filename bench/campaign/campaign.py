"""A quarter of an hour on a rented card: what is missing for this card and code, in order of value, kept as it comes.

Tasks (`bench.campaign.tasks`) are child processes with seconds of their own, so that one that hangs or dies costs its
own results alone. What they leave is under results/, where the next task and the next rental find it; the journal
results/<card>/campaign.jsonl says how each ended. With $OUT set, as on a machine that gives back one folder, an archive
of all that results/ holds of the card, the log and the last lines are written there after every task, and while a long
one runs.
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
from importlib.util import find_spec
from pathlib import Path

from bench.campaign import standins
from bench.campaign.archive import Outbox
from bench.campaign.child import GRACE_S, Log, NowAndThen, run_logged
from bench.campaign.tasks import Task
from bench.errors import StoreError
from bench.files import write
from bench.machine.environment import child_variables
from bench.machine.facts import Environment
from bench.machine.provenance import code_of, short
from bench.paths import local
from bench.plans import plan as plans
from bench.plans.case import Case
from bench.plans.eligible import why_not
from bench.plans.plan import Plan
from bench.records.record import Record
from bench.records.same import RESUME, Sitting, differences
from bench.records.store import FILE, Store
from bench.roofline import ceilings
from bench.runs.sweep import GOOD
from kernels.cards import places
from kernels.compiled.bundle import BUNDLE_VARIABLE

RESERVE_S = 4.0  # kept of a budget, for the archive and the last lines
LOOK_S = 20.0  # while a task runs, what changed is put in the outbox this often
TRIES = 2  # of a task that fails on the same card and code
DRY_S = 600.0  # of a task of a dry run: a CPU takes the time it takes
JOBS = 8  # processes at once that check answers; they share the card's memory


@dataclass(frozen=True)
class Entry:
    """How a task ended once: a line of the journal. `status`: ok, failed, or late (its limit came first)."""

    task: str
    status: str
    reason: str
    seconds: float
    when: str
    code: str  # what it ran: `code_of`
    commit: str
    records: int = 0  # in a sweep's folder when it ended


@dataclass(frozen=True)
class State:
    """Whether a task is done for this card and this code: ok, failed (often enough), partial, missing."""

    kind: str
    text: str = ""

    @property
    def done(self) -> bool:
        return self.kind in ("ok", "failed")


@dataclass
class Campaign:
    """Tasks on the card of `env`, its results under `results`; dry, the CPU stands in for its GPU."""

    env: Environment
    results: Path = places.RESULTS
    out: Path | None = None
    dry: bool = False
    variables: dict[str, str] = field(default_factory=dict)  # of every child, further ones
    ended: list[Entry] = field(default_factory=list)  # by this run

    def __post_init__(self) -> None:
        arch = "".join(map(str, self.env["gpu"].get("capability", ())))
        if (bundle := local(self.results) / f"kernels-sm_{arch}.bundle").exists() and BUNDLE_VARIABLE not in os.environ:
            self.variables = {BUNDLE_VARIABLE: str(bundle)} | self.variables
        self.name = "dry" if self.dry else str(self.env["gpu"]["name"])
        self.root = places.card_folder(self.name, self.results)
        self.outbox = Outbox(self.out or local(self.results) / "campaign" / places.slug(self.name))
        self.log = Log(local(self.results) / f"campaign-{places.slug(self.name)}.log")
        self.journal = self.root / "campaign.jsonl"
        self._parsed: dict[Path, tuple[tuple[int, int], list[Record]]] = {}  # by file, with its time and size

    # What is there, and what is missing.

    def entries(self) -> list[Entry]:
        """The journal; a line that cannot be read costs itself."""
        found = []
        with suppress(FileNotFoundError):
            for line in self.journal.read_text(errors="replace").splitlines():
                with suppress(ValueError, TypeError):
                    found.append(Entry(**json.loads(line)))
        return found

    def state(self, task: Task) -> State:
        """For this card and this code."""
        mine = [entry for entry in self.entries() if entry.task == task.name and entry.code == code_of(self.env)]
        if task.plan:
            return self._swept(task, mine)
        if any(entry.status == "ok" for entry in mine):
            return State("ok", next(entry.when[:10] for entry in mine if entry.status == "ok"))
        if mine:
            kind = "failed" if len(mine) >= TRIES else "partial"
            return State(kind, f"{len(mine)} of {TRIES} tries: {mine[-1].reason}")
        return State("missing")

    def _swept(self, task: Task, mine: list[Entry]) -> State:
        """Of a sweep it is the records that tell; one that fails and leaves none more is not tried for ever."""
        due = self._due(task)
        records = {(record.case, record.round): record for record in self.records(task)}
        there = [records[key] for key in due if key in records]
        bad = [record for record in there if record.status not in GOOD]
        counts = f"{len(there)} of {len(due)} executions" + (f", {len(bad)} not ok" if bad else "")
        if len(there) < len(due):
            idle = [entry for entry in mine if entry.status != "ok" and entry.records >= len(records)]
            if len(idle) >= TRIES:
                return State("failed", f"{counts}, and {len(idle)} tries left no more: {idle[-1].reason}")
            told = f"{counts}, tried {len(mine)} times: {mine[-1].reason or 'out of time'}" if mine else counts
            return State("partial" if there or mine else "missing", told if there or mine else "")
        if bad and len(mine) < TRIES:
            return State("partial", counts)
        return State("failed" if bad else "ok", counts)

    def _due(self, task: Task) -> list[tuple[Case, int]]:
        plan = self._plan_of(task)
        able = [case for case in plan.cases if not why_not(case, self.env, plan.reserved)]
        return [(case, number) for number in range(plan.rounds) for case in able]

    def _plan_of(self, task: Task) -> Plan:
        plan = plans.load(task.plan)
        if self.dry:
            chosen = plans.read(standins.plan(plan, self.env), plan.name, plan.name)
        else:
            chosen = plan.only(*task.only)
        return plans.gate_only(chosen) if "verify" in task.argv else chosen

    def records(self, task: Task) -> list[Record]:
        return self._records_in(self.folder(task)) or []

    def _records_in(self, folder: Path) -> list[Record] | None:
        """None where they cannot be read. Parsed anew only where they have changed: this is asked beside timed work."""
        file = folder / FILE
        with suppress(OSError, StoreError):
            stamp = file.stat().st_mtime_ns, file.stat().st_size
            if file not in self._parsed or self._parsed[file][0] != stamp:
                self._parsed[file] = stamp, Store(folder).load()
            return self._parsed[file][1]
        return None

    def folder(self, task: Task) -> Path:
        """The first of results/<card>/<plan>, plan-2, ... that is free, or that this machine and code may go on in."""
        now = Sitting.of(self._plan_of(task), self.env, 0, "photos")
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

    def run(self, tasks: Iterable[Task], seconds: float, told: Callable[[Task, float], None]) -> Iterator[Entry]:
        """How each task ended that had the time to begin, as it ends; `told` when one begins, with its limit."""
        end = time.monotonic() + seconds
        chosen = list(tasks)
        self._write("environment.json", json.dumps(self.env, indent=1) + "\n")
        for place, task in enumerate(chosen):
            left = end - time.monotonic() - RESERVE_S - GRACE_S
            limit = left if place == len(chosen) - 1 else min(left, task.seconds)
            limit = min(DRY_S, left) if self.dry else min(limit, 2 * task.seconds)
            if left < (1.0 if self.dry else task.least_s):
                continue
            told(task, limit)
            yield self._one(task, limit)
            self.put()

    def _one(self, task: Task, limit: float) -> Entry:
        """Run a task. Whatever goes wrong here is how the task ended, and no more."""
        look = NowAndThen(self.put, LOOK_S)
        try:
            # its own budget is a little less, so that it ends by itself with all it has put away
            argv = self.command(task, max(1.0, limit - GRACE_S))
            ended = run_logged(argv, self.log, limit, child_variables() | self.variables, look)
            status = "late" if ended.late else "failed" if ended.code else "ok"
            reason = "" if status == "ok" else f"{ended.how}: {ended.cause}"
            spent = ended.seconds
        except Exception as error:
            status, reason, spent = "failed", f"{type(error).__name__}: {error}", 0.0
        when = datetime.now(UTC).isoformat(timespec="seconds")
        count = len(self.records(task)) if task.plan else 0
        told = (round(spent, 1), when, code_of(self.env), short(self.env["git"]), count)
        entry = Entry(task.name, status, reason, *told)
        self.ended.append(entry)
        self._write("campaign.jsonl", json.dumps(asdict(entry)) + "\n", "a")
        return entry

    def _write(self, name: str, text: str, mode: str = "w") -> None:
        """A file in the card's folder; a disk that is full is told, and costs no task."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            path = self.root / name
            if mode == "a" and path.exists() and path.read_bytes()[-1:] not in (b"", b"\n"):
                text = f"\n{text}"  # a line that was cut short costs itself, not the next one
            with path.open(mode) as file:
                file.write(text)
        except OSError as error:
            self.log.trouble = f"{self.root / name}: {error.strerror}"

    def command(self, task: Task, seconds: float) -> list[str]:
        """The task's argv, written out; makes the folders that it writes to."""
        case = standins.case(Case.parse(task.case)).name if self.dry and task.case else task.case
        words = {
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
            words |= {"plan": str(self._plan_file(task)), "folder": str(self.folder(task))}
        argv = [word.format(**words) for word in task.argv]
        for option in ("-o", "--junitxml"):
            if option in argv:
                Path(argv[argv.index(option) + 1]).parent.mkdir(parents=True, exist_ok=True)
        if self.dry:
            argv = standins.argv(argv)
        if "-n" in argv and "pytest" in argv and not find_spec("xdist"):  # then one after the other
            del argv[argv.index("-n") : argv.index("-n") + 2]
        return [sys.executable, *argv, *(task.dry if self.dry else ())]

    def _plan_file(self, task: Task) -> str | Path:
        """The plan's name; dry, a file with what this machine can run in its place."""
        if not self.dry:
            return task.plan
        path = self.root / "plans" / f"{task.plan}.toml"
        write(path, standins.plan(plans.load(task.plan), self.env))
        return path

    # What comes back.

    def files(self) -> list[Path]:
        """All that this checkout holds of the card, whichever call measured it; locks and what is being written not."""
        tuned = places.tuned_path(self.name, self.results)
        found = [path for path in self.root.rglob("*") if path.is_file() and not path.name.startswith(".")]
        found += [*tuned.parent.glob(f"{tuned.stem}.*"), self.ceilings()]
        return sorted(path for path in found if path.is_file() and not path.name.startswith("."))

    def ceilings(self) -> Path:
        return ceilings.path_of(self.env, places.ceilings_folder(self.results))

    def lines(self) -> list[str]:
        """The last lines; a damaged file of a task's own is told, and keeps nothing from coming back."""
        from bench.campaign.summary import summary  # which reads what this class has written

        try:
            return summary(self)
        except Exception as error:
            return [f"error   summary    {type(error).__name__}: {error}"]

    def put(self) -> None:
        """Write the archive, the log and the last lines to the outbox."""
        self.outbox.put(self.files(), self.results, self.log.path, "\n".join(self.lines()) + "\n")

    def troubles(self) -> list[str]:
        """What could not be kept or given back; a sentence each."""
        return [*([self.log.trouble] if self.log.trouble else []), *self.outbox.troubles]


def outbox_folder() -> Path | None:
    """Where a rented machine looks for what is to come back."""
    return Path(os.environ["OUT"]) if os.environ.get("OUT") else None
