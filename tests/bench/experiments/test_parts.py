"""Parts as fault domains, with faults that are planted and processes that are real."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from bench.experiments.parts import Outcome, first_cause, run_each_part
from bench.runs.job import PiecesJob
from bench.runs.process import Answer

JOB = PiecesJob("cpu")


@dataclass(frozen=True)
class Part:
    name: str
    limit_s: float = 60.0


def outcomes(names: list[Part], budget_s: float = 300.0, **how: Any) -> dict[str, Outcome]:
    found: dict[str, Outcome] = {}

    def told(name: str, outcome: Outcome) -> None:
        assert name not in found
        found[name] = outcome

    run_each_part(JOB, names, budget_s, told, module="tests.bench.experiments.planted_parts", **how)
    return found


def test_a_part_that_fails_costs_itself() -> None:
    """One that raises, lacks a module, dies, leaves, is wrong, hangs: what stands before and behind it is done."""
    names = ["works", "raises", "cannot_import", "tells_nan", "dies", "wrong", "leaves", "skips"]
    found = outcomes([*map(Part, names), Part("hangs", 2.0), Part("also-works")])
    assert list(found) == [*names, "hangs", "also-works"]
    statuses = {name: outcome["status"] for name, outcome in found.items()}
    assert statuses == {
        "works": "ok", "raises": "error", "cannot_import": "error", "tells_nan": "error", "dies": "error",
        "wrong": "wrong", "leaves": "error", "skips": "skipped", "hangs": "timeout", "also-works": "ok",
    }  # fmt: skip
    reasons = {name: first_cause(outcome["reason"]) for name, outcome in found.items()}
    assert reasons["raises"] == "RuntimeError: CUDA error: an illegal memory access was encountered"
    assert "no_such_module" in reasons["cannot_import"]
    assert "died by signal SIGSEGV, in: try dies" in reasons["dies"]
    assert "exit status 7, in: try leaves" in reasons["leaves"]
    assert reasons["wrong"] == "3 of 4 values are off"
    assert reasons["skips"] == "it needs a GPU"
    assert reasons["hangs"].startswith("it did not end within 2 s; ")
    assert "in hangs" in found["hangs"]["reason"]  # of the stack
    assert 2 <= found["hangs"]["seconds"] < 20
    assert found["works"]["data"]["pid"] != found["also-works"]["data"]["pid"]


def test_what_is_not_begun_in_time_is_skipped() -> None:
    found = outcomes([Part("hangs", 60.0), Part("works")], budget_s=8.0)
    assert found["hangs"]["status"] in ("timeout", "skipped")  # skipped where the imports took all of it
    assert found["works"]["status"] == "skipped"
    assert "8 s were over" in found["works"]["reason"]


def test_a_process_that_begins_nothing_is_started_twice() -> None:
    started = []

    def ask(*_: Any, **__: Any) -> Answer:
        started.append(1)
        return Answer("error", "ImportError: libcudart.so.13", {}, 0.1)

    found = outcomes([Part("works"), Part("wrong")], ask=ask)
    assert len(started) == 2
    assert {outcome["status"] for outcome in found.values()} == {"error"}
    assert "libcudart" in found["wrong"]["reason"]


def test_a_lost_gpu_is_left_to_another_process() -> None:
    """A child that stops behind a part without dying, as after an illegal access, is followed by another."""
    processes: list[list[str]] = []

    def ask(job: dict[str, Any], limit_s: float, hear: Any, **_: Any) -> Answer:
        processes.append([name for name, _ in job["parts"]])
        name = processes[-1][0]
        hear(f"try {name}")
        hear(f"done {name} " + json.dumps({"status": "ok", "reason": "", "seconds": 0.1}))
        return Answer("ok", "", {}, 0.1)

    found = outcomes([Part("a"), Part("b"), Part("c")], ask=ask)
    assert processes == [["a", "b", "c"], ["b", "c"], ["c"]]
    assert list(found) == ["a", "b", "c"]
