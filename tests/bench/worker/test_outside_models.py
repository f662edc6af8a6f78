"""A user's model from its name to a record, and plain torch's precisions of it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.plans.case import Case
from bench.plans.plan import ONCE, Settings
from bench.runs.job import CaseJob, ReferenceJob, reference_job
from bench.worker import reference
from bench.worker.case import measure_case
from bench.worker.failure import describe_failure
from bench.worker.reference import write_references
from resnet.names import Build, canonical_model
from resnet.outside.sources import ModelError

TOYS = Path(__file__).parents[2] / "resnet" / "outside"
SETTINGS = replace(Settings(), **(ONCE | {"buffers": 2}))  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _toys_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(TOYS)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("RESNET_CACHE", str(tmp_path))


def job_of(name: str, *cases: str, build: Build | None = None) -> tuple[list[Case], ReferenceJob]:
    chosen = [Case.parse(f"{canonical_model(f'outside_toys:{name}')}/{case}/b2/i32/stream") for case in cases]
    return chosen, reference_job(chosen, SETTINGS, "cpu", 0, "noise", build or Build())


@pytest.mark.parametrize("variant", ["eager", "onnxruntime"])
def test_a_user_s_model_is_measured_and_judged(variant: str) -> None:
    build = Build(num_classes=6)
    (case,), references = job_of("behaving@how=in_place" if variant == "eager" else "build", f"{variant}/fp32")
    build = Build() if variant == "eager" else build
    paths = write_references(replace(references, build=build), lambda stage: None)["paths"]
    answer: dict[str, Any] = dict(measure_case(CaseJob(case, SETTINGS, "cpu", 0, "noise", paths, build=build)))
    assert (answer["status"], answer.get("reason", "")) == ("ok", "")
    network = answer["network"]
    assert (network["origin"], network["weights"], len(network["code"])) == ("outside_toys", "synthetic", 16)
    assert network["num_classes"] == (build.num_classes or 5)
    assert network.get("copies_input", False) == (variant == "eager")


def test_what_is_not_admitted_has_its_sentence_as_a_record_has_it() -> None:
    _, references = job_of("behaving@how=dropout", "eager/fp32")
    with pytest.raises(ModelError) as refused:
        write_references(references, lambda stage: None)
    assert describe_failure(refused.value) == {"status": "error", "reason": str(refused.value)}


def test_admission_is_once_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    _, references = job_of("build", "eager/fp32")
    first = write_references(references, lambda stage: None)
    monkeypatch.setattr(reference, "admit", lambda *_: pytest.fail("it was admitted"))
    assert write_references(references, lambda stage: None) == first


def test_a_precision_that_plain_torch_does_not_run_is_that_one_s_failure() -> None:
    cases, references = job_of("halfless", "eager/fp32", "eager/bf16")
    paths = write_references(references, lambda stage: None)["paths"]
    good, bad = (CaseJob(case, SETTINGS, "cpu", 0, "noise", paths) for case in cases)
    assert measure_case(good)["status"] == "ok"
    with pytest.raises(ModelError, match="plain torch does not run outside_toys:halfless in bf16"):
        measure_case(bad)


def test_a_model_that_memory_is_too_small_for_is_no_model_that_is_wrong() -> None:
    error = ModelError("mymodule:build does not run")
    error.__cause__ = MemoryError("DefaultCPUAllocator: can't allocate memory")
    assert describe_failure(error) == {"status": "memory", "reason": "mymodule:build does not run"}
