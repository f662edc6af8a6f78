from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bench.plan import ONCE, Plan, Settings, read
from bench.process import Answer, ask
from bench.record import Record
from bench.store import Store, StoreError
from bench.sweep import Sweep
from tests import cheats

PLAN = read(
    """
why = "A test."
rounds = 3
[[group]]
why = "Cases that any machine runs, and one that a CPU does not."
model = "resnet18"
variant = "eager"
precision = ["fp32", "fp8"]
batch = [1, 2, 3, 4, 5, 6]
image = 64
""",
    "test",
    "test.toml",
)
GOOD: dict[str, Any] = {"latency_ns": [1, 2, 3], "throughput": {"images": 1, "ns": 1}}


class FakeChild:
    """Answers like a worker, as the test wants, and keeps what it was asked."""

    def __init__(self, answer: Callable[[dict[str, Any]], Answer] | None = None) -> None:
        self.jobs: list[dict[str, Any]] = []
        self.answer = answer or (lambda job: Answer("ok", "", dict(GOOD), 1.0))

    def __call__(self, job: dict[str, Any], limit_s: float, stage: object) -> Answer:
        if job["job"] == "reference":
            return Answer("ok", "", {"paths": {"fp64": "x"}}, 1.0)
        self.jobs.append(job)
        return self.answer(job)


@pytest.fixture
def sweep(tmp_path: Path, here: dict[str, Any]) -> Callable[..., Sweep]:
    def make(child: Any, plan: Plan = PLAN, **rest: Any) -> Sweep:
        return Sweep(plan, Store(tmp_path / "out"), here, ask=child, **rest)

    return make


def names(child: FakeChild) -> list[str]:
    return [job["case"] for job in child.jobs]


def test_every_case_runs_once_a_round_in_a_shuffled_order_that_the_seed_repeats(sweep: Callable[..., Sweep]) -> None:
    first, again = FakeChild(), FakeChild()
    records = list(sweep(first).run())
    able = [case.name for case in PLAN.cases if case.precision == "fp32"]
    rounds = [names(first)[k : k + 6] for k in (0, 6, 12)]
    assert all(sorted(order) == sorted(able) for order in rounds)
    assert len({tuple(order) for order in rounds}) > 1
    assert [(r.round, r.order) for r in records if r.status == "ok"] == [(k // 6, k) for k in range(18)]
    for _ in sweep(again).run():
        pass
    assert names(again) == names(first)


def test_what_cannot_run_is_a_record_with_its_reason(sweep: Callable[..., Sweep]) -> None:
    records = list(sweep(FakeChild()).run())
    skipped = [r for r in records if r.status == "skipped"]
    assert len(skipped) == 6
    assert all("fp8" in r.reason for r in skipped)


def test_a_record_is_on_disk_before_the_next_case_starts(sweep: Callable[..., Sweep]) -> None:
    on_disk: list[int] = []
    made = sweep(FakeChild(lambda job: on_disk.append(len(made.store.load())) or Answer("ok", "", dict(GOOD), 1.0)))
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
    always = FakeChild(lambda job: Answer("memory", "out of memory", {}, 1.0))
    records = list(sweep(always, replace(PLAN, rounds=1)).run())
    assert sum(r.status == "memory" for r in records) == 6
    assert len(always.jobs) == 12


def test_a_killed_sweep_resumes_with_what_is_missing_and_nothing_else(sweep: Callable[..., Sweep]) -> None:
    def stop(job: dict[str, Any]) -> Answer:
        if len(child.jobs) == 9:
            raise KeyboardInterrupt
        return Answer("ok", "", dict(GOOD), 1.0)

    child = FakeChild(stop)
    with pytest.raises(KeyboardInterrupt):
        list(sweep(child).run())
    rest = FakeChild()
    made = sweep(rest, resume=True)
    list(made.run())
    assert names(child)[:8] + names(rest) == names_of_all(sweep)
    whole = made.store.load()
    assert len(whole) == 24
    assert len({(r.case, r.round) for r in whole}) == 24
    nothing = FakeChild()
    list(sweep(nothing, resume=True).run())
    assert nothing.jobs == []


def names_of_all(sweep: Callable[..., Sweep]) -> list[str]:
    child = FakeChild()
    made = sweep(child)
    made.store = Store(made.store.folder / "other")
    list(made.run())
    return names(child)


def test_no_case_starts_that_would_end_after_the_budget(sweep: Callable[..., Sweep]) -> None:
    child = FakeChild(lambda job: Answer("ok", "", dict(GOOD), 1000.0))
    made = sweep(child, budget_s=500)
    records = list(made.run())
    assert len(child.jobs) == 1
    assert sum(r.status == "ok" for r in records) == 1
    assert len(made.left_out) == 17


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


@pytest.fixture(scope="module")
def caught(tmp_path_factory: pytest.TempPathFactory, here: dict[str, Any]) -> dict[str, Record]:
    """The records of every cheat, each through a real process, by variant."""
    with pytest.MonkeyPatch.context() as patch:
        from resnet.variants import VARIANTS

        before = dict(VARIANTS)
        cheats.plant()
        try:
            text = f"""
why = "Cheats."
[[group]]
why = "Every cheat."
model = "resnet18"
variant = {list(cheats.CHEATS)}
precision = "fp32"
batch = 2
image = 32
"""
            settings = Settings(**(ONCE | {"samples": 6, "throughput_s": 0.01}))  # type: ignore[arg-type]
            plan = replace(read(text, "cheats", "cheats"), settings=settings)
            patch.setenv("CUDA_VISIBLE_DEVICES", "")
            store = Store(tmp_path_factory.mktemp("cheats"))
            machine = here | {"gpu": {"none": "hidden"}}
            sweep = Sweep(plan, store, machine, source="noise", ask=partial(ask, module="tests.cheats.worker"))
            return {record.case.variant: record for record in sweep.run()}
        finally:
            VARIANTS.clear()  # type: ignore[attr-defined]
            VARIANTS.update(before)  # type: ignore[attr-defined]


def test_the_honest_twin_of_the_cheats_has_a_speed(caught: dict[str, Record]) -> None:
    record = caught["honest"]
    assert record.status == "ok", record.reason
    assert record.latency_ns
    assert record.throughput
    assert set(record.gate) == {"before", "during", "after"}


@pytest.mark.parametrize("name", [name for name in cheats.CHEATS if name != "honest"])
def test_a_cheat_has_a_record_and_no_speed(caught: dict[str, Record], name: str) -> None:
    record = caught[name]
    assert record.status == "wrong", record.reason
    assert cheats.CHEATS[name] in record.reason
    assert not record.latency_ns
    assert not record.throughput
    when = {"turns-bad": "after timing", "remembers": "after timing"}.get(name, "before timing")
    assert record.reason.startswith(when)
