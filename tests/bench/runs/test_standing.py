"""References that fail: for a while, for good; and what a sweep that goes on does again."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bench.runs.process import Answer
from bench.runs.sweep import Sweep
from tests.bench.runs.played import GOOD, PLAN

ROUNDS = replace(PLAN, rounds=2)


class Child:
    """Fails to make references with the statuses given, one after the other, then makes them; runs cases well."""

    def __init__(self, *statuses: str) -> None:
        self.statuses = list(statuses)
        self.references = 0

    def __call__(self, job: dict[str, Any], limit_s: float, stage: object) -> Answer[Any]:
        if job["job"] != "reference":
            return Answer("ok", "", dict(GOOD), 1.0)
        self.references += 1
        status = self.statuses.pop(0) if self.statuses else "ok"
        return Answer(status, "killed" if status != "ok" else "", {"paths": {"fp64": "x"}}, 1.0)


def statuses(sweep: Sweep) -> list[str]:
    return [record.status for record in sweep.run() if record.status != "skipped"]


@pytest.mark.parametrize("status", ["crash", "memory", "timeout"])
def test_a_reference_that_failed_for_a_while_is_made_again_at_once(sweep: Callable[..., Sweep], status: str) -> None:
    child = Child(status)
    assert set(statuses(sweep(child, ROUNDS))) == {"ok"}
    assert child.references == 2


def test_it_is_asked_for_again_in_the_next_round_and_on_resume(sweep: Callable[..., Sweep]) -> None:
    child = Child("crash", "crash")
    first = statuses(sweep(child, ROUNDS))
    assert first == ["crash"] * 6 + ["ok"] * 6  # the first round alone
    assert statuses(sweep(child, ROUNDS, resume=True)) == ["ok"] * 6
    assert statuses(sweep(child, ROUNDS, resume=True)) == []


def test_a_model_s_own_fault_is_final(sweep: Callable[..., Sweep]) -> None:
    child = Child("error", "error")
    assert statuses(sweep(child, ROUNDS)) == ["error"] * 12
    assert child.references == 1
    assert statuses(sweep(child, ROUNDS, resume=True)) == []
    assert statuses(sweep(Child(), ROUNDS, retry=True)) == ["ok"] * 12
