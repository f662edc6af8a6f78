"""Cases counted in a child: a death costs its case, and what is about the whole ends it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.errors import UnableError, WorkError
from bench.plans.case import Case
from bench.runs import process
from bench.runs.process import Answer
from bench.static.count import DEATHS, count_cases

CASES = [Case.parse(f"resnet18/eager/fp32/b{batch}/i32/stream") for batch in (1, 2)]
EAGER = CASES[0]


class Child:
    """Counts nothing, and dies at the deadly cases unless it is told that they are."""

    def __init__(self, deadly: set[str]) -> None:
        self.deadly = deadly
        self.variables: list[dict[str, str]] = []

    def __call__(
        self, job: dict[str, Any], limit_s: float, stage: Callable[[str], None], *, home: Any, **_: object
    ) -> Answer:
        self.variables.append(home.variables)
        counted = {}
        for done, name in enumerate(job["cases"]):
            stage(f"{done} {len(job['cases'])} {name}")
            if name in self.deadly - job["broken"].keys():
                return Answer("crash", "died", {}, 1.0)
            reason = job["broken"].get(name, "")
            counted[name] = {"failed": reason} if reason else {"facts": {"launches": [1, "aten"]}}
        return Answer("ok", "", {"cases": counted, "environment": {"torch": "2"}}, 1.0)


def test_a_case_that_kills_its_child_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    child, seen = Child({CASES[1].name}), []
    monkeypatch.setattr(process, "ask", child)
    facts = count_cases(CASES, lambda *told: seen.append(told))
    assert facts.cases[EAGER.name].facts["launches"].value == 1
    assert facts.cases[CASES[1].name].failed == "crash: died"
    assert seen == [(0, 2, CASES[0].name), (1, 2, CASES[1].name)] * 2
    assert {variables["CUDA_VISIBLE_DEVICES"] for variables in child.variables} == {""}


def test_children_that_die_again_and_again_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [Case.parse(f"resnet18/eager/fp32/b{batch}/i32/stream") for batch in range(1, DEATHS + 3)]
    child = Child({case.name for case in cases})
    monkeypatch.setattr(process, "ask", child)
    with pytest.raises(WorkError, match="nothing could be counted: crash: died"):
        count_cases(cases)
    assert len(child.variables) == DEATHS + 1


def test_a_machine_that_cannot_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "ask", lambda *_, **how: Answer("skipped", "no torch", {}, 1.0))
    with pytest.raises(UnableError, match="this machine cannot count: no torch"):
        count_cases(CASES)


@pytest.mark.slow  # three processes that import torch
def test_a_child_that_dies_fails_its_case_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = tmp_path / "dying_counter.py"
    worker.write_text(
        "import os, sys\nfrom bench.worker import __main__ as worker\nfrom bench.worker.static import count as static\n"
        "honest = static.count_case\n"
        "static.count_case = lambda case, build: os._exit(9) if case.batch == 2 else honest(case, build)\n"
        "worker.main(int(sys.argv[1]), int(sys.argv[2]))\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    found = count_cases(CASES, module="dying_counter").cases
    assert found[EAGER.name].facts["launches"].value == 68
    assert found[CASES[1].name].failed.startswith("crash: ")
