"""Cases compiled ahead: which, how many at a time, and that the process that is measured then finds its caches warm."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.plans.case import Case
from bench.plans.plan import gate_only, parse_plan
from bench.records.store import Store
from bench.runs import ahead
from bench.runs.sweep import Sweep
from bench.runs.turns import Events
from resnet.names import Build

TOML = """
why = "A test."
[[group]]
why = "Two to compile, and one that is not."
model = "resnet18"
variant = ["eager", "compile"]
precision = "fp32"
batch = [1, 2]
image = 32
"""
PLAN = gate_only(parse_plan(TOML, "test", "test.toml"))


@pytest.fixture
def sweep(tmp_path: Path, here: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Sweep]:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(ahead, "free_memory", lambda: 1 << 40)
    env = here | {"cpu": here["cpu"] | {"cores": 8, "quota": None}}

    def make(**rest: Any) -> Sweep:
        return Sweep(rest.pop("plan", PLAN), Store(tmp_path / "out"), env, source="noise", **rest)

    return make


def names(sweep: Sweep) -> list[str]:
    return [due.job.case.name for due in sweep.ahead(sweep.due())]


def test_what_compiles_is_due_until_its_marker_says_that_it_was(sweep) -> None:
    due = sweep().ahead(sweep().due())
    assert names(sweep()) == [f"resnet18/compile/fp32/b{batch}/i32/stream" for batch in (1, 2)]
    for each in due:
        each.marker.touch()
    assert names(sweep()) == []
    threads = replace(PLAN, settings=replace(PLAN.settings, threads=3))
    assert len(names(sweep(seed=1))) == len(names(sweep(plan=threads))) == 2


def test_nothing_is_due_where_it_saves_nothing(sweep, here, monkeypatch: pytest.MonkeyPatch) -> None:
    assert names(sweep(cold=True)) == []
    assert names(sweep(ask=lambda *arguments, **options: None)) == []  # another checkout's
    assert names(sweep(plan=replace(PLAN, cases=PLAN.cases[-1:]))) == []
    cores = [ahead.processes(5, {"cpu": {"cores": 8, "quota": quota}}) for quota in (None, 4.5, 3.0)]
    assert cores == [5, 4, 0]
    monkeypatch.setattr(ahead, "free_memory", lambda: ahead.ROOM_BYTES)
    assert names(sweep()) == []


def test_a_checkpoint_is_read_once_for_all_cases_and_not_where_nothing_is_compiled_ahead(
    sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Build] = []
    monkeypatch.setattr(ahead, "network_given", lambda build: read.append(build) or {})
    assert len(names(sweep())) == 2
    assert read == [PLAN.build]
    monkeypatch.setattr(ahead, "free_memory", lambda: ahead.ROOM_BYTES)
    assert names(sweep()) == []
    assert len(read) == 1


def test_no_case_is_begun_after_its_share_of_the_budget(sweep) -> None:
    due = sweep().ahead(sweep().due())
    ahead.compile_ahead(due, sweep().env, 0.0, Events())
    assert not any(each.marker.exists() for each in due)
    assert ahead.seconds_of(due, sweep().env) == ahead.COMPILE_S


@pytest.mark.slow  # two compilations in an empty folder
def test_the_process_that_is_judged_finds_its_caches_warm(sweep) -> None:
    said: list[str] = []

    class Said(Events):
        def starts(self, case: Case | str) -> None:
            said.append(str(case))

    records = list(sweep(events=Said()).run())
    caches = {record.case.variant: record.cold["caches"] for record in records}
    assert {record.status for record in records} == {"ok"}
    assert caches == {"eager": "unused", "compile": "warm"}
    ahead_said = [text for text in said if "ahead" in text]
    assert ahead_said == [f"compiling ahead: {done} of 2" for done in (0, 1, 2)]
    assert names(sweep(resume=True)) == []
