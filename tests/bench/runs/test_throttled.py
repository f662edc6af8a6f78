"""Cases that are run once more: out of memory, or throttled; and no speed for what throttled again."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bench.plans.case import Case
from bench.records.record import Record
from bench.report.rows import rows_from_records
from bench.runs.process import Answer
from bench.runs.restart import reason_to_retry, withhold
from bench.runs.sweep import Sweep
from bench.stats import median_interval
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
    assert {r.attempts[0]["reason"] for r in records} == {"16 of 20 samples spoilt by the machine (steal)"}


def test_what_throttled_twice_has_a_record_its_samples_and_no_speed(sweep: Callable[..., Sweep]) -> None:
    child = FakeChild(lambda job: ok(**SPOILT))
    records = [r for r in sweep(child, replace(PLAN, rounds=1)).run() if r.status == "throttled"]
    assert len(child.jobs) == 12
    assert len(records) == 6
    assert all(len(r.latency_ns) == 20 and "16 of 20 samples" in r.reason for r in records)
    assert rows_from_records(records) == []


def test_a_throttled_window_has_no_speed_either(sweep: Callable[..., Sweep]) -> None:
    window = {"throughput": {"images": 1, "ns": 10**9}, "throttled": {"throughput_s": 0.7}}
    records = list(sweep(FakeChild(lambda job: ok(**window)), replace(PLAN, rounds=1)).run())
    assert sum(r.status == "throttled" for r in records) == 6


def window(disturbed: str = "") -> dict[str, Any]:
    return {"turn": 0, "start_ns": 5, "images": 1, "ns": 10**8} | ({"disturbed": disturbed} if disturbed else {})


def test_what_is_withheld_was_tried_again_and_what_is_kept_is_enough_for_its_interval() -> None:
    """One rule: no loss is withheld without a second attempt, and none is tried again that would be kept."""
    for samples in (1, 3, 6, 7, 10, 20, 700):
        for lost in range(samples + 1):
            data: dict[str, Any] = {
                "latency_ns": [5] * samples,
                "throttled": {"latency": [[0, lost - 1]] if lost else []},
            }
            record = Record(Case.parse("resnet18/eager/fp32/b1/i64/stream"), 0, "ok", **data)
            withhold(record)
            assert (record.status == "throttled") == bool(reason_to_retry(ok(**data), True))
            kept = samples - lost
            assert (record.status == "ok") == (kept >= samples / 2 and (kept >= 6 or lost == 0))
            if record.status == "ok" and samples >= 6:
                assert median_interval(record.kept("latency_ns"))


@pytest.mark.parametrize(
    ("disturbed", "loss"),
    [
        (["steal"] * 3, ""),
        (["steal", "stopped", "hw-thermal, other work", "sm-clock"], "4 of 6 throughput windows"),
        (["other work"] * 6, ""),  # it may never end: `window_fields` marks it, and the report tells of it
    ],
)
def test_windows_are_withheld_where_most_were_spoilt_by_more_than_other_work(disturbed: list[str], loss: str) -> None:
    windows = [window(reason) for reason in disturbed] + [window()] * (6 - len(disturbed))
    reason = reason_to_retry(ok(windows=windows, latency_ns=[5] * 10), True)
    assert reason.startswith(loss)
    assert bool(reason) == bool(loss)
    assert "other work" not in reason
