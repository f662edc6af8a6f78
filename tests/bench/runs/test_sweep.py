import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.errors import StoreError
from bench.plans.plan import Plan, Settings, read
from bench.records.record import Record
from bench.records.store import Store
from bench.report.rows import rows
from bench.runs.process import Answer
from bench.runs.sweep import Sweep
from bench.stats import LEAST_ROUNDS
from tests import cheats
from tests.cheats.sweep import assert_caught, records

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
    def make(child: Any, plan: Plan = PLAN, folder: str = "out", **rest: Any) -> Sweep:
        return Sweep(plan, Store(tmp_path / folder), rest.pop("env", here), ask=child, **rest)

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
    assert [r.attempts for r in records if r.status == "ok"] == [[{"status": "memory", "reason": "out of memory"}]] * 6
    always = FakeChild(lambda job: Answer("memory", "out of memory", {}, 1.0))
    records = list(sweep(always, replace(PLAN, rounds=1), folder="always").run())
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
    list(sweep(child, folder="other").run())
    return names(child)


def test_a_folder_with_records_is_not_added_to_unless_asked(sweep: Callable[..., Sweep]) -> None:
    list(sweep(FakeChild()).run())
    child = FakeChild()
    with pytest.raises(StoreError, match=r"holds 24 records already; go on from them with --resume"):
        list(sweep(child).run())
    assert child.jobs == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"seed": 1}, r"another seed \(0, now 1\)"),
        ({"plan": replace(PLAN, settings=Settings(latency_s=9.0))}, r"another latency_s \(1.0, now 9.0\)"),
        ({"source": "noise"}, r"another input \(photos, now noise\)"),
        ({"env": {"cpu": {"name": "Another", "cores": 2}}}, r"another processor \(.*, now Another\)"),
        ({"env": {"packages": {"torch": "1.0"}}}, r"another torch \(.*, now 1.0\)"),
    ],
)
def test_what_was_measured_otherwise_is_not_gone_on_from(
    sweep: Callable[..., Sweep], here: dict[str, Any], change: dict[str, Any], told: str
) -> None:
    seen = Answer("ok", "", GOOD | {"input": {"source": "photos"}}, 1.0)
    made = sweep(FakeChild(lambda job: seen))
    next(record for record in made.run() if record.status == "ok")
    if "env" in change:
        change = {"env": here | {key: here[key] | value for key, value in change["env"].items()}}
    with pytest.raises(StoreError, match=told):
        list(sweep(FakeChild(), resume=True, **change).run())
    free = replace(PLAN, rounds=5, settings=replace(PLAN.settings, limit_s=9.0))
    assert list(sweep(FakeChild(), resume=True, plan=free).run())  # more of the same is


def test_what_failed_is_run_again_when_asked_and_then_counts_in_its_place(sweep: Callable[..., Sweep]) -> None:
    failing = FakeChild(lambda job: Answer("crash", "it did", {}, 1.0) if "/b3/" in job["case"] else ok())
    list(sweep(failing).run())
    idle, mended = FakeChild(), FakeChild()
    list(sweep(idle, resume=True).run())
    assert idle.jobs == []
    made = sweep(mended, retry=True)
    list(made.run())
    assert names(mended) == [name for name in names(failing) if "/b3/" in name]
    assert all(record.status in ("ok", "skipped") for record in made.store.load())
    assert len(made.store.load()) == 24


def ok(**rest: Any) -> Answer:
    return Answer("ok", "", GOOD | rest, 1.0)


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
    assert all(len(r.latency_ns) == 20 and "throttled (steal)" in r.reason for r in records)
    assert rows(records) == []
    few = SPOILT | {"throttled": {"latency": [[0, 4]]}}  # a quarter: enough are left
    records = list(sweep(FakeChild(lambda job: ok(**few)), replace(PLAN, rounds=1), folder="few").run())
    assert sum(r.status == "ok" for r in records) == 6
    assert all(len(r.kept("latency_ns")) == 15 for r in records if r.status == "ok")


def test_a_throttled_window_has_no_speed_either(sweep: Callable[..., Sweep]) -> None:
    window = {"throughput": {"images": 1, "ns": 10**9}, "throttled": {"throughput_s": 0.7}}
    records = list(sweep(FakeChild(lambda job: ok(**window)), replace(PLAN, rounds=1)).run())
    assert sum(r.status == "throttled" for r in records) == 6


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


