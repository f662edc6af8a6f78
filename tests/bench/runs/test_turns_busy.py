"""Real processes in turns, while other work takes every core in bursts: what the records claim is as in quiet."""

import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from bench.machine.environment import device
from bench.plans.case import Case
from bench.plans.plan import parse_plan
from bench.records.record import Record
from bench.records.speed import disturbed_turns, speed_ratio
from bench.records.store import Store
from bench.report.answer import contests_of
from bench.report.rows import rows_from_records
from bench.runs.sweep import Sweep
from bench.runs.turns import LEAST, Events

PLAN = """
why = "A test."
[measure]
warmup_s = 0.0
warmup_limit_s = 0.05
latency_s = 0.0
latency_limit_s = 0.05
turns = 16
turn_s = 0.05
group_s = 20.0
flush_batch = 0
buffers = 2
[[group]]
why = "One case, and one that is three times as slow by its construction."
model = "resnet18"
variant = ["eager", "slowed:thrice"]
precision = "fp32"
batch = 1
image = 32
"""

THRICE = "def thrice(module, example):\n    return lambda x: [module(x) for _ in range(3)][-1]\n"
# all processes of it work at the same time, and sleep as long, until their parent ends
BURSTS = """
import os, time
parent = os.getppid()
while os.getppid() == parent:
    sum(range(10_000)) if int(time.time() / 0.7) % 2 else time.sleep(0.01)
"""


class Log(Events):
    """Keeps the names of the events."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def ready(self, case: Case, p50_ns: float) -> None:
        assert p50_ns > 0
        self.names.append("ready")

    def ended(self, record: Record) -> None:
        self.names.append("ended")


@pytest.fixture
def bursts() -> Iterator[None]:
    load = [subprocess.Popen([sys.executable, "-c", BURSTS]) for _ in os.sched_getaffinity(0)]
    yield
    for process in load:
        process.kill()
        process.wait()


def test_bursts_of_other_work_turn_no_order_round(
    tmp_path: Path, here: dict[str, Any], bursts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if device(here) != "cpu":
        pytest.skip("cases take turns on a CPU")
    (tmp_path / "slowed.py").write_text(THRICE)
    monkeypatch.chdir(tmp_path)
    events = Log()
    sweep = Sweep(parse_plan(PLAN, "test", "test.toml"), Store(tmp_path / "out"), here, source="noise", events=events)
    records = {record.case.variant: record for record in sweep.run()}
    assert [record.reason for record in records.values() if record.status not in ("ok", "throttled")] == []
    assert events.names == ["ready", "ready", "ended", "ended"]
    fast, slow = records["eager"], records["slowed:thrice"]

    windows = sorted((w["start_ns"], w["ns"], w["turn"]) for record in (fast, slow) for w in record.windows)
    assert {turn for *_, turn in windows} >= {1}
    assert [turn for *_, turn in windows] == sorted(turn for *_, turn in windows)  # both in each turn, then the next
    assert all(start + ns <= after for (start, ns, _), (after, _, _) in pairwise(windows))  # one at a time

    ratio = speed_ratio([fast], [slow], disturbed_turns([fast, slow]))
    if ratio and ratio.low and ratio.high:
        assert ratio.high > 1
        assert ratio.low > 1 or ratio.samples < LEAST

    for contest in contests_of(rows_from_records(records.values())):  # what is printed is the quiet order, or none
        assert contest.winner is None or contest.winner.case.variant == "eager"
