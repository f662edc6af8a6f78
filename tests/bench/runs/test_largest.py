"""The search for the largest batch that fits, on made-up devices; test_fits.py has it through real processes."""

from collections.abc import Callable
from math import ceil, log2
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bench.plans.case import Case
from bench.plans.plan import parse_plan
from bench.records.store import Store
from bench.runs.largest import REPEATS, RESOLUTION, search
from bench.runs.process import Answer
from bench.runs.sweep import Sweep

CASE = Case.parse("resnet18/eager/fp32/bmax/i32/stream")
MIB = 1 << 20


def answer(status: str, batch: int) -> Answer:
    data = {"memory": {"device_process": None, "host_resident_peak": batch * MIB}, "details": {"batch": batch}}
    return Answer(status, "" if status == "ok" else f"{batch} is too many", data if status == "ok" else {}, 1.0)


class Device:
    """Holds so many images; `why` is how a larger batch ends."""

    def __init__(self, holds: int, why: str = "memory") -> None:
        self.holds, self.why, self.asked = holds, why, list[int]()

    def __call__(self, batch: int) -> Answer:
        self.asked.append(batch)
        return answer("ok" if batch <= self.holds else self.why, batch)


@given(
    st.integers(0, 20000),
    st.sampled_from([1, 8, 64, 100]),
    st.integers(100, 16384),
    st.sampled_from(["memory", "wrong"]),
)
def test_the_answer_brackets_what_the_device_holds(holds: int, start: int, limit: int, why: str) -> None:
    device = Device(holds, why)
    found = search(device, start, limit)
    outcome = found.data["largest"]
    fits, fails = outcome["fits"], outcome["fails"]
    assert [row[0] for row in outcome["tried"]] == device.asked
    assert len(device.asked) <= 2 * ceil(log2(limit))
    assert max(device.asked) <= limit
    assert found.wall_s == len(device.asked)
    if holds >= limit:
        assert (fits, fails) == (limit, None)
        assert outcome["reason"] == f"not sought beyond {limit}"
        return
    assert fits <= holds < fails
    assert fails - fits <= max(1, fits // RESOLUTION)
    assert outcome["reason"] == f"{why}: {fails} is too many"
    assert found.status == ("ok" if holds else why)
    if fits:
        assert found.data["details"] == {"batch": fits}
        assert [fits, "ok", fits * MIB, 1.0] in outcome["tried"]


@given(st.data())
def test_on_a_device_that_changes_its_mind_the_search_ends_and_tells_what_it_saw(data: st.DataObject) -> None:
    last: dict[int, str] = {}
    asked = []

    def probe(batch: int) -> Answer:
        asked.append(batch)
        last[batch] = data.draw(st.sampled_from(["ok", "memory", "wrong", "timeout"]))
        return answer(last[batch], batch)

    found = search(probe, 64, 16384)
    fits, fails = found.data["largest"]["fits"], found.data["largest"]["fails"]
    assert len(asked) <= (1 + REPEATS) * 2 * log2(16384)
    assert len(asked) - len(set(asked)) <= REPEATS
    assert found.status == last[fits or 1]
    assert fails is None or (fits < fails and last[fails] != "ok")


def test_a_failure_that_is_not_for_want_of_memory_is_not_sought_at_every_batch() -> None:
    device = Device(0, "error")
    found = search(device, 64, 1024)
    assert device.asked == [64, 1]
    assert (found.status, found.reason) == ("error", "batch 1: 1 is too many")
    assert found.data["largest"]["fits"] == 0
    device = Device(0, "memory")
    assert search(device, 64, 1024).status == "memory"
    assert device.asked == [64, 32, 16, 8, 4, 2, 1, 1]


def test_a_device_that_was_full_for_a_moment_is_asked_again() -> None:
    device = Device(1000)
    full = iter([False, True])
    found = search(lambda batch: answer("memory", batch) if next(full, False) else device(batch), 64, 1024)
    assert found.data["largest"]["fits"] > 1000 * (1 - 1 / RESOLUTION)


PLAN = """
why = "A test."
[[group]]
why = "A search between two ordinary cases."
model = "resnet18"
variant = "eager"
precision = "fp32"
batch = [1, "max"]
image = 32
"""


def test_a_sweep_keeps_a_search_as_one_record(tmp_path: Path, here: dict[str, Any]) -> None:
    stages = list[str]()

    def child(job: dict[str, Any], limit_s: float, stage: Callable[[str], None]) -> Answer:
        if job["job"] == "reference":
            return Answer("ok", "", {"paths": {"fp64": "x"}}, 1.0)
        stage("run")
        case = Case.parse(job["case"])
        return answer("ok" if job["job"] == "case" or case.batch <= 100 else "memory", case.batch)

    sweep = Sweep(
        parse_plan(PLAN, "test", "test.toml"), Store(tmp_path / "out"), here | {"gpu": {"none": "hidden"}}, ask=child
    )
    sweep.events.stage = stages.append  # type: ignore[method-assign]
    records = {record.case.name: record for record in sweep.run()}
    record = records[CASE.name]
    assert record.status == "ok"
    assert (record.largest["fits"], record.largest["fails"]) == (100, 102)
    assert record.details == {"batch": 100}
    assert record.largest["reason"] == "memory: in run: 102 is too many"
    assert not record.latency_ns
    assert "batch 64: run" in stages
    assert {record.case: record.largest for record in sweep.store.read()}[CASE] == record.largest