PAIR = read(
    """
why = "A test."
rounds = 2
rounds_limit = 20
[measure]
ratio = 0.05
[[group]]
why = "A case that settles, one that does not, one that fails, and what they are held against."
model = "resnet18"
variant = ["eager", "library-fused", "compile", "onnxruntime"]
precision = "fp32"
batch = 1
image = 64
""",
    "pair",
    "pair.toml",
)


def test_rounds_follow_until_the_ratio_is_known_and_then_no_more(sweep: Callable[..., Sweep]) -> None:
    draw = random.Random(0)
    noise = {"eager": 0.005, "library-fused": 0.005, "compile": 0.3}

    def answer(job: dict[str, Any]) -> Answer:
        variant = job["case"].split("/")[1]
        if variant == "onnxruntime":
            return Answer("crash", "it did", {}, 1.0)
        ns = round(1e9 * draw.lognormvariate(0, noise[variant]))
        return ok(throughput={"images": 1, "ns": ns})

    made = sweep(FakeChild(answer), PAIR)
    records = list(made.run())
    counts = Counter(record.case.variant for record in records)
    assert counts["library-fused"] == LEAST_ROUNDS
    assert counts["compile"] == counts["eager"] == 20  # to the limit, and what it is held against beside it
    assert counts["onnxruntime"] == 2  # what fails is not run for its ratio's sake
    for number in range(20):
        together = {r.case.variant for r in records if r.round == number}
        assert {"eager", "compile"} <= together
    again = FakeChild(answer)
    list(sweep(again, PAIR, resume=True).run())
    assert again.jobs == []


VALUED = read(
    """
why = "A test."
rounds = 2
[[group]]
why = "First: the batches in the order they are written, of each the variants."
model = "resnet18"
variant = ["library-fused", "compile", "eager"]
precision = "fp32"
batch = [8, 1]
image = 64
[[group]]
why = "Then these."
model = "resnet18"
variant = ["compile-max", "eager", "library-fused"]
precision = "bf16"
batch = 2
image = 64
""",
    "valued",
    "valued.toml",
)


def test_where_time_is_short_the_first_round_goes_by_value(sweep: Callable[..., Sweep]) -> None:
    """In the plan's order, what compiles for minutes last; the second round is shuffled as ever."""
    child, freely = FakeChild(), FakeChild()
    records = list(sweep(child, VALUED, budget_s=1000).run())
    ran = [name.removeprefix("resnet18/").removesuffix("/i64/stream") for name in names(child)]
    assert ran[:9] == [
        *("library-fused/fp32/b8", "eager/fp32/b8", "library-fused/fp32/b1", "eager/fp32/b1"),
        *("eager/bf16/b2", "library-fused/bf16/b2"),
        *("compile/fp32/b8", "compile/fp32/b1", "compile-max/bf16/b2"),
    ]
    assert [(record.round, record.order) for record in records] == [(k // 9, k % 9) for k in range(18)]
    list(sweep(freely, VALUED, folder="free").run())
    assert names(freely)[9:] == names(child)[9:]
    assert names(freely)[:9] != names(child)[:9]


def test_what_fits_no_more_is_what_is_of_least_value_and_comes_when_gone_on(sweep: Callable[..., Sweep]) -> None:
    plan = replace(VALUED, rounds=1)

    def answer(job: dict[str, Any]) -> Answer:
        return Answer("ok", "", dict(GOOD), 10.0)

    # nothing has compiled yet, so what does is taken to need a minute
    made, first, second = sweep(FakeChild(answer), plan, budget_s=30), FakeChild(answer), FakeChild(answer)
    made.ask = first
    list(made.run())
    assert [case.variant for case in made.left_out] == ["compile", "compile", "compile-max"]
    list(sweep(second, plan, budget_s=1000, resume=True).run())
    assert [name.split("/")[1] for name in names(second)] == ["compile", "compile", "compile-max"]


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
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        return records(cheats.CHEATS, tmp_path_factory.mktemp("cheats"), here | {"gpu": {"none": "hidden"}})


def test_the_honest_twin_of_the_cheats_has_a_speed(caught: dict[str, Record]) -> None:
    record = caught["honest"]
    assert record.status == "ok", record.reason
    assert record.latency_ns
    assert record.throughput
    assert set(record.gate) == {"before", "during", "after"}


@pytest.mark.parametrize("name", [name for name in cheats.CHEATS if name != "honest"])
def test_a_cheat_has_a_record_and_no_speed(caught: dict[str, Record], name: str) -> None:
    assert_caught(name, caught[name])
