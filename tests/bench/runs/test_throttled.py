"""Cases that are run once more: out of memory, or throttled; and no speed for what throttled again."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from bench.report.rows import rows
from bench.runs.process import Answer
from bench.runs.sweep import Sweep
from tests.bench.runs.played import GOOD, PLAN, FakeChild, ok


def test_out_of_memory_is_tried_once_more_in_a_fresh_process(sweep: Callable[..., Sweep]) -> None:
    seen: set[str] = set()

    def answer(job: dict[str, Any]) -> Answer:
        if job["case"] in seen:
            return Answer("ok", "", dict(GOOD), 1.0)
        seen.add(job["case"])
        return Answer("memory", "out of memory", {}, 1.0)

    child = FakeChild(answer)
    records = list(sweep(child, replace(PLAN, rounds=1)).run())
    assert sum(r.status == "ok" for r in records) == 6
    assert len(child.jobs) == 12
    assert [r.attempts for r in records if r.status == "ok"] == [[{"status": "memory", "reason": "out of memory"}]] * 6
    always = FakeChild(lambda job: Answer("memory", "out of memory", {}, 1.0))
    records = list(sweep(always, replace(PLAN, rounds=1), folder="always").run())
    assert sum(r.status == "memory" for r in records) == 6
    assert len(always.jobs) == 12


SPOILT = {"latency_ns": [5] * 20, "throttled": {"latency": [[0, 15]]}, "watch": {"spoilt_s": {"steal": 1.0}}}


def test_a_case_whose_samples_fell_is_run_once_more_and_the_record_says_why(sweep: Callable[..., Sweep]) -> None:
    seen: set[str] = set()

    def answer(job: dict[str, Any]) -> Answer:
        first = job["case"] not in seen
        seen.add(job["case"])
        return ok(**SPOILT) if first else ok()

    child = FakeChild(answer)
    records = [r for r in sweep(child, replace(PLAN, rounds=1)).run() if r.status == "ok"]
    assert len(child.jobs) == 12
    assert len(records) == 6
    assert all("80% of the samples" in r.attempts[0]["reason"] and "steal" in r.attempts[0]["reason"] for r in records)


def test_what_throttled_twice_has_a_record_its_samples_and_no_speed(sweep: Callable[..., Sweep]) -> None:
    child = FakeChild(lambda job: ok(**SPOILT))
    records = [r for r in sweep(child, replace(PLAN, rounds=1)).run() if r.status == "throttled"]
    assert len(child.jobs) == 12
    assert len(records) == 6
    assert all(len(r.latency_ns) == 20 and "throttled" in r.reason and "(steal)" in r.reason for r in records)
    assert rows(records) == []
    few = SPOILT | {"throttled": {"latency": [[0, 4]]}}  # a quarter: enough are left
    records = list(sweep(FakeChild(lambda job: ok(**few)), replace(PLAN, rounds=1), folder="few").run())
    assert sum(r.status == "ok" for r in records) == 6
    assert all(len(r.kept("latency_ns")) == 15 for r in records if r.status == "ok")


def test_a_throttled_window_has_no_speed_either(sweep: Callable[..., Sweep]) -> None:
    window = {"throughput": {"images": 1, "ns": 10**9}, "throttled": {"throughput_s": 0.7}}
    records = list(sweep(FakeChild(lambda job: ok(**window)), replace(PLAN, rounds=1)).run())
    assert sum(r.status == "throttled" for r in records) == 6
