"""References that fail: for a while, for good; and what a sweep that goes on does again."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.errors import PlanError, StoreError
from bench.runs.process import Answer
from bench.runs.sweep import Sweep
from resnet.data.labelled import find_labelled
from tests.bench.runs.played import GOOD, PLAN, FakeChild, ok

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


def test_labelled_pictures_that_do_not_suit_the_one_model_end_the_sweep(sweep: Callable[..., Sweep]) -> None:
    def child(job: dict[str, Any], *_: object) -> Answer[Any]:
        return Answer("error", "--data: it has folders of 2 classes, and the model has 3", {}, 1.0)

    with pytest.raises(PlanError, match="--data: it has folders of 2"):
        statuses(sweep(child))
    cases = tuple(replace(PLAN.cases[0], model=model) for model in ("resnet18", "resnet34"))
    assert statuses(sweep(child, replace(PLAN, cases=cases, rounds=1), resume=True)) == ["error"] * 2


def test_a_model_s_own_fault_is_final(sweep: Callable[..., Sweep]) -> None:
    child = Child("error", "error")
    assert statuses(sweep(child, ROUNDS)) == ["error"] * 12
    assert child.references == 1
    assert statuses(sweep(child, ROUNDS, resume=True)) == []
    assert statuses(sweep(Child(), ROUNDS, retry=True)) == ["ok"] * 12


def test_a_sweep_goes_on_with_the_same_labelled_pictures_alone(sweep: Callable[..., Sweep], tmp_path: Path) -> None:
    folders = [str(tmp_path / name) for name in ("one", "other")]
    for folder in folders:
        (Path(folder) / "class").mkdir(parents=True)
        (Path(folder) / "class" / "a.png").write_text(folder)  # is not read here
    score = {"labelled": True, "data": find_labelled(folders[0]).digest()}

    def begin(folder: str, **rest: Any) -> list[str]:
        return statuses(sweep(FakeChild(lambda job: ok(score=score)), data=folder, **rest))

    begin(folders[0])
    assert begin(folders[0], resume=True) == []
    with pytest.raises(StoreError, match=r"another folder of labelled pictures \(\w+, now \w+\)"):
        begin(folders[1], resume=True)
    with pytest.raises(StoreError, match=r"another folder of labelled pictures \(--data, now none\)"):
        begin("", resume=True)


def test_networks_of_digits_are_scored_on_these_and_not_on_a_folder(sweep: Callable[..., Sweep]) -> None:
    child = FakeChild()
    cases = tuple(replace(PLAN.cases[0], model=model, image=32) for model in ("resnet18", "resnet18-digits"))
    statuses(sweep(child, replace(PLAN, cases=cases, rounds=1), data="labelled"))
    assert {job["case"].split("/")[0]: job["data"] for job in child.jobs} == {
        "resnet18": "labelled", "resnet18-digits": "",
    }  # fmt: skip
