"""`bench verify --jobs`: several processes at once, as none is timed; all of them real."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from bench.errors import StoreError
from bench.machine.environment import ROOT
from bench.plans.case import Case
from bench.plans.plan import Plan, gate_only, parse_plan
from bench.records.record import Record
from bench.records.store import Store
from bench.runs import process
from bench.runs.process import Answer, Stopped
from bench.runs.sweep import Events, Sweep
from tests.bench.runs.test_process import gone, soon

TOML = """
why = "A test."
[[group]]
why = "Small cases, of two sizes of image."
model = "resnet18"
variant = ["eager", "library-fused"]
precision = "fp32"
batch = [1, 2]
image = [32, 40]
"""
PLAN = gate_only(parse_plan(TOML, "test", "test.toml"))


class Count(Events):
    """How many cases ran at once, and in what order they started."""

    def __init__(self) -> None:
        self.running = self.most = 0
        self.started: list[Case | str] = []

    def starts(self, case: Case | str) -> None:
        self.started.append(case)
        if isinstance(case, Case):
            self.running += 1
            self.most = max(self.most, self.running)

    def ended(self, record: Record) -> None:
        self.running -= 1


@pytest.fixture
def sweep(tmp_path: Path, here: dict[str, Any]) -> Callable[..., Sweep]:
    def make(plan: Plan = PLAN, **rest: Any) -> Sweep:
        return Sweep(plan, Store(tmp_path / "out"), here, source="noise", **rest)

    return make


def test_all_cases_are_checked_and_some_at_once(sweep: Callable[..., Sweep]) -> None:
    count = Count()
    made = sweep(jobs=3, events=count)
    records = list(made.run())
    assert [record.status for record in records] == ["ok"] * 8
    assert count.most == 3
    assert {record.case for record in made.store.read()} == set(PLAN.cases)
    assert made.store.damage == []
    # once for each size of image, before any case that needs them
    references = [place for place, what in enumerate(count.started) if isinstance(what, str)]
    assert len(references) == 2
    for record in records:
        at = count.started.index(record.case)
        assert any(f"at {record.case.image}" in str(count.started[place]) for place in references if place < at)
    again = sweep(jobs=3, resume=True, ask=None)
    assert list(again.run()) == []


def test_what_is_timed_runs_alone(sweep: Callable[..., Sweep]) -> None:
    with pytest.raises(ValueError, match="one at a time"):
        sweep(parse_plan(TOML, "test", "test.toml"), jobs=2)


def test_a_throttled_check_is_a_check(sweep: Callable[..., Sweep]) -> None:
    lost = {"latency_ns": [1], "throughput": {"images": 1, "ns": 1}, "throttled": {"latency": [[0, 0]]}}

    def child(job: dict[str, Any], limit_s: float, stage: object) -> Answer:
        return Answer("ok", "", {"paths": {}} if job["job"] == "reference" else dict(lost), 1.0)

    records = list(sweep(ask=child).run())
    assert {(record.status, len(record.attempts)) for record in records} == {("ok", 0)}


def sleeping(started: list[int]) -> Callable[..., Answer]:
    """Children that would sleep for a minute; `started` gets their process numbers."""

    def child(job: dict[str, Any], limit_s: float, stage: object, stop: Event) -> Answer:
        if job["job"] == "reference":
            return Answer("ok", "", {"paths": {}}, 1.0)
        return process.ask(
            {"job": "reference"}, 60, lambda name: started.append(int(name)), "tests.bench.runs.sleeper", stop=stop
        )

    return child


def test_a_record_that_cannot_be_kept_ends_them_all(sweep: Callable[..., Sweep]) -> None:
    started: list[int] = []
    ask = sleeping(started)

    def child(job: dict[str, Any], limit_s: float, stage: object, stop: Event) -> Answer:
        if job.get("case") == "resnet18/eager/fp32/b1/i32/stream":
            assert soon(lambda: len(started) >= 1)
            return Answer("ok", "", {}, 1.0)
        return ask(job, limit_s, stage, stop)

    made = sweep(jobs=2, ask=child)
    made.store.append = full  # type: ignore[method-assign]
    began = time.monotonic()
    with pytest.raises(StoreError, match="no space"):
        list(made.run())
    assert time.monotonic() - began < 60
    assert started
    assert all(soon(lambda pid=pid: gone(pid)) for pid in started)  # type: ignore[misc]


def full(record: Record) -> None:
    raise StoreError("no space left")


def test_whoever_stops_reading_ends_them_all(sweep: Callable[..., Sweep]) -> None:
    started: list[int] = []
    ask = sleeping(started)

    def child(job: dict[str, Any], limit_s: float, stage: object, stop: Event) -> Answer:
        if job.get("case") == "resnet18/eager/fp32/b1/i32/stream":
            assert soon(lambda: len(started) >= 2)
            return Answer("error", "it did", {}, 1.0)
        return ask(job, limit_s, stage, stop)

    records: Iterator[Record] = sweep(jobs=3, ask=child).run()
    assert next(records).status == "error"
    records.close()  # type: ignore[attr-defined]
    assert len(started) == 2
    assert all(soon(lambda pid=pid: gone(pid)) for pid in started)  # type: ignore[misc]


def test_a_child_that_is_stopped_gives_no_answer() -> None:
    stop = Event()
    stop.set()
    with pytest.raises(Stopped):
        process.ask({"job": "reference"}, 600, module="tests.bench.runs.sleeper", stop=stop)


def test_no_case_starts_that_would_end_after_the_budget(sweep: Callable[..., Sweep]) -> None:
    def child(job: dict[str, Any], limit_s: float, stage: object, stop: Event) -> Answer:
        return Answer("ok", "", {"paths": {}} if job["job"] == "reference" else {}, 1000.0)

    made = sweep(jobs=2, ask=child, budget_s=500)
    assert 1 <= len(list(made.run())) <= 2  # what had started before any had ended
    assert len(made.left_out) >= 6


def test_an_interrupt_leaves_no_process_and_what_has_ended_is_kept(tmp_path: Path) -> None:
    plan = tmp_path / "many.toml"
    plan.write_text(TOML.replace("[1, 2]", "[1, 2, 3]").replace("[32, 40]", "32"))
    out = tmp_path / "out"
    command = [sys.executable, "-m", "bench", "verify", str(plan), "-o", str(out), "--input", "noise", "--jobs", "2"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as parent:
        assert parent.stderr
        for line in parent.stderr:
            if line.startswith("[1/"):
                break
        children: list[int] = []  # the others of its batch may just have ended, and the next not have started
        assert soon(lambda: children.extend(offspring(parent.pid)) or children)
        parent.send_signal(signal.SIGINT)
        told = parent.stderr.read()
    assert parent.returncode == 130
    go_on = told.partition("To go on: ")[2]
    assert f"bench verify {plan} -o {out} --resume --jobs 2 --input noise" in go_on
    assert all(soon(lambda pid=pid: gone(pid)) for pid in children)  # type: ignore[misc]
    kept = len(Store(out).read())
    assert 1 <= kept < 6
    again = subprocess.run([*command, "--resume"], cwd=ROOT, capture_output=True, text=True, timeout=500, check=False)
    assert again.returncode == 0, again.stderr
    assert {record.status for record in Store(out).read()} == {"ok"}
    assert len(Store(out).read()) == 6


def offspring(pid: int) -> list[int]:
    """Process numbers of all that `pid` has started and that lives."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
            if parent == pid and int(entry.name) != os.getpid():
                found.append(int(entry.name))
    return found
