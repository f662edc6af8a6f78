"""A sweep's rounds and records, with a child that is played."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.errors import StoreError
from bench.runs.process import Answer
from bench.runs.sweep import Sweep
from tests.bench.runs.played import GOOD, PLAN, FakeChild, names, ok


def test_every_case_runs_once_a_round_in_a_shuffled_order_that_the_seed_repeats(sweep: Callable[..., Sweep]) -> None:
    first, again = FakeChild(), FakeChild()
    records = list(sweep(first).run())
    able = [case.name for case in PLAN.cases if case.precision == "fp32"]
    rounds = [names(first)[k : k + 6] for k in (0, 6, 12)]
    assert all(sorted(order) == sorted(able) for order in rounds)
    assert len({tuple(order) for order in rounds}) > 1
    assert [(r.round, r.order) for r in records if r.status == "ok"] == [(k // 6, k % 6) for k in range(18)]
    for _ in sweep(again, folder="again").run():
        pass
    assert names(again) == names(first)


def test_what_cannot_run_is_a_record_with_its_reason(sweep: Callable[..., Sweep]) -> None:
    records = list(sweep(FakeChild()).run())
    skipped = [r for r in records if r.status == "skipped"]
    assert len(skipped) == 6
    assert all("fp8" in r.reason for r in skipped)


def test_a_record_is_on_disk_before_the_next_case_starts(sweep: Callable[..., Sweep]) -> None:
    on_disk: list[int] = []
    made = sweep(FakeChild(lambda job: on_disk.append(len(made.store.read())) or Answer("ok", "", dict(GOOD), 1.0)))
    list(made.run())
    assert on_disk == list(range(6, 24))  # after the 6 skipped


@pytest.mark.parametrize("status", ["error", "crash", "timeout", "wrong"])
def test_a_failure_is_a_record_and_the_sweep_goes_on(sweep: Callable[..., Sweep], status: str) -> None:
    def answer(job: dict[str, Any]) -> Answer:
        return Answer(status, "it did", {}, 1.0) if "/b3/" in job["case"] else Answer("ok", "", dict(GOOD), 1.0)

    records = list(sweep(FakeChild(answer)).run())
    failed = [r for r in records if r.status == status]
    assert len(failed) == 3
    assert all(r.reason == "it did" and not r.latency_ns for r in failed)
    assert sum(r.status == "ok" for r in records) == 15


def test_cold_processes_have_empty_caches_of_their_own_which_go_with_them(sweep: Callable[..., Sweep]) -> None:
    found: list[Path] = []

    def answer(job: dict[str, Any]) -> Answer:
        folder = Path(job["caches"])
        assert list(folder.iterdir()) == []
        (folder / "compiled").write_text("x")
        found.append(folder)
        return ok()

    list(sweep(FakeChild(answer), replace(PLAN, rounds=1), cold=True).run())
    assert len(set(found)) == 6
    assert not any(folder.exists() for folder in found)
    warm = FakeChild()
    list(sweep(warm, replace(PLAN, rounds=1), folder="warm").run())
    assert {job["caches"] for job in warm.jobs} == {""}


def test_a_reference_that_cannot_be_made_fails_its_cases_with_the_reason(sweep: Callable[..., Sweep]) -> None:
    def child(job: dict[str, Any], limit_s: float, stage: object) -> Answer:
        assert job["job"] == "reference"
        return Answer("memory", "float64 is large", {}, 1.0)

    records = list(sweep(child, replace(PLAN, rounds=1)).run())
    failed = [r for r in records if r.status == "memory"]
    assert len(failed) == 6
    assert "no reference" in failed[0].reason
    assert "float64 is large" in failed[0].reason


def test_a_folder_in_use_stops_the_sweep_before_it_starts(sweep: Callable[..., Sweep]) -> None:
    child = FakeChild()
    made = sweep(child)
    with made.store.writing(), pytest.raises(StoreError, match="another sweep"):
        list(made.run())
    assert child.jobs == []
